"""The load: many IKEv2 initiators in memory, one endpoint each, that share two sockets of a namespace."""

from __future__ import annotations

import selectors
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from itertools import count
from socket import AF_INET, SOCK_DGRAM, socket

from fastesp.lab.errors import LabError
from fastesp.lab.namespace import Namespace
from ike.config import Connection, TsTemplate
from ike.credentials import Credentials
from ike.endpoint import Endpoint
from ike.events import ChildSaEstablished, IkeSaDeleted, IkeSaEstablished, NegotiationFailed, Path
from ike.wire.payloads import Transform
from ike.wire.selectors import TrafficSelector

PORT, NAT_PORT = 500, 4500
MARKER = bytes(4)
IN_FLIGHT = 2
"""Handshakes at a time: from the third half-open one on, both responders ask one source for a cookie."""
PATIENCE = 10.0
"""Seconds without any answer after which a run has failed."""
FIRST_HOST = int(IPv4Address("10.128.0.1"))


class Initiators:
    """As many as are asked for, each with a host of its own behind it (10.128.0.0/9)."""

    def __init__(
        self, namespace: Namespace, local: str, remote: str, connection: Connection, credentials: Credentials
    ) -> None:
        self._local, self._remote = IPv4Address(local), IPv4Address(remote)
        self._connection = connection
        self._credentials = credentials
        self._up: dict[bytes, tuple[Endpoint, int]] = {}
        self.suite: tuple[Transform, ...] = ()
        """What the last IKE SA agreed on."""
        self._hosts = count(FIRST_HOST)
        self._spis = count(0x100)
        self._selector = selectors.DefaultSelector()
        self._sockets: dict[int, socket] = {}
        for port in (PORT, NAT_PORT):
            made = self._sockets[port] = namespace.socket(AF_INET, SOCK_DGRAM)
            made.bind((local, port))
            made.setblocking(False)
            self._selector.register(made, selectors.EVENT_READ, port)

    def close(self) -> None:
        """Give the sockets back; what is up is forgotten."""
        self._selector.close()
        for made in self._sockets.values():
            made.close()

    def connect(self, number: int) -> None:
        """Bring up ``number`` more IKE SAs with a CHILD_SA each. Raises :class:`LabError` where one fails."""
        left, flying, last = number, 0, time.monotonic()
        while left or flying:
            while left and flying < IN_FLIGHT:
                self._begin()
                left -= 1
                flying += 1
            for event in self._serve(1.0):
                last = time.monotonic()
                if isinstance(event, ChildSaEstablished):
                    flying -= 1
                elif isinstance(event, IkeSaEstablished):
                    self.suite = event.suite
                elif isinstance(event, NegotiationFailed):
                    raise LabError(f"a handshake failed: {event}")
            if time.monotonic() - last > PATIENCE:
                raise LabError(f"{flying} handshakes were not answered within {PATIENCE:g} s")

    def disconnect(self) -> None:
        """Delete all that is up, a few at a time."""
        waiting = list(self._up)
        while waiting:
            gone, waiting = waiting[:IN_FLIGHT], waiting[IN_FLIGHT:]
            for spi in gone:
                endpoint, ike_id = self._up[spi]
                endpoint.terminate_ike(ike_id, time.monotonic())
                self._flush(endpoint)
            pending, end = len(gone), time.monotonic() + PATIENCE
            while pending and time.monotonic() < end:
                pending -= sum(isinstance(event, IkeSaDeleted) for event in self._serve(0.5))
            for spi in gone:
                del self._up[spi]

    def _begin(self) -> None:
        host = IPv4Address(next(self._hosts))
        behind = (TsTemplate(TrafficSelector(host, host, 0, 0, 65535)),)
        child = replace(self._connection.children[0], local_ts=behind)
        connection = replace(self._connection, children=(child,))
        endpoint = Endpoint(
            lambda: (connection,), self._credentials, child_spi=lambda *_: next(self._spis), tells=False
        )
        ike_id = endpoint.initiate(
            connection.name, child.name, time.monotonic(), local=self._local, remote=self._remote
        )
        first = self._flush(endpoint)
        self._up[first[:8]] = endpoint, ike_id

    def _serve(self, seconds: float) -> Iterator[object]:
        """Answer what comes in; yields what happened."""
        for key, _ in self._selector.select(seconds):
            port = key.data
            while True:
                try:
                    data, (source, source_port) = self._sockets[port].recvfrom(65535)
                except BlockingIOError:
                    break
                if port == NAT_PORT:
                    if not data.startswith(MARKER):
                        continue
                    data = data[len(MARKER) :]
                known = self._up.get(data[:8])
                if known is None:
                    continue
                path = Path(self._local, port, IPv4Address(source), source_port)
                known[0].receive_datagram(data, path, time.monotonic())
                self._flush(known[0])
                while (event := known[0].next_event()) is not None:
                    yield event

    def _flush(self, endpoint: Endpoint) -> bytes:
        """Send what waits; returns the last message."""
        data = b""
        for data, path in endpoint.datagrams_to_send(time.monotonic()):
            marked = MARKER + data if path.local_port == NAT_PORT else data
            self._sockets[path.local_port].sendto(marked, (str(path.remote), path.remote_port))
        return data
