"""What the gateway fetches for certificates: bounded, and only from where the one that chose the place may send it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fastesp.gateway import fetcher
from fastesp.gateway.fetcher import Fetcher, FetchError, check, fetch, may_be_reached
from ike.events import LookupSource, LookupWanted

CONFIGURED, CERTIFICATE, PEER = LookupSource.CONFIGURED, LookupSource.CERTIFICATE, LookupSource.PEER
Talk = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[str]:
    """A web server for the time of the block: what ``talk`` says to a request (its header and body)."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            if b"Content-Length: " in request:
                request += await reader.readexactly(int(request.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
            await talk(request, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


def says(answer: bytes) -> Talk:
    async def talk(request: bytes, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001 - the shape of one
        writer.write(answer)

    return talk


def got(answer: bytes, *, limit: int = 100, source: LookupSource = CERTIFICATE) -> bytes:
    async def run() -> bytes:
        async with server(says(answer)) as base, asyncio.timeout(5):
            return await fetch(base + "/ca.crl", b"", limit, source)

    return asyncio.run(run())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlistleft over",
        b"HTTP/1.0 200 OK\r\n\r\nlist",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nlis\r\n1\r\nt\r\n0\r\n\r\n",
    ],
    ids=["of-a-length", "until-it-hangs-up", "in-chunks"],
)
def test_a_body_of_any_form_is_read(answer: bytes) -> None:
    assert got(answer) == b"list"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "HTTP status 404"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", "more than 100 bytes"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + bytes(101), "more than 100 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" + bytes(101), "more than 100 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", "more than 100 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", "chunks that cannot be read"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", "a chunk without an end"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nlist", "hung up in the middle"),
        (b"HTTP/1.1 200 OK\r\nX: " + bytes(20_000), "header of more than"),
        (b"SSH-2.0-x\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 2\r\n\r\n", "not HTTP"),
        (b"", "the server hung up"),
    ],
)
def test_what_is_no_answer_is_refused_with_its_reason(answer: bytes, why: str) -> None:
    with pytest.raises(FetchError, match=why):
        got(answer)


def test_an_ocsp_request_is_posted() -> None:
    seen: list[bytes] = []

    async def talk(request: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(request)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def run() -> bytes:
        async with server(talk) as base:
            return await fetch(base, b"question", 100, CERTIFICATE)

    assert asyncio.run(run()) == b"ok"
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST / HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"Content-Type: application/ocsp-request" in head
    assert body == b"question"


def test_a_redirection_is_followed_a_few_times_and_never_to_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")

    async def talk(request: bytes, writer: asyncio.StreamWriter) -> None:
        path = request.split(b" ")[1]
        target = {b"/a": b"/b", b"/loop": b"/loop", b"/file": f"file://{tmp_path}/secret".encode()}.get(path)
        head = b"HTTP/1.1 302 Found\r\nLocation: " + target if target else b"HTTP/1.1 200 OK\r\nContent-Length: 4"
        writer.write(head + b"\r\n\r\n" + (b"" if target else b"list"))

    async def run(path: str, source: LookupSource) -> bytes:
        async with server(talk) as base:
            return await fetch(base + path, b"", 100, source)

    assert asyncio.run(run("/a", CERTIFICATE)) == b"list"
    for path, source, why in (("/loop", CERTIFICATE, "more than 3"), ("/file", CONFIGURED, "file is not fetched")):
        with pytest.raises(FetchError, match=why):
            asyncio.run(run(path, source))


def test_a_file_is_read_where_the_operator_names_it(tmp_path: Path) -> None:
    (tmp_path / "a list.crl").write_bytes(b"list")
    uri = f"file://{tmp_path}/a%20list.crl"
    assert asyncio.run(fetch(uri, b"", 4, CONFIGURED)) == b"list"
    with pytest.raises(FetchError, match="more than 3 bytes"):
        asyncio.run(fetch(uri, b"", 3, CONFIGURED))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FetchError, match="is no file"):
        asyncio.run(fetch(f"file://{tmp_path}/pipe", b"", 3, CONFIGURED))


