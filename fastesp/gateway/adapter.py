"""asyncio around an :class:`ike.endpoint.Endpoint`: datagrams, timers and events, and nothing that IKE knows better.

After whatever may have moved the endpoint (a datagram, a timer, a command) comes one :meth:`IkeAdapter.poke`: it sends
what is to be sent, hands out what happened, and sets the timer anew.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Sequence
from typing import Protocol

from ike.endpoint import Endpoint
from ike.events import Event, Path
from ike.wire.selectors import Address

logger = logging.getLogger("fastesp.net")

MISTAKE_INTERVAL = 60.0
"""Seconds in which the same mistake is logged once."""

HOLD_AT_MOST = 0.2
"""Seconds for which a message may wait until routes stand."""


class IkeTransport(Protocol):
    """Where IKE datagrams come and go, less their non-ESP marker: the data plane, which owns the NAT-T socket."""

    @property
    def ike_fd(self) -> int:
        """Readable while datagrams wait."""
        ...

    def receive_ike(self) -> Sequence[tuple[bytes, Address, int, Address, int]]:
        """A bounded number of them with local and remote address and port; never waits."""
        ...

    def send_ike(self, data: bytes, path: Path) -> bool:
        """False where the kernel refuses."""
        ...


class Mistakes:
    """Logs what should not come about, each kind once in a while: who knows of one may bring it about at will."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._said: dict[tuple[type[Exception], str], float] = {}
        self._unsaid = 0

    def say(self, where: str, error: Exception) -> None:
        """With the way that led there."""
        trace = traceback.extract_tb(error.__traceback__)
        kind = type(error), f"{trace[-1].filename}:{trace[-1].lineno}" if trace else ""
        now = self._clock()
        if now - self._said.get(kind, -MISTAKE_INTERVAL) < MISTAKE_INTERVAL:
            self._unsaid += 1
            return
        self._said[kind] = now
        more = f" ({self._unsaid} more before it)" if self._unsaid else ""
        self._unsaid = 0
        logger.error("internal error at %s%s", where, more, exc_info=error)


class IkeAdapter:
    """Owns no protocol state. ``on_event`` is called for each event in order and may give the endpoint commands."""

    def __init__(
        self,
        endpoint: Endpoint,
        transport: IkeTransport,
        on_event: Callable[[Event], None],
        *,
        clock: Callable[[], float],
    ) -> None:
        self.endpoint = endpoint
        self.clock = clock
        self._transport = transport
        self._on_event = on_event
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._poking = False
        self._mistakes = Mistakes(clock)
        self._held_since: float | None = None
        self.may_send: Callable[[], bool] = lambda: True
        """Whether the host is ready for what the next message lets the peer do; :meth:`poke` again once it is."""

    def start(self) -> None:
        """Listen from now on, in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._transport.ike_fd, self._readable)

    def stop(self) -> None:
        """Listen no longer. The transport stays its owner's."""
        if self._loop is None:
            return
        self._loop.remove_reader(self._transport.ike_fd)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._loop = None

    def poke(self) -> None:
        """Send, hand out, set the timer. From within ``on_event`` it leaves all that to the outer one."""
        if self._poking:
            return
        self._poking = True
        try:
            self._drain()
        finally:
            self._poking = False
        self._rearm()

    def _drain(self) -> None:
        going = True
        while going:
            # Events first: an SA must be able to receive before the message goes out that lets the peer send on it.
            going = self._hand_out()
            if self._holds():
                continue
            for data, path in self.endpoint.datagrams_to_send(self.clock()):
                self._send(data, path)
                going = True

    def _holds(self) -> bool:
        """Whether messages wait for the host; never for long, and then not for what came meanwhile."""
        now = self.clock()
        if self.may_send():
            self._held_since = None
            return False
        if self._held_since is None:
            self._held_since = now
        if now - self._held_since < HOLD_AT_MOST:
            return True
        self._held_since = now
        return False

    def _hand_out(self) -> bool:
        """All events, each acted on; whether there were any."""
        any_event = False
        while (event := self.endpoint.next_event()) is not None:
            any_event = True
            try:
                self._on_event(event)
            except Exception as error:
                # One event that cannot be handled must not keep the next ones from being handled.
                self._mistakes.say(type(event).__name__, error)
        return any_event

    def _send(self, data: bytes, path: Path) -> None:
        if self._transport.send_ike(data, path):
            logger.log(15, "sent %d bytes: %s", len(data), path)
        else:
            # As if the wire had lost it: the endpoint sends again in its own time.
            logger.info("the kernel does not send %d bytes over %s", len(data), path)

    def _readable(self) -> None:
        now = self.clock()
        for data, local, local_port, remote, remote_port in self._transport.receive_ike():
            path = Path(local, local_port, remote, remote_port)
            try:
                self.endpoint.receive_datagram(data, path, now)
            except Exception as error:
                # A mistake of ours, which somebody may know: it must not cost others their datagrams and timers.
                self._mistakes.say(f"{len(data)} bytes: {path}", error)
        self.poke()

    def _due(self) -> None:
        self._timer = None
        try:
            self.endpoint.handle_timeout(self.clock())
        except Exception as error:
            self._mistakes.say("a timer", error)
        self.poke()

    def _rearm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        when = self.endpoint.next_timeout()
        if self._held_since is not None:
            held = self._held_since + HOLD_AT_MOST
            when = held if when is None else min(when, held)
        if when is not None and self._loop is not None:
            self._timer = self._loop.call_later(max(0.0, when - self.clock()), self._due)
