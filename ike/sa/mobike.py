"""MOBIKE (RFC 4555): an IKE SA and what it carries go on when an address of either side changes.

Who opened the first IKE SA of the line leads: it alone chooses the path (section 3.5). The other side says which
addresses it has (section 3.6), and lets the data plane follow once the new address has shown that it receives what is
sent there (section 3.7). Which paths there are stands in :mod:`.paths`.
"""

from __future__ import annotations

from collections.abc import Sequence
from hmac import compare_digest
from typing import TYPE_CHECKING

from ..config import Mode
from ..errors import PeerError
from ..events import Path, PathChanged
from ..records import Failure
from ..wire.constants import ExchangeType, NotifyType
from ..wire.message import Message
from ..wire.payloads import NotifyPayload, Payload
from . import nat, paths
from .state import State
from .task import Asking, Purpose, Task, Turn
from .window import Request

if TYPE_CHECKING:
    from .ike_sa import IkeSa

COOKIE_LENGTH = 16
"""Of a COOKIE2: 8 to 64 bytes are allowed (RFC 4555 section 4.2.5)."""
LISTS = (NotifyType.ADDITIONAL_IP4_ADDRESS, NotifyType.ADDITIONAL_IP6_ADDRESS, NotifyType.NO_ADDITIONAL_ADDRESSES)
NOWHERE: frozenset[Path] = frozenset()
"""No path: one value for all IKE SAs, of which most never need another."""


class Roaming:
    """What MOBIKE knows of an IKE SA and of those that replace it, which share it."""

    __slots__ = ("leads", "living", "mapping", "peer_addresses", "probed", "refused", "replaced", "told", "used")

    def __init__(self, sa: IkeSa, peer_addresses: paths.Addresses) -> None:
        self.leads = sa.initiator
        self.living = sa
        self.replaced: IkeSa | None = None
        """What ``living`` replaced last: the peer may not have heard of that yet."""
        self.used = (sa.path, sa.udp_encap)
        """Path and encapsulation that the data plane has: those of the IKE SA may be ahead while they are checked."""
        self.peer_addresses = peer_addresses
        """All addresses of the peer."""
        self.told = paths.further(sa)
        """Further addresses of ours that the peer knows of."""
        self.mapping = b""
        """Where the peer sees us, hashed: another value means that the NAT before us gave us another place."""
        self.probed: frozenset[Path] = NOWHERE
        """Paths beside the current one that the request under way went out on too."""
        self.refused: frozenset[Path] = NOWHERE
        """Paths that the peer does not want."""


# Setting up.


def announce(sa: IkeSa, *, answering: Message | None = None) -> list[Payload]:
    """That we can (RFC 4555 section 3.2), and our further addresses: in IKE_AUTH, the responder only where asked."""
    if not sa.settings.mobike:
        return []
    if answering is not None and answering.notify(NotifyType.MOBIKE_SUPPORTED) is None:
        return []
    return [NotifyPayload(NotifyType.MOBIKE_SUPPORTED), *_listed(paths.further(sa))]


def agree(sa: IkeSa, message: Message) -> None:
    """The peer's half of that. IKE_AUTH has just established the IKE SA."""
    if sa.settings.mobike and message.notify(NotifyType.MOBIKE_SUPPORTED) is not None:
        sa.roaming = Roaming(sa, paths.named(message, sa.path.remote))


def check_no_nats(message: Message, path: Path) -> None:
    """NO_NATS_ALLOWED (RFC 4555 section 3.9): the peer wants to hear if its addresses were translated on the way."""
    for notify in message.notifies(NotifyType.NO_NATS_ALLOWED):
        ports = path.remote_port.to_bytes(2, "big") + path.local_port.to_bytes(2, "big")
        if notify.data != path.remote.packed + path.local.packed + ports:
            raise PeerError(
                "unexpected-nat",
                f"the peer allows no NAT, and its message came translated over {path}",
                notify=NotifyType.UNEXPECTED_NAT_DETECTED,
                hint="take the NAT away, or let the peer allow it",
            )


def _listed(addresses: paths.Addresses) -> list[Payload]:
    return [
        NotifyPayload(
            NotifyType.ADDITIONAL_IP4_ADDRESS if address.version == 4 else NotifyType.ADDITIONAL_IP6_ADDRESS,
            address.packed,
        )
        for address in addresses
    ]


def _whole_list(sa: IkeSa) -> list[Payload]:
    """All further addresses, or that there are none: replaces what was said before (RFC 4555 section 3.6)."""
    roaming = sa.roaming
    further = paths.further(sa)
    if roaming is not None:
        roaming.told = further
    return _listed(further) or [NotifyPayload(NotifyType.NO_ADDITIONAL_ADDRESSES)]


# Wishes.


