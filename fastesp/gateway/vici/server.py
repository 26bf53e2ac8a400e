"""The VICI socket: whoever may open it commands the gateway, and nobody on it can make the gateway wait.

The way of a command:
1. :class:`ViciServer` accepts a client, at most :data:`MAX_CLIENTS` of them; one more waits a moment for its place.
2. :class:`Client` reads packet by packet, each with a bounded length and, once begun, a bounded time.
3. Packets are served one after the other (VICI has no sequence numbers); a few may wait, then the socket fills up.
4. A command runs its handler; what it streams and answers is written while the client keeps reading.

A client that reads slowly loses events first (they are dropped and counted), and the connection once it stops reading
answers. Each kind of trouble is logged once a minute at most, however many clients make it.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import logging
import os
import pwd
import socket
import stat
import struct
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .codec import (
    MAX_PACKET,
    Message,
    Packet,
    PacketType,
    ViciError,
    pull_message,
    pull_packet,
    push_message,
    push_packet,
)

log = logging.getLogger("fastesp.vici")

MAX_CLIENTS = 256
"""Connections at a time; whoever comes then is turned away after :data:`PLACE_TIMEOUT`."""

PLACE_TIMEOUT = 0.5
"""Seconds for which a client waits for the place of another one that leaves."""

MAX_WAITING = 4
"""Packets of one client that wait for their turn."""

PACKET_TIMEOUT = 30.0
"""Seconds between the first byte of a packet and its last."""

WRITE_TIMEOUT = 30.0
"""Seconds for which a client may refuse to read an answer."""

GRACE = 2.0
"""Seconds that a command still gets once its client is gone."""

EVENT_BUFFER = 1024 * 1024
"""Bytes unread by a client from which on its events are dropped."""

READ_BUFFER = 64 * 1024

LOG_INTERVAL = 60.0

EVENTS = frozenset(
    (
        "log",
        "control-log",
        "list-sa",
        "list-policy",
        "list-conn",
        "list-cert",
        "list-authority",
        "list-failure",
        "ike-updown",
        "ike-rekey",
        "ike-update",
        "child-updown",
        "child-rekey",
        "alert",
    )
)
"""What a client may register for; a server may be given more."""


class RefusedError(Exception):
    """A command's answer is no: becomes ``success = no``, ``errmsg``, and ``code`` and ``outcome`` where given.

    ``outcome`` is ``refused``, ``timeout``, ``not-found`` or ``failed``; ``code`` one that ``fastesp explain`` knows;
    ``details`` are further keys of the answer.
    """

    def __init__(
        self, message: str, *, code: str = "", outcome: str = "", details: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.outcome = outcome
        self.details = dict(details or {})

    def as_message(self) -> dict[str, object]:
        """The answer."""
        message: dict[str, object] = {"success": False, "errmsg": str(self)}
        if self.code:
            message["code"] = self.code
        if self.outcome:
            message["outcome"] = self.outcome
        return message | self.details


class ClientLeftError(ConnectionError):
    """Nobody reads any more; a handler need not catch it."""


class AddressInUseError(OSError):
    """Another daemon answers on the socket."""


@dataclass(frozen=True, slots=True)
class Request:
    """A command as its handler gets it. ``message`` holds ``bytes``, lists of them, and sections."""

    command: str
    message: Message
    client: Client = field(repr=False)

    async def stream(self, event: str, message: Mapping[str, object]) -> bool:
        """Send an event to this client alone, waiting while it is slow; ``False`` where it did not register for it."""
        return await self.client.stream(event, message)

    def emit(self, event: str, message: Mapping[str, object]) -> bool:
        """The same at once: dropped where the client is slow. For callbacks that cannot wait."""
        return self.client.emit(event, message)


Handler = Callable[[Request], Awaitable[Mapping[str, object]]]
"""Answers a command, or raises :class:`RefusedError`. It is cancelled a moment after its client left: what it
waits for then goes on without it."""


class Complaints:
    """Says each kind of trouble once in :data:`LOG_INTERVAL`, and how often it happened in between."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self._kept_back: dict[str, int] = {}

    def say(self, kind: str, detail: str) -> None:
        """``kind`` is one of ours, ``detail`` may hold what a client sent."""
        now = time.monotonic()
        if now - self._last.get(kind, -LOG_INTERVAL) < LOG_INTERVAL:
            self._kept_back[kind] = self._kept_back.get(kind, 0) + 1
            return
        self._last[kind] = now
        before = self._kept_back.pop(kind, 0)
        suffix = f" ({before} more like it in the last minute)" if before else ""
        log.warning("VICI client %s: %s%s", kind, detail, suffix)


