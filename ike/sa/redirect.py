"""Redirects (RFC 5685): a gateway sends a client elsewhere, and a client goes.

A client says that it can with its first message. A gateway may send it away at once, with IKE_AUTH, or any time later.
The client then opens an IKE SA with the other gateway, and says where it comes from. How that one is reached is for the
embedding program: :class:`ike.events.IkeSaRedirected`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from hmac import compare_digest
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from ..errors import LocalError, SilentDrop
from ..events import IkeSaRedirected
from ..records import Failure
from ..wire.constants import ExchangeType, IdType, NotifyType
from ..wire.identity import Identity
from ..wire.message import Message
from ..wire.payloads import NotifyPayload, Payload
from ..wire.selectors import Address
from .state import State
from .task import Asking, Purpose, Task, Turn

if TYPE_CHECKING:
    from .ike_sa import IkeSa

KINDS: dict[int, int] = {IdType.IPV4_ADDR: 1, IdType.IPV6_ADDR: 2, IdType.FQDN: 3}
"""How a gateway is named -> GW Identity Type (RFC 5685 section 9)."""
BROADCAST = IPv4Address("255.255.255.255")
LENGTHS = {IdType.IPV4_ADDR: 4, IdType.IPV6_ADDR: 16}
MAX_REDIRECTS = 5
LOOP_DETECT_PERIOD = 300.0
"""More redirects of one connection in so many seconds are a loop (RFC 5685 section 7)."""


# The gateway.


class Redirect(Task):
    """Name the other gateway. The client answers, closes this IKE SA, and connects there."""

    __slots__ = ("gateway",)
    purpose = Purpose.INFORM

    def __init__(self, gateway: Identity) -> None:
        super().__init__()
        self.gateway = gateway

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """REDIRECT without the nonce, which only IKE_SA_INIT has."""
        return ExchangeType.INFORMATIONAL, [NotifyPayload(NotifyType.REDIRECT, named(self.gateway))]


def named(gateway: Identity) -> bytes:
    """Type, length and identity. Raises :class:`LocalError` where it is neither an address nor a host name."""
    kind = KINDS.get(gateway.id_type)
    if kind is None or not 0 < len(gateway.data) < 256:
        raise LocalError("redirect-gateway", f"{gateway} names no gateway: write an address or a host name")
    return bytes((kind, len(gateway.data))) + gateway.data


# The client.


class Redirects:
    """When each connection was sent elsewhere lately: five times in five minutes are enough (RFC 5685 section 7)."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: dict[str, deque[float]] = {}

    def may_follow(self, connection: str, now: float) -> bool:
        """Count one more, unless it were one too many."""
        self._times = {name: times for name, times in self._times.items() if times[-1] > now - LOOP_DETECT_PERIOD}
        times = self._times.get(connection)
        if times is None:
            times = self._times[connection] = deque(maxlen=MAX_REDIRECTS)
        elif len(times) == MAX_REDIRECTS and times[0] > now - LOOP_DETECT_PERIOD:
            return False
        times.append(now)
        return True


def announce(sa: IkeSa) -> list[Payload]:
    """For the first message: that we follow, and from where we come if we do just that (RFC 5685 section 3)."""
    if not sa.core.timing.follow_redirects:
        return []
    source = sa.in_setup.redirected_from
    if source is None:
        return [NotifyPayload(NotifyType.REDIRECT_SUPPORTED)]
    return [NotifyPayload(NotifyType.REDIRECTED_FROM, named(Identity.of_address(source)))]


def target(notify: NotifyPayload, nonce: bytes | None = None) -> Identity | None:
    """The gateway that a REDIRECT names; ``None`` for what makes no sense, or does not come from whom we asked.

    ``nonce`` is ours, where the message is one that anybody could send: only who saw our request has it.
    """
    data = notify.data
    if len(data) < 2 or len(data) < 2 + data[1] or not data[1]:
        return None
    name, rest = data[2 : 2 + data[1]], data[2 + data[1] :]
    if nonce is not None and not compare_digest(rest, nonce):
        return None
    kind = next((IdType(ours) for ours, number in KINDS.items() if number == data[0]), None)
    if kind is None or len(name) != LENGTHS.get(kind, len(name)):
        return None
    if kind is IdType.FQDN and not _is_host_name(name):
        return None
    gateway = Identity(kind, name)
    address = address_of(gateway)
    return gateway if address is None or may_be_a_gateway(address) else None


