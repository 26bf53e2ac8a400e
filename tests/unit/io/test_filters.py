"""The kernel hands packets to the worker that owns their SA, by programs that need no privilege."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from fastesp.io import filters, sockets

WORKERS = 3
SPIS = (0x0010_0000, 0x0020_0001, 0x0030_0002, 0xFFF0_0000, 0x0000_0100)


def test_buckets_are_dealt_out_in_turn() -> None:
    assert [filters.owner_of(bucket << 20 | 0xFFFFF, WORKERS) for bucket in range(5)] == [0, 1, 2, 0, 1]
    assert filters.owner_of(0x1234_5678, 1) == 0


@pytest.fixture
def group() -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        listeners: list[socket.socket] = []
        for number in range(WORKERS):
            port = listeners[0].getsockname()[1] if listeners else 0
            listeners.append(stack.enter_context(sockets.open_udp(4, port, joins=number > 0)))
            if number == 0:
                sockets.share(listeners[0])
        for listener in listeners:
            listener.settimeout(2)
        filters.attach(listeners[0], filters.SO_ATTACH_REUSEPORT_CBPF, filters.among_sockets(WORKERS))
        yield listeners


def test_each_datagram_reaches_the_owner_of_its_spi_and_the_rest_the_first(group: list[socket.socket]) -> None:
    port = group[0].getsockname()[1]
    marker, keepalive = bytes(4) + b"IKE message", b"\xff"
    cases = [(spi.to_bytes(4, "big") + b"ESP", filters.owner_of(spi, WORKERS)) for spi in SPIS]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for datagram, owner in [*cases, (marker, 0), (keepalive, 0), (b"", 0)]:
            sender.sendto(datagram, ("127.0.0.1", port))
            assert group[owner].recv(100) == datagram


def test_a_port_that_another_program_has_is_never_joined() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("0.0.0.0", 0))
        with pytest.raises(OSError, match="another IKE daemon runs here"):
            sockets.open_udp(4, other.getsockname()[1])


def run(program: list[filters.Instruction], packet: bytes, *, behind: int) -> int:
    """What the kernel's machine makes of a packet that the filter sees from ``behind`` on: 0 drops it."""
    data = packet[behind:]
    with ExitStack() as stack:
        one, other = (stack.enter_context(end) for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
        filters.attach(other, filters.SO_ATTACH_FILTER, program)
        other.setblocking(False)
        one.setblocking(False)
        one.send(data)
        try:
            return len(other.recv(65535))
        except BlockingIOError:
            return 0


@pytest.mark.parametrize("spi", SPIS)
@pytest.mark.parametrize("protocol", [sockets.ESP, sockets.AH])
@pytest.mark.parametrize("version", [4, 6])
def test_of_the_raw_sockets_only_the_owner_s_keeps_a_packet(version: int, protocol: int, spi: int) -> None:
    payload = (b"\x04\x04\x00\x00" if protocol == sockets.AH else b"") + spi.to_bytes(4, "big") + bytes(40)
    options = b"\x94\x04\x00\x00"
    packet = bytes(
        IP(src="127.0.0.1", dst="127.0.0.1", options=options) / Raw(payload)
        if version == 4
        else IPv6(src="::1", dst="::1") / Raw(payload)
    )
    spi_at = 4 if protocol == sockets.AH else 0
    kept = [
        run(filters.own_packets(worker, WORKERS, version, spi_at), packet, behind=0 if version == 4 else 40) > 0
        for worker in range(WORKERS)
    ]
    assert kept == [worker == filters.owner_of(spi, WORKERS) for worker in range(WORKERS)]


@pytest.mark.parametrize("length", range(20, 28))
def test_a_packet_that_is_cut_short_is_left_to_the_first_worker_to_count(length: int) -> None:
    packet = bytes(IP(src="127.0.0.1", dst="127.0.0.1") / Raw(bytes([0, 0x10, 0, 0, 0, 0, 0, 0])))[:length]
    kept = [run(filters.own_packets(worker, WORKERS, 4, 0), packet, behind=0) for worker in range(WORKERS)]
    whole = length >= 24
    assert [bool(size) for size in kept] == [not whole, whole, False]
