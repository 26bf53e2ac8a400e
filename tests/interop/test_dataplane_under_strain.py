"""Data planes that are flooded, held up, or lose what they stand on: they go on with all that still can."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.planes import INNER, OUTER, Pair, Plane, planes

from fastesp.lab.process import wait_until

pytestmark = pytest.mark.root

FLOOD = """
import os, socket, sys
flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
flood.connect((sys.argv[1], 4500))
flood.setsockopt(17, 103, 1016)  # UDP_SEGMENT
one = bytes.fromhex(sys.argv[2]) + b"\\0\\1\\0\\0" + os.urandom(1008)
print("flooding", flush=True)
while True:
    try:
        flood.send(one * 64)
    except OSError:
        pass
"""
LOAD = """
import socket, sys
load = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
load.bind((sys.argv[1], 0))
print("flooding", flush=True)
while True:
    try:
        load.sendto(bytes(1000), (sys.argv[2], 7001))
    except OSError:
        pass
"""


@contextmanager
def going_on(side: Plane, script: str, *arguments: str) -> Iterator[None]:
    """A script in a namespace for as long as the block runs."""
    process: subprocess.Popen[str] = side.start("python3", "-c", script, *arguments)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "flooding\n"
        yield
    finally:
        process.kill()
        process.communicate()


def passes(pair: Pair) -> bool:
    return " 0% packet loss" in pair.a.run(
        "ping", "-c", "1", "-W", "1", "-I", INNER["a"][0], INNER["b"][0], check=False
    )


@pytest.fixture
def pair() -> Iterator[Pair]:
    with planes() as made:
        yield made


def test_a_flood_on_one_socket_starves_no_other(pair: Pair) -> None:
    """Forged packets for an SA in UDP, which cost more to refuse than to send, beside a tunnel over protocol 50."""
    pair.connect(1, suite=["aes-cbc", 256, "hmac-sha2-512"])
    pair.connect(2, udp=False)
    with going_on(pair.a, FLOOD, OUTER["b"][0], f"{pair.wanted(pair.b)['spi_in']:08x}"):
        wait_until(lambda: pair.b.drops().get("corrupt", 0) > 50_000, "a flood", 20.0)
        assert sum(passes(pair) for _ in range(5)) >= 3
    assert pair.b.counters(2)["packets_in"] >= 3


def test_a_link_that_takes_nothing_does_not_keep_a_worker_from_parking() -> None:
    """The socket's buffer is full, and each packet is a message that waits for room in it."""
    slow = ["rate", "8kbit", "burst", "2kb", "limit", "100mb"]
    with planes(gso=False) as pair:
        pair.connect()
        pair.a.run("tc", "qdisc", "add", "dev", "wire", "root", "tbf", *slow)
        with going_on(pair.a, LOAD, INNER["a"][0], INNER["b"][0]):
            wait_until(lambda: pair.a.drops().get("overflow", 0) > 0, "a full buffer", 30.0)
            for _ in range(3):
                pair.a.park(0, 0.0)


def processor_seconds(side: Plane) -> float:
    fields = Path(f"/proc/{side.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_deleted_tun_device_is_told_of_once_and_costs_nothing(workers: int) -> None:
    with planes(workers=workers) as pair:
        pair.connect()
        assert passes(pair)
        pair.a.ip("link", "del", pair.a.tun)
        (told,) = pair.a.events_named("Degraded")
        assert f"the TUN device {pair.a.tun} was deleted" in told
        before = processor_seconds(pair.a)
        time.sleep(1.0)
        assert processor_seconds(pair.a) - before <= 0.05
        assert pair.a.events() == []
        pair.a.remove(1)


def test_a_path_that_is_too_narrow_for_ipv6_is_learnt_once(pair: Pair) -> None:
    """1,280 bytes go in fragments outside, and the kernel says so each time."""
    pair.connect()
    for side in (pair.a, pair.b):
        side.ip("link", "set", "wire", "mtu", "1300")
    for _ in range(4):
        done = pair.a.run("ping", "-c", "5", "-i", "0.02", "-W", "3", "-s", "1232", "-I", "fd10::1", "fd20::1")
        assert " 0% packet loss" in done
        pair.a.events()
    assert len([line for line in pair.a.logged() if "fit the path" in line]) == 1


def test_a_packet_without_df_goes_out_in_fragments_though_ike_set_df_on_the_socket(pair: Pair) -> None:
    pair.connect()
    for side in (pair.a, pair.b):
        side.ip("link", "set", "wire", "mtu", "1300")
    large = ["ping", "-c", "1", "-W", "2", "-M", "dont", "-s", "1330", "-I", INNER["a"][0], INNER["b"][0]]
    pair.a.run(*large)
    for _ in range(2):
        pair.a.set_df(True)
        pair.a.run(*large)
    assert pair.a.drops() == {}


def test_a_trap_without_room_is_refused_and_leaves_nothing() -> None:
    with planes(workers=2, max_policies=2) as pair:
        selectors = pair.wanted(pair.a)["selectors"]
        for name in ("one", "two"):
            pair.a.trap(name, 1, selectors)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="three: no room for another policy"):
                pair.a.trap("three", 1, selectors)
        pair.a.trap("two", 1, selectors)
