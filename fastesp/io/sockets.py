"""The sockets of the cipher side, opened as the workers want them.

One socket a family serves all local addresses: packet info tells where a datagram arrived, and says where one leaves
from.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address

ESP = 50
AH = 51
BUFFER_BYTES = 8 << 20
"""Asked for in each direction: some milliseconds of traffic at full speed."""

SOL_UDP = 17
UDP_GRO = 104
IP_PKTINFO = 8
IP_RECVTOS = 13
IP_MTU_DISCOVER = 10
IP_MTU = 14
IPV6_MTU_DISCOVER = 23
IPV6_MTU = 24
PMTUDISC_DONT, PMTUDISC_DO = 0, 2
IPV6_RECVTCLASS = 66
IPV6_HDRINCL = 36
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33


def open_udp(version: int, port: int, *, mark: int = 0, gro: bool = False, joins: bool = False) -> socket.socket:
    """A UDP socket on all addresses of IP ``version``. Raises :class:`OSError` saying which port and what to do.

    ``joins``: other sockets of ours have the port already, and share it (:func:`share`).
    """
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if version == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _prepare(sock, version, mark)
        if gro:
            with contextlib.suppress(OSError):  # Linux before 5.0
                sock.setsockopt(SOL_UDP, UDP_GRO, 1)
        if joins:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("0.0.0.0" if version == 4 else "::", port))
    except OSError as error:
        sock.close()
        hint = "another IKE daemon runs here: stop it, or choose other ports" if error.errno == errno.EADDRINUSE else ""
        text = f"UDP port {port} (IPv{version}): {error.strerror}{': ' + hint if hint else ''}"
        raise OSError(error.errno, text) from error
    return sock


def share(sock: socket.socket) -> None:
    """Let more sockets of ours have the port of a bound one. Only now: somebody else's was not to be joined."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def open_raw(version: int, protocol: int, *, mark: int = 0) -> socket.socket:
    """A raw socket for an IP protocol; AH's takes packets with their IP header. Raises :class:`OSError`."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    try:
        sock = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
    except OSError as error:
        text = f"raw socket, protocol {protocol} (IPv{version}): {error.strerror}: CAP_NET_RAW is needed"
        raise OSError(error.errno, text) from error
    try:
        _prepare(sock, version, mark)
        if protocol == AH:
            level, option = (
                (socket.IPPROTO_IP, socket.IP_HDRINCL) if version == 4 else (socket.IPPROTO_IPV6, IPV6_HDRINCL)
            )
            sock.setsockopt(level, option, 1)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"raw socket, protocol {protocol} (IPv{version}): {error.strerror}") from error
    return sock


def _prepare(sock: socket.socket, version: int, mark: int) -> None:
    if version == 4:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVTOS, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVTCLASS, 1)
    if mark:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    for force, plain in ((SO_SNDBUFFORCE, socket.SO_SNDBUF), (SO_RCVBUFFORCE, socket.SO_RCVBUF)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, force, BUFFER_BYTES)
        except OSError:
            sock.setsockopt(socket.SOL_SOCKET, plain, BUFFER_BYTES)


def stop_joining(sock: socket.socket) -> None:
    """Have each datagram arrive alone from now on (no UDP GRO): there is room before each then."""
    with contextlib.suppress(OSError):  # Linux before 5.0
        sock.setsockopt(SOL_UDP, UDP_GRO, 0)


def has_ipv6() -> bool:
    """Whether this machine (or namespace) can do IPv6 at all."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True


def packet_info(local: Address) -> list[tuple[int, int, bytes]]:
    """The control message that makes a datagram leave from ``local``."""
    if isinstance(local, IPv4Address):
        return [(socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=i4s4s", 0, local.packed, bytes(4)))]
    return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, struct.pack("=16sI", local.packed, 0))]


def local_address(ancillary: list[tuple[int, int, bytes]], version: int) -> Address:
    """Where a datagram arrived, from its control messages; the unspecified address where none says so."""
    for level, kind, data in ancillary:
        if version == 4 and (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO) and len(data) >= 12:
            return IPv4Address(data[8:12])
        if version == 6 and (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO) and len(data) >= 16:
            return IPv6Address(data[:16])
    return IPv4Address(0) if version == 4 else IPv6Address(0)


def path_mtu(local: Address, remote: Address, *, mark: int = 0) -> int:
    """The kernel's path MTU between two addresses in bytes; 0 where it knows no way there."""
    version = remote.version
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            if mark:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            sock.bind((str(local), 0))
            sock.connect((str(remote), 4500))
            if version == 4:
                return sock.getsockopt(socket.IPPROTO_IP, IP_MTU)
            return sock.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU)
        except OSError:
            return 0
