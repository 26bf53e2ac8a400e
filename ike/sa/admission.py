"""Datagrams of no IKE SA yet: who may open one, and what anybody may be told (RFC 7296 sections 2.5, 2.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import PeerError, SilentDrop
from ..events import FailureRecord, NegotiationFailed, Path
from ..wire.constants import MAJOR_VERSION, OPENING_EXCHANGES, HeaderFlag, NotifyType
from ..wire.header import Header
from ..wire.message import Message, pull_message, push_message
from ..wire.payloads import NoncePayload, NotifyPayload
from . import quick_crash
from .window import fingerprint

if TYPE_CHECKING:
    from .core import Core

TELLABLE = frozenset({NotifyType.INVALID_MAJOR_VERSION, NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD})
"""What the RFC lets us answer without any proof of who asks."""
NOBODY = 0
"""The ``ike_id`` of what concerns no IKE SA."""


def receive(core: Core, header: Header, data: bytes, path: Path, now: float) -> None:
    """A datagram with an SPI that is none of ours."""
    is_request = not header.is_response and header.from_initiator
    if header.major != MAJOR_VERSION:
        _wrong_version(core, header, data, path)
    if header.exchange not in OPENING_EXCHANGES or not is_request or any(header.spi_r):
        if not quick_crash.look(core, header, data, path, now):
            quick_crash.tell(core, header, path, now)
        raise SilentDrop("unknown-ike-spi", "no IKE SA of ours has this SPI")
    if header.message_id != 0:
        raise SilentDrop("message-id-ahead", "the request that opens an IKE SA has message id 0")
    mark = fingerprint(data)
    known = core.by_opening.get(mark)
    if known is not None:
        # Answered before, and the answer was lost: the very same again, whatever the state is now.
        core.send(known.window.answer_again(header.message_id, mark), path)
        return
    if refused := core.refusal(mark):
        core.send(refused, path)
        return
    if core.doorkeeper.turns_away(path.remote):
        raise SilentDrop("half-open-limit", "too many IKE SAs are half open")
    try:
        message = pull_message(data)
    except PeerError as error:
        if error.notify in TELLABLE:
            _tell(core, header, NotifyPayload(error.notify, error.notify_data), path)
        raise
    if _passes(core, message, path, now):
        _open(core, message, data, mark, path, now)


def _passes(core: Core, message: Message, path: Path, now: float) -> bool:
    """Whether the source has shown that it receives what we send, where that is asked for; else it gets a cookie."""
    header = message.header
    nonce = message.one(NoncePayload)
    if nonce is None:
        raise SilentDrop("malformed", "a request that opens an IKE SA without a nonce")
    if not core.doorkeeper.wants_cookie(path.remote):
        return True
    cookie = message.notify(NotifyType.COOKIE)
    if cookie is not None and core.doorkeeper.is_mine(cookie.data, path.remote, header.spi_i, nonce.data, now):
        return True
    core.drop("cookie-demanded")
    fresh = core.doorkeeper.cookie(path.remote, header.spi_i, nonce.data, now)
    _tell(core, header, NotifyPayload(NotifyType.COOKIE, fresh), path)
    return False


def _open(core: Core, message: Message, data: bytes, mark: bytes, path: Path, now: float) -> None:
    from . import flow
    from .ike_sa import IkeSa
    from .setup import Setup

    sa = IkeSa(core, path, initiator=False, spi_i=message.header.spi_i, spi_r=core.ike_spi())
    sa.setup = Setup()
    sa.setup.started_at = now
    sa.opening = mark
    sa.source = path.remote
    core.doorkeeper.enter(path.remote)
    core.register(sa)
    core.by_opening[mark] = sa
    try:
        flow.open_with(sa, message, data, path, now)
    finally:
        sa.go_on(now)


def _tell(core: Core, header: Header, notify: NotifyPayload, path: Path) -> None:
    """Answer without keeping anything; the responder's SPI stays zero."""
    reply = push_message(
        spi_i=header.spi_i,
        spi_r=bytes(8),
        exchange=header.exchange,
        flags=HeaderFlag.RESPONSE,
        message_id=header.message_id,
        payloads=[notify],
    )
    core.send((reply,), path)


def _wrong_version(core: Core, header: Header, data: bytes, path: Path) -> None:
    """Another major version: say which one we speak, and let the operator know once for each peer."""
    try:
        pull_message(data)
    except PeerError as error:
        if not header.is_response or header.major == 1:
            _tell(core, header, NotifyPayload(NotifyType.INVALID_MAJOR_VERSION, bytes((MAJOR_VERSION,))), path)
        if core.first_time(path.remote):
            core.emit(
                NegotiationFailed(
                    NOBODY,
                    FailureRecord(
                        code=error.code,
                        summary=f"{path.remote}: {error}",
                        exchange=f"exchange {header.exchange}",
                        role="responder",
                        peer=f"{path.remote}[{path.remote_port}]",
                        offered=(f"IKE {header.major}.{header.minor}",),
                        allowed=("IKE 2.0",),
                        mismatch="version",
                        hint=error.hint,
                    ),
                )
            )
        raise SilentDrop(error.code, str(error)) from error
