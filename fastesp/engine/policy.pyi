from collections.abc import Iterable

from fastesp.dataplane.base import Address, PolicyAction, Selector

class Policies:
    capacity: int
    count: int

    def __init__(self, capacity: int, flows: int) -> None: ...
    def add(
        self, selectors: Iterable[Selector], action: PolicyAction | str, *, priority: int = 0, sa: int = ...
    ) -> int: ...
    def match(
        self,
        family: int,
        local: Address,
        remote: Address,
        protocol: int = 0,
        local_port: int = 0,
        remote_port: int = 0,
        opaque: bool = False,
    ) -> int | None: ...
    def change(self, policy: int, *, action: PolicyAction | str | None = None, sa: int | None = None) -> None: ...
    def sa_of(self, policy: int) -> int | None: ...
    def remove(self, policy: int) -> None: ...
