"""What has to be done from time to time: keep NATs from forgetting us, close what nobody uses, resolve names again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from ike.errors import LocalError
from ike.events import Path

from .adapter import IkeAdapter
from .registry import Registry
from .resolver import Resolver
from .tunnels import Tunnels

logger = logging.getLogger("fastesp.daemon")

RESOLVE_INTERVAL = 300.0
"""Seconds after which host names are looked up again."""

INACTIVITY_INTERVAL = 1.0

SILENCE_INTERVAL = 2.0
"""Seconds after which tunnels that bring nothing are looked for."""


class KeepaliveSender(Protocol):
    """Who owns the NAT-T socket."""

    def send_keepalive(self, path: Path) -> bool:
        """One byte of 0xff (RFC 3948 section 2.3); false where the kernel refuses."""
        ...


class Upkeep:
    """Runs its chores until it is stopped. ``keep_alive`` in seconds, 0: no keepalives."""

    def __init__(
        self,
        adapter: IkeAdapter,
        tunnels: Tunnels,
        registry: Registry,
        resolver: Resolver,
        sender: KeepaliveSender,
        *,
        keep_alive: float,
        look_for_silence: Callable[[], None],
    ) -> None:
        self._adapter = adapter
        self._tunnels = tunnels
        self._registry = registry
        self._resolver = resolver
        self._sender = sender
        self._keep_alive = keep_alive
        self._look_for_silence = look_for_silence
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """In the running loop."""
        self._every(RESOLVE_INTERVAL, self._resolve, at_once=True)
        self._every(INACTIVITY_INTERVAL, self._close_unused)
        self._every(SILENCE_INTERVAL, self._find_silent)
        if self._keep_alive:
            self._every(self._keep_alive, self._keep_nats_awake)

    def stop(self) -> None:
        """No more of it."""
        for task in self._tasks:
            task.cancel()

    def _every(self, seconds: float, chore: Callable[[], Coroutine[Any, Any, None]], *, at_once: bool = False) -> None:
        async def run() -> None:
            if not at_once:
                await asyncio.sleep(seconds)
            while True:
                try:
                    await chore()
                except Exception:
                    logger.exception("internal error in %s", chore.__name__)
                await asyncio.sleep(seconds)

        self._tasks.append(asyncio.get_running_loop().create_task(run()))

    async def _resolve(self) -> None:
        """Host names may come to mean another address."""
        await self._resolver.refresh(self._registry.host_names())
        self._registry.know(self._resolver.known)

    async def _keep_nats_awake(self) -> None:
        """RFC 3948 section 4: whoever sits behind a NAT sends, unless something else went that way anyway."""
        now = self._adapter.clock()
        for ike in self._adapter.endpoint.ike_sas():
            if ike.nat_local and not any(self._sent_since(c.child_id, now - self._keep_alive) for c in ike.children):
                self._sender.send_keepalive(ike.path)

    def _sent_since(self, child_id: int, when: float) -> bool:
        counters = self._tunnels.counters(child_id)
        return counters is not None and counters.last_out > when

    async def _close_unused(self) -> None:
        """``children.<child>.inactivity``: no packet in either direction for so long."""
        now = self._adapter.clock()
        closed = False
        for tunnel in self._tunnels:
            limit = tunnel.config.inactivity
            if not limit or not tunnel.sending or now - self._last_use(tunnel.child_id, tunnel.since) < limit:
                continue
            logger.info("%s: nothing in either direction for %.0f s: closed", tunnel.name, limit)
            try:
                self._adapter.endpoint.terminate_child(tunnel.child_id, now)
            except LocalError as error:
                logger.info("%s", error)
            closed = True
        if closed:
            self._adapter.poke()

    async def _find_silent(self) -> None:
        """Tunnels that are up, send, and never hear anything."""
        self._look_for_silence()

    def _last_use(self, child_id: int, since: float) -> float:
        counters = self._tunnels.counters(child_id)
        return max(since, counters.last_in, counters.last_out) if counters is not None else since
