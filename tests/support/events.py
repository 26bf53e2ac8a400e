"""One site's connection, and what an endpoint says when a CHILD_SA of it comes up."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

from ike.config import Child, Connection, Mode, TsTemplate
from ike.crypto.secret import Secret
from ike.events import ChildSaEstablished, Path, SaHalf
from ike.wire.constants import Encr, ProtocolId, TransformType
from ike.wire.payloads import Transform
from ike.wire.selectors import TrafficSelector

LOCAL = TrafficSelector.of_network(ip_network("10.10.0.0/24"))
REMOTE = TrafficSelector.of_network(ip_network("10.20.0.0/24"))
NET = Child("net", (TsTemplate(LOCAL),), (TsTemplate(REMOTE),))
SITE = Connection("site", children=(NET,))
PATH = Path(ip_address("203.0.113.10"), 4500, ip_address("198.51.100.20"), 4500)
GCM = (Transform(TransformType.ENCR, Encr.AES_GCM_16, 256),)


def established(child_id: int = 1, **changes: object) -> ChildSaEstablished:
    """CHILD_SA ``net`` of IKE SA 1, its SPIs after its number."""
    event = ChildSaEstablished(
        ike_id=1,
        child_id=child_id,
        connection=SITE.name,
        child=NET.name,
        protocol=ProtocolId.ESP,
        mode=Mode.TUNNEL,
        initiator=True,
        suite=GCM,
        inbound=SaHalf(0x1000 + child_id, Secret(bytes(36)), Secret(b"")),
        outbound=SaHalf(0x2000 + child_id, Secret(bytes(36)), Secret(b"")),
        local_ts=(LOCAL,),
        remote_ts=(REMOTE,),
        path=PATH,
        udp_encap=False,
        esn=False,
    )
    return replace(event, **changes)  # type: ignore[arg-type]
