"""Traffic selectors as values, and the set arithmetic of narrowing (RFC 7296 sections 2.9 and 3.13.1)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, summarize_address_range

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

ANY_PROTOCOL = 0


@dataclass(frozen=True, slots=True)
class TrafficSelector:
    """One range of addresses, ports and a protocol (RFC 7296 section 3.13.1).

    ``protocol`` 0 stands for any. Ports are inclusive; 0-65535 is any, and 65535-0 is OPAQUE. For ICMP they hold
    type and code (RFC 7296 section 3.13.1). Start and end are of one address family, start <= end.
    """

    start: Address
    end: Address
    protocol: int = ANY_PROTOCOL
    start_port: int = 0
    end_port: int = 65535

    @classmethod
    def of_network(
        cls, network: Network, protocol: int = 0, start_port: int = 0, end_port: int = 65535
    ) -> TrafficSelector:
        """The selector that covers a whole network."""
        return cls(network.network_address, network.broadcast_address, protocol, start_port, end_port)

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.start.version

    def intersection(self, other: TrafficSelector) -> TrafficSelector | None:
        """What both cover, or ``None``; the operation that narrowing is made of (RFC 7296 section 2.9)."""
        if self.version != other.version:
            return None
        if self.protocol and other.protocol and self.protocol != other.protocol:
            return None
        start = max(int(self.start), int(other.start))
        end = min(int(self.end), int(other.end))
        start_port = max(self.start_port, other.start_port)
        end_port = min(self.end_port, other.end_port)
        if self.is_opaque or other.is_opaque:
            # ANY covers ports that cannot be seen; a range of them does not (RFC 4301 section 4.4.1.1).
            ports_meet = all(ts.is_opaque or ts.any_port for ts in (self, other))
        else:
            ports_meet = start_port <= end_port
        if start > end or not ports_meet:
            return None
        family = type(self.start)
        return TrafficSelector(family(start), family(end), self.protocol or other.protocol, start_port, end_port)

    @property
    def is_opaque(self) -> bool:
        """Ports not available, as in fragments (RFC 7296 section 3.13.1: start 65535, end 0)."""
        return self.start_port == 65535 and self.end_port == 0

    @property
    def any_port(self) -> bool:
        """All ports, those that cannot be seen among them."""
        return (self.start_port, self.end_port) == (0, 65535)

    def contains(self, other: TrafficSelector) -> bool:
        """Whether ``other`` lies wholly inside this selector."""
        if self.version != other.version or self.protocol not in (ANY_PROTOCOL, other.protocol):
            return False
        if other.is_opaque or self.is_opaque:
            ports = other.is_opaque and (self.is_opaque or self.any_port)
        else:
            ports = self.start_port <= other.start_port and other.end_port <= self.end_port
        return ports and int(self.start) <= int(other.start) and int(other.end) <= int(self.end)

    def networks(self) -> tuple[Network, ...]:
        """The fewest prefixes that cover the address range exactly."""
        return tuple(summarize_address_range(self.start, self.end))

    def __str__(self) -> str:
        """As ``swanctl --list-sas`` writes it: ``10.1.0.0/16[tcp/80]``, a range where no prefix fits."""
        networks = self.networks() if (int(self.end) - int(self.start) + 1).bit_count() == 1 else ()
        text = str(networks[0]) if len(networks) == 1 else f"{self.start}..{self.end}"
        if not self.protocol and self.any_port:
            return text
        protocol = {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp", 132: "sctp"}.get(
            self.protocol, str(self.protocol or "")
        )
        if self.any_port:
            return f"{text}[{protocol}]"
        if self.is_opaque:
            return f"{text}[{protocol}/OPAQUE]"
        port = str(self.start_port) if self.start_port == self.end_port else f"{self.start_port}-{self.end_port}"
        return f"{text}[{protocol}/{port}]"


MOST_SELECTORS = 255
"""In one payload (RFC 7296 section 3.13)."""


def narrow(offered: tuple[TrafficSelector, ...], allowed: tuple[TrafficSelector, ...]) -> tuple[TrafficSelector, ...]:
    """The subset of ``offered`` that ``allowed`` covers, in the offer's order, without repeats (RFC 7296 section 2.9).

    Empty where nothing is common: the caller answers TS_UNACCEPTABLE. At most :data:`MOST_SELECTORS`: ranges that cross
    have more in common than an answer can hold.
    """
    out: list[TrafficSelector] = []
    for theirs in offered:
        for ours in allowed:
            common = theirs.intersection(ours)
            if common is None or any(have.contains(common) for have in out):
                continue
            out = [have for have in out if not common.contains(have)]
            if len(out) == MOST_SELECTORS:
                return tuple(out)
            out.append(common)
    return tuple(out)
