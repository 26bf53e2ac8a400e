"""The adapter between sockets, timers and the endpoint: one thing that goes wrong takes nothing else along."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from ipaddress import IPv4Address

import pytest

from fastesp.gateway.adapter import IkeAdapter, Mistakes
from ike.events import Event, Path

HERE, THERE = IPv4Address("192.0.2.1"), IPv4Address("198.51.100.1")


class Wire:
    """Two datagrams have come."""

    def __init__(self) -> None:
        self.ike_fd, self._end = os.pipe()

    def close(self) -> None:
        os.close(self.ike_fd)
        os.close(self._end)

    def receive_ike(self) -> Sequence[tuple[bytes, IPv4Address, int, IPv4Address, int]]:
        return [(data, HERE, 500, THERE, 500) for data in (b"bad", b"good")]

    def send_ike(self, data: bytes, path: Path) -> bool:
        del data, path
        return True


class Fragile:
    """An endpoint with a mistake in it, which a datagram and a timer meet."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.rounds = 0

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        del path, now
        if data == b"bad":
            raise RuntimeError("a mistake of ours")
        self.received.append(data)

    def handle_timeout(self, now: float) -> None:
        del now
        self.rounds += 1
        if self.rounds == 1:
            raise RuntimeError("a mistake of ours")

    def next_timeout(self) -> float | None:
        return 0.0 if self.rounds < 2 else None

    def next_event(self) -> Event | None:
        return None

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Path]]:
        del now
        return []


def adapter(endpoint: Fragile, wire: Wire) -> IkeAdapter:
    return IkeAdapter(endpoint, wire, lambda event: None, clock=lambda: 1.0)  # type: ignore[arg-type]  # noqa: ARG005


def test_a_datagram_that_meets_a_mistake_is_told_of_and_the_next_one_is_taken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    endpoint, wire = Fragile(), Wire()
    try:
        adapter(endpoint, wire)._readable()
    finally:
        wire.close()
    assert endpoint.received == [b"good"]
    assert "internal error" in caplog.text
    assert str(THERE) in caplog.text


def test_timers_go_on_after_a_mistake() -> None:
    endpoint, wire = Fragile(), Wire()

    async def live() -> None:
        made = adapter(endpoint, wire)
        made.start()
        made.poke()
        async with asyncio.timeout(5):
            while endpoint.rounds < 2:
                await asyncio.sleep(0)
        made.stop()

    try:
        asyncio.run(live())
    finally:
        wire.close()
    assert endpoint.rounds == 2


def test_the_same_mistake_is_logged_once_in_a_minute_however_often_it_is_met(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    mistakes = Mistakes(lambda: now[0])

    def meet(kind: type[Exception]) -> None:
        try:
            raise kind("at one place")
        except Exception as error:
            mistakes.say("a datagram", error)

    for _ in range(1000):
        meet(RuntimeError)
    meet(ValueError)
    assert [record.getMessage() for record in caplog.records] == [
        "internal error at a datagram",
        "internal error at a datagram (999 more before it)",
    ]
    assert all(record.exc_info for record in caplog.records)
    now[0] = 60.0
    meet(RuntimeError)
    assert len(caplog.records) == 3
