"""Fetches what certificates point to: CRLs, OCSP answers, certificates by URL. Bounded in size, time and number.

1. Whether the place may be asked at all, by who chose it. 2. Connected to one of its addresses. 3. One request by
HTTP/1.1, over TLS to whom this host trusts. 4. The header, then a body of known or unknown length, never more than the
limit. 5. Redirected a few times.
Nothing here waits for anything but its own answer.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import os
import socket
import ssl
import stat
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from ike.events import LookupSource, LookupWanted

logger = logging.getLogger("fastesp.net")

TIMEOUT = 5.0
"""Seconds for one place, name resolution and redirects included."""
MAX_AT_ONCE = 16
MAX_AT_ONCE_FOR_PEERS = 4
"""Of what peers chose there is less at once: slow answers there must not keep CRLs away."""
MAX_WAITING = 256
MAX_WAITING_FOR_PEERS = 64
MAX_REDIRECTS = 3
MAX_HEADER = 16 * 1024
PORTS = {"http": 80, "https": 443}
FOLLOWED = frozenset((301, 302, 303, 307, 308))

_RESOLVING = {peers: ThreadPoolExecutor(4, "resolve") for peers in (False, True)}
"""Whether a peer chose the name -> who resolves it. A name server that does not answer keeps a thread for long; it must
not be one that others need."""

Done = Callable[[int, bytes | None, str], None]
"""Lookup id, what was found, and why there is nothing."""


class FetchError(Exception):
    """What went wrong, in a few words."""


class _Lane:
    """What is under way, and how much of it may be."""

    def __init__(self, at_once: int, most: int) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self.slots = asyncio.Semaphore(at_once)
        self.most = most


class Fetcher:
    """Runs in the gateway's loop. ``done`` is called exactly once for each that was started, unless it is stopped."""

    def __init__(self, done: Done) -> None:
        self._done = done
        self._ours = _Lane(MAX_AT_ONCE, MAX_WAITING)
        self._peers = _Lane(MAX_AT_ONCE_FOR_PEERS, MAX_WAITING_FOR_PEERS)

    def start(self, wanted: LookupWanted) -> None:
        """Fetch it, beside everything else."""
        lane = self._peers if wanted.source is LookupSource.PEER else self._ours
        if len(lane.tasks) >= lane.most:
            self._done(wanted.lookup_id, None, "too many look-ups are under way")
            return
        task = asyncio.get_running_loop().create_task(self._run(wanted, lane))
        lane.tasks.add(task)
        task.add_done_callback(lane.tasks.discard)

    async def stop(self) -> None:
        """Give up all that is under way."""
        tasks = [*self._ours.tasks, *self._peers.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, wanted: LookupWanted, lane: _Lane) -> None:
        data, why = None, ""
        try:
            async with asyncio.timeout(2 * TIMEOUT), lane.slots, asyncio.timeout(TIMEOUT):
                data = await fetch(wanted.uri, wanted.body, wanted.limit, wanted.source)
        except TimeoutError:
            why = f"no answer within {TIMEOUT:g} s"
        except FetchError as error:
            why = str(error)
        except ssl.SSLCertVerificationError as error:
            why = f"the server's certificate is not good: {error.verify_message}"
        except (OSError, http.client.HTTPException, ValueError, EOFError) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        result = f"{len(data)} bytes" if data is not None else why
        logger.info("fetched %s: %s", wanted.uri, result)
        self._done(wanted.lookup_id, data, why)


async def fetch(uri: str, body: bytes, limit: int, source: LookupSource) -> bytes:
    """What is at ``uri``, at most ``limit`` bytes of it. Raises :class:`FetchError` or ``OSError``."""
    for _ in range(MAX_REDIRECTS + 1):
        parts = urlsplit(uri)
        check(parts, source)
        if parts.scheme.lower() == "file":
            return await asyncio.to_thread(_read_file, parts, limit)
        status, headers, data = await _ask(parts, body, limit, source)
        if status == 200:
            return data
        if status not in FOLLOWED or "location" not in headers:
            raise FetchError(f"HTTP status {status}")
        if source is LookupSource.PEER:
            raise FetchError("a redirection, which is not followed where a peer chose the address")
        uri = urljoin(uri, headers["location"])
        # A file of ours is for the operator to name, not for a server.
        source = LookupSource.CERTIFICATE
    raise FetchError(f"more than {MAX_REDIRECTS} redirections")


# May it be asked?


def check(parts: SplitResult, source: LookupSource) -> None:
    """Refuse what the one that chose the address may not make us do. Raises :class:`FetchError`."""
    scheme = parts.scheme.lower()
    if scheme == "file" and source is LookupSource.CONFIGURED:
        return
    if scheme not in PORTS or (source is LookupSource.PEER and scheme != "http"):
        raise FetchError(f"{scheme or 'nothing'} is not fetched here")
    if not parts.hostname or parts.username is not None or parts.password is not None:
        raise FetchError("no host, or a name and password before it")
    if any(not 0x21 <= ord(letter) <= 0x7E for letter in parts.geturl()):
        raise FetchError("a URI with spaces or letters beyond ASCII")


