"""A gateway without sockets: its data plane is in memory, its datagrams go nowhere, all else is the real thing."""

from __future__ import annotations

import time
from collections.abc import Sequence

from support.dataplanes import MemoryDataPlane

from fastesp.gateway.adapter import IkeAdapter
from fastesp.gateway.gateway import Gateway
from fastesp.gateway.logbook import Logbook
from fastesp.gateway.options import Options
from fastesp.gateway.plumbing import Plumbing
from ike.endpoint import Endpoint
from ike.events import Path


class NoWire:
    """Where datagrams would come and go."""

    ike_fd = -1

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def receive_ike(self) -> Sequence[tuple[bytes, object, int, object, int]]:
        return ()

    def send_ike(self, data: bytes, path: Path) -> bool:
        del path
        self.sent.append(data)
        return True


def memory_gateway(dataplane: MemoryDataPlane | None = None) -> Gateway:
    """Nothing is configured yet: that comes over its VICI commands (:func:`fastesp.gateway.commands.handlers`)."""
    plane = dataplane or MemoryDataPlane()
    gateway = Gateway(Options(), Logbook(), plane, Plumbing(None, None))
    endpoint = Endpoint(gateway.registry.resolved, gateway.vault, child_spi=plane.allocate_spi)
    gateway.attach(IkeAdapter(endpoint, NoWire(), gateway.on_event, clock=time.monotonic))  # type: ignore[arg-type]
    return gateway
