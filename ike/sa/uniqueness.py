"""What becomes of a peer's earlier IKE SAs once it is authenticated: ``unique``, INITIAL_CONTACT (RFC 7296 2.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config import Unique
from ..records import Failure, Refused
from ..wire.constants import NotifyType
from ..wire.message import Message
from ..wire.payloads import NotifyPayload, Payload
from . import reauth, rounds
from .select import identity_of

if TYPE_CHECKING:
    from .ike_sa import IkeSa


def announce(sa: IkeSa) -> list[Payload]:
    """INITIAL_CONTACT in our first request, where we know of no other IKE SA between the same two.

    An IKE SA goes by the identities of its last rounds. Who proves nothing may not speak for others that do not
    either (RFC 7619 section 2.3).
    """
    connection = sa.settings
    ours, theirs = rounds.of_side(connection.local)[-1], rounds.of_side(connection.remote)[-1]
    if ours.auth == "null" or connection.unique is Unique.NEVER:
        return []
    remote = theirs.id if theirs.id is not None else sa.remote_id
    if sa.core.others_between(sa, identity_of(ours, sa.path), remote):
        return []
    return [NotifyPayload(NotifyType.INITIAL_CONTACT)]


def check(sa: IkeSa, request: Message, now: float) -> None:
    """The responder's side. Raises :class:`Refused` where an earlier IKE SA is kept in favour of this one."""
    unique = sa.settings.unique
    if unique is Unique.NEVER:
        return
    others = sa.core.others_between(sa)
    if not others:
        return
    if request.notify(NotifyType.INITIAL_CONTACT) is not None:
        # The peer says that it knows of no other: there is nobody left to tell. It said so of the time before this IKE
        # SA began: one that came up since, because both opened at once, it knows by now.
        started_at = sa.in_setup.started_at
        for other in (o for o in others if o.established_at is None or o.established_at < started_at):
            other.die("initial-contact", now)
            other.go_on(now)
    elif unique is Unique.KEEP and not all(reauth.is_suspected(sa, other) for other in others):
        raise Refused(
            Failure(
                code="duplicate-peer",
                summary=f"{sa.remote_id} has an IKE SA already, and unique = keep lets it keep that one",
                hint="close the other IKE SA, or set unique = replace",
                mismatch=f"IKE SA {others[0].ike_id} with {others[0].path.remote}",
                keys=("unique",),
            ),
            NotifyType.AUTHENTICATION_FAILED,
        )
    elif unique is Unique.REPLACE:
        replace_others(sa, now)


def replace_others(sa: IkeSa, now: float) -> None:
    """``unique = replace``: the newest one stays."""
    for other in sa.core.others_between(sa):
        reauth.make_room(sa, other, now)