def may_be_a_gateway(address: Address) -> bool:
    """Whether somebody else may be there: no redirect has us speak to ourselves, or to everybody."""
    there = (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address
    nobody = there.is_unspecified or there.is_multicast or there == BROADCAST
    return not nobody and not there.is_loopback


def _is_host_name(name: bytes) -> bool:
    return name.isascii() and all(chr(one).isalnum() or one in b"-._" for one in name)


def address_of(gateway: Identity) -> Address | None:
    """Its address, where it is not a host name."""
    if gateway.id_type == IdType.IPV4_ADDR:
        return IPv4Address(gateway.data)
    return IPv6Address(gateway.data) if gateway.id_type == IdType.IPV6_ADDR else None


def take_first(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """In place of an answer to the message that opens: go there instead. Our nonce shows that it was heard."""
    setup, notify = sa.in_setup, turn.message.notify(NotifyType.REDIRECT)
    gateway = target(notify, setup.nonce_i) if notify is not None else None
    if gateway is None or not sa.core.timing.follow_redirects:
        raise SilentDrop("bad-redirect", "a redirect that was not asked for, or without our nonce")
    exchange = ExchangeType(turn.message.header.exchange)
    failure = _leave(sa, gateway, [config.name for config, _ in setup.wanted], turn.now)
    if failure is not None:
        sa.failed(failure, exchange)
    sa.die(failure.code if failure is not None else "redirected", turn.now)
    return ()


def taken_with_auth(sa: IkeSa, message: Message, asked: str | None, now: float) -> bool:
    """Whether the gateway, which has just shown who it is, sends us on: the IKE SA is closed (RFC 5685 section 6)."""
    notify = message.notify(NotifyType.REDIRECT)
    gateway = target(notify) if notify is not None else None
    if gateway is None or not sa.core.timing.follow_redirects:
        return False
    _close(sa, gateway, [*([asked] if asked is not None else []), *_waiting(sa)], ExchangeType.IKE_AUTH, now)
    return True


def take_later(sa: IkeSa, message: Message, now: float) -> None:
    """The gateway sends us away from an IKE SA that is up (RFC 5685 section 5); a gateway of ours is no client."""
    notify = message.notify(NotifyType.REDIRECT)
    gateway = target(notify) if notify is not None else None
    if gateway is None or not sa.opened or sa.state is not State.ESTABLISHED or not sa.core.timing.follow_redirects:
        return
    if sa.is_leaving:
        # It was sent elsewhere before.
        return
    names = dict.fromkeys([*(child.config.name for child in sa.children.values()), *_waiting(sa)])
    _close(sa, gateway, list(names), ExchangeType.INFORMATIONAL, now)


def _waiting(sa: IkeSa) -> list[str]:
    """Children that are still to be asked for."""
    from .create_child_sa import CreateChild

    return [t.config.name for t in sa.tasks if isinstance(t, CreateChild) and t.purpose is Purpose.NEW_CHILD]


def _close(sa: IkeSa, gateway: Identity, children: Sequence[str], exchange: ExchangeType, now: float) -> None:
    from .informational import DeleteIke

    failure = _leave(sa, gateway, children, now)
    if failure is not None:
        sa.failed(failure, exchange)
        if exchange == ExchangeType.INFORMATIONAL:
            # It is up, and goes on for as long as the gateway lets it.
            return
    sa.tasks.clear()
    # The answer goes first.
    sa.tasks.append(DeleteIke("redirected"))


def _leave(sa: IkeSa, gateway: Identity, children: Sequence[str], now: float) -> Failure | None:
    """Have the other gateway asked, unless this goes round in circles."""
    name, source = sa.settings.name, sa.path.remote
    if address_of(gateway) in (source, sa.path.local):
        why, mismatch = "that is where we asked, or this host", "no other gateway"
    elif not sa.core.redirects.may_follow(name, now):
        why = f"connection {name!r} was sent on too often lately"
        mismatch = f"{MAX_REDIRECTS} redirects in {LOOP_DETECT_PERIOD:.0f} s"
    else:
        sa.core.emit(IkeSaRedirected(sa.ike_id, name, gateway, source, tuple(children)))
        return None
    return Failure(
        code="redirect-loop",
        summary=f"{source} sends us on to {gateway}, and {why}",
        hint="look at the gateways: each sends its clients to another one",
        offered=(str(gateway),),
        mismatch=mismatch,
        keys=("remote_addrs",),
    )
