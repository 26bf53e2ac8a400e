"""One failed negotiation, one record: who, where, what was offered, what is allowed, what to change.

Code that refuses raises :class:`Refused` (or any :class:`PeerError`); code that is refused builds a :class:`Failure`.
Both become a :class:`FailureRecord` here, where the line to change is looked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .config import Connection
from .errors import IkeError, PeerError
from .events import AttemptLost, FailureRecord
from .wire.constants import NotifyType

if TYPE_CHECKING:
    from .sa.ike_sa import IkeSa


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, before it is known to whom. ``keys`` are the connection's keys to change, best guess first.

    ``where`` is a ready ``file:line: key`` for what stands in no connection (a secret).
    """

    code: str
    summary: str
    hint: str = ""
    offered: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    mismatch: str = ""
    tried: tuple[AttemptLost, ...] = ()
    keys: tuple[str, ...] = ()
    where: str = ""
    child: str = ""
    fields: Mapping[str, str] | None = None


class Refused(PeerError):  # noqa: N818 - reads as what happened, like SilentDrop
    """A peer's request or answer that we refuse, with everything its record needs."""

    def __init__(self, failure: Failure, notify: NotifyType | None = None, notify_data: bytes = b"") -> None:
        super().__init__(failure.code, failure.summary, notify=notify, notify_data=notify_data, hint=failure.hint)
        self.failure = failure


# Where to look for errors that come from below and know of no connection: code -> keys to change.
KEYS: Mapping[str, tuple[str, ...]] = {
    "cert-untrusted": ("remote.cacerts", "remote.certs", "remote.auth"),
    "cert-expired": ("remote.certs", "remote.auth"),
    "cert-not-yet-valid": ("remote.certs", "remote.auth"),
    "cert-revoked": ("remote.revocation", "remote.auth"),
    "cert-identity": ("remote.id",),
    "cert-missing": ("send_certreq", "remote.certs"),
}


MOST_TRIED = 32
"""Connections of which a record says why they lost."""
MOST_LINES = 32
MOST_TEXT = 1000
"""Characters of one text: what a peer chose to say fills neither memory nor log."""


def note_lost(lost: list[AttemptLost], connection: str, why: str) -> None:
    """One more that lost; beyond the first ones, which are the closest, it is only said that there are more."""
    if len(lost) < MOST_TRIED:
        lost.append(AttemptLost(connection, why))
    elif len(lost) == MOST_TRIED:
        lost.append(AttemptLost(connection, "and more lost likewise"))


def failure_of(error: IkeError) -> Failure:
    """The failure behind an exception."""
    if isinstance(error, Refused):
        return error.failure
    fields = {name: _text(value) for name, value in error.fields.items()}
    keys = KEYS.get(error.code, ("remote.auth",) if error.code.startswith(("cert-", "auth-", "signature-")) else ())
    return Failure(error.code, str(error), error.hint, keys=keys, fields=fields)


def _text(value: object) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, tuple | list) else str(value)


def place(connection: Connection | None, keys: tuple[str, ...]) -> str:
    """``file:line: key`` of the first of ``keys`` that was written somewhere."""
    if connection is None or not keys:
        return ""
    for key in keys:
        for spelling in (key, key.replace("remote.", "remote1.", 1), key.replace("local.", "local1.", 1)):
            if where := connection.where.get(spelling):
                return f"{where}: {key}"
    # Not written at all: say which connection lacks the key, and where that connection is.
    where = connection.where.get("", "")
    return f"{where}: connections.{connection.name}.{keys[0]}" if where else f"connections.{connection.name}.{keys[0]}"


def _short(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}... ({len(text)} characters)"


def _few(texts: Iterable[str]) -> tuple[str, ...]:
    found = tuple(texts)
    more = (f"... and {len(found) - MOST_LINES} more",) if len(found) > MOST_LINES else ()
    return (*map(_short, found[:MOST_LINES]), *more)


def record(sa: IkeSa, failure: Failure, exchange: str) -> FailureRecord:
    """The record of a failure in an exchange of ``sa``."""
    connection = sa.connection
    return FailureRecord(
        code=failure.code,
        summary=_short(failure.summary),
        exchange=exchange,
        role="initiator" if sa.initiator else "responder",
        peer=f"{sa.path.remote}[{sa.path.remote_port}]",
        connection=connection.name if connection is not None else "",
        child=failure.child,
        local_id=_short(str(sa.local_id)) if sa.local_id is not None else "",
        remote_id=_short(str(sa.remote_id)) if sa.remote_id is not None else "",
        offered=_few(failure.offered),
        allowed=_few(failure.allowed),
        mismatch=_short(failure.mismatch),
        tried=tuple(AttemptLost(lost.connection, _short(lost.why)) for lost in failure.tried[: MOST_TRIED + 1]),
        change=failure.where or place(connection, failure.keys),
        hint=_short(failure.hint),
        fields={name: _short(value) for name, value in (failure.fields or {}).items()},
    )
