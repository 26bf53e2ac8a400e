"""Tunnels that are up and do not do what was wanted of them: each is one record, told once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from support.dataplanes import MemoryDataPlane

from fastesp.codes import CODES
from fastesp.dataplane.base import SaCounters
from fastesp.gateway.rivals import Rivals
from fastesp.gateway.tunnel_records import TunnelRecords
from fastesp.gateway.tunnels import Tunnel, Tunnels
from fastesp.gateway.unheard import ENOUGH, PATIENCE, Unheard
from ike.config import Child, Connection, Mode, TsTemplate
from ike.crypto.secret import Secret
from ike.events import ChildSaEstablished, FailureRecord, Path, SaHalf
from ike.status import ChildSaInfo, IkeSaInfo
from ike.wire.constants import Encr, ProtocolId, TransformType
from ike.wire.identity import Identity
from ike.wire.payloads import Transform
from ike.wire.selectors import TrafficSelector

LOCAL = TrafficSelector.of_network(ip_network("10.10.0.0/24"))
REMOTE = TrafficSelector.of_network(ip_network("10.20.0.0/24"))
GCM = (Transform(TransformType.ENCR, Encr.AES_GCM_16, 256),)


class Counting(MemoryDataPlane):
    """Counters as a test sets them: (packets in, packets out) of a CHILD_SA."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[int, tuple[int, int]] = {}

    def counters(self, child_id: int) -> SaCounters:
        received, sent = self.seen.get(child_id, (0, 0))
        return SaCounters(100 * received, received, 100 * sent, sent, 0.0, 0.0, {})


class Made:
    """Tunnels over a counting data plane, and the IKE SAs that they would have."""

    def __init__(self) -> None:
        self.plane = Counting()
        self.tunnels = Tunnels(self.plane, lambda _: None, lambda _: None)
        self.ikes: dict[int, IkeSaInfo] = {}

    def up(self, child_id: int, ike_id: int, peer: str, *, remote: TrafficSelector = REMOTE, **more: object) -> Tunnel:
        connection = str(more.pop("connection", "site"))
        priority, encap = more.pop("priority", 0), bool(more.pop("udp_encap", False))
        config = Child("net", (TsTemplate(LOCAL),), (TsTemplate(REMOTE),), priority=priority)  # type: ignore[arg-type]
        path = Path(ip_address("203.0.113.10"), 500, ip_address(f"198.51.100.{ike_id}"), 500)
        event = ChildSaEstablished(
            ike_id=ike_id,
            child_id=child_id,
            connection=connection,
            child="net",
            protocol=ProtocolId.ESP,
            mode=Mode.TUNNEL,
            initiator=True,
            suite=GCM,
            inbound=SaHalf(0x1000 + child_id, Secret(bytes(36)), Secret(b"")),
            outbound=SaHalf(0x2000 + child_id, Secret(bytes(36)), Secret(b"")),
            local_ts=(LOCAL,),
            remote_ts=(remote,),
            path=path,
            udp_encap=encap,
            esn=False,
        )
        event = replace(event, **more)  # type: ignore[arg-type]
        tunnel = self.tunnels.install(event, config)
        spi_in, spi_out, ends = 0x1000 + child_id, 0x2000 + child_id, (event.local_ts, event.remote_ts)
        protocol = int(event.protocol)
        info = ChildSaInfo(
            child_id,
            "net",
            "INSTALLED",
            protocol,
            Mode.TUNNEL,
            True,
            GCM,
            spi_in,
            spi_out,
            *ends,
            encap,
            False,
            0.0,
            None,
            None,
        )
        tunnel.info = info
        me, other = Identity.parse("a.example.org"), Identity.parse(peer)
        children = (*(self.ikes[ike_id].children if ike_id in self.ikes else ()), info)
        spis = ike_id.to_bytes(8, "big"), bytes(8)
        self.ikes[ike_id] = IkeSaInfo(
            ike_id, connection, "ESTABLISHED", True, *spis, me, other, path, (), False, False, 0.0, None, (), children
        )
        return tunnel


@pytest.fixture
def made() -> Made:
    return Made()


def site(name: str) -> Connection:
    return Connection(name, where={"": f"gw.conf:{len(name)}", "encap": "gw.conf:9"})


def looks(made: Made) -> Callable[[float], list[FailureRecord]]:
    unheard = Unheard(made.tunnels, TunnelRecords(made.ikes.get, site))
    return lambda now: [record for _, record in unheard.look(now)]


