from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

from fastesp.dataplane.base import Address, KeyMaterial, Lifetime, SaMode, SaProtocol, Selector, Suite
from fastesp.engine.providers import Provider

COUNTERS: np.dtype[Any]

class Sa: ...

class SaTable:
    capacity: int
    count: int
    inbound: bool
    providers: tuple[Provider, ...]

    def __init__(self, capacity: int, inbound: bool, providers: tuple[Provider, ...]) -> None: ...
    @property
    def views(self) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint32]]: ...
    def prepare(
        self,
        spi: int,
        suite: Suite,
        key: KeyMaterial | Buffer,
        integrity_key: KeyMaterial | Buffer | None = None,
        *,
        selectors: Sequence[Selector] = (),
        protocol: SaProtocol | int = 50,
        mode: SaMode | str = "tunnel",
        local: Address | None = None,
        remote: Address | None = None,
        esn: bool = False,
        epoch: int = 0,
        replay_window: int = 32,
        lifetime: Lifetime | None = None,
        tfc_padding: int = 0,
        mtu: int = 0,
        mss: int = 0,
        nat: bool = False,
        copy_df: bool = True,
        copy_ecn: bool = True,
        copy_dscp: bool = True,
        dscp: int = 0,
    ) -> Sa: ...
    def add(self, sa: Sa) -> int: ...
    def find(self, spi: int) -> int | None: ...
    def provider_of(self, slot: int) -> str: ...
    def move(self, slot: int, local: Address, remote: Address) -> None: ...
    def set_mtu(self, slot: int, mtu: int, mss: int = 0) -> None: ...
    def sequence(self, slot: int) -> int: ...
    def advance(self, slot: int, sequence: int) -> None: ...
    def retire(self, slot: int) -> None: ...
    def remove(self, slot: int) -> None: ...
    def clear(self) -> None: ...
