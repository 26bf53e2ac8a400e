from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fastesp.engine.batch import Batch
from fastesp.engine.esp import Engine

Samples = npt.NDArray[np.float64]

class Primitive:
    name: str
    iv_length: int
    icv_length: int
    align: int

class EvpAead(Primitive):
    def __init__(self, cipher: str, key: bytes) -> None: ...

class EvpGmac(Primitive):
    def __init__(self, cipher: str, key: bytes) -> None: ...

class EvpMac(Primitive):
    def __init__(self, cipher: str, key: bytes, digest: str, mac_key: bytes, icv_length: int) -> None: ...

class Track:
    batch: Batch
    count: int
    size: int

    def __init__(
        self, count: int, size: int, heads: npt.NDArray[np.uint8], spis: Sequence[int] | npt.NDArray[np.uint32] = ...
    ) -> None: ...
    def encapsulate(self, engine: Engine, batches: int) -> Samples: ...
    def decapsulate(self, engine: Engine, primitive: Primitive, batches: int) -> Samples: ...
    def seal(self, primitive: Primitive, batches: int) -> Samples: ...
    def open(self, primitive: Primitive, batches: int) -> Samples: ...