def test_a_tunnel_that_sends_and_never_hears_is_said_once_with_encap_as_the_way_out(made: Made) -> None:
    made.up(1, 1, "b.example.org")
    look = looks(made)
    assert look(0.0) == []
    made.plane.seen[1] = (0, ENOUGH)
    assert look(1.0) == look(0.9 + PATIENCE) == []
    (record,) = look(1.0 + PATIENCE)
    assert record.code == "esp-unheard"
    assert "encap = yes" in record.hint
    assert "encap = yes" in CODES[record.code].action
    assert record.change == "gw.conf:9: encap"
    assert record.fields == {"sent": "3 packets", "received": "none"}
    assert look(2.0 + PATIENCE) == []


def test_one_packet_that_comes_in_is_enough(made: Made) -> None:
    made.up(1, 1, "b.example.org")
    look = looks(made)
    made.plane.seen[1] = (0, 50)
    assert look(0.0) == []
    made.plane.seen[1] = (1, 500)
    assert look(PATIENCE) == look(3 * PATIENCE) == []


def test_a_tunnel_over_udp_is_not_looked_at(made: Made) -> None:
    made.up(1, 1, "b.example.org", udp_encap=True)
    made.plane.seen[1] = (0, 50)
    look = looks(made)
    assert look(0.0) == look(2 * PATIENCE) == []


def test_its_successor_says_it_no_more_and_another_peer_has_its_own_record(made: Made) -> None:
    look = looks(made)
    made.up(1, 1, "b.example.org")
    made.plane.seen[1] = (0, 5)
    assert [len(look(now)) for now in (0.0, 10.0)] == [0, 1]
    made.up(2, 1, "b.example.org")
    made.plane.seen[2] = (0, 5)
    assert look(20.0) == look(30.0) == []
    made.tunnels.remove(1)
    assert look(60.0) == []
    made.up(3, 2, "c.example.org")
    made.plane.seen[3] = (0, 5)
    look(70.0)
    assert [record.remote_id for record in look(80.0)] == ["c.example.org"]


def test_of_several_sas_for_the_same_packets_one_that_hears_is_enough(made: Made) -> None:
    made.up(1, 1, "b.example.org")
    made.up(2, 1, "b.example.org")
    made.plane.seen |= {1: (0, 50), 2: (7, 0)}
    look = looks(made)
    assert look(0.0) == look(2 * PATIENCE) == []


def test_ah_has_no_encapsulation_to_name(made: Made) -> None:
    tunnel = made.up(1, 1, "b.example.org")
    tunnel.info = replace(made.ikes[1].children[0], protocol=ProtocolId.AH)
    made.plane.seen[1] = (0, 5)
    look = looks(made)
    look(0.0)
    (record,) = look(PATIENCE)
    assert "AH (IP protocol 51)" in record.summary
    assert "esp_proposals" in record.hint


def test_two_peers_with_the_same_network_collide_and_both_are_named(made: Made) -> None:
    rivals = Rivals(made.tunnels, TunnelRecords(made.ikes.get, site))
    assert rivals.record(made.up(1, 1, "b.example.org")) is None
    record = rivals.record(made.up(2, 2, "c.example.org", connection="other"))
    assert record is not None
    assert record.code == "child-collision"
    for part in ("other/net{2} with c.example.org", "site/net{1} with b.example.org"):
        assert part in record.summary
    assert record.fields["packets"] == "10.10.0.0/24 === 10.20.0.0/24"
    assert record.fields["its line"] == "gw.conf:4: connections.site.children.net.remote_ts"
    assert record.change == "gw.conf:5: connections.other.children.net.remote_ts"


@pytest.mark.parametrize(
    "more",
    [
        {"ike_id": 1, "peer": "b.example.org"},
        {"ike_id": 2, "peer": "b.example.org"},
        {"ike_id": 2, "peer": "c.example.org", "remote": TrafficSelector.of_network(ip_network("10.20.0.0/25"))},
        {"ike_id": 2, "peer": "c.example.org", "priority": 7},
    ],
    ids=["the same IKE SA", "the peer came again", "a narrower one", "another priority"],
)
def test_what_can_be_told_apart_or_is_the_same_peer_does_not_collide(made: Made, more: dict[str, object]) -> None:
    rivals = Rivals(made.tunnels, TunnelRecords(made.ikes.get, site))
    made.up(1, 1, "b.example.org")
    assert rivals.record(made.up(2, **more)) is None  # type: ignore[arg-type]


def test_a_tunnel_that_went_is_nobodys_rival(made: Made) -> None:
    rivals = Rivals(made.tunnels, TunnelRecords(made.ikes.get, site))
    made.up(1, 1, "b.example.org")
    made.tunnels.remove(1)
    assert rivals.record(made.up(2, 2, "c.example.org")) is None
