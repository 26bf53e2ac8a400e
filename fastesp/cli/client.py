"""The gateway's control socket from the other side: the PyPI ``vici`` package, with answers kept whole.

``vici.Session`` turns a refusal into an exception that holds its text alone; a command here needs ``code`` and
``outcome`` too, for its exit code. So the packets are asked for one level below, with the same package.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import vici
from vici.protocol import Message, Packet

from .exits import CommandError, Exit, refusal

Answer = dict[str, Any]
"""A VICI message as text: ``str``, lists of them, and sections."""

CONNECT_TIMEOUT = 5.0


class GatewayClient:
    """A connection to a gateway; a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = _connect(path)
        self._session = vici.Session(self._socket)
        self.answer: Answer = {}
        """What the command behind the last :meth:`stream` answered, once that is used up."""

    def __enter__(self) -> GatewayClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def request(self, command: str, message: Mapping[str, object] | None = None, *, what: str = "") -> Answer:
        """The answer to a command; a refusal raises :class:`CommandError` that begins with ``what``."""
        with self._lost():
            self._session.transport.send(Packet.request(command, Message.serialize(message or {})))
            while (packet := Packet.parse(self._session.transport.receive())).response_type == Packet.EVENT:
                pass
            return self._checked(packet, command, what)

    def stream(
        self, command: str, event: str, message: Mapping[str, object] | None = None, *, what: str = ""
    ) -> Iterator[Answer]:
        """The events that a command sends; at their end its answer is in :attr:`answer`, or a refusal raised."""
        for entry in self.stream_raw(command, event, message, what=what):
            yield _as_text(entry)

    def stream_raw(
        self, command: str, event: str, message: Mapping[str, object] | None = None, *, what: str = ""
    ) -> Iterator[Answer]:
        """The same with values as bytes, for what is no text."""
        with self._lost():
            self._register(event)
            self._session.transport.send(Packet.request(command, Message.serialize(message or {})))
            while (packet := Packet.parse(self._session.transport.receive())).response_type == Packet.EVENT:
                yield Message.deserialize(packet.payload)
            self.answer = self._checked(packet, command, what)

    def listen(self, *events: str) -> Iterator[tuple[str, Answer]]:
        """Every event of these kinds, until the gateway goes."""
        with self._lost():
            for event in events:
                self._register(event)
            while True:
                packet = Packet.parse(self._session.transport.receive())
                if packet.response_type == Packet.EVENT:
                    yield packet.event_type.decode(), _as_text(Message.deserialize(packet.payload))

    def _register(self, event: str) -> None:
        self._session.transport.send(Packet.register_event(event))
        while (packet := Packet.parse(self._session.transport.receive())).response_type == Packet.EVENT:
            pass
        if packet.response_type != Packet.EVENT_CONFIRM:
            raise CommandError(Exit.FAILED, f"the daemon behind {self.path} knows no event {event!r}")

    def _checked(self, packet: Any, command: str, what: str) -> Answer:
        if packet.response_type == Packet.CMD_UNKNOWN:
            raise CommandError(Exit.FAILED, f"the daemon behind {self.path} knows no command {command!r}")
        answer: Answer = _as_text(Message.deserialize(packet.payload))
        if answer.get("success", "yes") != "yes":
            raise refusal(answer, what or command)
        return answer

    @contextlib.contextmanager
    def _lost(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CommandError(
                Exit.UNREACHABLE,
                f"the gateway at {self.path} went away: {error.strerror or error}",
                code="gateway-unreachable",
                hint="look at its log; start it with: fastesp gateway -c FILE",
            ) from None


def _connect(path: Path) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX)
    try:
        _await_turn(stream, path)
    except OSError as error:
        stream.close()
        hint = {
            PermissionError: "run it as root, or as a member of the group that the socket belongs to",
            FileNotFoundError: "start it with: fastesp gateway -c FILE; or name its socket with --socket",
        }.get(type(error), "is it running? start it with: fastesp gateway -c FILE")
        raise CommandError(
            Exit.UNREACHABLE,
            f"no gateway answers at {path}: {error.strerror or error}",
            code="gateway-unreachable",
            hint=hint,
        ) from None
    return stream


def _await_turn(stream: socket.socket, path: Path) -> None:
    """Connect; where the gateway has more clients waiting than it takes, try again for a while."""
    end = time.monotonic() + CONNECT_TIMEOUT
    stream.setblocking(False)
    while True:
        try:
            stream.connect(str(path))
        except BlockingIOError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            stream.setblocking(True)
            return


def _as_text(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_text(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_text(inner) for inner in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
