"""One network namespace: its addresses, routes and settings, commands run in it, and sockets opened in it."""

from __future__ import annotations

import ctypes
import os
import shlex
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import ip_interface
from pathlib import Path

from .errors import LabError

NETNS_DIRECTORY = Path("/run/netns")
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def command(argv: Sequence[str], *, timeout: float = 60.0, stdin: str | None = None) -> str:
    """Run ``argv`` to its end and return what it printed; raises :class:`LabError` with both outputs where it fails.

    In a session of its own: Ctrl-C reaches this program alone, which then ends the command itself.
    """
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=timeout, start_new_session=True, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise LabError(f"{shlex.join(argv)}: not done after {timeout:g} s") from late
    except FileNotFoundError as missing:
        raise LabError(f"{argv[0]}: not installed; `make build` installs what the lab needs") from missing
    if done.returncode != 0:
        said = (done.stderr + done.stdout).strip()
        raise LabError(f"{shlex.join(argv)}: exit code {done.returncode}: {said}")
    return done.stdout


class Namespace:
    """A network namespace that belongs to a lab. Made and deleted by :class:`~fastesp.lab.topology.Lab`."""

    def __init__(self, name: str, role: str) -> None:
        self.name = name
        self.role = role

    def __repr__(self) -> str:
        return f"<Namespace {self.name}>"

    @property
    def path(self) -> Path:
        """Where the kernel's handle of it is mounted."""
        return NETNS_DIRECTORY / self.name

    def argv(self, argv: Sequence[str]) -> list[str]:
        """``argv`` as it runs in here. It ends with the thread that started it, even where that one is killed."""
        return ["ip", "netns", "exec", self.name, "setpriv", "--pdeathsig", "TERM", *argv]

    def run(self, *argv: str, timeout: float = 60.0, stdin: str | None = None) -> str:
        """Run a command in here to its end; see :func:`command`."""
        return command(self.argv(argv), timeout=timeout, stdin=stdin)

    def ip(self, *words: str) -> str:
        """``ip WORDS`` in here."""
        return command(["ip", "-n", self.name, *words])

    def address(self, device: str, *interfaces: str) -> None:
        """Give ``device`` addresses (``10.0.0.1/24``, ``2001:db8::1/64``; usable at once) and bring it up."""
        for text in interfaces:
            extra = ["nodad"] if ip_interface(text).version == 6 else []
            self.ip("address", "add", text, "dev", device, *extra)
        self.ip("link", "set", "dev", device, "up")

    def route(self, destination: str, *, via: str | None = None, device: str | None = None) -> None:
        """A route; with both ``via`` and ``device`` the next hop need not be in a subnet of ours."""
        words = [destination]
        if via is not None:
            words += ["via", via]
        if device is not None:
            words += ["dev", device]
        if via is not None and device is not None:
            words += ["onlink"]
        self.ip("route", "replace", *words)

    def sysctl(self, settings: Mapping[str, str]) -> None:
        """Set ``net.*`` settings of this namespace, written with dots."""
        with self.entered():
            for key, value in settings.items():
                Path("/proc/sys", *key.split(".")).write_text(value)

    def forward(self) -> None:
        """Make it a router, of packets whose way back may lead elsewhere."""
        self.sysctl(
            {
                "net.ipv4.ip_forward": "1",
                "net.ipv6.conf.all.forwarding": "1",
                "net.ipv4.conf.all.rp_filter": "0",
                "net.ipv4.conf.default.rp_filter": "0",
            }
        )

    def masquerade(self, device: str) -> None:
        """Translate the source of what leaves through ``device`` (NAPT, ports may change)."""
        chain = f'type nat hook postrouting priority 100\n oifname "{device}" masquerade'
        self.run("nft", "-f", "-", stdin=f"table ip nat {{\n chain out {{\n {chain}\n }}\n}}\n")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread alone is in here for the time of the block: sockets it opens stay in here for good."""
        with open("/proc/thread-self/ns/net") as home, open(self.path) as here:
            _setns(here.fileno(), self.name)
            try:
                yield
            finally:
                _setns(home.fileno(), "the namespace we came from")

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> socket.socket:
        """A socket of this namespace, for use from this program."""
        with self.entered():
            return socket.socket(family, kind, protocol)

    def pids(self) -> list[int]:
        """The processes that live in here."""
        return [int(pid) for pid in command(["ip", "netns", "pids", self.name]).split()]


def _setns(fd: int, what: str) -> None:
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        raise LabError(f"cannot enter {what}: {os.strerror(ctypes.get_errno())}")
