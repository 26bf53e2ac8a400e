from fastesp.io.mailbox import Mailbox
from fastesp.io.receive import Receiver

class HandedReceiver(Receiver):
    def __init__(self, fd: int, mailboxes: list[Mailbox]) -> None: ...
