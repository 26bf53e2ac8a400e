"""The addresses of this host, and word of each change: what MOBIKE acts on (RFC 4555)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
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
ADDRESS_EVENTS = frozenset({"RTM_NEWADDR", "RTM_DELADDR", "RTM_NEWLINK", "RTM_DELLINK"})
ROUTE_EVENTS = frozenset({"RTM_NEWROUTE", "RTM_DELROUTE"})
MAIN_TABLE = 254
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
        async with AsyncIPRoute() as netlink:
            await netlink.bind(groups=GROUPS)
            async for message in netlink.get():
                event = message.get("event")
                if event in ADDRESS_EVENTS or (event in ROUTE_EVENTS and message.get("table") == MAIN_TABLE):
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
