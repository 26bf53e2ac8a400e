"""Reauthentication (RFC 7296 section 2.8.3): an IKE SA that begins anew at IKE_SA_INIT in the place of one that is up.

1. It is due: by ``reauth_time``, by the lifetime that the responder allows us (AUTH_LIFETIME, RFC 4478), or by command.
2. Make-before-break: the new IKE SA comes up beside the old one with CHILD_SAs of its own, then the old one is deleted.
   Break-before-make, which is strongSwan's default: the old one is deleted, then the new one is opened.
3. The side that answers sends on the old CHILD_SA until the peer has shown that it can receive on the new one.

Two IKE SAs with one peer are no mistake meanwhile: INITIAL_CONTACT is not sent, and ``unique`` lets the old one be.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..config import Child, Connection
from ..errors import LocalError
from ..events import IkeSaReauthenticating, Path
from ..wire.constants import NotifyType
from ..wire.message import Message
from ..wire.payloads import NotifyPayload, Payload
from . import resumption
from .state import State
from .task import Asking, Purpose, Task

if TYPE_CHECKING:
    from .child import ChildSa
    from .ike_sa import IkeSa

LINGER = 1.0
"""Seconds for which the old IKE SA stays once all CHILD_SAs of the new one are up: for packets that are under way."""
OVERLAP = 10.0
"""Seconds that a peer, which seems to reauthenticate, has to delete its old IKE SA or to send on the new one."""
SOONEST = 5.0
"""Seconds that an IKE SA lives at least, however short the time that we, or the responder, want for it."""
LOOK_AGAIN = 1.0


# When it is due.


def start_timer(sa: IkeSa, now: float) -> None:
    """``reauth_time`` with jitter; what is set already was inherited, because a rekeying proves nothing anew."""
    config = sa.settings
    if config.reauth_time and sa.reauth_at is None:
        sa.reauth_at = now + max(SOONEST, config.reauth_time - sa.core.fraction() * config.rand_time)


def announce(sa: IkeSa, now: float) -> list[Payload]:
    """AUTH_LIFETIME for IKE_AUTH's response: the peer, which opened, shall authenticate anew by then."""
    if sa.reauth_at is None:
        return []
    return [NotifyPayload(NotifyType.AUTH_LIFETIME, int(max(0.0, sa.reauth_at - now)).to_bytes(4, "big"))]


def obey(sa: IkeSa, message: Message, now: float) -> None:
    """The responder's AUTH_LIFETIME (RFC 4478 section 3): begin ``over_time`` before it runs out, and end with it."""
    notify = message.notify(NotifyType.AUTH_LIFETIME)
    if notify is None or len(notify.data) != 4 or not sa.opened:
        return
    lifetime = max(SOONEST, float(int.from_bytes(notify.data, "big")))
    # Where over_time is longer than all of it, half of it has to do; where it is nothing, a tenth.
    ahead = max(min(sa.settings.over_time, lifetime / 2), lifetime / 10)
    due = now + lifetime - ahead
    sa.reauth_at = due if sa.reauth_at is None else min(sa.reauth_at, due)
    _end_by(sa, now + lifetime)


def _end_by(sa: IkeSa, end: float) -> None:
    """It ends then, and so does whatever takes its place without proving anything anew."""
    sa.ends_at = end if sa.ends_at is None else min(sa.ends_at, end)
    sa.expires_at = end if sa.expires_at is None else min(sa.expires_at, end)


def run(sa: IkeSa, now: float) -> None:
    """It is due. Who answered leaves it to who opened, as long as that one can be expected to do it."""
    if not sa.opened and (_is_renewed(sa) or not _may_open(sa.settings)):
        # The hard limit ends it, where the peer does not.
        sa.reauth_at = None
        return
    # Should it fail, it is tried again for as long as the old one lives.
    sa.reauth_at = now + 2 * sa.core.timing.retry_interval * (1 + sa.core.fraction())
    begin(sa, now)


