"""The one owner of message ids: what is under way, what may come in, what is sent again (RFC 7296 sections 2.1 to 2.3).

A window is one request in each direction, unless a side announces that it takes more at once (SET_WINDOW_SIZE). A
request stands until its response is in; a response stands until a request of the peer shows that it arrived. Nothing
here encrypts or parses: it holds datagrams as they were sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto
from hashlib import sha256
from typing import Generic, TypeVar

from ..timing import Timing
from ..wire.constants import NotifyType
from ..wire.message import Message
from ..wire.payloads import NotifyPayload, Payload

TaskT = TypeVar("TaskT")

MAX_MESSAGE_ID = 0xFFFFFFFF
REKEY_BEFORE_ID = 0xFFFF0000
"""An IKE SA is rekeyed or closed long before its ids run out: they never wrap (RFC 7296 section 2.2)."""
MOST_AT_ONCE = 64
"""Requests that are under way at once in either direction, whatever the peer or the configuration says."""


class Standing(Enum):
    """Where a request of the peer stands in its sequence."""

    NEXT = auto()
    REPEATED = auto()
    OLD = auto()
    AHEAD = auto()


class Request(Generic[TaskT]):
    """A request of ours on its way: the datagrams it was cut into, and what asked for it."""

    __slots__ = ("datagrams", "deadline", "message_id", "sent_at", "task", "tries")

    def __init__(self, message_id: int, datagrams: tuple[bytes, ...], task: TaskT, now: float, wait: float) -> None:
        self.message_id = message_id
        self.datagrams = datagrams
        self.task = task
        self.tries = 0
        self.sent_at = now
        self.deadline = now + wait


def fingerprint(request: bytes) -> bytes:
    """What tells a repeated request from another one of the same message id."""
    return sha256(request).digest()


class Window(Generic[TaskT]):
    """Message ids of one IKE SA, both directions. Sizes are numbers of requests: ``takes`` ours, ``peer_takes`` its."""

    __slots__ = ("_answers", "_requests", "next_incoming", "next_outgoing", "peer_takes", "takes")

    def __init__(self, *, next_outgoing: int = 0, next_incoming: int = 0) -> None:
        self.next_outgoing = next_outgoing
        self.next_incoming = next_incoming
        """The lowest id of a request of the peer that is not answered yet."""
        self.takes = 1
        self.peer_takes = 1
        self._requests: dict[int, Request[TaskT]] = {}
        self._answers: dict[int, tuple[bytes, tuple[bytes, ...]]] = {}

    # Our requests.

    @property
    def request(self) -> Request[TaskT] | None:
        """The oldest one under way."""
        return next(iter(self._requests.values()), None)

    @property
    def requests(self) -> tuple[Request[TaskT], ...]:
        """All that are under way, the oldest first."""
        return tuple(self._requests.values())

    def tasks(self) -> Iterator[TaskT]:
        """What asked for them."""
        return (request.task for request in self._requests.values())

    @property
    def is_empty(self) -> bool:
        """Whether nothing is under way."""
        return not self._requests

    @property
    def is_free(self) -> bool:
        """Whether one more may go out: the peer keeps no answer that is ``peer_takes`` older (RFC 7296 section 2.3)."""
        oldest = next(iter(self._requests), self.next_outgoing)
        return self.next_outgoing < oldest + self.peer_takes

    @property
    def is_worn_out(self) -> bool:
        """Whether ids are about to run out in either direction: time for a new IKE SA."""
        return max(self.next_outgoing, self.next_incoming) >= REKEY_BEFORE_ID

    def send(
        self, datagrams: tuple[bytes, ...], task: TaskT, now: float, timing: Timing, fraction: float = 0.0
    ) -> None:
        """Take note that a request with id ``next_outgoing`` goes out now; ``fraction``: of its jitter."""
        if not self.is_free:
            raise RuntimeError("the window is full: the peer takes no request more")
        wait = timing.wait(0, fraction)
        self._requests[self.next_outgoing] = Request(self.next_outgoing, datagrams, task, now, wait)
        self.next_outgoing += 1

    def retry(self) -> None:
        """Give up the request under way for another with the same id: IKE_SA_INIT with a cookie or another group."""
        if self._requests:
            self.next_outgoing = next(iter(self._requests))
            self._requests.clear()

    def awaits(self, message_id: int) -> Request[TaskT] | None:
        """The request that a response of this id answers, if it is under way."""
        return self._requests.get(message_id)

    def settle(self, request: Request[TaskT]) -> None:
        """Its response is in: open the window; nothing where it was given up meanwhile."""
        if self._requests.get(request.message_id) is request:
            del self._requests[request.message_id]

    def abandon(self) -> None:
        """Forget what is under way: its IKE SA ends."""
        self._requests.clear()

    def hasten(self, now: float) -> None:
        """What is under way goes out again now, and has all its tries before it."""
        for request in self._requests.values():
            request.tries, request.deadline = 0, now

    def resend(
        self, request: Request[TaskT], now: float, timing: Timing, fraction: float = 0.0
    ) -> tuple[bytes, ...] | None:
        """A request's datagrams once more, or ``None`` where every try is used up (RFC 7296 section 2.4)."""
        if request.tries >= timing.retransmit_tries:
            return None
        request.tries += 1
        request.deadline = now + timing.wait(request.tries, fraction)
        return request.datagrams

    # The peer's requests.

    def standing(self, message_id: int) -> Standing:
        """Where a request of this id stands: within the window they may come in any order (RFC 7296 section 2.3)."""
        if message_id in self._answers:
            return Standing.REPEATED
        if message_id < self.next_incoming:
            return Standing.OLD
        return Standing.NEXT if message_id < self.next_incoming + self.takes else Standing.AHEAD

    def answer(self, message_id: int, request_fingerprint: bytes, datagrams: tuple[bytes, ...]) -> None:
        """Keep the response to a request. Those go that the peer has: it could not have asked this one without them."""
        self._answers[message_id] = (request_fingerprint, datagrams)
        while self.next_incoming in self._answers:
            self.next_incoming += 1
        newest = max(self._answers)
        for known in [known for known in self._answers if known <= newest - self.takes]:
            del self._answers[known]

    def answer_again(self, message_id: int, request_fingerprint: bytes) -> tuple[bytes, ...]:
        """The response as it was sent, for the very same request only; else nothing."""
        known, datagrams = self._answers.get(message_id, (b"", ()))
        return datagrams if request_fingerprint == known else ()

    def kept_answer(self, message_id: int) -> tuple[bytes, ...]:
        """The response as it was sent, whatever the request looked like; nothing where none is kept."""
        return self._answers.get(message_id, (b"", ()))[1]

    # How many at once.

    def announce(self, timing: Timing) -> list[Payload]:
        """SET_WINDOW_SIZE, where we take more than one request at once; from now on we do."""
        size = min(timing.window_size, MOST_AT_ONCE)
        if size <= 1:
            return []
        self.takes = size
        return [NotifyPayload(NotifyType.SET_WINDOW_SIZE, size.to_bytes(4, "big"))]

    def agree(self, message: Message) -> None:
        """The peer's SET_WINDOW_SIZE; one that makes no sense changes nothing."""
        notify = message.notify(NotifyType.SET_WINDOW_SIZE)
        if notify is not None and len(notify.data) == 4:
            self.peer_takes = max(1, min(int.from_bytes(notify.data, "big"), MOST_AT_ONCE))