def may_be_reached(address: IPv4Address | IPv6Address, source: LookupSource) -> bool:
    """Whether somebody who has not shown who it is may have us speak to this address: not to ourselves or the link."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    there = mapped or address
    return source is not LookupSource.PEER or not (
        there.is_loopback or there.is_link_local or there.is_multicast or there.is_unspecified or there.is_reserved
    )


def _read_file(parts: SplitResult, limit: int) -> bytes:
    if parts.netloc not in ("", "localhost"):
        raise FetchError(f"file://{parts.netloc} is another machine's")
    path = Path(unquote(parts.path))
    # A pipe would keep a thread for ever.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise FetchError(f"{path} is no file")
        return _at_most(file.read(limit + 1), limit)


# HTTP.


async def _ask(
    parts: SplitResult, body: bytes, limit: int, source: LookupSource
) -> tuple[int, Mapping[str, str], bytes]:
    reader, writer = await _connect(parts, source)
    try:
        writer.write(_request(parts, body))
        await writer.drain()
        status, headers = await _header(reader)
        data = await _body(reader, headers, limit) if status == 200 else b""
    finally:
        writer.transport.abort()
    return status, headers, data


async def _connect(parts: SplitResult, source: LookupSource) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """To the first address that answers; the name is resolved once, so that what was checked is what is asked."""
    assert parts.hostname is not None
    port = parts.port or PORTS[parts.scheme.lower()]
    addresses = await _resolve(parts.hostname, source)
    allowed = [address for address in addresses if may_be_reached(address, source)]
    if not allowed:
        raise FetchError(f"{parts.hostname} is an address that peers may not have us ask")
    secure = parts.scheme.lower() == "https"
    context = ssl.create_default_context() if secure else None
    failure: OSError | None = None
    for address in allowed[:4]:
        try:
            return await asyncio.open_connection(
                str(address), port, limit=MAX_HEADER, ssl=context, server_hostname=parts.hostname if secure else None
            )
        except OSError as error:
            failure = error
    assert failure is not None
    raise failure


async def _resolve(host: str, source: LookupSource) -> list[IPv4Address | IPv6Address]:
    try:
        return [ip_address(host)]
    except ValueError:
        pass
    pool = _RESOLVING[source is LookupSource.PEER]
    asked = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(pool, asked)
    return list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


def _request(parts: SplitResult, body: bytes) -> bytes:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [
        f"{'POST' if body else 'GET'} {target} HTTP/1.1",
        f"Host: {parts.netloc}",
        "User-Agent: fastesp",
        "Accept: */*",
        "Connection: close",
    ]
    if body:
        lines += ["Content-Type: application/ocsp-request", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


async def _header(reader: asyncio.StreamReader) -> tuple[int, Mapping[str, str]]:
    try:
        block = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise FetchError(f"an HTTP header of more than {MAX_HEADER} bytes") from None
    except asyncio.IncompleteReadError:
        raise FetchError("the server hung up") from None
    line, _, fields = block.partition(b"\r\n")
    words = line.split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not (len(words[1]) == 3 and words[1].isdigit()):
        raise FetchError("an answer that is not HTTP")
    parsed = http.client.parse_headers(BytesIO(fields))
    return int(words[1]), {name.lower(): value for name, value in parsed.items()}


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str], limit: int) -> bytes:
    """RFC 9112 section 6.3: in chunks, of a length that is said, or until the server hangs up."""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return await _chunks(reader, limit)
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit():
        if int(length) > limit:
            raise FetchError(f"more than {limit} bytes")
        try:
            return await reader.readexactly(int(length))
        except asyncio.IncompleteReadError:
            raise FetchError("the server hung up in the middle") from None
    data = bytearray()
    while piece := await reader.read(64 * 1024):
        data += piece
        _at_most(data, limit)
    return bytes(data)


async def _chunks(reader: asyncio.StreamReader, limit: int) -> bytes:
    data = bytearray()
    try:
        while True:
            size = int((await reader.readuntil(b"\r\n")).split(b";")[0].strip() or b"x", 16)
            if size == 0:
                return bytes(data)
            if size < 0 or len(data) + size > limit:
                raise FetchError(f"more than {limit} bytes")
            data += await reader.readexactly(size)
            if await reader.readexactly(2) != b"\r\n":
                raise FetchError("a chunk without an end")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        raise FetchError("chunks that cannot be read") from None


def _at_most(data: bytes | bytearray, limit: int) -> bytes:
    if len(data) > limit:
        raise FetchError(f"more than {limit} bytes")
    return bytes(data)
