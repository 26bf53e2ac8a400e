"""All IKE datagrams of a gateway in one place: port 500 plain, the NAT-T port behind a marker (RFC 3948 section 2.2).

ESP shares the NAT-T port, so the inbound workers read it, and each posts what is IKE into a mailbox of its own;
sending uses the first worker's socket.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from fastesp.io.mailbox import Mailbox
from fastesp.io.path import split_path
from fastesp.io.sockets import (
    IP_MTU_DISCOVER,
    IPV6_MTU_DISCOVER,
    PMTUDISC_DONT,
    local_address,
    open_udp,
    packet_info,
)

Address = IPv4Address | IPv6Address
Datagram = tuple[bytes, Address, int, Address, int]
"""The IKE message (without marker), local address and port, remote address and port."""

NON_ESP_MARKER = bytes(4)
KEEPALIVE = b"\xff"
MAILBOX_BYTES = 4 << 20
DATAGRAMS_A_CALL = 256


class Route(Protocol):
    """Where a datagram goes: anything with these four attributes."""

    @property
    def local(self) -> Address: ...
    @property
    def local_port(self) -> int: ...
    @property
    def remote(self) -> Address: ...
    @property
    def remote_port(self) -> int: ...


class IkeSockets:
    """Port 500 sockets of its own, the NAT-T sockets borrowed. ``fd`` is readable while datagrams wait."""

    def __init__(
        self, port: int, natt_port: int, natt: dict[int, socket.socket], *, mark: int = 0, workers: int = 1
    ) -> None:
        self.port = port
        self.natt_port = natt_port
        self.send_errors = 0
        self._natt = natt
        self._plain: dict[int, socket.socket] = {}
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.mailboxes = [Mailbox(MAILBOX_BYTES, self._bell) for _ in range(workers)]
        self._epoll = select.epoll()
        self._epoll.register(self._bell, select.EPOLLIN)
        try:
            for version in natt if port else ():
                sock = self._plain[version] = open_udp(version, port, mark=mark)
                _allow_fragments(sock, version)
                self._epoll.register(sock, select.EPOLLIN)
        except OSError:
            self.close()
            raise

    @property
    def fd(self) -> int:
        """To wait on (``loop.add_reader``)."""
        return self._epoll.fileno()

    def receive(self) -> list[Datagram]:
        """What has arrived, at most some hundred; never waits."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        out: list[Datagram] = []
        for mailbox in self.mailboxes:
            records = mailbox.drain(DATAGRAMS_A_CALL)
            if len(records) == DATAGRAMS_A_CALL:
                os.eventfd_write(self._bell, 1)
            for record in records:
                (local, local_port, remote, remote_port), data = split_path(record)
                out.append((data, local, local_port, remote, remote_port))
        for version, sock in self._plain.items():
            out += self._receive_plain(sock, version)
        return out

    def _receive_plain(self, sock: socket.socket, version: int) -> list[Datagram]:
        out: list[Datagram] = []
        for _ in range(DATAGRAMS_A_CALL):
            try:
                data, ancillary, _, source = sock.recvmsg(65535, 256)
            except OSError:
                break
            remote = IPv4Address(source[0]) if version == 4 else IPv6Address(source[0].partition("%")[0])
            out.append((data, local_address(ancillary, version), self.port, remote, source[1]))
        return out

    def send(self, data: bytes, route: Route) -> bool:
        """Send an IKE message; from the NAT-T port it gets its marker. False, and counted, where the kernel refuses."""
        marked = route.local_port == self.natt_port
        sock = (self._natt if marked else self._plain).get(route.remote.version)
        if sock is None:
            self.send_errors += 1
            return False
        parts = [NON_ESP_MARKER, data] if marked else [data]
        address = (str(route.remote), route.remote_port)
        info = [] if route.local.is_unspecified else packet_info(route.local)
        for fragment in (False, True):
            try:
                with _fragmenting(sock, route.remote.version, fragment):
                    sock.sendmsg(parts, info, 0, address)
                return True
            except OSError:
                continue
        self.send_errors += 1
        return False

    def send_keepalive(self, route: Route) -> bool:
        """One byte of 0xff from the NAT-T port (RFC 3948 section 2.3). False where the kernel refuses."""
        sock = self._natt.get(route.remote.version)
        if sock is None or route.local_port != self.natt_port:
            return False
        info = [] if route.local.is_unspecified else packet_info(route.local)
        try:
            sock.sendmsg([KEEPALIVE], info, 0, (str(route.remote), route.remote_port))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close what is ours: not the NAT-T sockets."""
        for sock in self._plain.values():
            sock.close()
        self._plain.clear()
        if not self._epoll.closed:
            self._epoll.close()
            os.close(self._bell)


def _allow_fragments(sock: socket.socket, version: int) -> None:
    """IKE must get through whatever the path MTU (RFC 7296 section 2): the kernel may fragment it."""
    if version == 4:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DONT)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DONT)


class _fragmenting:  # noqa: N801 - reads as a word
    """The NAT-T socket carries ESP's DF setting of the moment: lift it for one message, then put it back.

    The worker may change it meanwhile: ``Sender`` finds out where a packet without DF is told that it is too long.
    """

    def __init__(self, sock: socket.socket, version: int, wanted: bool) -> None:
        self._sock = sock
        self._wanted = wanted
        self._option = (
            (socket.IPPROTO_IP, IP_MTU_DISCOVER) if version == 4 else (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER)
        )
        self._before = PMTUDISC_DONT

    def __enter__(self) -> None:
        if self._wanted:
            self._before = self._sock.getsockopt(*self._option)
        if self._before != PMTUDISC_DONT:
            self._sock.setsockopt(*self._option, PMTUDISC_DONT)

    def __exit__(self, *_: object) -> None:
        if self._before != PMTUDISC_DONT:
            self._sock.setsockopt(*self._option, self._before)
