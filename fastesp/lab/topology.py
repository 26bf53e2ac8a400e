"""A lab: namespaces, wires between them and programs in them, all gone when the ``with`` block ends, in any way."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import itertools
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

from .errors import LabError, Terminated
from .namespace import NETNS_DIRECTORY, Namespace, command
from .process import Process

RUN_DIRECTORY = Path("/run/fastesp-lab")
"""One directory a lab, named for it. The lab holds a lock on its file ``lock``: who can take it, found a stale lab."""

PREFIX = "fastesp-"
_numbers = itertools.count(1)


class Lab:
    """Namespaces and programs under one name. Several labs live side by side, in one process or in many.

    ``directory`` holds logs and state and goes away with the lab. Cleans up after an exception, Ctrl-C, SIGTERM and at
    the interpreter's exit; what a SIGKILL left behind is recognised and removed by :func:`sweep`.
    """

    def __init__(self, name: str) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,30}", name):
            raise LabError(f"lab name {name!r}: lower-case letters, digits and hyphens, at most 31 of them")
        self.id = f"{name}-{os.getpid()}-{next(_numbers)}"
        self.directory = RUN_DIRECTORY / self.id
        self.namespaces: dict[str, Namespace] = {}
        self.processes: list[Process] = []
        self._closers: list[Callable[[], None]] = []
        self._lock: IO[str] | None = None
        self._open = False

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            raise LabError("the lab makes network namespaces and needs root: run the same command with sudo")
        unwind_on_signals()
        atexit.register(self.close)
        try:
            self._open = True
            self._lock = _claim(self.directory)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def namespace(self, role: str) -> Namespace:
        """A new namespace, known as ``role`` in this lab, with its loopback up."""
        if role in self.namespaces:
            raise LabError(f"the lab {self.id} has a {role!r} already")
        space = Namespace(f"{PREFIX}{self.id}-{role}", role)
        self.namespaces[role] = space
        with _signals_later():
            command(["ip", "netns", "add", space.name])
        space.ip("link", "set", "dev", "lo", "up")
        return space

    def wire(self, a: Namespace, a_device: str, b: Namespace, b_device: str, *, mtu: int = 1500) -> None:
        """A veth pair from ``a`` to ``b``; both ends are up once they have an address."""
        ends = [a_device, "mtu", str(mtu), "netns", a.name, "type", "veth", "peer", "name", b_device]
        command(["ip", "link", "add", *ends, "mtu", str(mtu), "netns", b.name])

    def start(
        self, namespace: Namespace, argv: Sequence[str], *, name: str = "", environment: Mapping[str, str] | None = None
    ) -> Process:
        """A program in ``namespace``; it logs to a file of its own in ``directory`` and is stopped with the lab."""
        name = name or Path(argv[0]).name
        log = self.directory / f"{len(self.processes):02}-{namespace.role}-{name}.log"
        process = Process(namespace, argv, log, name=name, environment=environment)
        self.processes.append(process)
        return process

    def on_close(self, closer: Callable[[], None]) -> None:
        """Call ``closer`` when the lab ends, the latest first, before programs are stopped. It must be idempotent."""
        self._closers.append(closer)

    def logs(self, lines: int = 40) -> str:
        """The tail of every program's log, for a failure report."""
        parts = []
        for file in sorted(self.directory.rglob("*.log")):
            tail = "\n".join(file.read_text(errors="replace").splitlines()[-lines:])
            parts.append(f"== {file.name}\n{tail}")
        return "\n".join(parts)

    def close(self) -> None:
        """Stop everything and delete everything. Idempotent; signals wait until it is done."""
        if not self._open:
            return
        with _signals_ignored():
            for closer in reversed(self._closers):
                with contextlib.suppress(Exception):
                    closer()
            for process in reversed(self.processes):
                process.stop()
            _remove(self.id)
            if self._lock is not None:
                self._lock.close()
            self._open = False
        atexit.unregister(self.close)


def stale() -> list[str]:
    """Names of labs whose owner is gone. One that is being set up has a dot before its name, and is not looked at."""
    return [lab.name for lab in sorted(RUN_DIRECTORY.glob("[!.]*")) if not _is_held(lab)]


def sweep() -> list[str]:
    """Remove what stale labs left behind, processes in their namespaces included; returns their names."""
    names = stale()
    for name in names:
        _remove(name)
    return names


def _claim(directory: Path) -> IO[str]:
    """Make the lab's directory and take its lock, in one step as far as others can see."""
    RUN_DIRECTORY.mkdir(mode=0o755, parents=True, exist_ok=True)
    fresh = RUN_DIRECTORY / f".{directory.name}"
    fresh.mkdir(mode=0o700)
    lock = (fresh / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    fresh.rename(directory)
    return lock


def _is_held(directory: Path) -> bool:
    try:
        with (directory / "lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _remove(lab_id: str) -> None:
    """Kill who still lives in the lab's namespaces, delete those by their name, then the directory."""
    for path in sorted(NETNS_DIRECTORY.glob(f"{PREFIX}{lab_id}-*")):
        space = Namespace(path.name, path.name)
        with contextlib.suppress(LabError):
            _end_all(space)
        with contextlib.suppress(LabError):
            command(["ip", "netns", "delete", space.name])
    for directory in (RUN_DIRECTORY / lab_id, RUN_DIRECTORY / f".{lab_id}"):
        shutil.rmtree(directory, ignore_errors=True)


def _end_all(space: Namespace) -> None:
    """SIGTERM, then SIGKILL, to the processes of a namespace that is ours."""
    for number, seconds in ((signal.SIGTERM, 1.0), (signal.SIGKILL, 2.0)):
        deadline = time.monotonic() + seconds
        pids = [pid for pid in space.pids() if pid != os.getpid()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while pids and time.monotonic() < deadline:
            time.sleep(0.05)
            pids = [pid for pid in space.pids() if pid != os.getpid()]
        if not pids:
            return


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def unwind_on_signals() -> None:
    """Turn SIGTERM and SIGHUP into an exception, unless the program has its own ways."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _unwind)


def _unwind(number: int, _frame: FrameType | None) -> None:
    raise Terminated(number)


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    """An impatient second Ctrl-C must not leave half of the clean-up undone."""
    with _handled(signal.SIG_IGN):
        yield


@contextlib.contextmanager
def _signals_later() -> Iterator[None]:
    """A command that was started and left alone would go on, and make what the clean-up has already looked for."""
    arrived: list[int] = []
    try:
        with _handled(lambda number, _frame: arrived.append(number)):
            yield
    finally:
        if arrived:
            signal.raise_signal(arrived[0])


@contextlib.contextmanager
def _handled(handler: signal.Handlers | Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Signals go to ``handler`` within; where another thread than the first one asks, they stay as they are."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
