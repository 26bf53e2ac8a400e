"""What the inbound guard looks for, a policy at a time: sets of prefix pairs, and rules for what is no such pair.

Pairs of prefixes of the same two lengths share one hash set, so that a packet costs a lookup for each combination of
lengths that is in use, and a policy that comes or goes costs an element, however many others there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from fastesp.dataplane.base import Address, PolicyAction, Selector, TrapPolicy
from fastesp.dataplane.userspace import PASS_RANK, PROTECT_RANK

from .routes import Network, count_use, networks_of, remote_covers_local

MOST_PAIRS = 16
"""A selector whose ranges of addresses make more pairs of prefixes than this is a rule of its own."""


class Tier(Enum):
    """What becomes of a packet that fits: it passes, or it is dropped and counted.

    A tunnel to everywhere comes after others of its priority, and lets pass what the site says to itself.
    """

    PASSING = "passing"
    GUARDED = "guarded"
    WITHIN = "within"
    EVERYWHERE = "everywhere"

    @property
    def drops(self) -> bool:
        """Whether what fits is dropped and counted, rather than accepted."""
        return self in (Tier.GUARDED, Tier.EVERYWHERE)


STAGES = {Tier.PASSING: 0, Tier.GUARDED: 0, Tier.WITHIN: 1, Tier.EVERYWHERE: 2}


@dataclass(frozen=True, slots=True)
class Place:
    """Where among all policies: the order is the data plane's, so that both ways obey the same policy.

    The lower ``rank`` goes first, which is the configured priority; of equals the narrower one does.
    """

    rank: int
    tier: Tier

    def order(self, narrowness: int) -> tuple[int, int, int, bool]:
        """What rules are sorted by."""
        return self.rank, STAGES[self.tier], -narrowness, self.tier.drops


@dataclass(frozen=True, slots=True)
class Shape:
    """Where pairs live: one set each. ``version`` of IP; lengths of the prefixes of source and destination."""

    place: Place
    version: int
    source_bits: int
    destination_bits: int

    @property
    def name(self) -> str:
        """Of the set."""
        tier = self.place.tier.value
        return f"{tier}-{self.version}-{self.source_bits}-{self.destination_bits}-{self.place.rank}"

    @property
    def key(self) -> str:
        """The nft expression that makes the set's key of a packet; empty where every packet has the same one."""
        parts = (("saddr", self.source_bits), ("daddr", self.destination_bits))
        return " . ".join(self._masked(word, bits) for word, bits in parts if bits)

    @property
    def match(self) -> str:
        """The nft expression that is true of a packet in the set."""
        return f"{self.key} @{self.name}" if self.key else f"meta nfproto ipv{self.version}"

    @property
    def order(self) -> tuple[int, int, int, bool]:
        """What rules are sorted by."""
        return self.place.order(3 * (self.source_bits + self.destination_bits))

    @property
    def type(self) -> str:
        """Of the set's elements."""
        parts = (self.source_bits, self.destination_bits)
        return " . ".join(f"ipv{self.version}_addr" for bits in parts if bits)

    def _masked(self, word: str, bits: int) -> str:
        width, family = (32, "ip") if self.version == 4 else (128, "ip6")
        if bits == width:
            return f"{family} {word}"
        mask = (1 << width) - (1 << (width - bits))
        return f"{family} {word} & {IPv4Address(mask) if self.version == 4 else IPv6Address(mask)}"


@dataclass(frozen=True, slots=True)
class Pair:
    """Packets from one prefix to another; ``element`` as nft writes it."""

    shape: Shape
    element: str


@dataclass(frozen=True, slots=True)
class Rule:
    """Packets that an nft expression describes. ``narrowness``: of the selector, as the data plane counts it."""

    place: Place
    match: str
    narrowness: int = 0

    @property
    def order(self) -> tuple[int, int, int, bool]:
        """What rules are sorted by."""
        return self.place.order(self.narrowness)


@dataclass(slots=True)
class Changes:
    """The difference between what the kernel was told and what it should know."""

    new_shapes: list[Shape] = field(default_factory=list)
    come: dict[Shape, list[str]] = field(default_factory=dict)
    gone: dict[Shape, list[str]] = field(default_factory=dict)
    rules: list[tuple[str, Tier]] | None = None
    """All of them in order, as matches and what becomes of what fits; ``None`` where they are what they were."""

    def __bool__(self) -> bool:
        return bool(self.new_shapes or self.come or self.gone or self.rules is not None)