@pytest.mark.parametrize(
    ("uri", "sources"),
    [
        ("http://ca.example/x", (CONFIGURED, CERTIFICATE, PEER)),
        ("https://ca.example/x", (CONFIGURED, CERTIFICATE)),
        ("file:///etc/ca.crl", (CONFIGURED,)),
        ("ldap://ca.example/x", ()),
        ("gopher://ca.example/x", ()),
        ("http:///x", ()),
        ("http://user:word@ca.example/x", ()),
        ("http://ca.example/x\r\nHost: other", ()),
        ("http://ca.example/\u00e9", ()),
        ("ca.example/x", ()),
    ],
)
def test_who_chose_the_address_decides_what_is_fetched(uri: str, sources: tuple[LookupSource, ...]) -> None:
    parts = urlsplit(uri)
    if "\n" in uri:
        parts = parts._replace(path="/x\r\nHost: other")  # urlsplit itself leaves such bytes out
    for source in LookupSource:
        if source in sources:
            check(parts, source)
        else:
            with pytest.raises(FetchError):
                check(parts, source)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "::ffff:127.0.0.1", "0.0.0.0", "224.0.0.1", "ff02::1"]
)
def test_a_peer_cannot_make_us_speak_to_ourselves_or_the_link(address: str) -> None:
    assert not may_be_reached(ip_address(address), PEER)
    assert may_be_reached(ip_address(address), CERTIFICATE)


def test_what_a_peer_chose_is_neither_asked_on_loopback_nor_redirected(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FetchError, match="may not have us ask"):
        got(b"HTTP/1.1 200 OK\r\n\r\nsecret", source=PEER)
    monkeypatch.setattr(fetcher, "may_be_reached", lambda *_: True)
    with pytest.raises(FetchError, match="not followed"):
        got(b"HTTP/1.1 302 Found\r\nLocation: /other\r\n\r\n", source=PEER)


def test_a_name_is_resolved_and_every_address_of_it_is_checked() -> None:
    async def run(base: LookupSource) -> bytes:
        async with server(says(b"HTTP/1.1 200 OK\r\n\r\nlist")) as there:
            return await fetch(there.replace("127.0.0.1", "localhost"), b"", 100, base)

    assert asyncio.run(run(CERTIFICATE)) == b"list"
    with pytest.raises(FetchError, match="localhost is an address that peers"):
        asyncio.run(run(PEER))


def wanted(number: int, uri: str, source: LookupSource = CERTIFICATE) -> LookupWanted:
    return LookupWanted(1, number, uri, b"", 100, source)


def test_slow_servers_end_in_time_and_keep_nobody_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "TIMEOUT", 0.5)
    monkeypatch.setattr(fetcher, "may_be_reached", lambda *_: True)
    found: dict[int, tuple[bytes | None, str]] = {}

    async def talk(request: bytes, writer: asyncio.StreamWriter) -> None:
        if b"/slow" in request:
            for _ in range(100):
                writer.write(b"H")
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlist")

    async def run() -> None:
        ours = Fetcher(lambda number, data, why: found.update({number: (data, why)}))
        async with server(talk) as base:
            for number in range(fetcher.MAX_AT_ONCE_FOR_PEERS + 1):
                ours.start(wanted(number, base + "/slow", PEER))
            ours.start(wanted(100, base + "/quick"))
            async with asyncio.timeout(5):
                while 100 not in found:
                    await asyncio.sleep(0.01)
                assert len(found) == 1
                while len(found) < fetcher.MAX_AT_ONCE_FOR_PEERS + 2:
                    await asyncio.sleep(0.01)
        await ours.stop()

    asyncio.run(run())
    assert found[100] == (b"list", "")
    assert all(data is None and "no answer within" in why for number, (data, why) in found.items() if number != 100)


def test_there_is_a_limit_to_what_waits_and_a_stop_ends_it() -> None:
    found: list[str] = []

    async def never(request: bytes, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001 - the shape of one
        await asyncio.sleep(60)

    async def run() -> None:
        ours = Fetcher(lambda number, data, why: found.append(why))  # noqa: ARG005 - the shape of one
        async with server(never) as base:
            for number in range(fetcher.MAX_WAITING + 1):
                ours.start(wanted(number, base))
            assert found == ["too many look-ups are under way"]
            async with asyncio.timeout(5):
                await ours.stop()

    asyncio.run(run())
    assert found == ["too many look-ups are under way"]
