"""A gateway with many peers, in memory under virtual time. A step costs the same however many there are.

Each peer has one address, its own identity and its own network behind it; all of them share one wire, which may
misbehave.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from ipaddress import IPv4Address

from support.peers import Peer, connection, net, psk

from ike.config import Unique
from ike.events import ChildSaEstablished, Path
from ike.timing import Timing

HUB = IPv4Address("198.51.100.1")
FIRST_ADDRESS = int(IPv4Address("203.0.113.0")) << 8
TIMING = Timing(retransmit_timeout=1.0, retransmit_base=1.5, retransmit_tries=6, delete_timeout=20.0)
MORE: dict[str, object] = {"dpd_delay": 20.0, "unique": Unique.REPLACE}


class Hub:
    """``chance`` of the wire is drawn from ``seed``, like everything else."""

    def __init__(self, seed: int, peers: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.now = 1000.0
        self.loss = self.double = 0.0
        self.delay = (0.01, 0.02)
        self.keys: dict[bytes, int] = {}
        self.restarts = 0
        self.done: Counter[str] = Counter()
        self._addresses = 0
        self._flying: list[tuple[float, int, bytes, Path]] = []
        self._alarms: list[tuple[float, int, Peer]] = []
        self._order = 0
        child = net("10.10.0.0/16", "10.20.0.0/16")
        everybody = connection("hub.example.org", "*.example.org", child, name="site", **MORE)
        self.gateway = Peer(HUB, [everybody], psk(), seed + 1, TIMING)
        self.at: dict[IPv4Address, Peer] = {HUB: self.gateway}
        self.peers = [self._peer(number) for number in range(peers)]

    def _peer(self, number: int, spi: int = 0x1000) -> Peer:
        """Number n has 10.20.n.0/24 behind it."""
        child = net(f"10.20.{number}.0/24", "10.10.0.0/16")
        mine = connection(f"peer-{number}.example.org", "hub.example.org", child, name="site", **MORE)
        peer = Peer(self._address(), [mine], psk(), self.seed * 1000 + number + 1000 * self.restarts, TIMING)
        peer._spi = spi
        self.at[peer.address] = peer
        return peer

    def _address(self) -> IPv4Address:
        self._addresses += 1
        return IPv4Address(FIRST_ADDRESS + self._addresses & 0xFFFFFFFF)

    # What may happen to a peer.

    def restart(self, number: int) -> None:
        """Power off and on: nothing is said, nothing is remembered; the SPIs are fresh."""
        self.restarts += 1
        old = self.peers[number]
        self.at.pop(old.address)
        self.peers[number] = self._peer(number, old._spi)

    def roam(self, number: int) -> None:
        """Its host has another address from now on."""
        peer = self.peers[number]
        self.at.pop(peer.address)
        peer.address = self._address()
        self.at[peer.address] = peer
        peer.endpoint.addresses_changed((peer.address,), self.now)
        self.touch(peer)

    def initiate(self, number: int) -> None:
        """The peer asks for its CHILD_SA."""
        peer = self.peers[number]
        peer.endpoint.initiate("site", "net", self.now, local=peer.address, remote=HUB)
        self.touch(peer)

    # The wire, and time.

    def touch(self, peer: Peer) -> None:
        """Something was done with a peer: carry what it sends, take what it reports, see when it wakes."""
        for data, path in peer.endpoint.datagrams_to_send(self.now):
            if self.at.get(path.local) is peer:
                self._carry(data, Path(path.remote, path.remote_port, path.local, path.local_port))
        told = len(peer.events)
        peer.drain()
        for event in peer.events[told:]:
            if isinstance(event, ChildSaEstablished):
                self._remember(event)
        alarm = peer.endpoint.next_timeout()
        if alarm is not None:
            self._order += 1
            heapq.heappush(self._alarms, (alarm, self._order, peer))

    def _carry(self, data: bytes, seen: Path) -> None:
        for _ in range(2 if self.chance.random() < self.double else 1):
            if self.chance.random() >= self.loss:
                self._order += 1
                heapq.heappush(self._flying, (self.now + self.chance.uniform(*self.delay), self._order, data, seen))

    def _remember(self, made: ChildSaEstablished) -> None:
        """No key serves two SAs."""
        for half in (made.inbound, made.outbound):
            assert self.keys.setdefault(bytes(half.encryption_key), half.spi) == half.spi

    def run(self, seconds: float, steps: int = 100_000) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        for _ in range(steps):
            while self._alarms and self._is_stale(*self._alarms[0]):
                heapq.heappop(self._alarms)
            arrival = self._flying[0][0] if self._flying else float("inf")
            alarm = self._alarms[0][0] if self._alarms else float("inf")
            if min(arrival, alarm) > end:
                self.now = end
                return
            self.now = max(self.now, min(arrival, alarm))
            if arrival <= alarm:
                _, _, data, path = heapq.heappop(self._flying)
                receiver = self.at.get(path.local)
                if receiver is not None:
                    receiver.endpoint.receive_datagram(data, path, self.now)
                    self.touch(receiver)
            else:
                _, _, sleeper = heapq.heappop(self._alarms)
                sleeper.endpoint.handle_timeout(self.now)
                self.touch(sleeper)
        raise AssertionError(f"still busy after {steps} steps")

    def _is_stale(self, when: float, order: int, peer: Peer) -> bool:
        del order
        return self.at.get(peer.address) is not peer or peer.endpoint.next_timeout() != when

    # What the gateway has of each peer.

    def installed_for(self, number: int) -> list[ChildSaEstablished]:
        """SAs on the gateway that lead to a peer's network."""
        behind = IPv4Address(f"10.20.{number}.0")
        return [made for made in self.gateway.installed.values() if made.remote_ts[0].start == behind]
