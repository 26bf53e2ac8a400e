"""The one owner of message ids: what is under way, what may come in, what is sent again (RFC 7296 sections 2.1 to 2.3).

The window is one request in each direction. A request stands until its response is in; a response stands until the
next request of the peer shows that it arrived. Nothing here encrypts or parses: it holds datagrams as they were sent.
"""

from __future__ import annotations

from enum import Enum, auto
from hashlib import sha256
from typing import Generic, TypeVar

from ..timing import Timing

TaskT = TypeVar("TaskT")

MAX_MESSAGE_ID = 0xFFFFFFFF
REKEY_BEFORE_ID = 0xFFFF0000
"""An IKE SA is rekeyed or closed long before its ids run out: they never wrap (RFC 7296 section 2.2)."""


class Standing(Enum):
    """Where a request of the peer stands in its sequence."""

    NEXT = auto()
    REPEATED = auto()
    OLD = auto()
    AHEAD = auto()


class Request(Generic[TaskT]):
    """A request of ours on its way: the datagrams it was cut into, and what asked for it."""

    __slots__ = ("datagrams", "deadline", "message_id", "sent_at", "task", "tries")

    def __init__(self, message_id: int, datagrams: tuple[bytes, ...], task: TaskT, now: float, timing: Timing) -> None:
        self.message_id = message_id
        self.datagrams = datagrams
        self.task = task
        self.tries = 0
        self.sent_at = now
        self.deadline = now + timing.wait(0)


def fingerprint(request: bytes) -> bytes:
    """What tells a repeated request from another one of the same message id."""
    return sha256(request).digest()


class Window(Generic[TaskT]):
    """Message ids of one IKE SA, both directions."""

    __slots__ = ("_answer", "_answered", "next_incoming", "next_outgoing", "request")

    def __init__(self, *, next_outgoing: int = 0, next_incoming: int = 0) -> None:
        self.next_outgoing = next_outgoing
        self.next_incoming = next_incoming
        self.request: Request[TaskT] | None = None
        self._answered = b""
        self._answer: tuple[bytes, ...] = ()

    # Our requests.

    @property
    def is_free(self) -> bool:
        """Whether a request may go out now."""
        return self.request is None

    @property
    def is_worn_out(self) -> bool:
        """Whether ids are about to run out in either direction: time for a new IKE SA."""
        return max(self.next_outgoing, self.next_incoming) >= REKEY_BEFORE_ID

    def send(self, datagrams: tuple[bytes, ...], task: TaskT, now: float, timing: Timing) -> None:
        """Take note that a request with id ``next_outgoing`` goes out now."""
        if self.request is not None:
            raise RuntimeError("a request is under way: the window is one")
        self.request = Request(self.next_outgoing, datagrams, task, now, timing)
        self.next_outgoing += 1

    def retry(self) -> None:
        """Give up the request under way for another with the same id: IKE_SA_INIT with a cookie or another group."""
        if self.request is not None:
            self.next_outgoing = self.request.message_id
            self.request = None

    def awaits(self, message_id: int) -> bool:
        """Whether a response of this id answers what is under way."""
        return self.request is not None and self.request.message_id == message_id

    def settle(self) -> Request[TaskT]:
        """The response is in: hand out the request it answers and open the window."""
        request = self.request
        if request is None:
            raise RuntimeError("no request is under way")
        self.request = None
        return request

    def abandon(self) -> None:
        """Forget the request under way: its IKE SA ends."""
        self.request = None

    def resend(self, now: float, timing: Timing) -> tuple[bytes, ...] | None:
        """The request's datagrams once more, or ``None`` where every try is used up (RFC 7296 section 2.4)."""
        request = self.request
        if request is None:
            return ()
        if request.tries >= timing.retransmit_tries:
            return None
        request.tries += 1
        request.deadline = now + timing.wait(request.tries)
        return request.datagrams

    # The peer's requests.

    def standing(self, message_id: int) -> Standing:
        """Where a request of this id stands."""
        if message_id == self.next_incoming:
            return Standing.NEXT
        if message_id == self.next_incoming - 1 and self._answer:
            return Standing.REPEATED
        return Standing.OLD if message_id < self.next_incoming else Standing.AHEAD

    def answer(self, request_fingerprint: bytes, datagrams: tuple[bytes, ...]) -> None:
        """Keep the response to the request ``next_incoming``, and wait for the one after it."""
        self._answered = request_fingerprint
        self._answer = datagrams
        self.next_incoming += 1

    def answer_again(self, request_fingerprint: bytes) -> tuple[bytes, ...]:
        """The response as it was sent, for the very same request only; else nothing."""
        return self._answer if request_fingerprint == self._answered else ()
