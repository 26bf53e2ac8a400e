"""The VICI socket under well-behaved clients (the ``vici`` package, Debian's ``swanctl``) and under all others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import shutil
import socket
import stat
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from support.vici_thread import ViciThread
from vici.exception import CommandException, EventUnknownException, SessionException

from fastesp.gateway.vici import server as vici_server
from fastesp.gateway.vici.codec import MAX_PACKET, push_message
from fastesp.gateway.vici.server import AddressInUseError, RefusedError, Request, ViciServer

SWANCTL = shutil.which("swanctl", path="/usr/sbin:/usr/bin") or "swanctl"


async def version(_: Request) -> Mapping[str, object]:
    return {"daemon": "fastesp", "version": "0.1.0", "sysname": "Linux", "release": "6.1", "machine": "x86_64"}


async def echo(request: Request) -> Mapping[str, object]:
    return request.message


async def list_conns(request: Request) -> Mapping[str, object]:
    for name in ("one", "two"):
        connection = {"local_addrs": ["10.0.0.1"], "remote_addrs": ["10.0.0.2"], "version": "IKEv2", "children": {}}
        await request.stream("list-conn", {name: connection})
    return {}


async def flood(request: Request) -> Mapping[str, object]:
    sent = 0
    while sent < 200 and await request.stream("list-sa", {"sa": {"data": b"x" * 60000}}):
        sent += 1
    return {"sent": sent}


async def refuse(_: Request) -> Mapping[str, object]:
    raise RefusedError("no child 'net'", code="no-such-child", outcome="not-found")


async def broken(_: Request) -> Mapping[str, object]:
    raise ZeroDivisionError("secret detail")


async def huge(_: Request) -> Mapping[str, object]:
    return {f"key{number}": b"x" * 60000 for number in range(10)}


class Running(ViciThread):
    """The commands above, and one that waits until it is cancelled."""

    def __init__(self, path: Path) -> None:
        self.started: list[str] = []
        self.cancelled: list[str] = []
        handlers = {
            "version": version,
            "echo": echo,
            "list-conns": list_conns,
            "list-sas": flood,
            "initiate": refuse,
            "broken": broken,
            "huge": huge,
            "wait": self._wait,
        }
        super().__init__(path, handlers)

    async def _wait(self, request: Request) -> Mapping[str, object]:
        self.started.append(request.command)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled.append(request.command)
            raise
        return {}

    def answers(self) -> bool:
        with self.session() as session:
            return session.version()["daemon"] == b"fastesp"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    server = Running(tmp_path / "vici")
    with server:
        yield server


def until(true: Callable[[], bool], timeout: float = 5.0) -> bool:
    """Whether ``true`` came to be in time."""
    end = time.monotonic() + timeout
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_the_vici_package_gets_its_answers(running: Running) -> None:
    with running.session() as session:
        assert session.version()["daemon"] == b"fastesp"
        assert [list(entry) for entry in session.list_conns()] == [["one"], ["two"]]
        assert session.request("echo", {"a": {"b": ["c"]}}) == {"a": {"b": [b"c"]}}


def test_swanctl_gets_its_answers(running: Running) -> None:
    def swanctl(*words: str) -> subprocess.CompletedProcess[str]:
        command = [SWANCTL, *words, "--uri", f"unix://{running.path}"]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    assert "0.1.0 fastesp (Linux, 6.1, x86_64)" in swanctl("--version", "--daemon").stdout
    listed = swanctl("--list-conns")
    assert listed.returncode == 0
    assert "one: IKEv2" in listed.stdout
    assert "two: IKEv2" in listed.stdout
    raw = swanctl("--list-conns", "--raw").stdout
    assert "list-conn event {one {local_addrs=[10.0.0.1] remote_addrs=[10.0.0.2] version=IKEv2 children {}}}" in raw
    refused = swanctl("--initiate", "--child", "net")
    assert refused.returncode != 0
    assert "no child 'net'" in refused.stderr + refused.stdout


def test_a_refusal_carries_its_reason_and_code(running: Running) -> None:
    with running.session() as session, pytest.raises(CommandException, match="no child 'net'"):
        session.request("initiate")
    with running.stream() as stream:
        stream.sendall(b"\0\0\0\x0a\0\x08initiate")
        expected = push_message(
            {"success": "no", "errmsg": "no child 'net'", "code": "no-such-child", "outcome": "not-found"}
        )
        assert receive(stream) == b"\x01" + expected


def test_an_unknown_command_or_event_is_answered_so(running: Running) -> None:
    with running.session() as session:
        with pytest.raises(SessionException, match="Unexpected response type 2"):
            session.request("make-coffee")
        with pytest.raises(EventUnknownException):
            list(session.listen(["coffee"]))
        assert session.version()


def test_a_broken_handler_says_no_detail_and_harms_nobody(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    with running.session() as session:
        with pytest.raises(CommandException) as caught:
            session.request("broken")
        assert "secret" not in str(caught.value)
        assert session.version()
    assert "the VICI command broken broke" in caplog.text


def test_an_answer_too_large_for_vici_is_refused(running: Running) -> None:
    with running.session() as session, pytest.raises(CommandException, match="VICI carries"):
        session.request("huge")


def test_events_reach_who_registered_and_nobody_else(running: Running) -> None:
    with running.session() as listener, running.session() as other:
        events = listener.listen(["log"], 5.0)
        waiting = threading.Thread(target=lambda: seen.append(next(events)))
        seen: list[tuple[bytes, dict[str, bytes]]] = []
        waiting.start()
        assert until(lambda: running.server.wanted("log"))
        running.emit("log", {"msg": "hello"})
        running.emit("alert", {"msg": "nobody"})
        waiting.join(5)
        assert seen == [(b"log", {"msg": b"hello"})]
        assert other.version()
        events.close()
        assert not running.server.wanted("log")


def test_an_event_that_vici_cannot_carry_is_left_out(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    with running.stream() as stream:
        stream.sendall(b"\0\0\0\x05\x03\x03log")
        assert receive(stream) == b"\x05"
        running.emit("log", {"msg": "x" * 70000})
        running.emit("log", {"msg": "short"})
        assert receive(stream).endswith(b"short")
    assert "VICI carries 65535" in caplog.text


def receive(stream: socket.socket) -> bytes:
    """One packet."""

    def exactly(count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = stream.recv(count - len(data))
            if not piece:
                raise ConnectionError("closed")
            data += piece
        return data

    return exactly(int.from_bytes(exactly(4), "big"))


def closed(stream: socket.socket) -> bool:
    """Whether the server ends the connection."""
    try:
        while stream.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\0",
        struct.pack("!I", MAX_PACKET + 1),
        b"\xff\xff\xff\xff" + bytes(100),
        b"\0\0\0\x01\x09",
        b"\0\0\0\x01\x00",
        b"\0\0\0\x05\x00\xffabc",
        b"\0\0\0\x01\x01",
        b"\0\0\0\x06\x07\x03log\x00",
        b"\0\0\0\x0a\x00\x07version\x02",
        b"\0\0\0\x0a\x00\x07version\x63",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_a_malformed_packet_ends_its_connection_alone(running: Running, data: bytes) -> None:
    with running.session() as neighbour, running.stream() as stream:
        stream.sendall(data)
        assert closed(stream)
        assert neighbour.version()


def test_trouble_is_logged_once(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "fastesp.vici"):
        for _ in range(20):
            with running.stream() as stream:
                stream.sendall(b"\0\0\0\0")
                assert closed(stream)
    assert caplog.text.count("is refused") == 1
    assert f"process {os.getpid()} of user {os.getuid()}" in caplog.text


def test_half_a_packet_and_silence_ends_the_connection(
    running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(vici_server, "PACKET_TIMEOUT", 0.1)
    with running.stream() as stream:
        time.sleep(0.3)
        assert running.answers()
        stream.sendall(b"\0\0\0\x09\0\x07ver")
        assert closed(stream)
    assert "left a packet half sent" in caplog.text


def test_a_packet_that_comes_byte_by_byte_is_served(running: Running) -> None:
    with running.stream() as stream:
        for byte in b"\0\0\0\x09\0\x07version":
            stream.sendall(bytes((byte,)))
        assert receive(stream).startswith(b"\x01")


def test_a_client_that_never_reads_its_events_loses_them_and_not_the_gateway(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with running.stream() as stream:
        stream.sendall(b"\0\0\0\x05\x03\x03log")
        assert until(lambda: running.server.wanted("log"))
        for _ in range(100):
            running.emit("log", {"msg": b"x" * 60000})
        assert running.server.dropped_events > 50
        assert running.answers()
        assert caplog.text.count("does not read its events") == 1
        assert receive(stream) == b"\x05"
        assert len(receive(stream)) > 60000


def test_a_client_that_never_reads_its_answer_is_disconnected(
    running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(vici_server, "WRITE_TIMEOUT", 0.2)
    with running.stream() as stream:
        stream.sendall(b"\0\0\0\x09\x03\x07list-sa" + b"\0\0\0\x0a\x00\x08list-sas")
        assert until(lambda: "does not read its answer" in caplog.text)
        assert until(lambda: running.server.client_count == 0)
        assert running.answers()


def test_a_client_that_floods_and_never_reads_is_held_back(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vici_server, "WRITE_TIMEOUT", 0.5)
    request = b"\0\0\0\x09\0\x07version" * 1000
    with running.stream() as stream:
        with contextlib.suppress(OSError):
            for _ in range(1000):
                stream.sendall(request)
        assert running.answers()


def test_a_command_whose_client_left_is_ended(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vici_server, "GRACE", 0.1)
    with running.stream() as stream:
        stream.sendall(b"\0\0\0\x06\0\x04wait")
        assert until(lambda: running.started == ["wait"])
    assert until(lambda: running.cancelled == ["wait"])
    assert until(lambda: running.server.client_count == 0)


def test_a_client_that_stops_sending_still_gets_its_answers(running: Running) -> None:
    with running.stream() as stream:
        stream.sendall(b"\0\0\0\x09\0\x07version" * 3)
        stream.shutdown(socket.SHUT_WR)
        for _ in range(3):
            assert receive(stream).startswith(b"\x01\x03\x06daemon")


def test_a_hundred_clients_at_once_are_served(running: Running) -> None:
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(running.session()) for _ in range(100)]
        assert all(session.version()["daemon"] == b"fastesp" for session in sessions)


def test_clients_beyond_the_limit_are_turned_away(
    running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(vici_server, "MAX_CLIENTS", 3)
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(running.session()) for _ in range(3)]
        assert all(session.version() for session in sessions)
        assert closed(stack.enter_context(running.stream()))
    assert "turned away" in caplog.text
    assert until(lambda: running.server.client_count == 0)
    assert running.answers()


def test_a_client_beyond_the_limit_gets_the_place_of_one_that_leaves(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vici_server, "MAX_CLIENTS", 1)
    monkeypatch.setattr(vici_server, "PLACE_TIMEOUT", 10.0)
    with contextlib.ExitStack() as early:
        assert early.enter_context(running.session()).version()
        with running.session() as late:
            threading.Timer(0.1, early.close).start()
            assert late.version()


def test_fifty_thousand_mutated_packets_leave_the_gateway_alone(running: Running) -> None:
    source = random.Random(7)
    valid = b"\x00\x04echo" + push_message({"a": {"b": ["c", "d"], "e": "f"}, "g": "h"})
    for _ in range(5000):
        with contextlib.suppress(OSError), running.stream() as stream:
            for _ in range(10):
                data = bytearray(valid)
                for _ in range(source.randint(0, 3)):
                    data[source.randrange(len(data))] = source.randrange(256)
                stream.sendall(len(data).to_bytes(4, "big") + data)
    assert running.answers()
    assert until(lambda: running.server.client_count == 0)


def test_the_socket_has_the_mode_it_was_given_and_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "vici"
    with Running(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


def test_the_socket_belongs_to_whom_it_was_given(tmp_path: Path) -> None:
    async def scenario() -> None:
        server = ViciServer(tmp_path / "vici", {}, mode=0o660, owner=str(os.getuid()), group=str(os.getgid()))
        await server.start()
        assert (server.path.stat().st_uid, server.path.stat().st_gid) == (os.getuid(), os.getgid())
        await server.close()
        with pytest.raises(OSError, match="no user 'nobody-of-that-name'"):
            await ViciServer(tmp_path / "vici", {}, owner="nobody-of-that-name").start()
        assert not server.path.exists()

    asyncio.run(scenario())


def test_a_dead_daemons_socket_is_replaced_and_a_living_ones_is_not(tmp_path: Path) -> None:
    path = tmp_path / "vici"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    running = Running(path)
    with running:
        with pytest.raises(AddressInUseError, match="another daemon serves"):
            asyncio.run(ViciServer(path, {}).start())
        assert running.answers()


def test_a_file_at_the_sockets_place_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "vici"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="is no socket"):
        asyncio.run(ViciServer(path, {}).start())
    assert path.read_text() == "precious"
