"""The demo holds, and Ctrl-C at any moment of it leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fastesp.lab.namespace import NETNS_DIRECTORY
from fastesp.lab.topology import RUN_DIRECTORY, sweep

pytestmark = pytest.mark.root

MOMENTS = [
    "Two sites",
    "A public-key infrastructure",
    "The configuration of site a",
    "Both gateways start",
    r"b \| .*is trapped",
    "Host a pings host b",
    "IKE_SA_INIT request",
    "What crossed the wire so far",
    "iperf3 through the tunnel",
    "a to b:",
    "fastesp status",
    "Delete it from site a",
]


class Demo:
    """A running demo, and what it has printed."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-u", "-m", "fastesp.lab.demo", "--seconds", "1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.pid = self._child.pid
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self.lines.append(line)

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def wait_for(self, pattern: str) -> None:
        """Until a line matches; a demo that ends before fails the test."""
        deadline = time.monotonic() + 60
        while not re.search(pattern, self.text):
            assert self._child.poll() is None, f"ended before {pattern!r}:\n{self.text}"
            assert time.monotonic() < deadline, f"no {pattern!r}:\n{self.text}"
            time.sleep(0.005)

    def interrupt(self) -> None:
        """As a terminal does it: to the whole foreground process group."""
        os.killpg(self.pid, signal.SIGINT)

    def wait(self) -> int:
        try:
            code = self._child.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self._child.wait()
            sweep()
            raise
        self._reader.join(5)
        return code

    def left(self) -> list[str]:
        """Namespaces, directories and processes of this demo."""
        name = f"demo-{self.pid}-"
        files = [p.name for d in (NETNS_DIRECTORY, RUN_DIRECTORY) for p in d.iterdir() if name in p.name]
        return files + [line for line in command_lines() if name in line]


def command_lines() -> list[str]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def test_the_demo_holds_and_leaves_nothing() -> None:
    demo = Demo()
    assert demo.wait() == 0, demo.text
    for said in (
        "5 of 5 came back",
        "x ESP",
        "Nothing else: checked, packet by packet.",
        "nowhere on the wire",
        "Mbit/s",
        "INSTALLED, tunnel: 10.10.0.0/24 === 10.20.0.0/24",
        "No SA is left on either side.",
        "All of it held.",
    ):
        assert said in demo.text
    assert demo.left() == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_at_any_moment_of_the_demo_leaves_nothing(moment: str) -> None:
    demo = Demo()
    demo.wait_for(moment)
    demo.interrupt()
    assert demo.wait() == 130, demo.text
    assert "everything the demo made is gone" in demo.text
    assert demo.left() == []


def test_ctrl_c_before_anything_was_said_leaves_nothing() -> None:
    for delay in (0.05, 0.2, 0.4, 0.6):
        demo = Demo()
        time.sleep(delay)
        demo.interrupt()
        assert demo.wait() != 0
        assert demo.left() == []


def test_sigterm_is_as_good_as_ctrl_c() -> None:
    demo = Demo()
    demo.wait_for("iperf3 through the tunnel")
    os.kill(demo.pid, signal.SIGTERM)
    assert demo.wait() == 128 + signal.SIGTERM, demo.text
    assert demo.left() == []
