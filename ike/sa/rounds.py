"""Rounds of authentication: which is next on either side, and which section it must satisfy (RFC 4739).

A side has a round for each of its ``local`` and ``remote`` sections. The n-th rounds of both sides share an exchange,
and who has fewer is silent while the other goes on. Each round has an identity of its own; its AUTH covers what the
first one's does, with that identity in place of the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ..config import AuthRound, Connection
from ..errors import LocalError, PeerError
from ..records import Failure, Refused, failure_of
from ..wire.constants import NotifyType
from ..wire.message import Message
from ..wire.payloads import NotifyPayload, Payload

if TYPE_CHECKING:
    from .ike_sa import IkeSa


class Rounds:
    """How far both sides are. It lives as long as setting up does."""

    __slots__ = ("multiple", "ours", "proven", "request", "theirs_follow")

    def __init__(self) -> None:
        self.multiple = False
        """Whether both sides do several."""
        self.ours = 0
        """Rounds in which we have shown who we are."""
        self.proven: list[str] = []
        """How the peer showed who it is, a round each."""
        self.theirs_follow = True
        """Whether the peer has a round left: its first one, or one that it announced."""
        self.request: Message | None = None
        """The first request: what it asks for beside authentication is answered once that is done."""

    @property
    def theirs(self) -> int:
        """Rounds in which the peer has shown who it is."""
        return len(self.proven)


def of_side(sections: tuple[AuthRound, ...]) -> tuple[AuthRound, ...]:
    """The rounds of a side; strongSwan's default where no section is written."""
    return sections or (AuthRound(),)


def our_next(sa: IkeSa) -> AuthRound | None:
    """Our next round; ``None`` once all are done, or all that a peer without this extension lets us do."""
    rounds, sections = sa.in_setup.rounds, of_side(sa.settings.local)
    if rounds.ours >= len(sections) or (rounds.ours and not rounds.multiple):
        return None
    return sections[rounds.ours]


def their_next(sa: IkeSa, connection: Connection) -> AuthRound | None:
    """What the connection wants of the peer's next round; ``None`` where it wants no more."""
    rounds, sections = sa.in_setup.rounds, of_side(connection.remote)
    return sections[rounds.theirs] if rounds.theirs < len(sections) else None


def is_over(sa: IkeSa) -> bool:
    """Whether both sides are authenticated."""
    return our_next(sa) is None and not sa.in_setup.rounds.theirs_follow


# The notifies.


def announce(sa: IkeSa, *, answering: bool = False) -> list[Payload]:
    """We do several rounds: in the response of IKE_SA_INIT, and in IKE_AUTH in answer to a peer that said so."""
    may = sa.in_setup.rounds.multiple if answering else sa.core.timing.multiple_authentication
    return [NotifyPayload(NotifyType.MULTIPLE_AUTH_SUPPORTED)] if may else []


def note_announcement(sa: IkeSa, message: Message) -> None:
    """Whether the peer does them, and we do."""
    said = message.notify(NotifyType.MULTIPLE_AUTH_SUPPORTED) is not None
    sa.in_setup.rounds.multiple = said and sa.core.timing.multiple_authentication


def shown(sa: IkeSa) -> list[Payload]:
    """Count a round of ours; announce the next one with its AUTH."""
    sa.in_setup.rounds.ours += 1
    return [NotifyPayload(NotifyType.ANOTHER_AUTH_FOLLOWS)] if our_next(sa) is not None else []


def proven(sa: IkeSa, how: str, message: Message) -> None:
    """Count a round of the peer, and hear whether another follows.

    Raises :class:`Refused` ``auth-rounds`` where it wants more or fewer than the connection does.
    """
    rounds, wanted = sa.in_setup.rounds, len(of_side(sa.settings.remote))
    rounds.proven.append(how)
    rounds.theirs_follow = message.notify(NotifyType.ANOTHER_AUTH_FOLLOWS) is not None
    if rounds.theirs_follow is not (rounds.theirs < wanted):
        raise Refused(_miscounted(sa, wanted), NotifyType.AUTHENTICATION_FAILED)


def _miscounted(sa: IkeSa, wanted: int) -> Failure:
    rounds = sa.in_setup.rounds
    said = f"{rounds.theirs} and more rounds" if rounds.theirs_follow else f"{rounds.theirs} of {wanted} rounds"
    hint = "give the connection as many remote sections as the peer has local ones"
    if not rounds.multiple:
        hint = "the peer does not announce RFC 4739, without which there is one round: leave one remote section"
    return Failure(
        code="auth-rounds",
        summary=f"{sa.remote_id} authenticates itself in {said}, connection {sa.settings.name!r} wants {wanted}",
        hint=hint,
        offered=(said,),
        allowed=(f"{wanted} rounds",),
        mismatch="the number of rounds",
        keys=("remote",),
    )


# Records.


@contextmanager
def named(number: int, sections: tuple[AuthRound, ...]) -> Iterator[None]:
    """What fails inside says in which of several rounds, counted from 0, and points at the section of that round."""
    try:
        yield
    except (PeerError, LocalError) as error:
        if len(sections) < 2:
            raise
        ordinal = f"round {number + 1} of {len(sections)}"
        if isinstance(error, LocalError):
            fields = {**error.fields, "round": number + 1}
            raise LocalError(error.code, f"{ordinal}: {error}", hint=error.hint, fields=fields) from error
        failure = failure_of(error)
        told = replace(
            failure,
            summary=f"{ordinal}: {failure.summary}",
            keys=tuple(key_of(sections[number], key) for key in failure.keys),
            fields={**(failure.fields or {}), "round": str(number + 1)},
        )
        raise Refused(told, error.notify, error.notify_data) from error


def key_of(section: AuthRound, key: str) -> str:
    """``remote.id`` in the section that the round was written in, such as ``remote-2.id``."""
    side, dot, rest = key.partition(".")
    return f"{section.section}{dot}{rest}" if section.section.startswith(side) else key
