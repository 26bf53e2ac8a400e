"""Numbered datagrams at a steady rate: what is lost, doubled or overtaken shows."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterable

from support.exchange import End

from fastesp.io.sockets import SO_RCVBUFFORCE

RATE = 4000
"""Datagrams a second: little enough that a busy machine loses none of its own accord."""
BURST = 20
SIZE = 1000


class Flow:
    """Datagrams that carry their numbers, from one end to the other at a fixed rate until it is stopped."""

    def __init__(self, source: End, target: End, rate: int = RATE) -> None:
        self.sent = 0
        self._rate = rate
        self.got: list[int] = []
        self._stop = threading.Event()
        self._out, self._in = source.socket(socket.SOCK_DGRAM), target.socket(socket.SOCK_DGRAM)
        self._in.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        self._in.settimeout(1.0)
        self._threads = [threading.Thread(target=self._send), threading.Thread(target=self._receive)]

    def __enter__(self) -> Flow:
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Send no more: for several flows that are to end together."""
        self._stop.set()

    def __exit__(self, *_: object) -> None:
        self.stop()
        for thread in self._threads:
            thread.join()
        self._out.close()
        self._in.close()

    def _send(self) -> None:
        to = self._in.getsockname()
        padding = bytes(SIZE - 8)
        start = time.monotonic()
        while not self._stop.is_set():
            due = int((time.monotonic() - start) * self._rate)
            # A sender that was held up does not make up for it all at once: that would be another load.
            for _ in range(min(due - self.sent, BURST)):
                self._out.sendto(struct.pack("!Q", self.sent) + padding, to)
                self.sent += 1
            time.sleep(0.002)

    def _receive(self) -> None:
        """Until nothing has come for a second after the sender has stopped."""
        while True:
            try:
                self.got.append(struct.unpack("!Q", self._in.recv(2048)[:8])[0])
            except TimeoutError:
                if self._stop.is_set():
                    return


def run_together(flows: Iterable[Flow], seconds: float) -> list[Flow]:
    """All at once for a while; returned when what they sent has arrived, or will not."""
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(flow) for flow in flows]
        time.sleep(seconds)
        for flow in running:
            flow.stop()
    return running
