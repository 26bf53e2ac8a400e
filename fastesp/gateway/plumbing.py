"""What the host must know of our policies: routes and the inbound guard, kept in step one change after the other.

Changes come in bursts (a load, a peer with many children), so they are taken together; whoever must know that
everything stands waits for :meth:`Plumbing.settled`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from fastesp.dataplane.base import TrapPolicy

from .guard import Guard
from .routes import Router, plan

logger = logging.getLogger("fastesp.routes")

SETTLE_TIMEOUT = 5.0


class Plumbing:
    """Either part may be left out, as the options say."""

    def __init__(self, router: Router | None, guard: Guard | None) -> None:
        self._router = router
        self._guard = guard
        self._wanted: Sequence[TrapPolicy] = ()
        self._dirty = asyncio.Event()
        self._clean = asyncio.Event()
        self._clean.set()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Rules stand when this returns. Raises :class:`OSError` where there is no TUN."""
        if self._router is not None:
            await self._router.start()
        self._task = asyncio.create_task(self._run())

    def update(self, policies: Sequence[TrapPolicy]) -> None:
        """These are the policies from now on."""
        self._wanted = policies
        self._clean.clear()
        self._dirty.set()

    async def settled(self) -> None:
        """Until the host knows what was last said, or a while has passed."""
        try:
            await asyncio.wait_for(self._clean.wait(), SETTLE_TIMEOUT)
        except TimeoutError:
            logger.warning("routes and guard are not in place after %.0f s; going on without waiting", SETTLE_TIMEOUT)

    async def guard_dropped(self) -> int:
        """Packets that the guard dropped."""
        return await self._guard.dropped() if self._guard is not None else 0

    async def stop(self) -> None:
        """Take everything back."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._guard is not None:
            await self._guard.stop()
        if self._router is not None:
            await self._router.stop()

    async def _run(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            policies = self._wanted
            try:
                await self._apply(policies)
            except Exception:
                logger.exception("internal error while setting up routes and guard")
            if not self._dirty.is_set():
                self._clean.set()

    async def _apply(self, policies: Sequence[TrapPolicy]) -> None:
        # The guard first: from the moment a route leads traffic into the tunnel, nothing in the clear may answer it.
        if self._guard is not None:
            await self._guard.apply(policies)
        if self._router is not None:
            await self._router.apply(plan(policies, await self._router.own_addresses()))
