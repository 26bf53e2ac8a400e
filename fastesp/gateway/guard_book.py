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

from .routes import Network, count_use, networks_of, remote_covers_local

MOST_PAIRS = 16
"""A selector whose ranges of addresses make more pairs of prefixes than this is a rule of its own."""


class Tier(Enum):
    """What a packet is compared with, in this order; the first that fits decides.

    A tunnel to everywhere comes last and lets pass what the site says to itself, unless a narrower policy wants that.
    """

    PASSING = "passing"
    GUARDED = "guarded"
    WITHIN = "within"
    EVERYWHERE = "everywhere"

    @property
    def drops(self) -> bool:
        """Whether what fits is dropped and counted, rather than accepted."""
        return self in (Tier.GUARDED, Tier.EVERYWHERE)


@dataclass(frozen=True, slots=True)
class Shape:
    """Where pairs live: one set each. ``version`` of IP; lengths of the prefixes of source and destination."""

    tier: Tier
    version: int
    source_bits: int
    destination_bits: int

    @property
    def name(self) -> str:
        """Of the set."""
        return f"{self.tier.value}-{self.version}-{self.source_bits}-{self.destination_bits}"

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
    """Packets that an nft expression describes."""

    tier: Tier
    match: str


@dataclass(slots=True)
class Changes:
    """The difference between what the kernel was told and what it should know."""

    new_shapes: list[Shape] = field(default_factory=list)
    come: dict[Shape, list[str]] = field(default_factory=dict)
    gone: dict[Shape, list[str]] = field(default_factory=dict)
    chains: dict[Tier, list[str]] = field(default_factory=dict)
    """All matches of a tier whose rules are others now."""

    def __bool__(self) -> bool:
        return bool(self.new_shapes or self.come or self.gone or self.chains)


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
        changed: set[Tier] = set()
        for wish in self._touched:
            wanted, told = wish in self._uses, wish in self._told
            if wanted == told:
                continue
            (self._told.add if wanted else self._told.remove)(wish)
            if isinstance(wish, Rule):
                changed.add(wish.tier)
                continue
            if wish.shape not in self._shapes:
                self._shapes[wish.shape] = None
                found.new_shapes.append(wish.shape)
                changed.add(wish.shape.tier)
            (found.come if wanted else found.gone).setdefault(wish.shape, []).append(wish.element)
        self._touched = {}
        for tier in changed:
            found.chains[tier] = [
                *(shape.match for shape in self._shapes if shape.tier is tier),
                *(wish.match for wish in self._told if isinstance(wish, Rule) and wish.tier is tier),
            ]
        return found

    def _weigh(self, policy: TrapPolicy, weight: int) -> None:
        for selector in policy.selectors:
            for wish in wishes(selector, policy.action):
                count_use(self._uses, wish, weight)
                self._touched[wish] = None


@lru_cache(maxsize=65536)
def wishes(selector: Selector, action: PolicyAction) -> tuple[Pair | Rule, ...]:
    """What one selector makes the guard look for. What arrives goes from its remote side to its local one."""
    if selector.local_start.version != selector.remote_start.version:
        return ()
    if action is PolicyAction.BYPASS:
        return tuple(_fitting(Tier.PASSING, selector))
    if not remote_covers_local(selector):
        return tuple(_fitting(Tier.GUARDED, selector))
    within = Selector(selector.local_start, selector.local_end, selector.local_start, selector.local_end)
    return (*_fitting(Tier.WITHIN, within), *_fitting(Tier.EVERYWHERE, selector))


def _fitting(tier: Tier, selector: Selector) -> Iterator[Pair | Rule]:
    sources = networks_of(selector.remote_start, selector.remote_end)
    destinations = networks_of(selector.local_start, selector.local_end)
    if selector.protocol or len(sources) * len(destinations) > MOST_PAIRS:
        yield Rule(tier, _match(selector))
        return
    for source in sources:
        for destination in destinations:
            yield _pair(tier, source, destination)


def _pair(tier: Tier, source: Network, destination: Network) -> Pair | Rule:
    shape = Shape(tier, source.version, source.prefixlen, destination.prefixlen)
    if not shape.key:
        return Rule(tier, shape.match)
    parts = (source, destination)
    return Pair(shape, " . ".join(str(network.network_address) for network in parts if network.prefixlen))


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