class AboutAddresses(Task):
    """What is said of addresses is said in order: nothing else is under way with it."""

    __slots__ = ()
    purpose = Purpose.INFORM

    @property
    def goes_alone(self) -> bool:
        """Whatever the peer's window."""
        return True


class UpdateAddresses(AboutAddresses):
    """The path is another one: the peer shall use it too (RFC 4555 section 3.5)."""

    __slots__ = ("cookie",)

    def __init__(self) -> None:
        super().__init__()
        self.cookie = b""

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """UPDATE_SA_ADDRESSES, NAT detection anew, our other addresses, and a cookie for the peer's new address."""
        if sa.state not in (State.ESTABLISHED, State.REKEYED):
            return None
        self.cookie = sa.core.random(COOKIE_LENGTH)
        return ExchangeType.INFORMATIONAL, [
            NotifyPayload(NotifyType.UPDATE_SA_ADDRESSES),
            *nat.announce(sa.spi_i, sa.spi_r, sa.path, pretend=sa.settings.encap),
            *_whole_list(sa),
            NotifyPayload(NotifyType.COOKIE2, self.cookie),
        ]

    def answered(self, sa: IkeSa, turn: Turn) -> None:
        """The peer follows, unless it does not want that path; whether a NAT is on it is known only now."""
        living, roaming = _living(sa), sa.roaming
        if roaming is None or living.state is not State.ESTABLISHED:
            return
        error = turn.message.error
        if error is not None and error.notify == NotifyType.UNACCEPTABLE_ADDRESSES:
            _go_elsewhere(living, turn.now)
            living.go_on(turn.now)
            return
        if not _returned(living, self.cookie, turn):
            return
        if any(isinstance(task, UpdateAddresses) for task in living.tasks):
            # Moved again since: what this answer says of NATs is history.
            return
        roaming.refused = NOWHERE
        _detect(living, sa, turn)
        _note_mapping(roaming, turn.message)
        use(living)

    def __str__(self) -> str:
        return "tell that we moved"


class TellAddresses(AboutAddresses):
    """Our list of addresses is another one (RFC 4555 section 3.6)."""

    __slots__ = ()

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """The whole list, less the address that the message comes from."""
        if sa.state is not State.ESTABLISHED:
            return None
        return ExchangeType.INFORMATIONAL, _whole_list(sa)

    def __str__(self) -> str:
        return "tell our addresses"


class CheckReturn(AboutAddresses):
    """Return routability (RFC 4555 section 3.7): does the peer receive at the address that it moved to?"""

    __slots__ = ("cookie", "path")

    def __init__(self) -> None:
        super().__init__()
        self.cookie = b""
        self.path: Path | None = None

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """A cookie; nothing where the path is in use already."""
        if sa.roaming is None or sa.roaming.used[0] == sa.path or sa.state is not State.ESTABLISHED:
            return None
        self.cookie, self.path = sa.core.random(COOKIE_LENGTH), sa.path
        return ExchangeType.INFORMATIONAL, [NotifyPayload(NotifyType.COOKIE2, self.cookie)]

    def answered(self, sa: IkeSa, turn: Turn) -> None:
        """The data plane follows. What moved again meanwhile is asked again: the cookie may have gone to both."""
        living = _living(sa)
        if not _returned(living, self.cookie, turn):
            return
        if living.path == self.path:
            use(living)
        else:
            want_once(living, CheckReturn())
            living.go_on(turn.now)

    def __str__(self) -> str:
        return "check that the peer receives at its new address"


def want_once(sa: IkeSa, task: Task) -> None:
    """Queue it first, unless one of its kind waits already; it goes out when the message at hand is done with."""
    if not any(type(waiting) is type(task) for waiting in sa.tasks):
        sa.tasks.insert(0, task)


def carry_over(old: IkeSa, new: IkeSa) -> None:
    """``new`` replaces ``old``, whose request about addresses may never be answered: it asks for itself."""
    if old.roaming is None:
        return
    old.roaming.living, old.roaming.replaced = new, old
    for task in old.window.tasks():
        if isinstance(task, UpdateAddresses | TellAddresses | CheckReturn):
            want_once(new, type(task)())


def _living(sa: IkeSa) -> IkeSa:
    """The IKE SA that goes on: messages about addresses may still come over one that was replaced."""
    return sa.roaming.living if sa.roaming is not None else sa


def _returned(sa: IkeSa, cookie: bytes, turn: Turn) -> bool:
    """Whether the cookie came back; another one ends the IKE SA (RFC 4555 section 3.7)."""
    back = turn.message.notify(NotifyType.COOKIE2)
    if back is not None and compare_digest(back.data, cookie):
        return True
    failure = Failure(
        code="cookie2-mismatch",
        summary=f"{turn.path.remote} did not return the cookie that tells whether it receives there",
        hint="somebody answers in the peer's place, or the peer breaks RFC 4555 section 3.7",
    )
    sa.failed(failure, ExchangeType.INFORMATIONAL)
    sa.terminate(turn.now)
    return False


