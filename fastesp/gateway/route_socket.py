"""Routes over a netlink socket of their own (rtnetlink(7)), each a message of a few dozen bytes.

pyroute2 does all else; but a route for each CHILD_SA is on the path of a handshake, and was a tenth of its cost there.
The kernel does what a message says, and answers it, before the send is over: nothing here ever waits.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

HEADER = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence number, port."""
ROUTE = struct.Struct("=8BI")
"""struct rtmsg: family, lengths of destination and source, TOS, table, protocol, scope, type, flags."""
ATTRIBUTE = struct.Struct("=HH")
ERROR = struct.Struct("=i")

NLMSG_ERROR = 2
RTM_NEWROUTE, RTM_DELROUTE = 24, 25
NLM_F_REQUEST, NLM_F_ACK, NLM_F_REPLACE, NLM_F_CREATE = 0x1, 0x4, 0x100, 0x400
RTA_DST, RTA_OIF, RTA_PREFSRC, RTA_TABLE = 1, 4, 7, 15
RT_TABLE_COMPAT = 252
"""In place of a table's number that does not fit a byte: ``RTA_TABLE`` has it."""
RT_SCOPE_UNIVERSE, RT_SCOPE_NOWHERE = 0, 255
RTN_UNSPEC, RTN_UNICAST, RTN_THROW = 0, 1, 9
ANSWER = 65536


@dataclass(frozen=True, slots=True)
class Route:
    """``destination`` through the TUN, preferably from ``source``; or ``throw``: look on in the ordinary tables."""

    destination: IPv4Network | IPv6Network
    source: IPv4Address | IPv6Address | None = None
    throw: bool = False


class RouteSocket:
    """Adds to, and takes from, one table routes through one interface, marked with ``protocol``."""

    def __init__(self, *, index: int, table: int, protocol: int) -> None:
        self._index = index
        self._table = table
        self._protocol = protocol
        self._sequence = 0
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        try:
            self._socket.bind((0, 0))
            self._socket.setblocking(False)
        except OSError:
            self._socket.close()
            raise

    def close(self) -> None:
        """No more routes."""
        self._socket.close()

    def replace(self, route: Route) -> None:
        """Put a route in place, instead of one to the same destination. Raises :class:`OSError`."""
        kind = RTN_THROW if route.throw else RTN_UNICAST
        self._request(RTM_NEWROUTE, NLM_F_REPLACE | NLM_F_CREATE, route, kind, RT_SCOPE_UNIVERSE)

    def delete(self, route: Route) -> None:
        """Take a route away. Raises :class:`OSError`."""
        self._request(RTM_DELROUTE, 0, route, RTN_THROW if route.throw else RTN_UNSPEC, RT_SCOPE_NOWHERE)

    def _request(self, verb: int, flags: int, route: Route, kind: int, scope: int) -> None:
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        body = self._body(route, kind, scope)
        flags |= NLM_F_REQUEST | NLM_F_ACK
        self._socket.send(HEADER.pack(HEADER.size + len(body), verb, flags, self._sequence, 0) + body)
        while not self._answered(self._socket.recv(ANSWER)):
            pass

    def _body(self, route: Route, kind: int, scope: int) -> bytes:
        family = socket.AF_INET if route.destination.version == 4 else socket.AF_INET6
        length = route.destination.prefixlen
        head = ROUTE.pack(family, length, 0, 0, RT_TABLE_COMPAT, self._protocol, scope, kind, 0)
        attributes = [(RTA_DST, route.destination.network_address.packed), (RTA_TABLE, struct.pack("=I", self._table))]
        if not route.throw:
            attributes.append((RTA_OIF, struct.pack("=I", self._index)))
        if route.source is not None:
            attributes.append((RTA_PREFSRC, route.source.packed))
        return head + b"".join(_attribute(kind, value) for kind, value in attributes)

    def _answered(self, data: bytes) -> bool:
        """Whether this is the answer to the last request. Raises :class:`OSError` where it is a refusal."""
        if len(data) < HEADER.size + ERROR.size:
            return False
        _, kind, _, sequence, _ = HEADER.unpack_from(data)
        if kind != NLMSG_ERROR or sequence != self._sequence:
            return False
        (code,) = ERROR.unpack_from(data, HEADER.size)
        if code:
            raise OSError(-code, os.strerror(-code))
        return True


def _attribute(kind: int, value: bytes) -> bytes:
    """struct rtattr: length, type, value. All values here are multiples of four bytes: there is no padding."""
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value
