"""A data plane that keeps what it is given: enough to see what the gateway asks of one."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from fastesp.dataplane.base import (
    ChildSa,
    DataPlaneError,
    DataPlaneEvent,
    OuterPath,
    Placement,
    SaCounters,
    SaProtocol,
    TrapPolicy,
)


@dataclass
class MemoryDataPlane:
    """SAs, traps and who sends, as plain dictionaries. ``refuse`` is the reason to refuse the next install for."""

    sas: dict[int, ChildSa] = field(default_factory=dict)
    paths: dict[int, OuterPath] = field(default_factory=dict)
    sending: list[int] = field(default_factory=list)
    retired: list[int] = field(default_factory=list)
    traps: dict[str, TrapPolicy] = field(default_factory=dict)
    refuse: str = ""
    pending: list[DataPlaneEvent] = field(default_factory=list)
    next_spi: int = 0x1000
    event_fd: int = -1

    def capabilities(self) -> frozenset[str]:
        return frozenset({"esp", "tunnel"})

    def allocate_spi(self, protocol: SaProtocol, replaces: int = 0) -> int:
        del protocol, replaces
        self.next_spi += 1
        return self.next_spi

    def install(self, sa: ChildSa) -> Placement:
        if self.refuse:
            raise DataPlaneError(self.refuse)
        self.sas[sa.child_id] = sa
        self.paths[sa.child_id] = sa.path
        return Placement("memory", ("nothing better was asked for",))

    def activate_outbound(self, child_id: int) -> None:
        self.sending.append(child_id)

    def move(self, child_id: int, path: OuterPath) -> None:
        self.paths[child_id] = path

    def counters(self, child_id: int) -> SaCounters:
        if child_id not in self.sas:
            raise KeyError(child_id)
        return SaCounters(1000, 10, 2000, 20, 5.0, 0.0, {"replayed": 1, "corrupt": 0})

    def retire(self, child_id: int) -> None:
        self.retired.append(child_id)

    def remove(self, child_id: int) -> None:
        self.sas.pop(child_id, None)

    def set_trap(self, policy: TrapPolicy) -> None:
        self.traps[policy.name] = policy

    def clear_trap(self, name: str) -> None:
        self.traps.pop(name, None)

    def events(self) -> list[DataPlaneEvent]:
        drained, self.pending = self.pending, []
        return drained

    def worker_figures(self) -> list[dict[str, int]]:
        return [{"out_packets": 20, "in_packets": 10, "out_handed": 2, "in_handed": 1, "sas": len(self.sas)}]

    def drops(self) -> dict[str, int]:
        return {"replayed": 1, "corrupt": 0}

    def close(self) -> None:
        if self.event_fd >= 0:
            os.close(self.event_fd)
            self.event_fd = -1
