"""What all IKE SAs of an endpoint share: the injected world, what goes out, and how they find each other."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from datetime import datetime
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from ..config import Connection
from ..credentials import Credentials
from ..events import Event, Path
from ..timing import Timing
from ..wire.identity import Identity
from ..wire.selectors import Address
from .cookies import Doorkeeper
from .lookups import Lookups
from .quick_crash import CrashTokens
from .redirect import Redirects
from .strangers import Strangers
from .tickets import Tickets

if TYPE_CHECKING:
    from .child import ChildSa
    from .ike_sa import IkeSa
    from .resumption import Held

BUCKET_BITS = 12
MAX_REFUSALS = 256
MAX_COMPLAINTS = 1024
"""Peers of another IKE version that are reported, each once."""


class Core:
    """One for each endpoint."""

    __slots__ = (
        "_alarms",
        "_by_identities",
        "_by_name",
        "_by_selectors",
        "_complained",
        "_last_child_id",
        "_last_ike_id",
        "_refusals",
        "addresses",
        "bucket",
        "by_child",
        "by_id",
        "by_opening",
        "by_spi",
        "child_spi",
        "connections",
        "crash_tokens",
        "credentials",
        "doorkeeper",
        "drops",
        "events",
        "held",
        "inbound_activity",
        "lookups",
        "outgoing",
        "random",
        "redirects",
        "renewals",
        "source_for",
        "strangers",
        "tells",
        "tickets",
        "timing",
        "wall_clock",
    )

    def __init__(
        self,
        connections: Callable[[], Sequence[Connection]],
        credentials: Credentials,
        *,
        random: Callable[[int], bytes],
        child_spi: Callable[[int, int], int],
        wall_clock: Callable[[], datetime],
        inbound_activity: Callable[[int], float],
        timing: Timing,
        source_for: Callable[[Address], Address | None] | None,
        bucket: int,
        tells: bool,
        token_secret: bytes | None,
    ) -> None:
        self.connections = connections
        self.credentials = credentials
        self.random = random
        self.child_spi = child_spi
        self.wall_clock = wall_clock
        self.inbound_activity = inbound_activity
        self.source_for = source_for
        self.addresses: tuple[Address, ...] | None = None
        """The host's own, once somebody said."""
        self.timing = timing
        self.bucket = bucket
        self.tells = tells
        self.doorkeeper = Doorkeeper(random, timing)
        self.crash_tokens = CrashTokens(token_secret)
        self.redirects = Redirects()
        self.strangers = Strangers()
        self.tickets = Tickets(random)
        self.held: dict[tuple[str, Address], Held] = {}
        """Tickets of IKE SAs that died, by connection and gateway."""
        self.events: deque[Event] = deque()
        self.lookups = Lookups(credentials, timing, random=random, wall_clock=wall_clock, emit=self.emit)
        self.outgoing: deque[tuple[bytes, Path]] = deque()
        self.drops: Counter[str] = Counter()
        self.by_id: dict[int, IkeSa] = {}
        self.by_spi: dict[bytes, IkeSa] = {}
        self.by_child: dict[int, IkeSa] = {}
        self.by_opening: dict[bytes, IkeSa] = {}
        """Responders by the fingerprint of the request that opened them: its repetitions have no SPI of ours yet."""
        self.renewals: dict[int, IkeSa] = {}
        """Those that we reauthenticate, while the new one is on its way."""
        self._by_name: dict[str, set[int]] = {}
        self._by_identities: dict[tuple[Identity, Identity], set[int]] = {}
        self._by_selectors: dict[tuple[Hashable, Hashable], dict[int, None]] = {}
        self._alarms: list[tuple[float, int]] = []
        self._complained: set[Address] = set()
        self._refusals: dict[bytes, tuple[bytes, ...]] = {}
        self._last_ike_id = 0
        self._last_child_id = 0

    # Numbers.

    def ike_id(self) -> int:
        """A fresh number for an IKE SA."""
        self._last_ike_id += 1
        return self._last_ike_id

    def child_id(self) -> int:
        """A fresh number for a CHILD_SA."""
        self._last_child_id += 1
        return self._last_child_id

    def ike_spi(self) -> bytes:
        """A fresh IKE SPI: the owner's bucket in its first 12 bits, the rest random, never zero."""
        while True:
            value = int.from_bytes(self.random(8), "big") & ((1 << (64 - BUCKET_BITS)) - 1)
            spi = (self.bucket << (64 - BUCKET_BITS) | value).to_bytes(8, "big")
            if value and spi not in self.by_spi:
                return spi

    def fraction(self) -> float:
        """A random number, 0 <= x < 1."""
        return int.from_bytes(self.random(4), "big") / 2**32

    def jitter(self) -> float:
        """The random part of a wait for an answer: none is drawn where ``retransmit_jitter`` wants none."""
        return self.fraction() if self.timing.retransmit_jitter else 0.0

    def first_time(self, source: Address) -> bool:
        """Whether this source has not been complained about yet; the memory is bounded."""
        if source in self._complained or len(self._complained) >= MAX_COMPLAINTS:
            return False
        self._complained.add(source)
        return True

    def remember_refusal(self, mark: bytes, answer: tuple[bytes, ...]) -> None:
        """Keep what an opening was refused with for its repetitions: one record each, and bounded."""
        if len(self._refusals) >= MAX_REFUSALS:
            del self._refusals[next(iter(self._refusals))]
        self._refusals[mark] = answer

    def refusal(self, mark: bytes) -> tuple[bytes, ...]:
        """What this very opening was refused with, if it was not long ago."""
        return self._refusals.get(mark, ())

    # What goes out.

    def emit(self, event: Event) -> None:
        """Tell the embedding program."""
        self.events.append(event)

    def send(self, datagrams: Sequence[bytes], path: Path) -> None:
        """Put datagrams on their way."""
        self.outgoing.extend((datagram, path) for datagram in datagrams)

    def drop(self, code: str) -> None:
        """Count a datagram that nobody will answer."""
        self.drops[code] += 1

    # The IKE SAs.

    def register(self, sa: IkeSa) -> None:
        """From now on datagrams and timers find it."""
        self.by_id[sa.ike_id] = sa
        self.by_spi[sa.local_spi] = sa
        self._belongs(sa)

    def forget(self, sa: IkeSa) -> None:
        """It is gone."""
        self.by_id.pop(sa.ike_id, None)
        if self.by_spi.get(sa.local_spi) is sa:
            del self.by_spi[sa.local_spi]
        if sa.opening:
            self.by_opening.pop(sa.opening, None)
        self.unidentify(sa)

    def place(self, child: ChildSa, sa: IkeSa) -> None:
        """From now on it is found, by its number and by its selectors, and is ``sa``'s."""
        self.by_child[child.child_id] = sa
        self._by_selectors.setdefault(_selectors(child), {})[child.child_id] = None

    def displace(self, child: ChildSa) -> None:
        """It is gone."""
        self.by_child.pop(child.child_id, None)
        key = _selectors(child)
        alike = self._by_selectors.get(key, {})
        alike.pop(child.child_id, None)
        if not alike:
            self._by_selectors.pop(key, None)

    def children_like(self, child: ChildSa) -> Iterator[tuple[IkeSa, ChildSa]]:
        """CHILD_SAs with the same selectors and whose they are, oldest first."""
        for child_id in self._by_selectors.get(_selectors(child), ()):
            sa = self.by_child[child_id]
            if (other := sa.children.get(child_id)) is not None:
                yield sa, other

    def connection(self, name: str) -> Connection | None:
        """The connection of that name as it is configured now."""
        return next((c for c in self.connections() if c.name == name), None)

    def identify(self, sa: IkeSa) -> None:
        """It is established between two identities."""
        self._belongs(sa)
        if sa.local_id is not None and sa.remote_id is not None:
            self._by_identities.setdefault((sa.local_id, sa.remote_id), set()).add(sa.ike_id)

    def unidentify(self, sa: IkeSa) -> None:
        """It no longer counts among those between its identities, nor among those of its connection."""
        if sa.connection is not None and (ids := self._by_name.get(sa.connection.name)) is not None:
            ids.discard(sa.ike_id)
            if not ids:
                del self._by_name[sa.connection.name]
        if sa.local_id is None or sa.remote_id is None:
            return
        pair = (sa.local_id, sa.remote_id)
        ids = self._by_identities.get(pair)
        if ids is not None:
            ids.discard(sa.ike_id)
            if not ids:
                del self._by_identities[pair]

    def others_between(self, sa: IkeSa, local: Identity | None = None, remote: Identity | None = None) -> list[IkeSa]:
        """Established IKE SAs between the same two identities, ``sa`` itself left out, oldest first.

        ``local`` and ``remote`` are who the two will be, where several rounds of authentication are not over yet.
        """
        local, remote = local or sa.local_id, remote or sa.remote_id
        if local is None or remote is None:
            return []
        ids = set(self._by_identities.get((local, remote), ()))
        if sa.renews is not None:
            # Whatever the peer may call itself.
            ids.add(sa.renews.ike_id)
        return [self.by_id[i] for i in sorted(ids) if i != sa.ike_id and self.by_id[i].is_usable]

    def are_between_the_same(self, sa: IkeSa, other: IkeSa) -> bool:
        """Whether ``other`` is among :meth:`others_between`, without a look at all of these."""
        if other is sa or not other.is_usable or sa.local_id is None or sa.remote_id is None:
            return False
        return other is sa.renews or (other.local_id, other.remote_id) == (sa.local_id, sa.remote_id)

    def _belongs(self, sa: IkeSa) -> None:
        if sa.connection is not None:
            self._by_name.setdefault(sa.connection.name, set()).add(sa.ike_id)

    def carrier(self, connection: Connection, remote: Address) -> IkeSa | None:
        """The IKE SA that a CHILD_SA of this connection with the peer at ``remote`` goes onto, if there is one.

        Where the connection names one peer alone, that peer may have moved since.
        """
        named = [template.address for template in connection.remote_addrs if template.last is None]
        one_peer = len(named) == len(connection.remote_addrs) == 1 and named[0] is not None
        for ike_id in sorted(self._by_name.get(connection.name, ())):
            sa = self.by_id[ike_id]
            if sa.takes_children and sa.announced and (one_peer or sa.path.remote == remote):
                return sa
        return None

    # Time. An SA may have set an earlier or later alarm since: what the heap holds is only when to look.

    def wake_at(self, when: float, sa: IkeSa) -> None:
        """Look at ``sa`` no later than ``when``."""
        heappush(self._alarms, (when, sa.ike_id))

    def next_alarm(self) -> float | None:
        """When somebody has to be looked at."""
        while self._alarms:
            when, ike_id = self._alarms[0]
            sa = self.by_id.get(ike_id)
            if sa is not None and sa.next_timeout() == when:
                return when
            heappop(self._alarms)
        return None

    def due(self, now: float) -> Iterator[IkeSa]:
        """Every IKE SA whose alarm has gone off, each once a round."""
        while self._alarms and self._alarms[0][0] <= now:
            when, ike_id = heappop(self._alarms)
            sa = self.by_id.get(ike_id)
            if sa is not None and sa.next_timeout() == when:
                yield sa


def _selectors(child: ChildSa) -> tuple[Hashable, Hashable]:
    """Equal where the selectors are, whatever their order."""
    local, remote = child.local_ts, child.remote_ts
    return local if len(local) == 1 else frozenset(local), remote if len(remote) == 1 else frozenset(remote)
