"""``updown``: a script of the operator's, run when a CHILD_SA comes up and when it goes, with strongSwan's environment.

Nothing here makes the gateway wait. Scripts of one child run in the order in which it came and went; a few children's
run side by side; one that takes too long is ended with all that it started. What a script prints goes to the log, and
so does its failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from ipaddress import ip_network
from typing import NamedTuple

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ike.status import ChildSaInfo, IkeSaInfo
from ike.wire.constants import ProtocolId
from ike.wire.selectors import Address, TrafficSelector

from .logbook import Logbook, clean
from .tunnels import Tunnel

logger = logging.getLogger("fastesp.child")

TIME_LIMIT = 30.0
"""Seconds that one run of a script may take."""

AT_ONCE = 8
"""Scripts that run side by side."""

MOST_WAITING = 64
"""Runs of one child's script that wait. A peer may make it come and go as fast as it likes."""

GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL."""

OUTPUT = 16 * 1024
"""Bytes of a script's output that are logged; what comes beyond is read and dropped."""

PIPE = 64 * 1024
"""Bytes that the kernel keeps of what was written and not yet read (pipe(7))."""

ICMP = (1, 58)

Environment = dict[str, str]
Interface = Callable[[Address], Awaitable[str]]


def environments(
    verb: str, ike: IkeSaInfo, child: ChildSaInfo, tunnel: Tunnel, interface: str
) -> Iterator[Environment]:
    """The variables of each run: one for each pair of selectors, as strongSwan's updown plugin has it."""
    config = tunnel.config
    common = {
        "PLUTO_VERSION": "1.1",
        "PLUTO_CONNECTION": config.name,
        "PLUTO_INTERFACE": config.interface or interface or "unknown",
        "PLUTO_REQID": str(tunnel.reqid),
        "PLUTO_PROTO": "ah" if child.protocol == ProtocolId.AH else "esp",
        "PLUTO_UNIQUEID": str(ike.ike_id),
        "PLUTO_ME": str(ike.path.local),
        "PLUTO_MY_ID": clean(str(ike.local_id)),
        "PLUTO_PEER": str(ike.path.remote),
        "PLUTO_PEER_ID": clean(str(ike.remote_id)),
    }
    for side, (value, mask) in (("IN", config.mark_in), ("OUT", config.mark_out)):
        if value:
            common[f"PLUTO_MARK_{side}"] = f"{value}/0x{mask:08x}"
    for side, number in (("IN", config.if_id_in), ("OUT", config.if_id_out)):
        if number:
            common[f"PLUTO_IF_ID_{side}"] = str(number)
    if child.udp_encap:
        common["PLUTO_UDP_ENC"] = str(ike.path.remote_port)
    if config.hostaccess:
        common["PLUTO_HOST_ACCESS"] = "1"
    for ours in child.local_ts:
        for theirs in child.remote_ts:
            if ours.version == theirs.version and (
                ours.protocol == theirs.protocol or 0 in (ours.protocol, theirs.protocol)
            ):
                yield common | _of_pair(verb, ike.path.local, ours, theirs)


def _of_pair(verb: str, me: Address, ours: TrafficSelector, theirs: TrafficSelector) -> Environment:
    what = "host" if ours.start == ours.end == me else "client"
    my_port, peer_port = ours.start_port, theirs.start_port
    if max(ours.protocol, theirs.protocol) in ICMP:
        # Type and code share the port field (RFC 7296 section 3.13.1).
        both = max(my_port, peer_port)
        my_port, peer_port = both >> 8, both & 0xFF
    return {
        "PLUTO_VERB": f"{verb}-{what}{'-v6' if ours.version == 6 else ''}",
        "PLUTO_MY_CLIENT": _subnet(ours),
        "PLUTO_MY_PORT": str(my_port),
        "PLUTO_MY_PROTOCOL": str(ours.protocol),
        "PLUTO_PEER_CLIENT": _subnet(theirs),
        "PLUTO_PEER_PORT": str(peer_port),
        "PLUTO_PEER_PROTOCOL": str(theirs.protocol),
    }


def _subnet(selector: TrafficSelector) -> str:
    """The smallest network that holds the whole range."""
    unlike = (int(selector.start) ^ int(selector.end)).bit_length()
    return str(ip_network((selector.start, selector.start.max_prefixlen - unlike), strict=False))


async def interface_of(address: Address) -> str:
    """The name of the interface that has ``address``; empty where none has."""
    async with AsyncIPRoute() as netlink:
        async for message in await netlink.addr("dump"):
            if (message.get("local") or message.get("address")) == str(address):
                return socket.if_indextoname(message["index"])
    return ""


class _Due(NamedTuple):
    """A script that is to be run, for each pair of selectors."""

    verb: str
    ike: IkeSaInfo
    child: ChildSaInfo
    tunnel: Tunnel


