"""Host names in ``local_addrs`` and ``remote_addrs``: looked up beside everything else, and again from time to time."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address

from ike.wire.selectors import Address

logger = logging.getLogger("fastesp.net")

TIMEOUT = 10.0
"""Seconds that one name may take."""

_RESOLVING = ThreadPoolExecutor(8, "resolve")
"""A name server that is away keeps a thread for long: these are not those that read files."""


class Resolver:
    """Keeps the last good answer: a name server that is away for a while takes no tunnel down."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Address, ...]] = {}

    @property
    def known(self) -> dict[str, tuple[Address, ...]]:
        """Name -> addresses, in the name server's order."""
        return dict(self._known)

    async def lookup(self, name: str) -> tuple[Address, ...]:
        """The addresses of ``name`` now; the last ones where nobody answers; empty where there never were any."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(TIMEOUT):
                asked = partial(socket.getaddrinfo, name, None, type=socket.SOCK_DGRAM)
                found = await loop.run_in_executor(_RESOLVING, asked)
        except (OSError, TimeoutError, UnicodeError) as error:
            logger.info("cannot resolve %s: %s", name, error or "no answer in time")
            return self._known.get(name, ())
        addresses = tuple(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))
        self._known[name] = addresses
        return addresses

    async def refresh(self, names: Iterable[str]) -> None:
        """Look up all of them side by side, and forget every other one."""
        wanted = frozenset(names)
        for name in self._known.keys() - wanted:
            del self._known[name]
        await asyncio.gather(*(self.lookup(name) for name in wanted))
