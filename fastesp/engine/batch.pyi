from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

HEADROOM: int
TAILROOM: int
BATCH_MAX: int
NO_SLOT: int
ELSEWHERE: int
WORKERS_MAX: int
FLAG_DF: int
FLAG_DUMMY: int
FLAG_OUTER: int
PACKET: np.dtype[Any]

class Batch:
    capacity: int
    count: int

    def __init__(self, region: Buffer, capacity: int = ...) -> None: ...
    @property
    def view(self) -> npt.NDArray[Any]: ...
    def put(
        self, data: Buffer, *, tos: int = 0, family: int = 0, sa: int = ..., flags: int = 0, stride: int = 0
    ) -> int: ...
    def data(self, index: int) -> bytes: ...
    def clear(self) -> None: ...
