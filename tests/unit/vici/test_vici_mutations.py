"""A million mutated messages to a gateway's own commands: each is answered or refused, and nothing is left of them.

The packets go where a connection hands them to: codec, command, answer. What lies before, the connection itself, has
its own test with fewer of them over a real socket.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import time
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path

import pytest
from support.gateways import memory_gateway

from fastesp.gateway.commands import handlers
from fastesp.gateway.gateway import Gateway
from fastesp.gateway.vici.codec import (
    Packet,
    PacketType,
    ViciError,
    pull_message,
    pull_packet,
    push_message,
    push_packet,
)
from fastesp.gateway.vici.server import EVENTS, Client, Request, ViciServer, answer_of

SHARES, EACH = 4, 250_000
"""A million in four parts, for as many cores as there are."""
SECONDS = 60.0
GROWTH = 8 << 20
"""Bytes that a part may have grown by, once it is warm: caches of the libraries below, not what clients sent."""

CONNECTION = {
    "version": "2",
    "remote_addrs": ["198.51.100.20"],
    "local": {"auth": "psk", "id": "a.example.org"},
    "remote": {"auth": "psk", "id": "b.example.org"},
    "children": {"net": {"local_ts": ["10.10.0.0/24"], "remote_ts": ["10.20.0.0/24"], "mode": "pass"}},
}
# Command, message, and how often of a thousand; none that would wait for a peer.
COMMANDS: tuple[tuple[str, dict[str, object], int], ...] = (
    ("version", {}, 60),
    ("stats", {}, 20),
    ("list-sas", {"ike": "site", "noblock": "yes", "child-id": "7"}, 90),
    ("list-conns", {"ike": "site"}, 90),
    ("list-policies", {"drop": "yes", "pass": "yes", "trap": "yes", "child": "net"}, 90),
    ("list-certs", {"type": "x509", "flag": "ANY", "subject": "CN=site-a"}, 90),
    ("list-authorities", {"name": "lab"}, 60),
    ("list-failures", {"ike": "site", "limit": "3"}, 60),
    ("get-conns", {}, 40),
    ("get-counters", {"name": "site", "all": "yes"}, 60),
    ("reset-counters", {"name": "site"}, 40),
    ("get-pools", {"name": "inside", "leases": "yes"}, 60),
    ("initiate", {"child": "no-such-child", "timeout": "-1", "loglevel": "1"}, 40),
    ("terminate", {"ike": "site", "child-id": "3", "force": "yes", "timeout": "-1"}, 40),
    ("rekey", {"ike": "site", "child": "net", "ike-id": "9"}, 40),
    ("install", {"child": "no-such-child", "ike": "site"}, 20),
    ("uninstall", {"child": "no-such-child", "ike": "site"}, 20),
    ("redirect", {"ike": "site", "gateway": "192.0.2.1", "peer-ip": "192.0.2.0/24"}, 20),
    ("load-shared", {"id": "one", "type": "IKE", "data": b"secret of an afternoon", "owners": ["a.example.org"]}, 10),
    ("unload-shared", {"id": "one"}, 20),
    ("load-cert", {"type": "X509", "flag": "CA", "data": b"\x30\x82\x01\x00" + bytes(40)}, 10),
    ("load-key", {"type": "any", "data": b"\x30\x82\x01\x00" + bytes(40)}, 5),
    ("load-pool", {"inside": {"addrs": "10.66.0.0/24", "dns": ["10.66.0.1"]}}, 5),
    ("load-authority", {"lab": {"cacert": b"\x30\x82", "crl_uris": ["http://pki.example.org/ca.crl"]}}, 5),
    ("load-conn", {"site": CONNECTION}, 5),
)
OTHER_SHAPES: tuple[object, ...] = (b"", b"\xff\x00", "x" * 300, [], ["x"], ["", "y"], {}, {"x": {"y": ["z"]}})
"""What stands in the place of a value: well-formed VICI that no command wants there."""


def shapes(message: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """The message, and each message with one key of its first two levels in another shape."""
    yield message
    for key, value in message.items():
        yield from ({**message, key: other} for other in OTHER_SHAPES)
        if isinstance(value, dict):
            yield from ({**message, key: {**value, inner: other}} for inner in value for other in OTHER_SHAPES)


CORPUS: list[bytes] = []
_weights: list[float] = []
for _command, _message, _weight in COMMANDS:
    _shapes = [push_packet(Packet(PacketType.CMD_REQUEST, _command, push_message(one)))[4:] for one in shapes(_message)]
    CORPUS += _shapes
    _weights += [_weight / len(_shapes)] * len(_shapes)
CUMULATED = list(accumulate(_weights))


class Sink(asyncio.Transport):
    """Takes what is written. ``stream`` says who the client is."""

    def __init__(self, stream: socket.socket) -> None:
        super().__init__({"socket": stream})

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False


def mutated(source: random.Random) -> Iterator[bytes]:
    """Packets with up to two bytes changed, cut short, or grown by what stands elsewhere in them."""
    while True:
        for packet in source.choices(CORPUS, cum_weights=CUMULATED, k=256):
            data = bytearray(packet)
            for _ in range(source.randrange(3)):
                data[int(source.random() * len(data))] = int(source.random() * 256)
            kind = source.random()
            if kind < 0.05:
                del data[int(source.random() * len(data)) :]
            elif kind < 0.1:
                at = int(source.random() * len(data))
                data[at:at] = data[int(source.random() * len(data)) :]
            if data:
                yield bytes(data)


class Commanded:
    """A gateway's commands, given as packets by one client that listens to all they stream."""

    def __init__(self, gateway: Gateway, stream: socket.socket) -> None:
        self.gateway = gateway
        self.handlers = handlers(gateway)
        reader = asyncio.StreamReader()
        writer = asyncio.StreamWriter(
            Sink(stream), asyncio.StreamReaderProtocol(reader), reader, asyncio.get_running_loop()
        )
        self.client = Client(ViciServer("/", self.handlers), reader, writer)
        self.client.registered |= EVENTS

    async def give(self, data: bytes) -> bytes | None:
        """The answer; ``None`` where the packet is refused or asks for nothing."""
        try:
            packet = pull_packet(data)
            message = pull_message(packet.message)
        except ViciError:
            return None
        handler = self.handlers.get(packet.name) if packet.type == PacketType.CMD_REQUEST else None
        return await answer_of(handler, Request(packet.name, message, self.client)) if handler is not None else None

    async def order(self, command: str, **message: object) -> Mapping[str, object]:
        """A well-formed command, which succeeds."""
        answer = await self.give(push_packet(Packet(PacketType.CMD_REQUEST, command, push_message(message)))[4:])
        assert answer is not None
        found = pull_message(answer)
        assert found.get("success", b"yes") == b"yes", found
        return found

    async def forget(self) -> None:
        """Unload what mutated messages loaded, as a client of good will would."""
        await self.order("clear-creds")
        for connection in list(self.gateway.registry):
            await self.order("unload-conn", name=connection.name)
        for name in list(self.gateway.pools):
            await self.order("unload-pool", name=name)
        for name in list(self.gateway.authorities):
            await self.order("unload-authority", name=name)


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("share", range(SHARES))
def test_a_million_mutated_messages_leave_the_gateway_and_its_memory_alone(
    share: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> tuple[int, int, float]:
        with near, far:
            commanded = Commanded(memory_gateway(), near)
            packets = mutated(random.Random(share))
            answered = warm = 0
            start = time.monotonic()
            for number in range(EACH):
                answered += await commanded.give(next(packets)) is not None
                if number % 1000 == 0:
                    await commanded.forget()
                if number == EACH // 4:
                    warm = resident()
            await commanded.forget()
            assert (await commanded.order("version"))["daemon"] == b"fastesp"
            assert not commanded.gateway.ike_sas()
            return answered, resident() - warm, time.monotonic() - start

    near, far = socket.socketpair(socket.AF_UNIX)
    with caplog.at_level(logging.ERROR):
        answered, grown, took = asyncio.run(run())
    assert [record.message for record in caplog.records] == [], "no handler may break"
    assert answered > EACH // 3
    assert grown < GROWTH, f"{grown} bytes more"
    assert took < SECONDS
