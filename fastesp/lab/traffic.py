"""Traffic with a result: ping, bytes over TCP that arrive as they were sent, and iperf3."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import threading
import time
from dataclasses import dataclass
from ipaddress import ip_address

from .errors import LabError
from .namespace import Namespace
from .topology import Lab

PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Pings:
    """What ping counted; times in milliseconds, 0.0 where nothing came back."""

    sent: int
    received: int
    minimum: float
    average: float
    maximum: float


def ping(
    source: Namespace, address: str, *, count: int = 3, interval: float = 0.2, size: int = 56, pattern: str = ""
) -> Pings:
    """Ping ``address``; returns the counts also where nothing comes back. ``pattern``: hex digits for the payload."""
    words = ["ping", "-n", "-c", str(count), "-i", f"{interval:g}", "-W", "2", "-s", str(size)]
    if pattern:
        words += ["-p", pattern]
    try:
        output = source.run(*words, address, timeout=count * interval + 30)
    except LabError as failed:
        output = str(failed)
    counts = re.search(r"(\d+) packets transmitted, (\d+) received", output)
    if counts is None:
        raise LabError(output)
    times = re.search(r"= ([\d.]+)/([\d.]+)/([\d.]+)/", output)
    minimum, average, maximum = (float(t) for t in times.groups()) if times else (0.0, 0.0, 0.0)
    return Pings(int(counts[1]), int(counts[2]), minimum, average, maximum)


@dataclass(frozen=True, slots=True)
class Transfer:
    """A TCP transfer that arrived whole."""

    size: int
    seconds: float

    @property
    def mbit_per_second(self) -> float:
        """Of payload."""
        return self.size * 8 / self.seconds / 1e6


def transfer(source: Namespace, sink: Namespace, sink_address: str, size: int, *, timeout: float = 120.0) -> Transfer:
    """Send ``size`` bytes over one TCP connection and check that the same bytes arrive; raises :class:`LabError`."""
    family = socket.AF_INET if ip_address(sink_address).version == 4 else socket.AF_INET6
    with sink.socket(family) as listener, source.socket(family) as sender:
        for end in (listener, sender):
            end.settimeout(timeout)
        listener.bind((sink_address, 0))
        listener.listen(1)
        sent: list[str] = []
        thread = threading.Thread(target=_send, args=(sender, listener.getsockname(), size, sent), daemon=True)
        begin = time.monotonic()
        thread.start()
        try:
            received, count = _receive(listener, timeout)
        except OSError as error:
            raise LabError(f"{source.role} to {sink.role}: {size} bytes over TCP: {error}") from error
        seconds = time.monotonic() - begin
        thread.join(timeout)
    if count != size or sent != [received]:
        raise LabError(f"{source.role} to {sink.role}: {count} of {size} bytes arrived, checksums differ")
    return Transfer(size, seconds)


def _send(sender: socket.socket, address: tuple[str, int], size: int, result: list[str]) -> None:
    """Random bytes, so that a piece delivered twice or left out shows; the end is a close."""
    piece = os.urandom(PIECE)
    digest = _digest()
    try:
        sender.connect(address)
        left = size
        while left:
            # A piece starts with what is left to send: no two are the same.
            part = (left.to_bytes(8, "big") + piece)[: min(left, PIECE)]
            sender.sendall(part)
            digest.update(part)
            left -= len(part)
        sender.shutdown(socket.SHUT_WR)
    except OSError as error:
        result.append(str(error))
        return
    result.append(digest.hexdigest())


def _digest() -> hashlib._Hash:
    """MD5: against accidents it serves, and under emulation it costs an eighth of SHA-256."""
    return hashlib.md5(usedforsecurity=False)


def _receive(listener: socket.socket, timeout: float) -> tuple[str, int]:
    connection, _ = listener.accept()
    digest, count = _digest(), 0
    with connection:
        connection.settimeout(timeout)
        while piece := connection.recv(PIECE):
            digest.update(piece)
            count += len(piece)
    return digest.hexdigest(), count


@dataclass(frozen=True, slots=True)
class Iperf:
    """An iperf3 run as its client saw it; ``sent`` counts datagrams; ``raw`` is iperf3's own JSON."""

    mbit_per_second: float
    lost_percent: float
    retransmits: int
    sent: int
    raw: dict[str, object]


def iperf(
    lab: Lab,
    source: Namespace,
    sink: Namespace,
    sink_address: str,
    *,
    seconds: float = 5.0,
    streams: int = 1,
    udp_mbit: float = 0.0,
    size: int = 0,
    omit: float = 0.0,
    reverse: bool = False,
) -> Iperf:
    """iperf3 from ``source`` to ``sink``: TCP, or UDP at ``udp_mbit`` Mbit/s. ``size`` is bytes a write or datagram."""
    server = lab.start(sink, ["iperf3", "--server", "--one-off", "--bind", sink_address, "--forceflush"], name="iperf3")
    try:
        server.wait_for("Server listening")
        words = ["iperf3", "--json", "--client", sink_address, "--time", f"{seconds:g}", "--parallel", str(streams)]
        words += ["--udp", "--bitrate", f"{udp_mbit * 1e6:.0f}"] if udp_mbit else []
        words += ["--length", str(size)] if size else []
        words += ["--omit", f"{omit:g}"] if omit else []
        words += ["--reverse"] if reverse else []
        raw = json.loads(source.run(*words, timeout=seconds + omit + 30))
    finally:
        server.stop()
    if "error" in raw:
        raise LabError(f"iperf3 {source.role} to {sink.role}: {raw['error']}")
    end = raw["end"]
    if udp_mbit:
        # What the server counted: of the datagrams sent, the share that was not lost.
        delivered = end["sum"]["bits_per_second"] * (1.0 - end["sum"]["lost_percent"] / 100.0)
        return Iperf(delivered / 1e6, end["sum"]["lost_percent"], 0, end["sum"]["packets"], raw)
    retransmits = int(end["sum_sent"].get("retransmits", 0))
    return Iperf(end["sum_received"]["bits_per_second"] / 1e6, 0.0, retransmits, 0, raw)
