"""Two IKE endpoints in memory, a wire between them that may misbehave, and a clock that only moves when told.

Everything is drawn from one seed: a run that fails is replayed with ``SEED=n pytest ...``.
"""

from __future__ import annotations

import heapq
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, ip_address, ip_network

from ike.config import AddressTemplate, AuthRound, Child, Connection, TsTemplate
from ike.credentials import CredentialStore
from ike.crypto.proposal import ProposalSpec
from ike.endpoint import Endpoint
from ike.events import (
    ChildSaDeleted,
    ChildSaEstablished,
    Event,
    ExchangeLogged,
    FailureRecord,
    IkeSaDeleted,
    IkeSaEstablished,
    IkeSaRekeyed,
    NegotiationFailed,
    OutboundReady,
    Path,
)
from ike.timing import Timing
from ike.wire.constants import ProtocolId
from ike.wire.identity import Identity
from ike.wire.selectors import TrafficSelector

A = IPv4Address("203.0.113.10")
B = IPv4Address("198.51.100.20")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
IKE = "aes256gcm16-prfsha384-x25519"
ESP = "aes256gcm16"


def ike(*texts: str) -> tuple[ProposalSpec, ...]:
    """IKE proposals."""
    return tuple(ProposalSpec.parse(text, ProtocolId.IKE) for text in texts)


def esp(*texts: str) -> tuple[ProposalSpec, ...]:
    """ESP proposals."""
    return tuple(ProposalSpec.parse(text, ProtocolId.ESP) for text in texts)


def ts(*networks: str) -> tuple[TsTemplate, ...]:
    """Selectors of whole networks."""
    return tuple(TsTemplate(TrafficSelector.of_network(ip_network(n))) for n in networks)


def net(local: str, remote: str, name: str = "net", **more: object) -> Child:
    """A child section."""
    child = Child(name, ts(*local.split(",")), ts(*remote.split(",")), esp(ESP))
    return replace(child, **more)  # type: ignore[arg-type]


def connection(
    local_id: str, remote_id: str, child: Child | None, *, auth: str = "psk", name: str = "site", **more: object
) -> Connection:
    """A connection between two identities, at the two ends' addresses."""
    made = Connection(
        name=name,
        proposals=ike(IKE),
        local=(AuthRound(auth=auth, id=Identity.parse(local_id)),),
        remote=(AuthRound(auth=auth, id=Identity.parse(remote_id)),),
        children=(child,) if child is not None else (),
        where={"": f"{name}.conf:1", "remote.id": f"{name}.conf:7", "proposals": f"{name}.conf:9"},
    )
    return replace(made, **more)  # type: ignore[arg-type]


def psk(secret: bytes = b"correct horse battery staple", where: str = "site.conf:30") -> CredentialStore:
    """One shared key for everybody."""
    store = CredentialStore()
    store.add_shared_key(secret, where=where)
    return store


