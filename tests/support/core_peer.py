"""The IKE core alone in a namespace: an endpoint on two UDP sockets, no data plane, driven by the test's own loop."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from socket import AF_INET, SOCK_DGRAM, socket

from support.peers import Peer, psk

from fastesp.lab.namespace import Namespace
from ike.config import Connection
from ike.events import Path
from ike.timing import Timing

MARKER = bytes(4)


class CorePeer(Peer):
    """A :class:`support.peers.Peer` that talks to the world. Packets of its CHILD_SAs go nowhere."""

    def __init__(self, namespace: Namespace, address: str, connection: Connection, secret: bytes) -> None:
        super().__init__(IPv4Address(address), [connection], psk(secret), 1, Timing())
        self._sockets: dict[int, socket] = {}
        self._selector = selectors.DefaultSelector()
        for port in (500, 4500):
            made = namespace.socket(AF_INET, SOCK_DGRAM)
            made.bind((address, port))
            made.setblocking(False)
            self._sockets[port] = made
            self._selector.register(made, selectors.EVENT_READ, port)

    def close(self) -> None:
        """Give the sockets back."""
        self._selector.close()
        for made in self._sockets.values():
            made.close()

    def connect(self, remote: str, child: str | None = "net") -> int:
        """Bring the connection up."""
        return self.endpoint.initiate(
            self.connections[0].name, child, time.monotonic(), local=self.address, remote=IPv4Address(remote)
        )

    def wait(self, true: Callable[[], bool], what: str, timeout: float = 20.0) -> None:
        """Serve the endpoint until something holds."""
        end = time.monotonic() + timeout
        while not true():
            assert time.monotonic() < end, f"{what}: not within {timeout} s; {self.lines[-6:]} {self.failures}"
            self.serve(0.1)

    def serve(self, seconds: float) -> None:
        """Send what waits, wait for something that comes, do what is due."""
        self._flush()
        for key, _ in self._selector.select(seconds):
            data, (source, port) = self._sockets[key.data].recvfrom(65535)
            if key.data == 4500:
                if not data.startswith(MARKER):
                    continue
                data = data[len(MARKER) :]
            path = Path(self.address, key.data, IPv4Address(source), port)
            self.endpoint.receive_datagram(data, path, time.monotonic())
        deadline = self.endpoint.next_timeout()
        if deadline is not None and deadline <= time.monotonic():
            self.endpoint.handle_timeout(time.monotonic())
        self._flush()

    def _flush(self) -> None:
        for data, path in self.endpoint.datagrams_to_send(time.monotonic()):
            marked = MARKER + data if path.local_port == 4500 else data
            self._sockets[path.local_port].sendto(marked, (str(path.remote), path.remote_port))
        self.drain()
