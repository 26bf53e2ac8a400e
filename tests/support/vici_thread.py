"""A VICI server in a thread of its own, as a client sees it: for tests whose client blocks."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

import vici

from fastesp.gateway.vici.server import Handler, ViciServer


class ViciThread:
    """Serves ``handlers`` at ``path`` for the time of the block."""

    def __init__(self, path: Path, handlers: Mapping[str, Handler]) -> None:
        self.path = path
        self.server = ViciServer(path, handlers, mode=0o600)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> ViciThread:
        self._thread.start()
        try:
            self.run(self.server.start())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self.server.close())
        self._stop()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Something in the server's thread, to its end."""
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def emit(self, event: str, message: Mapping[str, object]) -> None:
        """An event to every client that registered."""

        async def call() -> None:
            self.server.emit(event, message)

        self.run(call())

    @contextlib.contextmanager
    def stream(self) -> Iterator[socket.socket]:
        """A raw connection."""
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(str(self.path))  # blocking: a full backlog is waited for
            stream.settimeout(10)
            yield stream

    @contextlib.contextmanager
    def session(self) -> Iterator[vici.Session]:
        """A connection of the ``vici`` package."""
        with self.stream() as stream:
            yield vici.Session(stream)

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
