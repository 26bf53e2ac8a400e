from fastesp.engine.batch import Batch
from fastesp.io.mailbox import Mailbox

class Receiver:
    batch: Batch
    fd: int
    calls: int
    copied: int

    def look(self) -> bool: ...

class UdpReceiver(Receiver):
    handed: int

    def __init__(self, fd: int, local_port: int, ike: Mailbox) -> None: ...
    def exchange(self, worker: int, to_others: list[Mailbox | None]) -> None: ...

class RawReceiver(Receiver):
    def __init__(self, fd: int, family: int, protocol: int) -> None: ...
