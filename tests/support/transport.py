"""What transport mode is for: two gateways that talk to each other as hosts, through NATs where there are any."""

from __future__ import annotations

import os
import socket
import threading

from fastesp.lab import Sites
from fastesp.lab.configurations import configuration
from fastesp.lab.peer import Peer


def configure(sites: Sites, seen: dict[str, str], a: Peer, b: Peer) -> None:
    """Mirrored; ``seen`` is what each calls the other."""
    for peer, me, other in ((a, sites.a, sites.b), (b, sites.b, sites.a)):
        text = configuration(me, other, local_ts="dynamic", remote_ts="dynamic", child="mode = transport")
        peer.swanctl.configure(text.replace(f"remote_addrs = {other.outer}", f"remote_addrs = {seen[other.name]}"))


def carry(sites: Sites, target: str, size: int, *, patience: float = 30.0) -> None:
    """So many bytes over TCP from gateway a to gateway b, which a calls ``target``."""
    sent, received = os.urandom(size), bytearray()
    with sites.b.gateway.socket(socket.AF_INET) as listener, sites.a.gateway.socket(socket.AF_INET) as sender:
        for end in (listener, sender):
            end.settimeout(patience)
        listener.bind((sites.b.outer, 0))
        listener.listen(1)
        sender.connect((target, listener.getsockname()[1]))
        thread = threading.Thread(target=lambda: (sender.sendall(sent), sender.shutdown(socket.SHUT_WR)), daemon=True)
        thread.start()
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(patience)
            while piece := connection.recv(1 << 16):
                received += piece
        thread.join(patience)
    assert received == sent
