"""What a worker takes from a socket at a time: bounded, whatever somebody sends."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from fastesp.engine import Engine, Verdict
from fastesp.io.coalesce import TunWriter
from fastesp.io.inbound import Inbound
from fastesp.io.mailbox import Mailbox
from fastesp.io.receive import UdpReceiver


class Way:
    """A socket's way in, with no thread that goes it."""

    def __init__(self) -> None:
        self.bell = os.eventfd(0, os.EFD_NONBLOCK)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(("127.0.0.1", 0))
        self.peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.peer.connect(self.socket.getsockname())
        self.ike = Mailbox(1 << 16, self.bell)
        self.receiver = UdpReceiver(self.socket.fileno(), 4500, self.ike)
        engine = Engine(max_sas=2, max_policies=2, flows=2)
        self.inbound = Inbound(engine, Mailbox(4096, self.bell), [self.receiver], TunWriter(-1))

    def close(self) -> None:
        self.socket.close()
        self.peer.close()
        os.close(self.bell)


@pytest.fixture
def way() -> Iterator[Way]:
    made = Way()
    yield made
    made.close()


@pytest.mark.parametrize("datagram", [b"\xff", bytes(40), b"short"], ids=["keepalive", "ike", "truncated"])
def test_datagrams_that_end_in_the_receiver_are_taken_by_the_system_call(way: Way, datagram: bytes) -> None:
    """Else whoever sends them without end keeps the worker from everything else."""
    for _ in range(150):
        way.peer.send(datagram)
    calls = []
    while way.receiver.look():
        calls.append(way.receiver.calls)
    assert calls == [1, 2, 3]
    counted = int(way.inbound.counters.sum()) + len(way.ike.drain())
    assert counted == 150


def test_a_batch_holds_what_one_system_call_brought(way: Way) -> None:
    for number in range(70):
        way.peer.send(b"\1\2\3\4" + bytes([number]) * 40)
    assert way.receiver.look()
    assert way.receiver.batch.count == 64
    assert way.receiver.look()
    assert way.receiver.batch.count == 6
    assert way.receiver.batch.data(5) == b"\1\2\3\4" + bytes([69]) * 40
    assert not way.receiver.look()
    assert way.inbound.counters[Verdict.TRUNCATED] == 0