class ViciServer:
    """A VICI socket at ``path`` and the clients on it.

    ``mode``, ``owner`` and ``group`` say who may connect. ``start`` takes the place of a socket that nobody serves any
    more and raises :class:`AddressInUseError` where somebody does.
    """

    def __init__(
        self,
        path: str | Path,
        handlers: Mapping[str, Handler],
        *,
        mode: int = 0o660,
        owner: str | None = None,
        group: str | None = None,
        events: frozenset[str] = EVENTS,
    ) -> None:
        self.path = Path(path)
        self.handlers = handlers
        self.events = events
        self.complaints = Complaints()
        self.dropped_events = 0
        self._mode = mode
        self._owner = owner
        self._group = group
        self._clients: set[Client] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting: asyncio.Task[None] | None = None
        self._place = asyncio.Event()
        self._inode: tuple[int, int] | None = None

    async def start(self) -> None:
        """Listen."""
        listener = _bind(self.path, self._mode, self._owner, self._group)
        status = self.path.stat()
        self._inode = (status.st_dev, status.st_ino)
        self._accepting = asyncio.create_task(self._accept(listener))

    async def close(self) -> None:
        """Stop listening, end every client, and remove the socket if it is still ours."""
        tasks = [*self._tasks, *((self._accepting,) if self._accepting is not None else ())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(OSError):
            status = self.path.stat()
            if (status.st_dev, status.st_ino) == self._inode:
                self.path.unlink()

    def emit(self, event: str, message: Mapping[str, object]) -> None:
        """Send an event to every client that registered for it; never waits."""
        listening = [client for client in self._clients if event in client.registered]
        if not listening:
            return
        try:
            packet = push_packet(Packet(PacketType.EVENT, event, push_message(message)))
        except ValueError as error:
            self.complaints.say("gets no event", f"{event}: {error}")
            return
        for client in listening:
            client.send_event(packet)

    def wanted(self, event: str) -> bool:
        """Whether any client registered for it: spares putting the message together."""
        return any(event in client.registered for client in self._clients)

    @property
    def client_count(self) -> int:
        """Connections open."""
        return len(self._clients)

    async def _accept(self, listener: socket.socket) -> None:
        """Take one client after the other, for ever."""
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    stream, _ = await loop.sock_accept(listener)
                except OSError as error:
                    self.complaints.say("cannot be taken", f"{error.strerror}; trying again")
                    await asyncio.sleep(PLACE_TIMEOUT)
                    continue
                if not await self._has_place():
                    self.complaints.say("turned away", f"there are {MAX_CLIENTS} of them already")
                    stream.close()
                    continue
                await self._take(stream)

    async def _has_place(self) -> bool:
        if len(self._clients) >= MAX_CLIENTS:
            self._place.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PLACE_TIMEOUT):
                    await self._place.wait()
        return len(self._clients) < MAX_CLIENTS

    async def _take(self, stream: socket.socket) -> None:
        """A new client, served by a task of its own."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(READ_BUFFER)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, stream)
        client = Client(self, reader, asyncio.StreamWriter(transport, protocol, reader, loop))
        self._clients.add(client)
        task = asyncio.create_task(client.serve())
        self._tasks.add(task)

        def left(ended: asyncio.Task[None]) -> None:
            self._tasks.discard(ended)
            self._clients.discard(client)
            self._place.set()

        task.add_done_callback(left)


class Client:
    """One connection."""

    def __init__(self, server: ViciServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.registered: set[str] = set()
        self._server = server
        self._reader = reader
        self._writer = writer
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_WAITING)
        self._gone = asyncio.Event()
        self._name = _peer_name(writer)

    async def serve(self) -> None:
        """Until the client leaves, misbehaves, or the server closes."""
        worker = asyncio.create_task(self._work())
        reading = asyncio.create_task(self._read())
        try:
            # Reading first ends where the client leaves; what it sent before is served still, then the worker ends too.
            await asyncio.wait((worker, reading), return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                await worker
            self._writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(GRACE):
                    await self._writer.wait_closed()
        finally:
            self._gone.set()
            worker.cancel()
            reading.cancel()
            for result in await asyncio.gather(worker, reading, return_exceptions=True):
                if isinstance(result, Exception):
                    log.error("serving %s broke; the gateway goes on", self._name, exc_info=result)
            self._writer.transport.abort()

    async def stream(self, event: str, message: Mapping[str, object]) -> bool:
        """See :meth:`Request.stream`."""
        if event not in self.registered:
            return False
        await self._send(Packet(PacketType.EVENT, event, push_message(message)))
        return True

    def emit(self, event: str, message: Mapping[str, object]) -> bool:
        """See :meth:`Request.emit`."""
        if event not in self.registered:
            return False
        return self.send_event(push_packet(Packet(PacketType.EVENT, event, push_message(message))))

    def send_event(self, packet: bytes) -> bool:
        """Write an event, or drop it where the client does not keep up."""
        if self._writer.transport.get_write_buffer_size() + len(packet) > EVENT_BUFFER:
            self._server.dropped_events += 1
            self._server.complaints.say("is slow", f"{self._name} does not read its events; they are dropped")
            return False
        self._writer.write(packet)
        return True

    async def _read(self) -> None:
        """Packets into the queue, until the client leaves or breaks the rules."""
        try:
            while True:
                first = await self._reader.readexactly(1)
                async with asyncio.timeout(PACKET_TIMEOUT):
                    size = int.from_bytes(first + await self._reader.readexactly(3), "big")
                    if not 0 < size <= MAX_PACKET:
                        raise ViciError(f"a packet of {size} bytes; there are 1 to {MAX_PACKET}")
                    packet = await self._reader.readexactly(size)
                await self._waiting.put(packet)
        except ViciError as error:
            self._server.complaints.say("is refused", f"{self._name}: {error}")
        except TimeoutError:
            self._server.complaints.say("is silent", f"{self._name} left a packet half sent for {PACKET_TIMEOUT:.0f} s")
        except (OSError, asyncio.IncompleteReadError):
            pass
        self._gone.set()
        await self._waiting.put(None)

    async def _work(self) -> None:
        """One packet after the other."""
        while (data := await self._waiting.get()) is not None:
            try:
                await self._serve_packet(pull_packet(data))
            except ViciError as error:
                self._server.complaints.say("is refused", f"{self._name}: {error}")
                return
            except ClientLeftError:
                return

    async def _serve_packet(self, packet: Packet) -> None:
        if packet.type == PacketType.CMD_REQUEST:
            await self._serve_command(packet)
        elif packet.type in (PacketType.EVENT_REGISTER, PacketType.EVENT_UNREGISTER):
            known = packet.name in self._server.events
            if packet.type == PacketType.EVENT_UNREGISTER:
                self.registered.discard(packet.name)
            elif known:
                self.registered.add(packet.name)
            await self._send(Packet(PacketType.EVENT_CONFIRM if known else PacketType.EVENT_UNKNOWN))
        else:
            raise ViciError(f"a packet of type {packet.type.name} from a client")

    async def _serve_command(self, packet: Packet) -> None:
        message = pull_message(packet.message)
        handler = self._server.handlers.get(packet.name)
        if handler is None:
            await self._send(Packet(PacketType.CMD_UNKNOWN))
            return
        answer = await self._run(handler, Request(packet.name, message, self))
        if answer is not None:
            await self._send(Packet(PacketType.CMD_RESPONSE, "", answer))

    async def _run(self, handler: Handler, request: Request) -> bytes | None:
        """The handler's answer; ``None`` where the client left before there was one."""
        task = asyncio.ensure_future(answer_of(handler, request))
        left = asyncio.create_task(self._gone.wait())
        try:
            await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await asyncio.wait((task,), timeout=GRACE)
            return task.result() if task.done() else None
        finally:
            left.cancel()
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _send(self, packet: Packet) -> None:
        """Write, and wait until the client has read most of what is there. Raises :class:`ClientLeftError`."""
        self._writer.write(push_packet(packet))
        try:
            async with asyncio.timeout(WRITE_TIMEOUT):
                await self._writer.drain()
        except TimeoutError:
            self._server.complaints.say("is slow", f"{self._name} does not read its answer; disconnected")
            raise ClientLeftError("the client does not read") from None
        except OSError as error:
            raise ClientLeftError(str(error)) from None


