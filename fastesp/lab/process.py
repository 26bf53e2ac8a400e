"""A program that runs beside us in a namespace: its log, waiting for what it says, and its end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .errors import LabError
from .namespace import Namespace

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""


def wait_until(true: Callable[[], bool], what: str, timeout: float, *, every: float = 0.05) -> None:
    """Poll until ``true()``; raises :class:`LabError` naming ``what`` after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not true():
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {timeout:g} s")
        time.sleep(every)


class Process:
    """Started on construction, leader of its own process group, standard output and error in ``log``."""

    def __init__(
        self,
        namespace: Namespace,
        argv: Sequence[str],
        log: Path,
        *,
        name: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name or Path(argv[0]).name
        self.namespace = namespace
        self.log = log
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                namespace.argv(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    def __repr__(self) -> str:
        return f"<Process {self.name} {self.pid} in {self.namespace.role}>"

    @property
    def pid(self) -> int:
        """Of the program itself: entering the namespace and it are one process."""
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """``None`` while it runs; minus the signal's number where one ended it."""
        return self._child.poll()

    def text(self) -> str:
        """All it printed so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self, lines: int = 20) -> str:
        """The last lines it printed."""
        return "\n".join(self.text().splitlines()[-lines:])

    def wait(self, timeout: float) -> int:
        """Wait for its end and return the exit code."""
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired as late:
            raise LabError(f"{self.name}: still running after {timeout:g} s; its log ends:\n{self.tail()}") from late

    def wait_for(self, pattern: str, timeout: float = 20.0, *, log: Path | None = None) -> re.Match[str]:
        """Wait until its output (or the file ``log``) matches ``pattern``; an early end of it fails at once."""
        deadline = time.monotonic() + timeout
        while True:
            ended = self.exit_code
            text = self.text() if log is None else (log.read_text(errors="replace") if log.exists() else "")
            found = re.search(pattern, text, re.MULTILINE)
            if found:
                return found
            if ended is not None:
                raise LabError(
                    f"{self.name}: ended with {ended} before it said {pattern!r}; its log ends:\n{self.tail()}"
                )
            if time.monotonic() > deadline:
                raise LabError(f"{self.name}: no {pattern!r} within {timeout:g} s; its log ends:\n{self.tail()}")
            time.sleep(0.05)

    def rss(self) -> int:
        """Resident memory in bytes; 0 once it ended."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return 0
        found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        return int(found[1]) * 1024 if found else 0

    def cpu_seconds(self) -> float:
        """User and system time that it has used, and what it ran and waited for (proc(5): utime to cstime)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")

    def signal(self, number: int) -> None:
        """Send a signal to the program alone."""
        if self.exit_code is None:
            os.kill(self.pid, number)

    def stop(self, grace: float = GRACE) -> int:
        """End it and what it started: SIGTERM to it, after ``grace`` seconds SIGKILL to its group. Idempotent."""
        if self.exit_code is None:
            self.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(grace)
        # The group outlives its leader where the program left children behind.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self._child.wait()