# What happens to our own addresses.


def addresses_changed(sa: IkeSa, now: float) -> None:
    """The host has other addresses, or other routes: move if need be, and let the peer know."""
    roaming = sa.roaming
    if sa.state is not State.ESTABLISHED:
        return
    if roaming is None:
        _follow_without(sa, now)
        return
    if roaming.leads:
        roaming.refused = NOWHERE
        path = paths.best(sa) if can_move(sa) else None
        if path is not None and path != sa.path:
            go_to(sa, path, now)
            return
    elif not paths.is_ours(sa) and (path := paths.from_here(sa)) is not None:
        # Only the other side may choose the path. It learns from where this comes that there is something to choose.
        _put(sa, path, now)
        use(sa)
        want_once(sa, TellAddresses())
    if paths.further(sa) != roaming.told:
        want_once(sa, TellAddresses())


def _follow_without(sa: IkeSa, now: float) -> None:
    """No MOBIKE: only a peer that sees us behind a NAT follows an authentic packet (RFC 7296 section 2.23)."""
    path = paths.from_here(sa)
    if sa.nat_local and not paths.is_ours(sa) and path is not None:
        sa.moved(path)
        hasten(sa, now)
        sa.check_liveness(now)


def go_to(sa: IkeSa, path: Path, now: float) -> None:
    """We lead: use another path at once, and tell the peer (RFC 4555 section 3.5)."""
    _put(sa, path, now)
    use(sa)
    want_once(sa, UpdateAddresses())
    old = sa.roaming.replaced if sa.roaming is not None else None
    if old is not None and old.state is State.REKEYED:
        # If our answer to the peer's rekey was lost, the peer knows of no other IKE SA yet.
        want_once(old, UpdateAddresses())
        old.go_on(now)


def _go_elsewhere(sa: IkeSa, now: float) -> None:
    """The peer does not want this path: try the next one, and say so if there is none (RFC 4555 section 3.5)."""
    roaming = sa.roaming
    if roaming is None:
        return
    roaming.refused |= {sa.path}
    left = [path for path in paths.others(sa) if path not in roaming.refused]
    if left:
        go_to(sa, left[0], now)
        return
    failure = Failure(
        code="addresses-refused",
        summary=f"the peer refuses every path that we have to it, the last one was {sa.path}",
        hint="the peer's log says which addresses it wants; a CHILD_SA in transport mode cannot move at all",
        mismatch=NotifyType.UNACCEPTABLE_ADDRESSES.name,
    )
    sa.failed(failure, ExchangeType.INFORMATIONAL)


def _put(sa: IkeSa, path: Path, now: float) -> None:
    """The messages of an IKE SA take another path, those of what it replaced too."""
    sa.path = path
    hasten(sa, now)
    old = sa.roaming.replaced if sa.roaming is not None else None
    if old is not None and old.state in (State.REKEYED, State.DELETING):
        old.path = path
        hasten(old, now)
        old.go_on(now)


def can_move(sa: IkeSa) -> bool:
    """In transport mode the outer addresses are the inner ones: MOBIKE is for tunnels (RFC 4555 section 1.2)."""
    return all(child.mode is not Mode.TRANSPORT for child in sa.children.values())


def hasten(sa: IkeSa, now: float) -> None:
    """What is under way goes out again, the new way (RFC 4555 section 3.5), and has all its tries before it."""
    sa.window.hasten(now)


def use(sa: IkeSa) -> None:
    """The data plane shall use the path of the IKE SA."""
    roaming, now_used = sa.roaming, (sa.path, sa.udp_encap)
    if roaming is not None and roaming.used != now_used:
        (old, _), roaming.used = roaming.used, now_used
        for child in sa.children.values():
            child.udp_encap = sa.udp_encap
        sa.core.emit(PathChanged(sa.ike_id, *now_used, old))


# What the peer says.


def answer(sa: IkeSa, turn: Turn) -> list[Payload]:
    """Its requests about addresses, as part of any INFORMATIONAL. Raises :class:`PeerError` for what we refuse."""
    message, living, roaming = turn.message, _living(sa), sa.roaming
    if roaming is not None and living.state is State.ESTABLISHED:
        if message.notify(NotifyType.UPDATE_SA_ADDRESSES) is not None and not roaming.leads:
            _peer_moved(living, sa, turn)
        elif any(message.notify(kind) is not None for kind in LISTS):
            roaming.peer_addresses = paths.named(message, turn.path.remote)
            _peer_has_others(living, turn)
        if living is not sa:
            living.go_on(turn.now)
    payloads: list[Payload] = []
    if roaming is not None and message.notify(NotifyType.NAT_DETECTION_SOURCE_IP) is not None:
        payloads += nat.announce(sa.spi_i, sa.spi_r, turn.path, pretend=sa.settings.encap)
    cookie = message.notify(NotifyType.COOKIE2)
    if cookie is not None:
        payloads.append(NotifyPayload(NotifyType.COOKIE2, cookie.data))
    return payloads


