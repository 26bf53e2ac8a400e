"""The addresses of this host, and word of each change: what MOBIKE acts on (RFC 4555)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from pyroute2 import AsyncIPRoute
from pyroute2.netlink import rtnl

from fastesp.dataplane.base import Address

logger = logging.getLogger("fastesp.net")

GROUPS = (
    rtnl.RTMGRP_IPV4_IFADDR
    | rtnl.RTMGRP_IPV6_IFADDR
    | rtnl.RTMGRP_LINK
    | rtnl.RTMGRP_IPV4_ROUTE
    | rtnl.RTMGRP_IPV6_ROUTE
)
ADDRESS_EVENTS = frozenset({rtnl.RTM_NEWADDR, rtnl.RTM_DELADDR, rtnl.RTM_NEWLINK, rtnl.RTM_DELLINK})
ROUTE_EVENTS = frozenset({rtnl.RTM_NEWROUTE, rtnl.RTM_DELROUTE})
MAIN_TABLE = 254
NLMSGHDR = struct.Struct("=IHHII")
TABLE_AT = 4
"""Of the table's number within an rtmsg."""
DATAGRAM = 1 << 16
UNUSABLE = 0x08 | 0x20 | 0x40
"""IFA_F_DADFAILED, IFA_F_DEPRECATED and IFA_F_TENTATIVE."""
QUIET = 0.2
"""Seconds without another event before the host is asked: interfaces come and go in bursts."""
LATEST = 1.0
"""Seconds after the first event of a burst when it is asked in any case."""
AGAIN = 5.0
"""Seconds after which a watch that failed is set up anew."""


class AddressWatch:
    """Calls ``changed`` with all global addresses at the start, and again after any change of addresses or routes.

    Addresses of the interface ``tun`` are inside the tunnel, so they are left out.
    """

    def __init__(self, tun: str, changed: Callable[[tuple[Address, ...]], None]) -> None:
        self._tun = tun
        self._changed = changed
        self._events = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """In the running loop."""
        loop = asyncio.get_running_loop()
        self._events.set()
        self._tasks = [loop.create_task(self._forever(part)) for part in (self._listen, self._tell)]

    async def stop(self) -> None:
        """No more of it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _forever(self, part: Callable[[], object]) -> None:
        while True:
            try:
                await part()  # type: ignore[misc]
            except Exception as error:
                logger.warning("watching the host's addresses failed, next try in %.0f s: %s", AGAIN, error)
                await asyncio.sleep(AGAIN)
            # Whatever happened meanwhile was missed.
            self._events.set()

    async def _listen(self) -> None:
        """Each route of a tunnel passes by here: two bytes are looked at, and no message is taken apart."""
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE) as netlink:
            netlink.bind((0, GROUPS))
            while True:
                try:
                    if not concerns_us(await loop.sock_recv(netlink, DATAGRAM)):
                        continue
                except OSError as error:
                    if error.errno != errno.ENOBUFS:  # then so much happened that some of it was lost
                        raise
                self._events.set()

    async def _tell(self) -> None:
        async with AsyncIPRoute() as netlink:
            while True:
                await self._burst()
                self._changed(await self._addresses(netlink))

    async def _burst(self) -> None:
        """Until something happened and then nothing for a moment."""
        await self._events.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LATEST):
                while self._events.is_set():
                    self._events.clear()
                    await asyncio.sleep(QUIET)

    async def _addresses(self, netlink: AsyncIPRoute) -> tuple[Address, ...]:
        """In the kernel's order, which is that of its own choice of a source."""
        left_out = await netlink.link_lookup(ifname=self._tun)
        found: list[Address] = []
        async for message in await netlink.addr("dump"):
            text = message.get("local") or message.get("address")
            if not text or message["index"] in left_out or (message.get("flags") or 0) & UNUSABLE:
                continue
            address = IPv4Address(text) if message["family"] == socket.AF_INET else IPv6Address(text)
            if not (address.is_loopback or address.is_link_local or address.is_multicast):
                found.append(address)
        return tuple(found)


def concerns_us(datagram: bytes) -> bool:
    """Whether one of the netlink messages in it tells of an address, a link, or a route of the main table."""
    at = 0
    while at + NLMSGHDR.size <= len(datagram):
        length, kind, *_ = NLMSGHDR.unpack_from(datagram, at)
        table = at + NLMSGHDR.size + TABLE_AT
        if kind in ADDRESS_EVENTS:
            return True
        if kind in ROUTE_EVENTS and table < len(datagram) and datagram[table] == MAIN_TABLE:
            return True
        at += max(NLMSGHDR.size, (length + 3) & ~3)
    return False
