"""Two data planes in two namespaces with a wire between them, keys made by hand: ESP without IKE."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = itertools.count()
OUTER = {"a": ("203.0.113.10", "2001:db8::10"), "b": ("203.0.113.20", "2001:db8::20")}
INNER = {"a": ("10.10.0.1", "fd10::1"), "b": ("10.20.0.1", "fd20::1")}
RANGES = {"a": ("10.10.0.0-10.10.0.255", "fd10::-fd10::ffff"), "b": ("10.20.0.0-10.20.0.255", "fd20::-fd20::ffff")}


def run(*command: str, check: bool = True, timeout: float = 60) -> str:
    """The output of a command; its error output in the exception."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Plane:
    """One side: its namespace and its process."""

    def __init__(self, side: str, namespace: str, **options: Any) -> None:
        self.side = side
        self.namespace = namespace
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, sys.executable, "-m", "support.plane_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        )
        self.tun = self._ask("start", {"tun_name": f"esp-{side}", **options})
        for inner in INNER[side]:
            self.ip("addr", "add", inner, "dev", self.tun, *(["nodad"] if ":" in inner else []))
        for network in ("10.20.0.0/24", "fd20::/112") if side == "a" else ("10.10.0.0/24", "fd10::/112"):
            self.ip("route", "add", network, "dev", self.tun)

    def __getattr__(self, method: str) -> Any:
        return lambda *arguments: self._ask(method, arguments)

    def _ask(self, method: str, arguments: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([method, arguments]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"data plane {self.side} has ended with {self._process.wait(10)}")
        kind, value = json.loads(line)
        if kind == "error":
            raise RuntimeError(value)
        return value

    @property
    def pid(self) -> int:
        return self._process.pid

    def ip(self, *arguments: str) -> str:
        return run("ip", "-n", self.namespace, *arguments)

    def run(self, *command: str, **options: Any) -> str:
        """A command inside the namespace."""
        return run("ip", "netns", "exec", self.namespace, *command, **options)

    def start(self, *command: str) -> subprocess.Popen[str]:
        """A command inside the namespace that goes on; whoever starts it ends it."""
        return subprocess.Popen(["ip", "netns", "exec", self.namespace, *command], stdout=subprocess.PIPE, text=True)

    def ping(self, target: str, *options: str) -> str:
        return self.run("ping", "-c", "1", "-W", "3", *options, target)

    def events_named(self, name: str, seconds: float = 3.0) -> list[str]:
        """Events of one kind, waited for."""
        until = time.monotonic() + seconds
        found: list[str] = []
        while not found and time.monotonic() < until:
            found = [text for kind, text in self.events() if kind == name]
            time.sleep(0.02)
        return found

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise


class Pair:
    """Both sides. Names hold the process id, so that several runs do not meet."""

    def __init__(self, a: Plane, b: Plane) -> None:
        self.a = a
        self.b = b

    def connect(self, child_id: int = 1, *, udp: bool = True, version: int = 4, **fields: Any) -> None:
        """Install a CHILD_SA on both sides; ``fields`` as :func:`support.plane_process.child` takes them."""
        for side in (self.b, self.a):
            side.install(self.wanted(side, child_id, udp=udp, version=version, **fields))

    def wanted(
        self, side: Plane, child_id: int = 1, *, udp: bool = True, version: int = 4, **fields: Any
    ) -> dict[str, Any]:
        """The CHILD_SA as one side sees it."""
        peer = "b" if side.side == "a" else "a"
        index = 0 if version == 4 else 1
        port = 4500 if udp else 0
        spis = {"a": 0x11000000 + child_id, "b": 0x22000000 + child_id}
        return {
            "child_id": child_id,
            "selectors": [[RANGES[side.side][i], RANGES[peer][i]] for i in (0, 1)],
            "path": [OUTER[side.side][index], OUTER[peer][index], port, port],
            "spi_in": spis[side.side],
            "spi_out": spis[peer],
            **fields,
        }


@contextlib.contextmanager
def planes(mtu: int = 1500, **options: Any) -> Iterator[Pair]:
    """The pair; everything is gone afterwards, whatever happened."""
    number = next(NUMBERS)
    names = {side: f"fesp-io-{os.getpid()}-{number}{side}" for side in "ab"}
    with contextlib.ExitStack() as stack:
        for name in names.values():
            run("ip", "netns", "add", name)
            stack.callback(run, "ip", "netns", "del", name, check=False)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", names["a"], "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", names["b"])
        for side, name in names.items():
            run("ip", "-n", name, "addr", "add", f"{OUTER[side][0]}/24", "dev", "wire")
            run("ip", "-n", name, "addr", "add", f"{OUTER[side][1]}/64", "dev", "wire", "nodad")
            run("ip", "-n", name, "link", "set", "wire", "mtu", str(mtu), "up")
        both = []
        for side, name in names.items():
            both.append(Plane(side, name, **options))
            stack.callback(both[-1].close)
        yield Pair(*both)
