"""What ours and strongSwan have in common: a directory, a process, and VICI. Who drives one can drive the other."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import vici
from vici.exception import CommandException, SessionException
from vici.protocol import Transport

from .errors import LabError
from .namespace import Namespace
from .pki import SwanctlDirectory
from .process import Process, wait_until
from .topology import Lab


class RefusedError(LabError):
    """A VICI command that the peer answered with ``success = no``; ``lines`` is its control-log."""

    def __init__(self, command: str, why: str, lines: list[str]) -> None:
        super().__init__(f"{command}: {why}")
        self.lines = lines


@dataclass(frozen=True, slots=True)
class ChildSa:
    """An installed CHILD_SA, as list-sas tells it."""

    name: str
    unique_id: str
    encap: bool
    bytes_in: int
    packets_in: int
    bytes_out: int
    packets_out: int
    spi_in: int
    spi_out: int
    raw: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class IkeSa:
    """An IKE SA, as list-sas tells it. ``children`` holds those that are installed."""

    name: str
    unique_id: str
    state: str
    children: tuple[ChildSa, ...]
    raw: Mapping[str, object]


class _Transport(Transport):  # type: ignore[misc]  # the library has no types
    """The library's, for a program that Ctrl-C may end."""

    def receive(self, *timeout: float) -> bytes:
        """A packet. What was read of one when Ctrl-C comes is lost, and so is the place where the next one begins."""
        try:
            packet: bytes = super().receive(*timeout)
        except KeyboardInterrupt:
            self.socket.close()
            raise
        return packet


class Peer:
    """A gateway in a namespace, driven over VICI. A subclass says how it starts and takes its configuration."""

    kind = "peer"

    def __init__(self, lab: Lab, namespace: Namespace, *, name: str = "") -> None:
        self.lab = lab
        self.namespace = namespace
        self.directory = lab.directory / f"{namespace.role}-{name or self.kind}"
        self.directory.mkdir(parents=True)
        self.swanctl = SwanctlDirectory(self.directory / "swanctl")
        self.socket_path = self.directory / "vici"
        self.process: Process | None = None

    def start(self) -> None:
        """Start it, wait until it answers, and give it its configuration."""
        raise LabError(f"{type(self).__name__} is not a gateway that can be started")

    def stop(self) -> None:
        """End it the polite way (it may delete its SAs with the peer)."""
        if self.process is not None:
            self.process.stop()

    def log(self) -> str:
        """All it logged so far."""
        return "" if self.process is None else self.process.text()

    @contextlib.contextmanager
    def session(self, timeout: float = 60.0) -> Iterator[vici.Session]:
        """A VICI connection for the time of the block."""
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(timeout)
            stream.connect(str(self.socket_path))
            session = vici.Session(stream)
            session.transport = _Transport(stream)
            try:
                yield session
            except (SessionException, OSError) as confused:
                # Ctrl-C within an answer: the library still wants to end its stream, and complains of what it finds.
                if isinstance(confused.__context__, KeyboardInterrupt):
                    raise confused.__context__ from None
                raise

    def initiate(self, child: str, *, timeout: float = 30.0) -> list[str]:
        """Bring a CHILD_SA up and return the control-log; raises :class:`RefusedError`."""
        return self._logged("initiate", {"child": child}, timeout)

    def terminate(self, *, child: str = "", ike: str = "", timeout: float = 15.0) -> list[str]:
        """Delete SAs by name, the whole IKE SA or one CHILD_SA."""
        return self._logged("terminate", {"child": child} if child else {"ike": ike}, timeout)

    def ike_sas(self) -> list[IkeSa]:
        """All IKE SAs, half-open ones included."""
        with self.session() as session:
            return [_ike_sa(name, sa) for entry in session.list_sas() for name, sa in entry.items()]

    def children(self) -> list[str]:
        """The names of all installed CHILD_SAs."""
        return [child.name for sa in self.ike_sas() for child in sa.children]

    def child_sa(self, name: str) -> ChildSa:
        """The one installed CHILD_SA of that name."""
        found = [child for sa in self.ike_sas() for child in sa.children if child.name == name]
        if len(found) != 1:
            raise LabError(f"{self.kind} in {self.namespace.role}: {len(found)} CHILD_SAs named {name!r}, expected one")
        return found[0]

    def wait_child(self, name: str, timeout: float = 20.0) -> ChildSa:
        """Wait until a CHILD_SA is installed."""
        self._wait(
            lambda: any(c.name == name for sa in self.ike_sas() for c in sa.children), f"CHILD_SA {name}", timeout
        )
        return self.child_sa(name)

    def wait_no_child(self, timeout: float = 10.0) -> None:
        """Wait until no CHILD_SA is installed."""
        self._wait(lambda: not self.children(), "the end of all CHILD_SAs", timeout)

    def wait_nothing(self, timeout: float = 10.0) -> None:
        """Wait until no IKE SA is left."""
        self._wait(lambda: not self.ike_sas(), "the end of all IKE SAs", timeout)

    def _wait(self, true: Callable[[], bool], what: str, timeout: float) -> None:
        wait_until(true, f"{self.kind} in {self.namespace.role}: {what}", timeout, every=0.1)

    def _logged(self, command: str, message: dict[str, object], timeout: float) -> list[str]:
        """A command that streams control-log. VICI's timeout is in milliseconds; ours waits a little longer."""
        lines: list[str] = []
        words = {**message, "timeout": str(int(timeout * 1000)), "loglevel": "1"}
        with self.session(timeout + 10.0) as session:
            try:
                for event in getattr(session, command)(words):
                    lines.append(event["msg"].decode(errors="replace"))
            except CommandException as refused:
                raise RefusedError(f"{self.kind}: {command} {message}", str(refused), lines) from refused
        return lines


def _ike_sa(name: str, sa: Mapping[str, object]) -> IkeSa:
    children = sa.get("child-sas", {})
    assert isinstance(children, Mapping)
    installed = [c for c in children.values() if c.get("state") in (b"INSTALLED", b"REKEYED")]
    return IkeSa(name, _text(sa, "uniqueid"), _text(sa, "state"), tuple(map(_child_sa, installed)), sa)


def _child_sa(child: Mapping[str, object]) -> ChildSa:
    return ChildSa(
        name=_text(child, "name"),
        unique_id=_text(child, "uniqueid"),
        encap=_text(child, "encap") == "yes",
        bytes_in=int(_text(child, "bytes-in") or 0),
        packets_in=int(_text(child, "packets-in") or 0),
        bytes_out=int(_text(child, "bytes-out") or 0),
        packets_out=int(_text(child, "packets-out") or 0),
        spi_in=int(_text(child, "spi-in") or "0", 16),
        spi_out=int(_text(child, "spi-out") or "0", 16),
        raw=child,
    )


def _text(values: Mapping[str, object], key: str) -> str:
    value = values.get(key, b"")
    assert isinstance(value, bytes)
    return value.decode()
