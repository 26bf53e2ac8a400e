"""Traffic between two namespaces with both ends in this process: packets of exact sizes, echoed; TCP, byte for byte."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from fastesp.lab.namespace import Namespace

PATIENCE = 10.0
ECHO = {4: (socket.IPPROTO_ICMP, 8, 0), 6: (socket.IPPROTO_ICMPV6, 128, 129)}
"""Protocol, type of an echo request, and of its reply."""


@dataclass(frozen=True, slots=True)
class End:
    """An address, and the namespace it lives in."""

    namespace: Namespace
    address: str

    @property
    def version(self) -> int:
        return ip_address(self.address).version

    def socket(self, kind: int, protocol: int = 0, port: int = 0) -> socket.socket:
        """Bound to the address, with a timeout."""
        family = socket.AF_INET if self.version == 4 else socket.AF_INET6
        made = self.namespace.socket(family, kind, protocol)
        made.settimeout(PATIENCE)
        made.bind((self.address, port))
        return made


def checksum(data: bytes) -> int:
    """RFC 1071."""
    words = struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2))
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def pings(source: End, target: End, sizes: Iterable[int]) -> None:
    """One echo for each number of payload bytes; the reply must hold the same bytes."""
    protocol, request, reply = ECHO[source.version]
    with source.socket(socket.SOCK_RAW, protocol) as sock:
        for number, size in enumerate(sizes):
            payload = os.urandom(size)
            head = struct.pack("!HH", os.getpid() & 0xFFFF, number)
            # The kernel writes ICMPv6's checksum.
            value = checksum(struct.pack("!BBH", request, 0, 0) + head + payload) if source.version == 4 else 0
            sock.sendto(struct.pack("!BBH", request, 0, value) + head + payload, (target.address, 0))
            while True:
                try:
                    data = sock.recv(65536)
                except TimeoutError:
                    raise AssertionError(f"no echo of {size} bytes from {target.address}") from None
                data = data[20:] if source.version == 4 else data
                if data[0] == reply and data[4:8] == head:
                    break
            assert data[8:] == payload


def datagrams(source: End, target: End, sizes: Iterable[int], *, back: bool = True) -> None:
    """One UDP datagram for each size; ``back``: and the same back again."""
    with source.socket(socket.SOCK_DGRAM) as near, target.socket(socket.SOCK_DGRAM) as far:
        for size in sizes:
            payload = os.urandom(size)
            near.sendto(payload, far.getsockname())
            assert _receive(far, size, target) == payload
            if back:
                far.sendto(payload, near.getsockname())
                assert _receive(near, size, source) == payload


def _receive(sock: socket.socket, size: int, where: End) -> bytes:
    try:
        return sock.recv(65536)
    except TimeoutError:
        raise AssertionError(f"a datagram of {size} bytes never came to {where.address}") from None


def stream(source: End, target: End, size: int) -> None:
    """One TCP connection; ``size`` random bytes each way at once. On return no packet of it is on its way any more."""
    with target.socket(socket.SOCK_STREAM) as server, source.socket(socket.SOCK_STREAM) as near:
        server.listen(1)
        near.connect(server.getsockname())
        far, _ = server.accept()
        with far:
            far.settimeout(PATIENCE)
            _both_ways(near, far, size)
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            near.close()
            with contextlib.suppress(ConnectionResetError):
                assert far.recv(1) == b"the connection ends with a reset, and with nothing else"


def _both_ways(near: socket.socket, far: socket.socket, size: int) -> None:
    sent = os.urandom(size), os.urandom(size)
    senders = [
        threading.Thread(target=sock.sendall, args=(data,)) for sock, data in zip((near, far), sent, strict=True)
    ]
    got = [bytearray(), bytearray()]
    readers = [
        threading.Thread(target=_read, args=(sock, size, into)) for sock, into in zip((far, near), got, strict=True)
    ]
    for thread in senders + readers:
        thread.start()
    for thread in senders + readers:
        thread.join()
    assert [bytes(data) for data in got] == list(sent)


def _read(sock: socket.socket, size: int, into: bytearray) -> None:
    while len(into) < size:
        data = sock.recv(1 << 16)
        if not data:
            return
        into += data
