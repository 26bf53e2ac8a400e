"""Which connection an initiator belongs to: narrowed down with each round in which it shows who it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config import Connection
from ..events import AttemptLost
from ..records import Failure, Refused, place
from ..wire.constants import NotifyType, PayloadType
from ..wire.identity import Identity
from ..wire.message import Message
from ..wire.payloads import IdPayload
from . import ppk, rounds
from .select import by_identities, local_identity

if TYPE_CHECKING:
    from .ike_sa import IkeSa

_PPK = "ppk_required or ppk_id does not fit the first round, which is over"


def choose(sa: IkeSa, message: Message, method: str) -> Connection:
    """The candidate for these identities and this way of authentication. Raises :class:`Refused`."""
    setup, progress = sa.in_setup, sa.in_setup.rounds
    idr = message.one(IdPayload, PayloadType.ID_R)
    wanted = Identity.from_payload(idr) if idr is not None else None
    if sa.remote_id is None:
        raise RuntimeError("the peer has no identity yet")
    setup.candidates = tuple(c for c in setup.candidates if _is_possible(sa, c))
    if progress.theirs:
        setup.lost += [AttemptLost(c.name, _PPK) for c in setup.candidates if not ppk.suits(sa, c)]
        setup.candidates = tuple(c for c in setup.candidates if ppk.suits(sa, c))
    found, lost, keys = by_identities(setup.candidates, sa.path, sa.remote_id, wanted, method, progress.theirs)
    setup.lost += lost
    if not found:
        said = f"IDi {sa.remote_id}" + (f", IDr {wanted}" if wanted is not None else "") + f", auth {method}"
        raise Refused(_nobody(sa, said, lost[0].why, keys[0]), NotifyType.AUTHENTICATION_FAILED)
    setup.candidates = tuple(found)
    # Among equals who wants as many rounds as the peer has.
    follows = message.notify(NotifyType.ANOTHER_AUTH_FOLLOWS) is not None
    fitting = [c for c in found if (len(rounds.of_side(c.remote)) > progress.theirs + 1) is follows]
    return (fitting or found)[0]


def _is_possible(sa: IkeSa, candidate: Connection) -> bool:
    """Whether what was shown so far, by either side, is what the candidate says too, and it goes on."""
    progress, chosen = sa.in_setup.rounds, sa.connection
    if not progress.theirs or chosen is None:
        return True
    theirs, ours = rounds.of_side(candidate.remote), rounds.of_side(candidate.local)
    return (
        len(theirs) > progress.theirs
        and theirs[: progress.theirs] == rounds.of_side(chosen.remote)[: progress.theirs]
        and ours[: progress.ours] == rounds.of_side(chosen.local)[: progress.ours]
    )


def _nobody(sa: IkeSa, said: str, why: str, key: str) -> Failure:
    setup, number = sa.in_setup, sa.in_setup.rounds.theirs
    # Where one connection only stood to choose, the record can name the line.
    if len(setup.candidates) == 1:
        sa.connection = setup.candidates[0]
    sections = [(c, rounds.of_side(c.remote)[number]) for c in setup.candidates]
    count = max(len(rounds.of_side(c.remote)) for c in setup.candidates)
    first, section = sections[0]
    return Failure(
        code="auth-method" if key == "remote.auth" else "no-connection-for-identity",
        summary=(f"round {number + 1} of {count}: " if count > 1 else "") + f"no connection is for {said}",
        hint=f"make {key} what the peer sends, or correct the peer's id",
        offered=(said,),
        allowed=tuple(
            f"{c.name}: local.id = {local_identity(c, sa.path, number)}, remote.id = {theirs.id or '%any'},"
            f" remote.auth = {theirs.auth}"
            for c, theirs in sections
        ),
        mismatch=why,
        tried=tuple(setup.lost),
        where=place(first, (rounds.key_of(section, key) if count > 1 else key,)),
        fields={"round": str(number + 1)} if count > 1 else None,
    )
