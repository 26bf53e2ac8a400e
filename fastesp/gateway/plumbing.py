"""What the host must know of our policies: routes and the inbound guard, kept in step.

Routes follow at once, a change at a time: packets of a tunnel that is up must find it. The guard is a process run for
each transaction, so changes are taken together, and the longer one round takes the longer the next one waits. Whoever
must know that everything stands waits for :meth:`Plumbing.settled`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from fastesp.dataplane.base import TrapPolicy

from .guard import Guard
from .routes import RouteBook, Router

logger = logging.getLogger("fastesp.routes")

SETTLE_TIMEOUT = 5.0

PAUSE_FACTOR, PAUSE_MOST = 10.0, 2.0
"""A round is followed by a pause of so many times its own length, but of no more than so many seconds."""


LOOK = 30.0
"""Seconds after which it is seen whether all stands: others may empty the host's ruleset, or remove our rules."""

LOOK_PAUSE = 2.0
"""Seconds between two looks at least, however often the host changes."""


class Plumbing:
    """Either part may be left out, as the options say."""

    def __init__(self, router: Router | None, guard: Guard | None) -> None:
        self.on_routed: Callable[[], None] = lambda: None
        """Called when routes that were on their way stand."""
        self._router = router
        self._guard = guard
        self._book = RouteBook()
        self._host_is_new = True
        self._routes = _Round(self._apply_routes)
        self._rules = _Round(guard.apply if guard is not None else _nothing, pause=True)
        self._tasks: list[asyncio.Task[None]] = []
        self._shaken = asyncio.Event()

    async def start(self) -> None:
        """Rules stand when this returns. Raises :class:`OSError` where there is no TUN."""
        if self._router is not None:
            await self._router.start()
            self._tasks.append(asyncio.create_task(self._routes.run()))
        if self._guard is not None:
            self._tasks.append(asyncio.create_task(self._rules.run()))
        self._tasks.append(asyncio.create_task(self._watch()))

    def added(self, policy: TrapPolicy) -> None:
        """A policy is in force."""
        self._book.add(policy)
        if self._guard is not None:
            self._guard.add(policy)
        self._changed()

    def removed(self, policy: TrapPolicy) -> None:
        """A policy is in force no longer."""
        self._book.remove(policy)
        if self._guard is not None:
            self._guard.remove(policy)
        self._changed()

    def host_changed(self) -> None:
        """The host's own addresses, which decide what source a route prefers, may be others now."""
        if self._router is not None:
            self._host_is_new = True
            self._routes.wanted()
            self._shaken.set()

    @property
    def routed(self) -> bool:
        """Whether every route stands."""
        return self._routes.clean.is_set()

    async def settled(self) -> None:
        """Until the host knows what was last said, or a while has passed."""
        try:
            async with asyncio.timeout(SETTLE_TIMEOUT):
                await self._routes.clean.wait()
                await self._rules.clean.wait()
        except TimeoutError:
            logger.warning("routes and guard are not in place after %.0f s; going on without waiting", SETTLE_TIMEOUT)

    async def guard_dropped(self) -> int:
        """Packets that the guard dropped."""
        if self._guard is None:
            return 0
        found = await self._guard.dropped()
        if self._guard.is_missing:
            self._rules.wanted()
        return found

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._shaken.wait()
            self._shaken.clear()
            try:
                if self._router is not None:
                    await self._router.renew()
                await self.guard_dropped()
            except Exception:
                logger.exception("internal error while looking after routes and guard")
            await asyncio.sleep(min(LOOK, LOOK_PAUSE))

    async def stop(self) -> None:
        """Take everything back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._guard is not None:
            await self._guard.stop()
        if self._router is not None:
            await self._router.stop()

    def _changed(self) -> None:
        if self._router is not None:
            self._routes.wanted()
        if self._guard is not None:
            self._rules.wanted()

    async def _apply_routes(self) -> None:
        assert self._router is not None
        if self._host_is_new:
            self._host_is_new = False
            self._book.host_has(await self._router.own_addresses())
        await self._router.apply(*self._book.changes())
        # After this round, not within it: by then everybody can see that the routes stand.
        asyncio.get_running_loop().call_soon(self.on_routed)


async def _nothing() -> None:
    """No guard, no rounds."""


class _Round:
    """Work that is done once for all that was wanted before it began."""

    def __init__(self, work: Callable[[], Awaitable[None]], *, pause: bool = False) -> None:
        self.clean = asyncio.Event()
        self.clean.set()
        self._work = work
        self._pause = pause
        self._dirty = asyncio.Event()

    def wanted(self) -> None:
        """Another round, please."""
        self.clean.clear()
        self._dirty.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            began = time.monotonic()
            try:
                await self._work()
            except Exception:
                logger.exception("internal error while setting up routes and guard")
            if not self._dirty.is_set():
                self.clean.set()
            if self._pause:
                await asyncio.sleep(min(PAUSE_MOST, PAUSE_FACTOR * (time.monotonic() - began)))
