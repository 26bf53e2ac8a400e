"""Which paths lead from us to a peer: our addresses, its addresses, and what the host's routes say (RFC 4555)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from ..events import Path
from ..wire.constants import NotifyType
from ..wire.message import Message
from ..wire.payloads import NotifyPayload
from ..wire.selectors import Address

if TYPE_CHECKING:
    from .ike_sa import IkeSa

Addresses = tuple[Address, ...]

MAX_ADDRESSES = 16
"""Addresses of one side that are told or listened to, besides the one in use."""
MAX_PATHS = 16
"""Paths that are tried when the current one is dead: a peer's list must not make us a source of floods."""
PROBE_AFTER = 2
"""Retransmissions on the current path before the others are tried too."""


def bounded(addresses: Iterable[Address]) -> Addresses:
    """The first of them, each once."""
    return tuple(dict.fromkeys(addresses))[:MAX_ADDRESSES]


def named(message: Message, source: Address) -> Addresses:
    """A list and where it came from: all addresses of the peer (RFC 4555 section 3.6). What is none is passed over."""
    found: list[Address] = []
    for notify in message.all(NotifyPayload):
        if notify.notify == NotifyType.ADDITIONAL_IP4_ADDRESS and len(notify.data) == 4:
            found.append(IPv4Address(notify.data))
        elif notify.notify == NotifyType.ADDITIONAL_IP6_ADDRESS and len(notify.data) == 16:
            found.append(IPv6Address(notify.data))
    usable = (a for a in found if not (a.is_multicast or a.is_unspecified or a.is_loopback))
    return bounded((source, *usable))


def ours(sa: IkeSa) -> Addresses:
    """The host's addresses that the connection's ``local_addrs`` allow; the one in use, where nobody said any."""
    have = sa.core.addresses
    if have is None:
        return (sa.path.local,)
    templates = sa.settings.local_addrs
    return tuple(a for a in have if not templates or any(template.matches(a) for template in templates))


def is_ours(sa: IkeSa) -> bool:
    """Whether the local address in use is still there."""
    return sa.core.addresses is None or sa.path.local in sa.core.addresses


def further(sa: IkeSa) -> Addresses:
    """What else of ours the peer may know."""
    return bounded(a for a in ours(sa) if a != sa.path.local)


def _sources(sa: IkeSa, remote: Address) -> Iterator[Address]:
    """Local addresses from which to try ``remote``, best first; those the connection does not name at need."""
    have = [a for a in ours(sa) if a.version == remote.version]
    have = have or [a for a in sa.core.addresses or () if a.version == remote.version]
    if sa.core.source_for is None:
        yield from sorted(have, key=lambda a: a != sa.path.local)
        return
    routed = sa.core.source_for(remote)
    if routed in have:
        yield routed
    if routed is not None and routed != sa.path.local and sa.path.local in have:
        yield sa.path.local


def _path(sa: IkeSa, local: Address, remote: Address) -> Path:
    return replace(sa.path, local=local, remote=remote)


def best(sa: IkeSa, *, remote: Address | None = None) -> Path | None:
    """The path to use now: to the peer's current address if any leads there. ``None``: nothing leads to the peer."""
    first = remote or sa.path.remote
    known = sa.roaming.peer_addresses if sa.roaming is not None else ()
    for there in dict.fromkeys((first, *known)):
        for here in _sources(sa, there):
            return _path(sa, here, there)
    return None


def from_here(sa: IkeSa) -> Path | None:
    """The current path from a local address that there is."""
    for here in _sources(sa, sa.path.remote):
        return _path(sa, here, sa.path.remote)
    return None


def others(sa: IkeSa) -> list[Path]:
    """Every path but the current one, as many as may be tried."""
    known = sa.roaming.peer_addresses if sa.roaming is not None else ()
    found = [
        path
        for there in dict.fromkeys((sa.path.remote, *known))
        for here in _sources(sa, there)
        if (path := _path(sa, here, there)) != sa.path
    ]
    return found[:MAX_PATHS]
