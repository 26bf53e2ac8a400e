"""A whole IKE message: header and payloads (RFC 7296 section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from ..errors import LocalError, PeerError, SilentDrop
from .codec import pull_payloads, push_payloads
from .constants import HEADER_LENGTH, MAJOR_VERSION, HeaderFlag, NotifyType
from .header import Header, pull_header, push_header
from .payloads import NotifyPayload, Payload, SkfPayload, SkPayload

__all__ = ["MAX_MESSAGE", "Message", "pull_message", "pull_payloads", "push_message", "push_payloads"]

MAX_MESSAGE = 65535
"""No UDP datagram holds more."""

P = TypeVar("P", bound=Payload)


@dataclass(frozen=True, slots=True)
class Message:
    """What a datagram held. ``raw`` is the datagram itself: AUTH and the ICV of SK cover it (RFC 7296 section 2.15)."""

    header: Header
    payloads: tuple[Payload, ...]
    raw: bytes = field(default=b"", repr=False, compare=False)

    @property
    def sealed(self) -> SkPayload | SkfPayload | None:
        """The encrypted payload at the end, still sealed."""
        last = self.payloads[-1] if self.payloads else None
        return last if isinstance(last, SkPayload | SkfPayload) else None

    def opened(self, inner: tuple[Payload, ...]) -> Message:
        """The same message with what was inside its encrypted payload, and without what stood unprotected around it."""
        return replace(self, payloads=inner)

    def one(self, kind: type[P], payload_type: int | None = None) -> P | None:
        """The payload of that class, ``None`` where there is none; more than one is the peer's error.

        ``payload_type`` tells IDi from IDr and TSi from TSr.
        """
        found = [p for p in self.payloads if isinstance(p, kind) and (payload_type is None or payload_type == p.TYPE)]
        if len(found) > 1:
            name = kind.__name__.removesuffix("Payload")
            raise PeerError(
                "invalid-syntax", f"{len(found)} {name} payloads where one belongs", notify=NotifyType.INVALID_SYNTAX
            )
        return found[0] if found else None

    def all(self, kind: type[P]) -> tuple[P, ...]:
        """Every payload of that class, in order."""
        return tuple([p for p in self.payloads if isinstance(p, kind)])

    def notify(self, notify: NotifyType) -> NotifyPayload | None:
        """The first notify of that type."""
        for payload in self.payloads:
            if isinstance(payload, NotifyPayload) and payload.notify == notify:
                return payload
        return None

    def notifies(self, notify: NotifyType) -> tuple[NotifyPayload, ...]:
        """Every notify of that type."""
        return tuple([p for p in self.payloads if isinstance(p, NotifyPayload) and p.notify == notify])

    @property
    def error(self) -> NotifyPayload | None:
        """The first notify that reports an error (RFC 7296 section 3.10.1)."""
        return next((p for p in self.all(NotifyPayload) if 0 < p.notify < NotifyType.INITIAL_CONTACT), None)


def pull_message(data: bytes) -> Message:
    """A message as it came in a datagram, less the non-ESP marker; an encrypted payload stays sealed.

    Raises :class:`SilentDrop` for what is no IKE message at all, and :class:`PeerError` for an IKE message of another
    major version (``ikev1-refused``, ``invalid-major-version``; :func:`pull_header` still reads its header), for a
    malformed chain of payloads (``invalid-syntax``) and for an unknown payload that is critical
    (``unsupported-critical-payload``).
    """
    if len(data) > MAX_MESSAGE:
        raise SilentDrop("not-ike", f"{len(data)} bytes are more than a datagram holds")
    header = pull_header(data)
    if header.major != MAJOR_VERSION:
        raise PeerError(
            "ikev1-refused" if header.major == 1 else "invalid-major-version",
            f"the peer speaks IKE version {header.major}.{header.minor}; only IKEv2 is spoken here",
            notify=NotifyType.INVALID_MAJOR_VERSION,
            hint="set the peer to IKEv2 (in strongSwan: version = 2)",
            fields={"major": header.major, "minor": header.minor},
        )
    return Message(header, pull_payloads(header.first, data[HEADER_LENGTH:], sealed=True), data)


def push_message(
    *,
    spi_i: bytes,
    spi_r: bytes,
    exchange: int,
    flags: HeaderFlag,
    message_id: int,
    payloads: Sequence[Payload] = (),
    major: int = MAJOR_VERSION,
    minor: int = 0,
) -> bytes:
    """A message as it goes into a datagram. Raises :class:`LocalError` for what fits no message."""
    first, chain = push_payloads(payloads)
    length = HEADER_LENGTH + len(chain)
    if length > MAX_MESSAGE:
        raise LocalError("message-too-large", f"a message of {length} bytes does not fit into a datagram")
    return push_header(Header(spi_i, spi_r, exchange, flags, message_id, first, length, major, minor)) + chain
