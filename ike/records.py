"""One failed negotiation, one record: who, where, what was offered, what is allowed, what to change.

Code that refuses raises :class:`Refused` (or any :class:`PeerError`); code that is refused builds a :class:`Failure`.
Both become a :class:`FailureRecord` here, where the line to change is looked up.
"""

from __future__ import annotations

from collections.abc import Mapping
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


def record(sa: IkeSa, failure: Failure, exchange: str) -> FailureRecord:
    """The record of a failure in an exchange of ``sa``."""
    connection = sa.connection
    return FailureRecord(
        code=failure.code,
        summary=failure.summary,
        exchange=exchange,
        role="initiator" if sa.initiator else "responder",
        peer=f"{sa.path.remote}[{sa.path.remote_port}]",
        connection=connection.name if connection is not None else "",
        child=failure.child,
        local_id=str(sa.local_id) if sa.local_id is not None else "",
        remote_id=str(sa.remote_id) if sa.remote_id is not None else "",
        offered=failure.offered,
        allowed=failure.allowed,
        mismatch=failure.mismatch,
        tried=failure.tried,
        change=failure.where or place(connection, failure.keys),
        hint=failure.hint,
        fields=dict(failure.fields or {}),
    )
