from collections.abc import Sequence

from fastesp.engine.esp import Engine
from fastesp.io.coalesce import TunWriter
from fastesp.io.mailbox import Mailbox
from fastesp.io.receive import Receiver
from fastesp.io.worker import Worker

class Inbound(Worker):
    def __init__(self, engine: Engine, notes: Mailbox, receivers: Sequence[Receiver], writer: TunWriter) -> None: ...