class Updown:
    """Runs them. ``say`` is the log."""

    def __init__(
        self, logbook: Logbook, *, time_limit: float = TIME_LIMIT, interface: Interface = interface_of
    ) -> None:
        self._logbook = logbook
        self._time_limit = time_limit
        self._interface = interface
        self._places = asyncio.Semaphore(AT_ONCE)
        self._waiting: dict[str, deque[_Due]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._behind: set[str] = set()

    def came(self, ike: IkeSaInfo | None, child: ChildSaInfo | None, tunnel: Tunnel) -> None:
        """A CHILD_SA is up that replaces none."""
        self._begin("up", ike, child, tunnel)

    def went(self, ike: IkeSaInfo | None, child: ChildSaInfo | None, tunnel: Tunnel) -> None:
        """A CHILD_SA went, and nothing took its place."""
        self._begin("down", ike, child, tunnel)

    async def finish(self) -> None:
        """Until every script has ended that was asked for: none takes longer than its limit."""
        while self._workers:
            await asyncio.gather(*self._workers.values(), return_exceptions=True)

    def _begin(self, verb: str, ike: IkeSaInfo | None, child: ChildSaInfo | None, tunnel: Tunnel) -> None:
        if not tunnel.config.updown or ike is None or child is None:
            return
        name = tunnel.name
        waiting = self._waiting.setdefault(name, deque())
        if len(waiting) >= MOST_WAITING and waiting[-1].verb != verb:
            # It came and went faster than the script tells of it: the last of those undoes this one.
            waiting.pop()
            if name not in self._behind:
                self._behind.add(name)
                self._say(
                    tunnel,
                    ike.ike_id,
                    0,
                    f"updown script of {name} is too slow: runs that undo each other are left out",
                )
            return
        waiting.append(_Due(verb, ike, child, tunnel))
        if name not in self._workers:
            self._workers[name] = asyncio.get_running_loop().create_task(self._work(name, waiting))

    async def _work(self, name: str, waiting: deque[_Due]) -> None:
        """One child's runs, one after the other."""
        try:
            while waiting:
                due = waiting.popleft()
                try:
                    await self._do(due)
                except Exception:
                    logger.exception("internal error at the updown script of %s", name)
        finally:
            self._behind.discard(name)
            del self._waiting[name], self._workers[name]

    async def _do(self, due: _Due) -> None:
        ike, tunnel = due.ike, due.tunnel
        interface = ""
        with contextlib.suppress(OSError, NetlinkError):
            interface = await self._interface(ike.path.local)
        for environment in environments(due.verb, ike, due.child, tunnel, interface):
            async with self._places:
                trouble = await self._run(tunnel, ike.ike_id, environment)
            if trouble:
                where = tunnel.config.where.get("updown", "")
                text = f"updown script for {environment['PLUTO_VERB']} of {tunnel.name} {trouble}"
                self._say(tunnel, ike.ike_id, 0, f"{where}: {text}" if where else text)

    async def _run(self, tunnel: Tunnel, ike_id: int, environment: Mapping[str, str]) -> str:
        """One run, to its end; what went wrong, or an empty text."""
        with _Output() as output:
            try:
                process = await asyncio.create_subprocess_shell(
                    tunnel.config.updown,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output.end,
                    stderr=output.end,
                    env={"PATH": os.environ.get("PATH", os.defpath), **environment},
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                return f"cannot be run: {error.strerror}"
            output.started()
            try:
                async with asyncio.timeout(self._time_limit):
                    code = await process.wait()
            except TimeoutError:
                await _end(process)
                return (
                    f"is not done after {self._time_limit:g} s, and was ended: put into the background what takes long"
                )
            for line in output.text().splitlines():
                self._say(tunnel, ike_id, 1, f"updown: {line}")
        return f"ended with exit code {code}" if code else ""

    def _say(self, tunnel: Tunnel, ike_id: int, level: int, text: str) -> None:
        self._logbook.say("CHD", level, text, connection=tunnel.connection, ike_id=ike_id)


class _Output:
    """A pipe for what a script prints: the first bytes are kept, all is read, and nobody waits for its other end."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._loop = asyncio.get_running_loop()
        self._read, self.end = os.pipe()
        os.set_blocking(self._read, False)

    def __enter__(self) -> _Output:
        self._loop.add_reader(self._read, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        self.started()
        self._loop.remove_reader(self._read)
        os.close(self._read)

    def started(self) -> None:
        """The script has its own copy of the writing end by now."""
        if self.end >= 0:
            os.close(self.end)
            self.end = -1

    def text(self) -> str:
        """What came by the time the script has ended. What it left running may write on: that is not waited for."""
        self._take()
        return self._kept.decode(errors="replace")

    def _take(self) -> None:
        """All that a pipe can hold."""
        try:
            piece = os.read(self._read, PIPE)
        except BlockingIOError:
            return
        self._kept += piece[: OUTPUT - len(self._kept)]
        if not piece:
            self._loop.remove_reader(self._read)


async def _end(process: asyncio.subprocess.Process) -> None:
    """The script and what it started, which is a session of its own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await process.wait()
