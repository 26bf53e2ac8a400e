"""Workers that stop between two batches, at once, late or never, and go on."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from fastesp.engine import Engine, Verdict
from fastesp.io import worker
from fastesp.io.coalesce import TunWriter
from fastesp.io.inbound import Inbound
from fastesp.io.mailbox import Mailbox
from fastesp.io.receive import UdpReceiver
from fastesp.lab.process import wait_until


class Working:
    """A worker over a socket; its thread runs once it is started."""

    def __init__(self) -> None:
        self.bell = os.eventfd(0, os.EFD_NONBLOCK)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(("127.0.0.1", 0))
        receiver = UdpReceiver(self.socket.fileno(), 4500, Mailbox(4096, self.bell))
        engine = Engine(max_sas=2, max_policies=2, flows=2)
        self.worker = Inbound(engine, Mailbox(4096, self.bell), [receiver], TunWriter(-1))
        self.thread = threading.Thread(target=self.worker.run, daemon=True)

    def works(self) -> None:
        """It takes what comes."""
        before = self.taken()
        self.socket.sendto(b"\xff", self.socket.getsockname())
        wait_until(lambda: self.taken() == before + 1, "a keepalive counted", 5.0)

    def taken(self) -> int:
        return int(self.worker.counters[Verdict.KEEPALIVE])

    def close(self) -> None:
        self.worker.stop()
        if self.thread.ident is not None:
            self.thread.join(5)
        assert not self.thread.is_alive()
        self.socket.close()
        os.close(self.bell)


@pytest.fixture
def working() -> Iterator[Working]:
    made = Working()
    yield made
    made.close()


def test_a_parked_worker_takes_nothing_until_it_goes_on(working: Working) -> None:
    working.thread.start()
    for _ in range(50):
        working.works()
        working.worker.park()
        working.socket.sendto(b"\xff", working.socket.getsockname())
        before = working.taken()
        time.sleep(0.002)
        assert working.taken() == before
        working.worker.resume()
        wait_until(lambda before=before: working.taken() == before + 1, "the one that waited", 5.0)


def test_a_worker_that_could_not_park_in_time_goes_on(working: Working, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as impatient:
        impatient.setattr(worker, "PARK_SECONDS", 0.05)
        for _ in range(3):
            with pytest.raises(TimeoutError, match=r"did not park within 0\.05 s"):
                working.worker.park()
    working.thread.start()
    working.works()
    # What it may have said to the ones that were given up is no answer to this one.
    working.worker.park()
    working.socket.sendto(b"\xff", working.socket.getsockname())
    before = working.taken()
    time.sleep(0.02)
    assert working.taken() == before
    working.worker.resume()
    wait_until(lambda: working.taken() == before + 1, "the one that waited", 5.0)


def test_many_turns_of_parking_never_find_it_at_work(working: Working, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some are given up at once, whether it has parked by then or not."""
    working.thread.start()
    with ThreadPoolExecutor(1) as pool:
        stop = threading.Event()
        sender = pool.submit(send_until, working, stop)
        try:
            for turn in range(400):
                monkeypatch.setattr(worker, "PARK_SECONDS", 0.0 if turn % 2 else 5.0)
                try:
                    working.worker.park()
                except TimeoutError:
                    assert turn % 2
                    continue
                before = working.taken()
                time.sleep(0.001)
                assert working.taken() == before
                working.worker.resume()
        finally:
            stop.set()
            sender.result()
    working.works()


def send_until(working: Working, stop: threading.Event) -> None:
    while not stop.wait(0.0005):
        working.socket.sendto(b"\xff", working.socket.getsockname())


def test_a_parked_worker_can_be_stopped(working: Working) -> None:
    working.thread.start()
    working.worker.park()
    working.worker.stop()
    working.thread.join(5)
    assert not working.thread.is_alive()
