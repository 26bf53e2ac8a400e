"""A capture of a wire, and the checked statement that only IPsec crosses it."""

from __future__ import annotations

import re
import signal
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

from .errors import LabError
from .frames import Fragments, classify, packets
from .namespace import Namespace
from .topology import Lab

ALLOWED = frozenset({"ESP", "ESP in UDP", "IKE", "NAT keepalive", "ARP", "neighbour discovery"})
"""What may be seen on the wire between two gateways."""

SNAPLEN = 160
"""Bytes kept of a packet: enough to classify it; ``whole=True`` keeps all, to look for plaintext."""

SETTLE = 0.2
"""Seconds given to tcpdump to write down what has just crossed."""


class Capture:
    """tcpdump on one device from construction to :meth:`stop`. Usable as a context manager."""

    def __init__(self, lab: Lab, namespace: Namespace, device: str, *, whole: bool = False) -> None:
        self.device = device
        self.role = namespace.role
        self.file = lab.directory / f"{namespace.role}-{device}.pcap"
        self._dropped = 0
        size = "0" if whole else str(SNAPLEN)
        # Immediate mode: what the kernel still holds back when tcpdump is ended would be lost.
        words = ["tcpdump", "-i", device, "-n", "-s", size, "-B", "32768", "-U", "--immediate-mode", "-Z", "root"]
        words += ["-w", str(self.file)]
        self._process = lab.start(namespace, words, name="tcpdump")
        self._process.wait_for("listening on")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the capture; idempotent."""
        if self._process.exit_code is None:
            time.sleep(SETTLE)
            self._process.signal(signal.SIGINT)
            self._process.wait(10.0)
            said = re.search(r"(\d+) packets? dropped by kernel", self._process.text())
            self._dropped = int(said[1]) if said else 0

    def summary(self) -> Counter[str]:
        """Packets by what they are; what is not of :data:`ALLOWED` says its addresses and protocol."""
        fragments: Fragments = {}
        return Counter(classify(data, link, fragments) for link, data in packets(self.file))

    def check(self, *, dropped_allowed: bool = False) -> Counter[str]:
        """Stop, and raise :class:`LabError` unless only ESP and IKE (and ARP and its IPv6 sister) crossed the wire.

        A capture that the kernel could not keep up with proves nothing, and fails too unless ``dropped_allowed``.
        """
        self.stop()
        seen = self.summary()
        foreign = {what: count for what, count in seen.items() if what not in ALLOWED}
        if foreign:
            listed = ", ".join(f"{count} x {what}" for what, count in foreign.items())
            raise LabError(f"{self.device} of {self.role}: crossed the wire and is neither ESP nor IKE: {listed}")
        if self._dropped and not dropped_allowed:
            raise LabError(f"{self.device} of {self.role}: tcpdump missed {self._dropped} packets; nothing is proven")
        return seen

    def contains(self, text: bytes) -> bool:
        """Whether these bytes stand in any packet that was kept."""
        return any(text in data for _, data in packets(Path(self.file)))