class Peer:
    """An endpoint, what it reported, and the SAs that its data plane would hold."""

    def __init__(
        self,
        address: IPv4Address,
        connections: Sequence[Connection],
        credentials: CredentialStore,
        seed: int,
        timing: Timing | None = None,
        **more: object,
    ) -> None:
        self.address = address
        self.connections = list(connections)
        self.credentials = credentials
        source = random.Random(seed)
        self._spi = 0x1000
        self.replaced: list[int] = []
        """For each SPI that was asked for: the one of the SA it is to follow, or 0."""
        self.endpoint = Endpoint(
            lambda: self.connections,
            credentials,
            random=source.randbytes,
            child_spi=self._child_spi,
            wall_clock=lambda: NOW,
            timing=timing or Timing(),
            **more,  # type: ignore[arg-type]
        )
        self.events: list[Event] = []
        self.lines: list[str] = []
        self.installed: dict[int, ChildSaEstablished] = {}
        self.sending: list[int] = []
        """CHILD_SAs that traffic may leave on; the last one does the work."""

    def _child_spi(self, protocol: int, replaces: int) -> int:
        assert protocol in (2, 3)
        self.replaced.append(replaces)
        self._spi += 1
        return self._spi

    def drain(self) -> None:
        """Take every event, and do what a data plane would."""
        while (event := self.endpoint.next_event()) is not None:
            if isinstance(event, ExchangeLogged):
                self.lines.append(event.line)
                continue
            self.events.append(event)
            if isinstance(event, ChildSaEstablished):
                assert event.child_id not in self.installed
                self.installed[event.child_id] = event
            elif isinstance(event, OutboundReady):
                assert event.child_id in self.installed
                self.sending.append(event.child_id)
            elif isinstance(event, ChildSaDeleted):
                del self.installed[event.child_id]
                if event.child_id in self.sending:
                    self.sending.remove(event.child_id)

    def of(self, kind: type) -> list:
        """Events of one class."""
        return [e for e in self.events if isinstance(e, kind)]

    @property
    def failures(self) -> list[FailureRecord]:
        """The records, in order."""
        return [e.record for e in self.of(NegotiationFailed)]

    @property
    def failure(self) -> FailureRecord:
        """The one record that there is."""
        assert [f.code for f in self.failures] == [self.failures[0].code] if self.failures else False, self.failures
        return self.failures[0]

    def established(self) -> list[int]:
        """Ids of IKE SAs that are up."""
        return [i.ike_id for i in self.endpoint.ike_sas() if i.state in ("ESTABLISHED", "REKEYING")]


@dataclass(order=True)
class _InFlight:
    at: float
    order: int
    data: bytes = field(compare=False)
    path: Path = field(compare=False)


@dataclass
class Wire:
    """Between the peers: what it does to a datagram, as chances from 0 to 1 and a span of seconds."""

    seed: int = 0
    loss: float = 0.0
    double: float = 0.0
    delay: tuple[float, float] = (0.01, 0.01)
    edit: Callable[[bytes, Path], bytes | None] | None = None
    translate: Callable[[Path], Path] | None = None

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.log: list[tuple[float, bytes, Path]] = []

    def carry(self, data: bytes, path: Path) -> list[tuple[float, bytes, Path]]:
        """What arrives of it: (delay, datagram, path as the receiver sees it)."""
        if self.edit is not None:
            edited = self.edit(data, path)
            if edited is None:
                return []
            data = edited
        out = []
        for _ in range(2 if self.random.random() < self.double else 1):
            if self.random.random() >= self.loss:
                seen = Path(path.remote, path.remote_port, path.local, path.local_port)
                if self.translate is not None:
                    seen = self.translate(seen)
                out.append((self.random.uniform(*self.delay), data, seen))
        return out


class World:
    """Peers by address, the wire, and time."""

    def __init__(self, *peers: Peer, wire: Wire | None = None) -> None:
        self.peers = {peer.address: peer for peer in peers}
        self.wire = wire or Wire()
        self.now = 1000.0
        self.watch: Callable[[], None] | None = None
        """Called after every step: what must hold at all times."""
        self._flying: list[_InFlight] = []
        self._order = 0

    def initiate(self, peer: Peer, name: str = "site", child: str | None = "net", to: IPv4Address = B) -> int:
        """Bring a child up."""
        remote = to if to != peer.address else A
        return peer.endpoint.initiate(name, child, self.now, local=peer.address, remote=remote)

    def _collect(self) -> None:
        for peer in self.peers.values():
            for data, path in peer.endpoint.datagrams_to_send(self.now):
                self.wire.log.append((self.now, data, path))
                for delay, carried, seen in self.wire.carry(data, path):
                    self._order += 1
                    heapq.heappush(self._flying, _InFlight(self.now + delay, self._order, carried, seen))
            peer.drain()

    def inject(self, data: bytes, path: Path) -> None:
        """A datagram of somebody else; ``path`` as the receiver sees it."""
        self._order += 1
        heapq.heappush(self._flying, _InFlight(self.now, self._order, data, path))

    def run(self, seconds: float = 1.0, steps: int = 20_000) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        for _ in range(steps):
            self._collect()
            if self.watch is not None:
                self.watch()
            alarms = [(t, p) for p in self.peers.values() if (t := p.endpoint.next_timeout()) is not None]
            alarm = min((t for t, _ in alarms), default=float("inf"))
            arrival = self._flying[0].at if self._flying else float("inf")
            at = min(alarm, arrival)
            if at > end:
                self.now = end
                return
            self.now = max(self.now, at)
            if arrival <= alarm:
                flight = heapq.heappop(self._flying)
                peer = self.peers.get(flight.path.local)
                if peer is not None:
                    peer.endpoint.receive_datagram(flight.data, flight.path, self.now)
            else:
                for t, peer in alarms:
                    if t <= self.now:
                        peer.endpoint.handle_timeout(self.now)
        raise AssertionError(f"still busy after {steps} steps")