async def answer_of(handler: Handler, request: Request) -> bytes:
    """A handler's answer as bytes; a handler that breaks has refused."""
    try:
        answer = push_message(await handler(request))
        if len(answer) >= MAX_PACKET:
            raise RefusedError(f"the answer has {len(answer)} bytes; VICI carries {MAX_PACKET}")
        return answer
    except ClientLeftError:
        raise
    except RefusedError as refused:
        return push_message(refused.as_message())
    except OSError as error:
        return push_message(RefusedError(str(error)).as_message())
    except Exception:
        log.exception("the VICI command %s broke; the gateway goes on", request.command)
        return push_message(RefusedError("internal error: see the gateway's log", outcome="failed").as_message())


def _bind(path: Path, mode: int, owner: str | None, group: str | None) -> socket.socket:
    """A listening socket with its final access rights from the first moment on."""
    _clear_way(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot open the VICI socket {path}: {error.strerror}") from None
    finally:
        os.umask(before)
    try:
        os.chown(path, _uid(owner), _gid(group))
        path.chmod(mode)
        listener.listen(MAX_CLIENTS)
        listener.setblocking(False)
    except OSError:
        listener.close()
        path.unlink(missing_ok=True)
        raise
    return listener


def _clear_way(path: Path) -> None:
    """Remove the socket of a daemon that is gone; anything else at its place stays."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise FileExistsError(f"{path} is there and is no socket: name another place for the VICI socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
    raise AddressInUseError(f"another daemon serves {path}: stop it, or give this gateway another --socket")


def _uid(owner: str | None) -> int:
    """A user's number; -1 leaves it."""
    if not owner:
        return -1
    if owner.isdigit():
        return int(owner)
    try:
        return pwd.getpwnam(owner).pw_uid
    except KeyError:
        raise OSError(f"there is no user {owner!r} to own the VICI socket") from None


def _gid(group: str | None) -> int:
    """A group's number; -1 leaves it."""
    if not group:
        return -1
    if group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise OSError(f"there is no group {group!r} for the VICI socket") from None


def _peer_name(writer: asyncio.StreamWriter) -> str:
    """Process and user at the other end, for the log."""
    peer: socket.socket = writer.get_extra_info("socket")
    try:
        pid, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    except OSError:
        return "a client"
    return f"process {pid} of user {uid}"
