"""A tunnel that is up and brings nothing: a NAT or a firewall on the way passes IKE's UDP, and not ESP.

Nobody tells us of such a one: NAT detection (RFC 7296 section 2.23) sees addresses change, not protocols vanish. What
can be seen from here is that packets leave through a CHILD_SA and none ever comes back, while IKE is answered. Where
ESP already travels in UDP 4500 there is nothing to find: it has IKE's own path.
"""

from __future__ import annotations

from collections.abc import Iterator

from fastesp.dataplane.base import SaCounters
from ike.events import FailureRecord
from ike.status import IkeSaInfo
from ike.wire.constants import ProtocolId

from .tunnel_records import TunnelRecords
from .tunnels import Tunnel, Tunnels

PATIENCE = 5.0
"""Seconds without an answer, from the time on when enough packets have left."""
ENOUGH = 3
"""Packets that have left: a single one may be lost, or want no answer."""

ENCAPSULATE = (
    "encap = yes in the connection sends ESP in UDP 4500, which takes IKE's own way through the NAT or firewall; to "
    "see where it ends, capture on both sides: tcpdump -ni any 'ip proto 50 or udp port 4500'"
)
NO_AH = "AH passes no NAT and has no UDP encapsulation (RFC 3948 section 1): esp_proposals instead, and encap = yes"


class Unheard:
    """Remembers since when a tunnel waits, and what was said: one record a tunnel and peer, however often it rekeys."""

    def __init__(self, tunnels: Tunnels, records: TunnelRecords) -> None:
        self._tunnels = tunnels
        self._records = records
        self._waiting: dict[int, float] = {}
        self._said: dict[tuple[str, str], int] = {}
        """Tunnel and peer -> the CHILD_SA that was last seen to bring nothing."""

    def look(self, now: float) -> Iterator[tuple[int, FailureRecord]]:
        """IKE SA and record of each tunnel that has been waiting for too long since the last look."""
        traffic = [(tunnel, self._tunnels.counters(tunnel.child_id)) for tunnel in self._plain()]
        # Of several SAs for one pair of selectors (RFC 9611) the peer chooses for itself which one it sends on.
        heard = {(t.ike_id, t.name) for t, counters in traffic if counters is not None and counters.packets_in}
        before, self._waiting = self._waiting, {}
        for tunnel, counters in traffic:
            if counters is None or counters.packets_out < ENOUGH or (tunnel.ike_id, tunnel.name) in heard:
                continue
            since = self._waiting[tunnel.child_id] = before.get(tunnel.child_id, now)
            if now - since >= PATIENCE:
                yield from self._say(tunnel, counters)
        self._said = {key: child_id for key, child_id in self._said.items() if child_id in self._waiting}

    def _plain(self) -> Iterator[Tunnel]:
        """Tunnels whose packets are protocol 50 or 51."""
        return (tunnel for tunnel in self._tunnels if tunnel.info is not None and not tunnel.info.udp_encap)

    def _say(self, tunnel: Tunnel, counters: SaCounters) -> Iterator[tuple[int, FailureRecord]]:
        ike = self._records.ike_sa(tunnel.ike_id)
        if ike is None:
            return
        key = (tunnel.name, str(ike.remote_id))
        new = key not in self._said
        self._said[key] = tunnel.child_id
        # It may have moved behind a NAT meanwhile: then its packets travel in UDP now.
        if new and any(child.child_id == tunnel.child_id and not child.udp_encap for child in ike.children):
            yield ike.ike_id, self._record(tunnel, ike, counters)

    def _record(self, tunnel: Tunnel, ike: IkeSaInfo, counters: SaCounters) -> FailureRecord:
        name = "AH" if tunnel.info is not None and tunnel.info.protocol == ProtocolId.AH else "ESP"
        return self._records.make(
            tunnel,
            ike,
            "esp-unheard",
            f"packets leave through CHILD_SA {tunnel.config.name}{{{tunnel.child_id}}} and none comes back: {name} "
            f"(IP protocol {'51' if name == 'AH' else '50'}) may not get through, though IKE does",
            key="encap",
            hint=NO_AH if name == "AH" else ENCAPSULATE,
            fields={"sent": f"{counters.packets_out} packets", "received": "none"},
        )