def _is_renewed(sa: IkeSa) -> bool:
    """Whether the peer has opened another one already, and only has to delete this one."""
    since = sa.established_at or 0.0
    return any((other.established_at or 0.0) > since for other in sa.core.others_between(sa))


def _may_open(connection: Connection) -> bool:
    """A peer that asks for an address or proves itself by EAP is a client: only it can open."""
    return not connection.pools and not any(round_.auth.startswith("eap") for round_ in connection.remote)


# Beginning.


def begin(sa: IkeSa, now: float) -> None:
    """Open the new one or delete the old one first, as ``make_before_break`` says."""
    if sa.state is not State.ESTABLISHED:
        raise LocalError("not-established", f"IKE SA {sa.ike_id} is not established, so it cannot be reauthenticated")
    if sa.renewed_by is not None or sa.reopens:
        return
    if not sa.core.timing.make_before_break:
        sa.terminate(now, "reauthenticated")
        sa.reopens = True
        return
    new = _open(sa, now, beside=True)
    if new is not None:
        _tie(sa, new)
    sa.go_on(now)


def reopen(sa: IkeSa, now: float, *, peer_deletes: bool) -> None:
    """Break-before-make: the old one is about to be gone at both ends, or the peer never said so.

    Where both delete it at once, who opened it opens it again.
    """
    sa.reopens = False
    if peer_deletes and not sa.opened:
        return
    _open(sa, now, beside=False)


def _open(sa: IkeSa, now: float, *, beside: bool) -> IkeSa | None:
    """A new IKE SA to the same peer that asks for the same CHILD_SAs, as its connection is configured now."""
    from .ike_sa import IkeSa as Make

    connection = sa.core.connection(sa.settings.name)
    if connection is None:
        return None
    children = _wanted(sa, connection)
    # A ticket would prove nothing anew (RFC 5723 section 6.2).
    resumption.forget(sa.core, (connection.name, sa.path.remote))
    new = Make.initiate(sa.core, connection, None, None, _path(sa, connection), now)
    if new.setup is None:
        # It could not even begin, and has said why.
        return None
    new.setup.wanted += [(child, None) for child in children]
    sa.core.emit(
        IkeSaReauthenticating(
            sa.ike_id,
            new.ike_id,
            connection.name,
            tuple(child.name for child in children),
            make_before_break=beside,
        )
    )
    return new


def _wanted(sa: IkeSa, connection: Connection) -> list[Child]:
    """One of each child section that is up; those that a section has several of follow by themselves (RFC 9611)."""
    names = dict.fromkeys(child.config.name for child in sa.children.values())
    return [child for name in names if (child := connection.child(name)) is not None]


def _path(sa: IkeSa, connection: Connection) -> Path:
    """Whoever opened knows the ports; a peer that opened may be reachable only where its NAT put it."""
    if not sa.opened:
        return sa.path
    return replace(sa.path, local_port=connection.local_port, remote_port=connection.remote_port)


# Make-before-break, on the side that opens.


class DeleteOld(Task):
    """The new IKE SA has all that it is to have: the old one goes."""

    __slots__ = ()
    purpose = Purpose.INFORM

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """Nothing on this IKE SA; not before its CHILD_SAs are up, and packets under way are in."""
        old = sa.renews
        if old is None:
            return None
        newest = max((child.installed_at for child in sa.children.values()), default=now - LINGER)
        if now < newest + LINGER or sa.is_changing_children or any(_makes_child(task) for task in sa.tasks):
            self.not_before = now + LINGER
            sa.tasks.append(self)
            return None
        part(sa)
        old.terminate(now, "reauthenticated")
        old.go_on(now)
        return None

    def __str__(self) -> str:
        return "delete the IKE SA that this one takes the place of"


def _makes_child(task: Task) -> bool:
    return task.purpose is Purpose.NEW_CHILD


