"""Quick crash detection (RFC 6290): a peer that lost its state proves it, and nobody waits for a timeout.

1. Each side that keeps a secret over a crash makes a token of the SPIs, and gives it to the peer under encryption.
2. After the crash a message comes with unknown SPIs. The answer is INVALID_IKE_SPI and the token, in the clear.
3. Who holds the same token knows that nobody else can have said it: the IKE SA ends at once, as if the peer were dead.
4. A CHILD_SA's packet that nobody knows asks for no answer; INVALID_SPI makes the peer look whether we are there
   (RFC 7296 section 1.5), and then 2. follows.

A token is told to anybody who names the SPIs of an IKE SA that is not there: it tells a truth, and serves for that IKE
SA alone. How often is limited: each source has its pause, and all sources together have a budget.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import TYPE_CHECKING

from ..errors import PeerError, SilentDrop
from ..events import Path
from ..records import Failure
from ..wire.constants import IKE_PORT, ExchangeType, HeaderFlag, NotifyType, PayloadType, ProtocolId
from ..wire.header import Header
from ..wire.message import Message, pull_message, push_message
from ..wire.payloads import NotifyPayload, Payload
from ..wire.selectors import Address
from .state import State

if TYPE_CHECKING:
    from .core import Core
    from .ike_sa import IkeSa

TOKEN_LENGTH = 16
"""Bytes of ours: the least that is allowed (RFC 6290 section 4.1), so that an answer serves nobody as a flood."""
LEAST, MOST = 16, 128
MOST_TOKENS = 4
"""Tokens of one message that are compared: a peer that renews its secret may send several."""
SECRET_LENGTH = 32

PAUSE = 1.0
"""Seconds between two answers to one source."""
MOST_SOURCES = 1024
BUDGET = 20.0
"""Answers a second to all sources together, and how many may be saved up."""

PROTECTED = frozenset(
    {ExchangeType.IKE_AUTH, ExchangeType.CREATE_CHILD_SA, ExchangeType.INFORMATIONAL, ExchangeType.IKE_FOLLOWUP_KE}
)
SEALED = (PayloadType.SK, PayloadType.SKF)
CURIOSITY = 5.0
"""Seconds between two looks at a peer of which somebody says, in the clear, that it lacks a CHILD_SA."""


class Allowance:
    """How often something is done that anybody can ask for. What is remembered of who asked is bounded."""

    __slots__ = ("_heard", "_left", "_looked_at")

    def __init__(self) -> None:
        self._heard: dict[Address, float] = {}
        self._left = BUDGET
        self._looked_at = 0.0

    def take(self, source: Address, now: float) -> bool:
        """Whether it is done for this source now; if so it comes off the budget."""
        if now - self._heard.get(source, float("-inf")) < PAUSE:
            return False
        self._left = min(BUDGET, self._left + (now - self._looked_at) * BUDGET)
        self._looked_at = now
        if self._left < 1:
            return False
        self._left -= 1
        self._heard.pop(source, None)
        if len(self._heard) >= MOST_SOURCES:
            del self._heard[next(iter(self._heard))]
        self._heard[source] = now
        return True


class CrashTokens:
    """Makes tokens; without a secret it makes none."""

    __slots__ = ("_secret", "answers", "hints", "looks")

    def __init__(self, secret: bytes | None) -> None:
        self._secret = secret
        self.answers, self.hints, self.looks = Allowance(), Allowance(), Allowance()

    @property
    def are_made(self) -> bool:
        """Whether there is a secret."""
        return self._secret is not None

    def of(self, spi_i: bytes, spi_r: bytes) -> bytes:
        """The token of an IKE SA (RFC 6290 section 5.1)."""
        if self._secret is None:
            raise RuntimeError("there is no secret to make tokens of")
        return hmac.digest(self._secret, spi_i + spi_r, sha256)[:TOKEN_LENGTH]


# Giving and taking tokens, under encryption.


def announce(sa: IkeSa) -> list[Payload]:
    """Our token for this IKE SA (RFC 6290 section 4.2)."""
    if not sa.core.crash_tokens.are_made:
        return []
    token = sa.core.crash_tokens.of(sa.spi_i, sa.spi_r)
    return [NotifyPayload(NotifyType.QUICK_CRASH_DETECTION, token, ProtocolId.IKE)]


def agree(sa: IkeSa, message: Message) -> None:
    """The peer's; one of a length that is not allowed is none."""
    notify = message.notify(NotifyType.QUICK_CRASH_DETECTION)
    if notify is not None and LEAST <= len(notify.data) <= MOST:
        sa.peer_token = notify.data


