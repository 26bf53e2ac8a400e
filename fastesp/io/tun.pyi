from fastesp.engine.batch import Batch

def open_tun(name: str, offload: bool = True, multi_queue: bool = False) -> tuple[int, str, frozenset[str]]: ...

class TunReader:
    fd: int
    batch: Batch
    calls: int
    copied: int

    def __init__(self, fd: int) -> None: ...
