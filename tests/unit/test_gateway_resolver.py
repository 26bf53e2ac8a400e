"""Host names while the name server is away: nobody else waits for it."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from fastesp.gateway.resolver import Resolver


async def test_names_that_are_not_answered_hold_up_no_other_work(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def silent(*_: object, **__: object) -> list[object]:
        release.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    resolver = Resolver()
    asked = asyncio.gather(*(resolver.lookup(f"peer-{number}.example.org") for number in range(100)))
    try:
        await asyncio.sleep(0.1)
        async with asyncio.timeout(2):
            assert await asyncio.to_thread(lambda: "read") == "read"
    finally:
        release.set()
    assert await asked == [()] * 100