def tunnels(peer: Peer) -> set[tuple[int, int]]:
    """(inbound SPI, outbound SPI) of everything installed."""
    return {(e.inbound.spi, e.outbound.spi) for e in peer.installed.values()}


def assert_mirrored(a: Peer, b: Peer) -> None:
    """Both data planes hold the same SAs, keys included, and each way is usable."""
    assert {(o, i) for i, o in tunnels(a)} == tunnels(b), (tunnels(a), tunnels(b))
    theirs = {e.inbound.spi: e for e in b.installed.values()}
    for ours in a.installed.values():
        mirror = theirs[ours.outbound.spi]
        assert bytes(ours.outbound.encryption_key) == bytes(mirror.inbound.encryption_key)
        assert bytes(ours.inbound.encryption_key) == bytes(mirror.outbound.encryption_key)
        assert bytes(ours.outbound.integrity_key) == bytes(mirror.inbound.integrity_key)
        assert ours.local_ts == mirror.remote_ts
        assert ours.remote_ts == mirror.local_ts
        assert (ours.suite, ours.mode, ours.udp_encap, ours.esn) == (
            mirror.suite,
            mirror.mode,
            mirror.udp_encap,
            mirror.esn,
        )


def assert_usable(a: Peer, b: Peer) -> None:
    """Whatever either side sends now, the other can open."""
    for sender, receiver in ((a, b), (b, a)):
        assert sender.sending, "nothing to send on"
        leaving = sender.installed[sender.sending[-1]]
        assert leaving.outbound.spi in {e.inbound.spi for e in receiver.installed.values()}


def psk_pair(
    seed: int = 1, *, a: dict | None = None, b: dict | None = None, timing: Timing | None = None, **wire: object
) -> World:
    """Two sites with one shared key, mirrored; ``a`` and ``b`` change a side's connection."""
    left = connection("site-a", "site-b", net("10.10.0.0/24", "10.20.0.0/24"), **(a or {}))
    right = connection("site-b", "site-a", net("10.20.0.0/24", "10.10.0.0/24"), **(b or {}))
    return World(
        Peer(A, [left], psk(), seed, timing),
        Peer(B, [right], psk(), seed + 1000, timing),
        wire=Wire(seed=seed, **wire),  # type: ignore[arg-type]
    )


def seeds(count: int) -> list[int]:
    """Seeds to try: 0 to ``count`` - 1, or the one in the environment's SEED."""
    chosen = os.environ.get("SEED")
    return [int(chosen)] if chosen is not None else list(range(count))


@contextmanager
def replayable(seed: int) -> Iterator[None]:
    """A failure inside says how to see it again."""
    try:
        yield
    except BaseException as error:
        test = os.environ.get("PYTEST_CURRENT_TEST", "").split("[")[0].split(" ")[0]
        error.add_note(f"replay: SEED={seed} python -m pytest '{test}'")
        raise


def both(world: World) -> tuple[Peer, Peer]:
    """The two sites."""
    return world.peers[A], world.peers[B]


__all__ = [
    "NOW",
    "A",
    "AddressTemplate",
    "B",
    "IkeSaDeleted",
    "IkeSaEstablished",
    "IkeSaRekeyed",
    "Peer",
    "Wire",
    "World",
    "assert_mirrored",
    "assert_usable",
    "both",
    "connection",
    "esp",
    "ike",
    "ip_address",
    "net",
    "psk",
    "psk_pair",
    "replayable",
    "seeds",
    "ts",
    "tunnels",
]