class GuardBook:
    """What all policies together want, and what of it the kernel was told."""

    def __init__(self) -> None:
        self._uses: dict[Pair | Rule, int] = {}
        self._shapes: dict[Shape, None] = {}
        self._told: set[Pair | Rule] = set()
        self._touched: dict[Pair | Rule, None] = {}

    def add(self, policy: TrapPolicy) -> None:
        """One more user of a policy."""
        self._weigh(policy, 1)

    def remove(self, policy: TrapPolicy) -> None:
        """One user less."""
        self._weigh(policy, -1)

    def forget(self) -> None:
        """The kernel knows nothing: the next changes are everything."""
        self._told.clear()
        self._shapes.clear()
        self._touched = dict.fromkeys(self._uses)

    def changes(self) -> Changes:
        """Since the last call."""
        found = Changes()
        changed = False
        for wish in self._touched:
            wanted, told = wish in self._uses, wish in self._told
            if wanted == told:
                continue
            (self._told.add if wanted else self._told.remove)(wish)
            if isinstance(wish, Rule):
                changed = True
                continue
            if wish.shape not in self._shapes:
                self._shapes[wish.shape] = None
                found.new_shapes.append(wish.shape)
                changed = True
            (found.come if wanted else found.gone).setdefault(wish.shape, []).append(wish.element)
        self._touched = {}
        if changed:
            rules: list[Shape | Rule] = [*self._shapes, *(wish for wish in self._told if isinstance(wish, Rule))]
            found.rules = [(rule.match, rule.place.tier) for rule in sorted(rules, key=lambda rule: rule.order)]
        return found

    def _weigh(self, policy: TrapPolicy, weight: int) -> None:
        for selector in policy.selectors:
            for wish in wishes(selector, policy.action, policy.priority):
                count_use(self._uses, wish, weight)
                self._touched[wish] = None


@lru_cache(maxsize=65536)
def wishes(selector: Selector, action: PolicyAction, priority: int = 0) -> tuple[Pair | Rule, ...]:
    """What one selector makes the guard look for. What arrives goes from its remote side to its local one."""
    if selector.local_start.version != selector.remote_start.version:
        return ()
    if action is PolicyAction.BYPASS:
        return tuple(_fitting(Place(priority or PASS_RANK, Tier.PASSING), selector))
    if not remote_covers_local(selector):
        rank = PASS_RANK if action is PolicyAction.DISCARD else PROTECT_RANK
        return tuple(_fitting(Place(priority or rank, Tier.GUARDED), selector))
    rank = priority or PROTECT_RANK
    within = Selector(selector.local_start, selector.local_end, selector.local_start, selector.local_end)
    return (*_fitting(Place(rank, Tier.WITHIN), within), *_fitting(Place(rank, Tier.EVERYWHERE), selector))


def _fitting(place: Place, selector: Selector) -> Iterator[Pair | Rule]:
    sources = networks_of(selector.remote_start, selector.remote_end)
    destinations = networks_of(selector.local_start, selector.local_end)
    if selector.protocol or len(sources) * len(destinations) > MOST_PAIRS:
        yield Rule(place, _match(selector), _narrowness(selector))
        return
    for source in sources:
        for destination in destinations:
            yield _pair(place, source, destination)


def _pair(place: Place, source: Network, destination: Network) -> Pair | Rule:
    shape = Shape(place, source.version, source.prefixlen, destination.prefixlen)
    if not shape.key:
        return Rule(place, shape.match)
    parts = (source, destination)
    return Pair(shape, " . ".join(str(network.network_address) for network in parts if network.prefixlen))


def _narrowness(selector: Selector) -> int:
    """Prefixes first, then ports and protocol."""
    ends = ((selector.remote_start, selector.remote_end), (selector.local_start, selector.local_end))
    bits = sum(start.max_prefixlen - (int(start) ^ int(end)).bit_length() for start, end in ends)
    ports = (
        (selector.local_port_start, selector.local_port_end),
        (selector.remote_port_start, selector.remote_port_end),
    )
    return 3 * bits + sum(pair != (0, 65535) for pair in ports) + bool(selector.protocol)


def _match(selector: Selector) -> str:
    family = "ip" if selector.local_start.version == 4 else "ip6"
    parts = [
        f"{family} saddr {_range(selector.remote_start, selector.remote_end)}",
        f"{family} daddr {_range(selector.local_start, selector.local_end)}",
    ]
    if selector.protocol:
        parts.append(f"meta l4proto {selector.protocol}")
    for word, first, last in (
        ("sport", selector.remote_port_start, selector.remote_port_end),
        ("dport", selector.local_port_start, selector.local_port_end),
    ):
        if selector.protocol in (6, 17, 132) and (first, last) != (0, 65535) and first <= last:
            parts.append(f"th {word} {first}-{last}" if first != last else f"th {word} {first}")
    return " ".join(parts)


def _range(start: Address, end: Address) -> str:
    if start == end:
        return str(start)
    whole = (type(start)(0), type(start)(2 ** (32 if start.version == 4 else 128) - 1))
    if (start, end) == whole:
        return "0.0.0.0/0" if start.version == 4 else "::/0"
    return f"{start}-{end}"