def established(sa: IkeSa, now: float) -> None:
    """The new one is up: what it takes the place of goes, after what it has still to ask for."""
    if sa.renews is not None:
        task = DeleteOld()
        task.not_before = now + LINGER
        sa.tasks.append(task)


def carry_over(old: IkeSa, new: IkeSa) -> None:
    """``old`` was rekeyed, and ``new`` goes on in its place."""
    new.opened, new.reauth_at, new.ends_at, new.reopens = old.opened, old.reauth_at, old.ends_at, old.reopens
    old.reauth_at, old.reopens = None, False
    renewal, renewed = old.renewed_by, old.renews
    part(old)
    if renewal is not None:
        _tie(new, renewal)
    if renewed is not None:
        _tie(renewed, new)


def _tie(old: IkeSa, new: IkeSa) -> None:
    old.renewed_by, new.renews = new, old
    old.core.renewals[old.ike_id] = old


def part(sa: IkeSa) -> None:
    """One of the two is gone, or wants no more of it: neither is anything to the other any more."""
    old, new = sa.renews, sa.renewed_by
    sa.renews = sa.renewed_by = None
    if old is not None:
        old.renewed_by = None
        sa.core.renewals.pop(old.ike_id, None)
    if new is not None:
        new.renews = None
        sa.core.renewals.pop(sa.ike_id, None)


# The side that answers.


def is_suspected(sa: IkeSa, other: IkeSa) -> bool:
    """Whether the peer of ``sa`` seems to replace ``other``: it is where it was."""
    return (other.path.remote, other.path.remote_port) == (sa.path.remote, sa.path.remote_port)


def make_room(sa: IkeSa, other: IkeSa, now: float) -> None:
    """``unique = replace``: ``sa`` is to be the only one, but who reauthenticates deletes the other itself, in time."""
    if sa.renews is other or (other.renews is not None and not sa.initiator):
        # The latter is our own attempt at the same time: see :func:`give_way`.
        return
    if sa.is_leaving:
        # It has given way, and goes at once.
        return
    if sa.initiator or not is_suspected(sa, other):
        other.terminate(now)
        return
    _end_by(other, now + OVERLAP)
    other.go_on(now)


def give_way(sa: IkeSa, now: float) -> None:
    """The peer has set up ``sa`` while we wanted to do the same: of two attempts that of who opened first stays."""
    for other in tuple(sa.core.renewals.values()):
        ours = other.renewed_by
        if ours is None or ours is sa or other.opened:
            continue
        if sa.core.are_between_the_same(sa, other):
            part(ours)
            _give_up(ours, now)


def _give_up(ours: IkeSa, now: float) -> None:
    """With IKE_AUTH on its way the peer may believe that it is up already: then its answer is waited for."""
    from .informational import DeleteIke

    if ours.state is State.AUTH_SENT:
        ours.tasks[:] = [DeleteIke("reauthenticated")]
    else:
        ours.terminate(now, "reauthenticated")
        ours.go_on(now)


def hold_back(sa: IkeSa, child: ChildSa, now: float) -> None:
    """A new CHILD_SA of the peer's seems to take the place of another one: do not send on it yet.

    The peer derives its keys only from the answer that is still to go out.
    """
    for other, old in sa.core.children_like(child):
        if (
            old.sends
            and old.is_current
            and old.heir not in sa.core.by_child
            and sa.core.are_between_the_same(sa, other)
            and is_suspected(sa, other)
        ):
            old.heir = child.child_id
            child.takes_over_at = now + LOOK_AGAIN
            return


def look_again(sa: IkeSa, child: ChildSa, now: float) -> None:
    """The old one is still there: go over once the peer sends on the new one, or after a while in any case."""
    if sa.core.inbound_activity(child.child_id) or now >= child.installed_at + OVERLAP:
        sa.take_over(child)
    else:
        child.takes_over_at = now + LOOK_AGAIN