def _peer_moved(living: IkeSa, sa: IkeSa, turn: Turn) -> None:
    """The peer, which leads, uses another path: so does the IKE SA, and the data plane once that is checked."""
    roaming = living.roaming
    check_no_nats(turn.message, turn.path)
    if roaming is None:
        return
    if turn.path.remote != living.path.remote and not can_move(living):
        raise PeerError(
            "unacceptable-addresses",
            f"the peer moved to {turn.path.remote}, and a CHILD_SA in transport mode cannot follow",
            notify=NotifyType.UNACCEPTABLE_ADDRESSES,
            hint="use tunnel mode for a peer that moves",
        )
    roaming.peer_addresses = paths.named(turn.message, turn.path.remote)
    _detect(living, sa, turn)
    if living.path != turn.path:
        _put(living, turn.path, turn.now)
    if roaming.used[0] == living.path:
        use(living)
    else:
        want_once(living, CheckReturn())


def _peer_has_others(sa: IkeSa, turn: Turn) -> None:
    """Its list is another one: if the address in use is not of it any more, we use another (RFC 4555 section 3.6)."""
    roaming = sa.roaming
    if roaming is None or not roaming.leads or not can_move(sa):
        return
    gone = sa.path.remote not in roaming.peer_addresses
    if gone and (path := paths.best(sa, remote=turn.path.remote)) is not None:
        go_to(sa, path, turn.now)


def _detect(living: IkeSa, sa: IkeSa, turn: Turn) -> None:
    """NAT detection on the new path; the hashes are over the SPIs of the IKE SA that the message came on."""
    found = nat.detect(sa.spi_i, sa.spi_r, turn.path, turn.message.all(NotifyPayload))
    if found is not None:
        living.nat_local, living.nat_remote = found


# What arrives, and what does not.


def probe_list(sa: IkeSa, request: Request[Task]) -> Sequence[Path]:
    """Where else the request under way shall go, now that the current path seems dead (RFC 4555 section 3.10)."""
    roaming = sa.roaming
    if roaming is None or request.tries < paths.PROBE_AFTER or not can_move(sa):
        return ()
    if isinstance(request.task, CheckReturn):
        # Its answer must show that this one address receives.
        return ()
    found = [path for path in paths.others(sa) if path not in roaming.refused]
    roaming.probed |= set(found)
    return found


def heard(sa: IkeSa, path: Path, now: float, *, response: bool) -> None:
    """An authentic message came over ``path``."""
    roaming = sa.roaming
    if roaming is None or not roaming.leads or sa.state is not State.ESTABLISHED:
        return
    if response and roaming.probed:
        request = sa.window.request
        if path != sa.path and path in roaming.probed:
            # This path works, and the current one does not.
            go_to(sa, path, now)
        elif request is not None and isinstance(request.task, UpdateAddresses):
            # It went out on several paths: the peer took the one of the copy that it got first.
            want_once(sa, UpdateAddresses())
        roaming.probed = NOWHERE
    elif not response and path != sa.path:
        # The peer tries paths: does ours still work?
        from .informational import Liveness

        want_once(sa, Liveness())


def mapping_notifies(sa: IkeSa) -> list[Payload]:
    """For a liveness check from behind a NAT: it shows when the NAT has moved us (RFC 4555 section 3.8)."""
    if sa.roaming is None or not sa.roaming.leads or not sa.nat_local:
        return []
    return nat.announce(sa.spi_i, sa.spi_r, sa.path, pretend=sa.settings.encap)


def check_mapping(sa: IkeSa, turn: Turn) -> None:
    """The answer to that: another place than before must be told (RFC 4555 section 3.8)."""
    roaming = sa.roaming
    if roaming is None or not roaming.leads or not sa.nat_local or sa.state is not State.ESTABLISHED:
        return
    before = roaming.mapping
    _note_mapping(roaming, turn.message)
    # Nothing before: what we had when the IKE SA came up was a place for port 500, and the NAT may have changed since.
    if roaming.mapping != before:
        want_once(sa, UpdateAddresses())


def _note_mapping(roaming: Roaming, message: Message) -> None:
    seen = message.notify(NotifyType.NAT_DETECTION_DESTINATION_IP)
    if seen is not None:
        roaming.mapping = seen.data
