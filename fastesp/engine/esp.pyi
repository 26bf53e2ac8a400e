from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

from fastesp.dataplane.base import Address, KeyMaterial, Lifetime, PolicyAction, SaMode, SaProtocol, Selector, Suite
from fastesp.engine.batch import Batch
from fastesp.engine.policy import Policies
from fastesp.engine.sa import SaTable

class Engine:
    inbound: SaTable
    outbound: SaTable
    policies: Policies

    def __init__(
        self,
        *,
        provider: str = "auto",
        max_sas: int = 131072,
        max_policies: int = 16384,
        flows: int = 65536,
        seed: tuple[int, ...] | None = None,
    ) -> None: ...
    @property
    def provider(self) -> str: ...
    @property
    def verdicts(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]: ...
    def encapsulate(self, batch: Batch, now: int) -> int: ...
    def decapsulate(self, batch: Batch, now: int) -> int: ...
    def events(self) -> list[tuple[str, int, str, str]]: ...
    def install_outbound(
        self,
        spi: int,
        suite: Suite,
        key: KeyMaterial | Buffer,
        integrity_key: KeyMaterial | Buffer | None = None,
        *,
        epoch: int,
        protocol: SaProtocol | int = 50,
        mode: SaMode | str = "tunnel",
        local: Address | None = None,
        remote: Address | None = None,
        esn: bool = False,
        lifetime: Lifetime | None = None,
        tfc_padding: int = 0,
        mtu: int = 0,
        mss: int = 0,
        copy_df: bool = True,
        copy_ecn: bool = True,
        copy_dscp: bool = True,
        dscp: int = 0,
    ) -> int: ...
    def install_inbound(
        self,
        spi: int,
        suite: Suite,
        key: KeyMaterial | Buffer,
        integrity_key: KeyMaterial | Buffer | None = None,
        *,
        selectors: Sequence[Selector],
        protocol: SaProtocol | int = 50,
        mode: SaMode | str = "tunnel",
        local: Address | None = None,
        remote: Address | None = None,
        esn: bool = False,
        replay_window: int = 32,
        lifetime: Lifetime | None = None,
        mss: int = 0,
        nat: bool = False,
        copy_ecn: bool = True,
        copy_dscp: bool = False,
    ) -> int: ...
    def retire_outbound(self, slot: int) -> None: ...
    def remove_outbound(self, slot: int) -> None: ...
    def remove_inbound(self, slot: int) -> None: ...
    def add_policy(
        self, selectors: Iterable[Selector], action: PolicyAction | str, *, priority: int = 0, sa: int = ...
    ) -> int: ...
    def change_policy(
        self, policy: int, *, action: PolicyAction | str | None = None, sa: int | None = None
    ) -> None: ...
    def share_policy(self, policy: int, sas: Iterable[int]) -> None: ...
    def remove_policy(self, policy: int) -> None: ...
    def time_stages(self, on: bool = True) -> None: ...
    @property
    def stages(self) -> dict[str, int]: ...
    def close(self) -> None: ...
