"""A VICI client that hears events in the background, as a monitor does."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from vici.exception import EventUnknownException

from fastesp.lab.peer import Peer
from fastesp.lab.process import wait_until


class Monitor(threading.Thread):
    """Registered for ``events`` once it is made; ends with the gateway."""

    def __init__(self, peer: Peer, *events: str) -> None:
        super().__init__(daemon=True)
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._peer, self._events = peer, events
        self._ready = threading.Event()
        self.start()
        assert self._ready.wait(10.0)

    def run(self) -> None:
        """Until the gateway goes."""
        with self._peer.session() as session, contextlib.suppress(OSError, EventUnknownException):
            for kind, message in session.listen(list(self._events), timeout=0.2):
                self._ready.set()
                if kind is not None:
                    self.heard.append((kind.decode(), message))

    def of(self, kind: str) -> list[dict[str, Any]]:
        """What came of a kind."""
        return [message for heard, message in self.heard if heard == kind]

    def wait(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """The messages of a kind, once there are ``count``."""
        wait_until(lambda: len(self.of(kind)) >= count, f"{count} {kind}", 10.0)
        return self.of(kind)
