"""A data plane in a process of its own (so that it can live in a namespace), told what to do in lines of JSON.

Each line on stdin is ``[method, arguments]``; each answer on stdout is one line, ``["ok", value]`` or
``["error", text]``.
"""

from __future__ import annotations

import ctypes
import json
import logging
import sys
import time
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from fastesp.dataplane import ports
from fastesp.dataplane.base import (
    ChildSa,
    DataPlaneError,
    Lifetime,
    OuterPath,
    PolicyAction,
    SaHalf,
    SaMode,
    SaProtocol,
    Selector,
    Suite,
    TrapPolicy,
)
from fastesp.dataplane.userspace import UserspaceDataPlane
from fastesp.engine.suites import ENCRYPTION, INTEGRITY
from fastesp.io import sockets


class PlainKey(bytearray):
    """Key material of a test."""

    def wipe(self) -> None:
        self[:] = bytes(len(self))
        self.clear()


def selector(local: str, remote: str) -> Selector:
    """Of two ranges ``first-last``."""
    (a, b), (c, d) = (map(ip_address, text.split("-")) for text in (local, remote))
    return Selector(a, b, c, d)


def outer_path(path: list[Any]) -> OuterPath:
    return OuterPath(ip_address(path[0]), ip_address(path[1]), path[2], path[3])


def keys(suite: Suite, spi: int) -> tuple[bytes, bytes]:
    """Encryption key with its salt, and integrity key, of the SPI alone: two sides agree without speaking."""
    salt = ENCRYPTION[suite.encryption].salt if suite.encryption else 0
    auth = INTEGRITY[suite.integrity].key if suite.integrity else 0
    return bytes((spi * 7 + i) % 256 for i in range(suite.key_bits // 8 + salt)), bytes(
        (spi + i) % 256 for i in range(auth)
    )


def child(wanted: dict[str, Any]) -> ChildSa:
    """A CHILD_SA with such keys."""
    suite = Suite(*wanted.get("suite", ["aes-gcm-16", 256]))

    def half(spi: int) -> SaHalf:
        cipher, auth = keys(suite, spi)
        return SaHalf(spi, suite, PlainKey(cipher), PlainKey(auth) if suite.integrity else None)

    return ChildSa(
        name=wanted.get("name", "net"),
        child_id=wanted["child_id"],
        reqid=wanted.get("reqid", 1),
        protocol=SaProtocol(wanted.get("protocol", 50)),
        mode=SaMode(wanted.get("mode", "tunnel")),
        selectors=tuple(selector(*pair) for pair in wanted["selectors"]),
        path=outer_path(wanted["path"]),
        inbound=half(wanted["spi_in"]),
        outbound=half(wanted["spi_out"]),
        esn=wanted.get("esn", False),
        replay_window=wanted.get("replay_window", 32),
        lifetime=Lifetime(**wanted.get("lifetime", {})),
        tfc_padding=wanted.get("tfc_padding", 0),
        resource=wanted.get("resource", 0),
    )


class Kept(logging.Handler):
    """What was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Commands:
    """What a test may ask for."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._log = Kept()
        logging.getLogger("fastesp.dataplane.userspace").setLevel(logging.INFO)
        logging.getLogger("fastesp.dataplane.userspace").addHandler(self._log)
        if options.pop("without_bpf", False):
            ports.OBJECT = Path("/nonexistent/steer.bpf.o")
        self.plane = UserspaceDataPlane(**options)
        self._children: set[int] = set()
        self._traps: set[str] = set()
        self._base: dict[str, int] = {}

    def reset(self) -> None:
        """As if fresh: no SA, no trap, no event, counters that begin at zero."""
        for child_id in self._children:
            self.plane.remove(child_id)
        for name in self._traps:
            self.plane.clear_trap(name)
        self.plane.events()
        self.plane.receive_ike()
        self._base = self.plane.drops() | self.plane.io_figures()

    def _since_reset(self, counts: dict[str, int]) -> dict[str, int]:
        return {name: count - self._base.get(name, 0) for name, count in counts.items()}

    def name(self) -> str:
        return self.plane.tun_name

    def install(self, wanted: dict[str, Any], activate: bool = True) -> str:
        placement = self.plane.install(child(wanted))
        self._children.add(wanted["child_id"])
        if activate:
            self.plane.activate_outbound(wanted["child_id"])
        return " ".join((placement.where, *placement.why))

    def activate(self, child_id: int) -> None:
        self.plane.activate_outbound(child_id)

    def trap(self, name: str, reqid: int, selectors: list[list[str]], action: str = "trap") -> None:
        self._traps.add(name)
        pairs = tuple(selector(*pair) for pair in selectors)
        self.plane.set_trap(TrapPolicy(name, reqid, pairs, PolicyAction(action)))

    def move(self, child_id: int, path: list[Any]) -> None:
        self.plane.move(child_id, outer_path(path))

    def retire(self, child_id: int) -> None:
        self.plane.retire(child_id)

    def remove(self, child_id: int) -> None:
        self.plane.remove(child_id)

    def counters(self, child_id: int) -> dict[str, Any]:
        found = self.plane.counters(child_id)
        return {name: getattr(found, name) for name in type(found).__dataclass_fields__}

    def drops(self) -> dict[str, int]:
        return {label: count for label, count in self._since_reset(self.plane.drops()).items() if count}

    def figures(self) -> dict[str, int]:
        return self._since_reset(self.plane.io_figures())

    def workers(self) -> list[dict[str, int]]:
        return self.plane.worker_figures()

    def park(self, worker: int, seconds: float) -> None:
        """As a control plane does to change what a worker owns, and takes long for it."""
        workers = self.plane._workers
        with workers.parked(workers.pairs[worker].outbound, workers.pairs[worker].inbound):
            time.sleep(seconds)

    def logged(self) -> list[str]:
        return self._log.lines

    def set_df(self, on: bool) -> None:
        """Of the NAT-T socket, behind the worker's back."""
        value = sockets.PMTUDISC_DO if on else sockets.PMTUDISC_DONT
        self.plane._workers.pairs[0].ports.udp[4].setsockopt(0, sockets.IP_MTU_DISCOVER, value)

    def hold_the_gil(self, seconds: float) -> None:
        """As a control plane does that computes without end: no other Python of this process runs meanwhile."""
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))

    def events(self) -> list[list[str]]:
        return [[type(event).__name__, str(event)] for event in self.plane.events()]

    def send_ike(self, text: str, path: list[Any]) -> bool:
        return self.plane.send_ike(text.encode(), outer_path(path))

    def receive_ike(self) -> list[list[Any]]:
        return [
            [data.decode(), str(local), local_port, str(remote), remote_port]
            for data, local, local_port, remote, remote_port in self.plane.receive_ike()
        ]


def main() -> None:
    """Serve until stdin ends."""
    commands = None
    try:
        for line in sys.stdin:
            method, arguments = json.loads(line)
            try:
                if method == "start":
                    commands = Commands(arguments)
                    answer = ["ok", commands.name()]
                else:
                    answer = ["ok", getattr(commands, method)(*arguments)]
            except (DataPlaneError, KeyError, ValueError) as error:
                answer = ["error", str(error)]
            print(json.dumps(answer), flush=True)
    finally:
        if commands is not None:
            commands.plane.close()


if __name__ == "__main__":
    main()
