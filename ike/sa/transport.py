"""Transport mode through NATs (RFC 7296 section 2.23.1): both selectors are a host, whose own address a NAT hides.

1. Who receives selectors puts the address of the IKE SA in the place of the one that came: its own where a NAT stands
   before it, the peer's where one stands before the peer.
2. With these it looks for what its configuration allows, and makes the SA: they are what its packets carry.
3. The answer names the addresses that came, and whoever receives it does as in 1.

Checksums that cover the other addresses are for the data plane to make anew (RFC 3948 section 3.1.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..config import Mode
from ..events import Path
from ..wire.selectors import Address, TrafficSelector

if TYPE_CHECKING:
    from .ike_sa import IkeSa

Selectors = tuple[TrafficSelector, ...]


@dataclass(frozen=True, slots=True)
class Translation:
    """What the peer calls each side's host, and what it is called here; ``None`` where no NAT stands before it."""

    local: tuple[Address, Address] | None = None
    remote: tuple[Address, Address] | None = None

    def here(self, local: Selectors, remote: Selectors) -> tuple[Selectors, Selectors]:
        """Selectors that came from the peer, as they count on this side."""
        return _named(local, self.local), _named(remote, self.remote)

    def there(self, local: Selectors, remote: Selectors) -> tuple[Selectors, Selectors]:
        """The reverse: for the answer."""
        ours, theirs = (pair[::-1] if pair is not None else None for pair in (self.local, self.remote))
        return _named(local, ours), _named(remote, theirs)


NONE = Translation()


def translation(sa: IkeSa, local: Selectors, remote: Selectors) -> Translation:
    """Between the peer's selectors and the path; nothing is put in the place of networks, or of several hosts."""
    return Translation(
        _pair(local, sa.path.local) if sa.nat_local else None,
        _pair(remote, sa.path.remote) if sa.nat_remote else None,
    )


def moved(sa: IkeSa, before: Path) -> None:
    """The peer's host is found at another address: what names the old one is replaced at once."""
    if sa.path.remote != before.remote:
        for child in sa.children.values():
            if child.mode is Mode.TRANSPORT:
                child.rekey_at = 0.0


def _pair(selectors: Sequence[TrafficSelector], address: Address) -> tuple[Address, Address] | None:
    hosts = {ts.start for ts in selectors} | {ts.end for ts in selectors}
    return (hosts.pop(), address) if len(hosts) == 1 and selectors[0].version == address.version else None


def _named(selectors: Selectors, pair: tuple[Address, Address] | None) -> Selectors:
    if pair is None:
        return selectors
    before, after = pair
    return tuple(replace(ts, start=after, end=after) if ts.start == ts.end == before else ts for ts in selectors)
