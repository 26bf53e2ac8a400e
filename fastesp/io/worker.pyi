from ipaddress import IPv4Address, IPv6Address

import numpy as np
import numpy.typing as npt

from fastesp.engine.esp import Engine

PARK_SECONDS: float

class Worker:
    engine: Engine
    packets: int
    batches: int
    waits: int
    handed: int

    @property
    def counters(self) -> npt.NDArray[np.uint64]: ...
    @property
    def spent(self) -> dict[str, int]: ...
    @property
    def bell(self) -> int: ...
    def poll(self) -> None: ...
    def time_stages(self, on: bool = True) -> None: ...
    def run(self) -> None: ...
    def park(self) -> None: ...
    def resume(self) -> None: ...
    def stop(self) -> None: ...
    def set_path(
        self,
        slot: int,
        local: IPv4Address | IPv6Address,
        local_port: int,
        remote: IPv4Address | IPv6Address,
        remote_port: int,
    ) -> None: ...
    def clear_path(self, slot: int) -> None: ...
