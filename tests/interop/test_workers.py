"""Two workers: each SA has an owner, whatever socket or queue its packets came by, and nothing is lost between them."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest
from support.exchange import End, datagrams, stream
from support.flows import RATE, Flow, run_together
from support.planes import OUTER, Pair, Plane, planes

from fastesp.lab.namespace import Namespace
from fastesp.lab.process import wait_until

pytestmark = pytest.mark.root

SIDES = {"a": "10.10.0", "b": "10.20.0"}
SPIS = {"a": 0x110, "b": 0x220}
"""Buckets of both sides' first tunnel, owned by worker 0; the next tunnel's belong to worker 1, and so on."""
UDP_SEGMENT = 103
TICK = 1 / os.sysconf("SC_CLK_TCK")


def addresses(pair: Pair) -> None:
    """Those of more tunnels than one."""
    for side in (pair.a, pair.b):
        for number in range(2, 6):
            side.ip("addr", "add", f"{SIDES[side.side]}.{number}", "dev", side.tun)


@pytest.fixture(scope="module")
def shared() -> Iterator[Pair]:
    with planes(workers=2) as made:
        addresses(made)
        yield made


@pytest.fixture
def pair(shared: Pair) -> Pair:
    for side in (shared.a, shared.b):
        side.reset()
    return shared


def connect(pair: Pair, number: int, *, child_id: int = 0, worker: int = 0, **more: object) -> None:
    """A tunnel between the ``number``th addresses of both sides, owned by a worker. Installed, not yet sending."""
    for side in (pair.b, pair.a):
        side.install(wanted(pair, side, number, child_id or number, worker, **more), False)


def wanted(pair: Pair, side: Plane, number: int, child_id: int, worker: int, **more: object) -> dict[str, object]:
    """It, as one side sees it."""
    spis = {name: (bucket + worker) << 20 | child_id for name, bucket in SPIS.items()}
    peer = "b" if side.side == "a" else "a"
    ours, theirs = (f"{SIDES[name]}.{number}" for name in (side.side, peer))
    return pair.wanted(
        side,
        child_id,
        selectors=[[f"{ours}-{ours}", f"{theirs}-{theirs}"]],
        spi_in=spis[side.side],
        spi_out=spis[peer],
        **more,
    )


def activate(pair: Pair, child_id: int) -> None:
    for side in (pair.b, pair.a):
        side.activate(child_id)


def ends(pair: Pair, number: int) -> tuple[End, End]:
    a, b = (End(Namespace(side.namespace, side.side), f"{SIDES[side.side]}.{number}") for side in (pair.a, pair.b))
    return a, b


CARRIERS = {
    "udp": {},
    "protocol-50": {"udp": False},
    "protocol-51": {"udp": False, "protocol": 51, "suite": ["", 0, "hmac-sha2-256"]},
    "udp-over-ipv6": {"version": 6},
    "protocol-50-over-ipv6": {"udp": False, "version": 6},
    "protocol-51-over-ipv6": {"udp": False, "protocol": 51, "suite": ["", 0, "hmac-sha2-256"], "version": 6},
}


@pytest.mark.parametrize("carrier", CARRIERS.values(), ids=CARRIERS)
def test_flows_of_tunnels_on_both_workers_arrive_in_order_and_are_counted_exactly(
    pair: Pair, carrier: dict[str, object]
) -> None:
    numbers = range(1, 5)
    for number in numbers:
        connect(pair, number, worker=number % 2, **carrier)
        activate(pair, number)
    before = pair.a.workers()
    flows = run_together([Flow(*ends(pair, number), rate=RATE // 4) for number in numbers for _ in range(3)], 1.0)
    for flow in flows:
        assert flow.sent > 100
        assert flow.got == list(range(flow.sent))
    for number in numbers:
        sent = sum(flow.sent for flow in flows[3 * number - 3 : 3 * number])
        assert pair.a.counters(number)["packets_out"] == pair.b.counters(number)["packets_in"] == sent
    assert pair.a.drops() == pair.b.drops() == {}
    after = pair.a.workers()
    assert [figures["sas"] for figures in after] == [2, 2]
    # Twelve flows over two queues: some came by the other worker's.
    assert sum(figures["out_handed"] for figures in after) > sum(figures["out_handed"] for figures in before)
    assert all(now["out_packets"] > then["out_packets"] for now, then in zip(after, before, strict=True))


@pytest.mark.parametrize("udp", [True, False], ids=["udp", "protocol-50"])
def test_without_ebpf_a_classic_program_steers_and_nothing_is_lost(
    udp: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    with planes(workers=2, without_bpf=True) as pair:
        addresses(pair)
        for number in range(1, 5):
            connect(pair, number, worker=number % 2, udp=udp)
            activate(pair, number)
        flows = run_together([Flow(*ends(pair, number), rate=400) for number in range(1, 5)], 0.5)
        for number, flow in enumerate(flows, 1):
            assert flow.got == list(range(flow.sent))
            assert pair.b.counters(number)["packets_in"] == flow.sent
        assert [figures["in_handed"] for figures in pair.b.workers()] == [0, 0]
        assert all(figures["in_packets"] for figures in pair.b.workers())
        assert pair.a.drops() == pair.b.drops() == {}
    # Once a side.
    assert capfd.readouterr().err.count("a classic program steers by SPI instead") == 2


def test_a_worker_that_stands_still_holds_up_nobody_else(pair: Pair) -> None:
    for number in (1, 2):
        connect(pair, number, worker=number % 2)
        activate(pair, number)
    standing = threading.Thread(target=pair.b.park, args=(1, 1.0))
    with Flow(*ends(pair, 1), rate=400) as slow, Flow(*ends(pair, 2), rate=400) as fast:
        time.sleep(0.2)
        standing.start()
        time.sleep(0.5)
        seen = len(fast.got)
        stood = len(slow.got)
        time.sleep(0.3)
        assert len(fast.got) > seen + 50
        assert len(slow.got) == stood
        standing.join()
    for flow in (slow, fast):
        assert flow.got == list(range(flow.sent))
    assert pair.b.drops() == {}


def test_tcp_streams_each_way_over_tunnels_of_both_workers_arrive_whole(pair: Pair) -> None:
    for number in (1, 2):
        connect(pair, number, worker=number % 2)
        activate(pair, number)
    streams = [
        threading.Thread(target=stream, args=(*(ends(pair, number)[::way]), 20_000_000))
        for number in (1, 2)
        for way in (1, -1)
    ]
    for thread in streams:
        thread.start()
    for thread in streams:
        thread.join()
    for number in (1, 2):
        a, b = pair.a.counters(number), pair.b.counters(number)
        assert a["bytes_out"] > 20_000_000
        assert b["bytes_out"] > 20_000_000
        assert a["packets_in"] == b["packets_out"]
        assert b["packets_in"] == a["packets_out"]


@pytest.mark.parametrize("moves", [False, True], ids=["same-owner", "another-owner"])
def test_rekeying_under_load_loses_nothing_and_keeps_the_order(pair: Pair, moves: bool) -> None:
    connect(pair, 1, child_id=1, esn=True)
    activate(pair, 1)
    with Flow(*ends(pair, 1)) as there, Flow(*ends(pair, 1)[::-1]) as back:
        for new in range(2, 10):
            connect(pair, 1, child_id=new, worker=new % 2 if moves else 0, esn=True)
            activate(pair, new)
            time.sleep(0.15)
            for side in (pair.a, pair.b):
                side.retire(new - 1)
            for side in (pair.a, pair.b):
                side.remove(new - 1)
    for flow in (there, back):
        assert flow.sent > 1000
        # Where the inbound SA changes its owner, two workers write to the TUN for a moment.
        assert (sorted(flow.got) if moves else flow.got) == list(range(flow.sent))
    assert pair.a.drops() == pair.b.drops() == {}


def test_several_sas_with_the_same_selectors_spread_flows_over_the_workers(pair: Pair) -> None:
    """RFC 9611: each flow keeps to one of them, whichever worker looks it up."""
    for number in (1, 2):
        connect(pair, 1, child_id=number, worker=number % 2, resource=number)
        activate(pair, number)
    flows = run_together([Flow(*ends(pair, 1), rate=400) for _ in range(12)], 0.6)
    for flow in flows:
        assert flow.got == list(range(flow.sent))
    sent = [pair.a.counters(number)["packets_out"] for number in (1, 2)]
    assert all(sent)
    assert sum(sent) == sum(flow.sent for flow in flows)
    assert [pair.b.counters(number)["packets_in"] for number in (1, 2)] == sent
    assert pair.a.drops() == pair.b.drops() == {}


def test_a_flow_keeps_its_queue_though_its_answers_come_in_by_another(pair: Pair) -> None:
    """Else a packet on the new queue could overtake one that waits on the old."""
    connect(pair, 1, worker=1)
    activate(pair, 1)
    shares = []
    for _ in range(12):
        before = pair.a.workers()[0]["out_packets"]
        datagrams(*ends(pair, 1), [100] * 20)
        shares.append(pair.a.workers()[0]["out_packets"] - before)
    assert set(shares) == {0, 20}


def test_a_trap_asks_once_and_what_it_kept_goes_out_on_another_worker_s_sa(pair: Pair) -> None:
    selectors = [["10.10.0.1-10.10.0.1", "10.20.0.1-10.20.0.1"]]
    pair.a.trap("net", 7, selectors)
    connect(pair, 1, worker=1)
    pair.a.remove(1)
    for _ in range(16):
        # A new port each time, so that each queue sees some.
        with ends(pair, 1)[0].socket(socket.SOCK_DGRAM) as sender:
            sender.sendto(b"kept", ("10.20.0.1", 7000))
    wait_until(lambda: pair.a.figures()["waiting_for_sa"] == 16, "sixteen packets kept", 5.0)
    assert [kind for kind, _ in pair.a.events()] == ["Acquire"]
    pair.a.install(wanted(pair, pair.a, 1, 1, 1))
    wait_until(lambda: pair.b.counters(1)["packets_in"] == 16, "what was kept", 5.0)
    assert pair.a.drops() == {}


def captured(pair: Pair, expression: str, numbers: tuple[int, ...]) -> list[bytes]:
    """One ESP packet of each tunnel, of one size, caught on the wire at b."""
    command = ["tcpdump", "-i", "wire", "-c", str(len(numbers)), "-U", "-w", "-", *expression.split()]
    capture = subprocess.Popen(
        ["ip", "netns", "exec", pair.b.namespace, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert capture.stderr is not None
        while b"listening" not in (line := capture.stderr.readline()):
            assert line, "tcpdump ended before it listened"
        for number in numbers:
            pair.a.ping(f"10.20.0.{number}", "-I", f"10.10.0.{number}")
        data = capture.communicate(timeout=10)[0][24:]
    finally:
        capture.kill()
        capture.communicate()
    packets = []
    while data:
        length = struct.unpack_from("<I", data, 8)[0]
        packets.append(data[16 + 14 + 20 : 16 + length])
        data = data[16 + length :]
    return packets


@pytest.mark.parametrize("worker", [0, 1])
@pytest.mark.parametrize("udp", [True, False], ids=["udp", "protocol-50"])
def test_a_replayed_packet_is_counted_once(pair: Pair, udp: bool, worker: int) -> None:
    connect(pair, 1, worker=worker, udp=udp)
    activate(pair, 1)
    (packet,) = captured(pair, f"{'udp port 4500' if udp else 'proto 50'} and src host {OUTER['a'][0]}", (1,))
    outside = Namespace(pair.a.namespace, "a")
    kind, protocol = (socket.SOCK_DGRAM, 0) if udp else (socket.SOCK_RAW, 50)
    with outside.socket(socket.AF_INET, kind, protocol) as sender:
        for _ in range(3):
            sender.sendto(packet[8:] if udp else packet, (OUTER["b"][0], 4500 if udp else 0))
    wait_until(lambda: pair.b.drops() == {"replayed": 3}, "three replays", 5.0)
    assert pair.b.counters(1)["packets_in"] == 1
    assert pair.b.counters(1)["drops"] == {"replayed": 3}


def test_datagrams_of_two_owners_that_the_kernel_joined_part_ways(pair: Pair) -> None:
    for number in (1, 2):
        connect(pair, number, worker=number % 2)
        activate(pair, number)
    one, two = (packet[8:] for packet in captured(pair, f"udp port 4500 and src host {OUTER['a'][0]}", (1, 2)))
    assert len(one) == len(two)
    handed = sum(figures["in_handed"] for figures in pair.b.workers())
    with Namespace(pair.a.namespace, "a").socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        segment = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", len(one)))]
        sender.sendmsg([one, two, one, two], segment, 0, (OUTER["b"][0], 4500))
    wait_until(lambda: pair.b.drops() == {"replayed": 4}, "four replays", 5.0)
    for number in (1, 2):
        assert pair.b.counters(number)["drops"] == {"replayed": 2}
    assert sum(figures["in_handed"] for figures in pair.b.workers()) == handed + 2


def cpu_seconds(side: Plane) -> float:
    """Of the whole process, kernel's included."""
    with open(f"/proc/{side.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK


def test_idle_costs_nothing(pair: Pair) -> None:
    connect(pair, 1)
    activate(pair, 1)
    pair.a.ping("10.20.0.1", "-I", "10.10.0.1")
    before = [cpu_seconds(side) for side in (pair.a, pair.b)]
    time.sleep(2.0)
    spent = [cpu_seconds(side) - was for side, was in zip((pair.a, pair.b), before, strict=True)]
    assert max(spent) <= 2 * TICK


def test_who_polls_takes_a_core_and_carries_traffic() -> None:
    with planes(workers=1, poll=True) as pair:
        pair.connect()
        before = cpu_seconds(pair.a)
        output = pair.a.run("ping", "-q", "-c", "20", "-i", "0.02", "-I", "10.10.0.1", "10.20.0.1")
        assert " 0% packet loss" in output
        assert cpu_seconds(pair.a) - before > 5 * TICK


def test_packets_flow_while_the_control_plane_holds_the_interpreter(pair: Pair) -> None:
    connect(pair, 1, worker=1)
    activate(pair, 1)
    pair.a.ping("10.20.0.1", "-I", "10.10.0.1")
    busy = [threading.Thread(target=side.hold_the_gil, args=(1.5,)) for side in (pair.a, pair.b)]
    for thread in busy:
        thread.start()
    try:
        output = pair.a.run("ping", "-q", "-c", "20", "-i", "0.02", "-W", "3", "-I", "10.10.0.1", "10.20.0.1")
    finally:
        assert all(thread.is_alive() for thread in busy)
        for thread in busy:
            thread.join()
    assert " 0% packet loss" in output
    longest = re.search(r"= [\d.]+/[\d.]+/([\d.]+)/", output)
    assert longest is not None
    assert float(longest[1]) < 500.0