# Who has crashed.


def tell(core: Core, header: Header, path: Path, now: float) -> None:
    """Answer a request with SPIs of no IKE SA here (RFC 6290 section 4.5); never a response, so that none follows."""
    if header.is_response or header.exchange not in PROTECTED or header.first not in SEALED or not any(header.spi_r):
        return
    if header.spi_i in core.by_spi or header.spi_r in core.by_spi:
        # It is there; only the flag that says whose SPI is whose is wrong, and somebody wants its token.
        return
    if not core.crash_tokens.are_made or not core.crash_tokens.answers.take(path.remote, now):
        return
    reply = push_message(
        spi_i=header.spi_i,
        spi_r=header.spi_r,
        exchange=header.exchange,
        flags=HeaderFlag.RESPONSE | (HeaderFlag(0) if header.from_initiator else HeaderFlag.INITIATOR),
        message_id=header.message_id,
        payloads=[
            NotifyPayload(NotifyType.INVALID_IKE_SPI),
            NotifyPayload(
                NotifyType.QUICK_CRASH_DETECTION, core.crash_tokens.of(header.spi_i, header.spi_r), ProtocolId.IKE
            ),
        ],
    )
    core.send((reply,), path)


def tell_of_child(core: Core, spi: int, protocol: int, path: Path, now: float) -> None:
    """A packet came for a CHILD_SA that is not here: a message of its own, in the clear (RFC 7296 section 1.5)."""
    if not core.crash_tokens.are_made or not core.crash_tokens.hints.take(path.remote, now):
        return
    if not path.local_port:
        path = Path(path.local, IKE_PORT, path.remote, IKE_PORT)
    message = push_message(
        spi_i=core.random(8),
        spi_r=bytes(8),
        exchange=ExchangeType.INFORMATIONAL,
        flags=HeaderFlag.INITIATOR,
        message_id=0,
        payloads=[NotifyPayload(NotifyType.INVALID_SPI, spi.to_bytes(4, "big"), protocol)],
    )
    core.send((message,), path)


# Who hears of it.


def hear(sa: IkeSa, header: Header, data: bytes, now: float) -> bool:
    """Whether this unprotected answer proves that the peer lost the IKE SA, which then ends.

    Raises :class:`SilentDrop` for a token that is not the peer's.
    """
    if not sa.peer_token or sa.state is State.DEAD or not header.is_response or header.exchange not in PROTECTED:
        return False
    if header.first != PayloadType.NOTIFY or (header.spi_i, header.spi_r) != (sa.spi_i, sa.spi_r):
        return False
    try:
        message = pull_message(data)
    except PeerError:
        return False
    tokens = [notify.data for notify in message.notifies(NotifyType.QUICK_CRASH_DETECTION)[:MOST_TOKENS]]
    if message.sealed is not None or message.notify(NotifyType.INVALID_IKE_SPI) is None or not tokens:
        return False
    if not any([hmac.compare_digest(token, sa.peer_token) for token in tokens]):  # noqa: C419 - all of them, always
        raise SilentDrop("crash-token", "somebody says that the peer crashed and cannot prove it")
    failure = Failure(
        code="peer-restarted",
        summary=f"{sa.path.remote} proves that it has lost this IKE SA: it crashed, or was started anew",
        hint="nothing: dpd_action says what becomes of its tunnels; its log says why it went",
    )
    sa.failed(failure, ExchangeType.INFORMATIONAL)
    sa.die("dead", now)
    return True


def look(core: Core, header: Header, data: bytes, path: Path, now: float) -> bool:
    """INVALID_SPI in the clear is a hint only: ask the peer whether it is there, and not too often."""
    if (
        header.is_response
        or header.exchange != ExchangeType.INFORMATIONAL
        or header.first != PayloadType.NOTIFY
        or not core.crash_tokens.looks.take(path.remote, now)
    ):
        return False
    try:
        notify = pull_message(data).notify(NotifyType.INVALID_SPI)
    except PeerError:
        return False
    if notify is None or len(notify.data) != 4:
        return False
    spi = int.from_bytes(notify.data, "big")
    for sa in core.by_id.values():
        if sa.path.remote == path.remote and any(child.spi_out == spi for child in sa.children.values()):
            if now - sa.last_inbound >= CURIOSITY:
                sa.check_liveness(now)
            return True
    return False
