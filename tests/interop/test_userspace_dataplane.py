"""Two data planes in two namespaces, keys made by hand: real packets through TUN, UDP and protocol 50."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.planes import INNER, OUTER, Pair, Plane, planes

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def shared() -> Iterator[Pair]:
    with planes() as made:
        yield made


@pytest.fixture
def pair(shared: Pair) -> Pair:
    """Two sides without SA, trap or event; their counters begin at zero."""
    for side in (shared.a, shared.b):
        side.reset()
    return shared


@pytest.fixture
def fresh() -> Iterator[Pair]:
    """For tests that change the wire or the namespaces."""
    with planes() as made:
        yield made


def transfer(client: Plane, server: Plane, version: int, megabytes: int = 30) -> None:
    """Random bytes over one TCP connection; the digests at both ends must be the same."""
    index = 0 if version == 4 else 1
    arguments = [INNER[client.side][index], INNER[server.side][index], str(megabytes)]
    receiver = server.start("python3", "-c", RECEIVE, *arguments)
    try:
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "listening\n"
        sent = client.run("python3", "-c", SEND, *arguments)
        assert receiver.communicate(timeout=30)[0] == sent
    finally:
        receiver.kill()
        receiver.wait()


RECEIVE = """
import hashlib, socket, sys
server = socket.create_server((sys.argv[2], 7000), family=socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET)
server.settimeout(20)
print("listening", flush=True)
connection, _ = server.accept()
connection.settimeout(20)
digest = hashlib.sha256()
while data := connection.recv(1 << 18):
    digest.update(data)
print(digest.hexdigest())
"""
SEND = """
import hashlib, os, socket, sys
connection = socket.create_connection((sys.argv[2], 7000), 20, (sys.argv[1], 0))
digest = hashlib.sha256()
for _ in range(int(sys.argv[3])):
    data = os.urandom(1 << 20)
    digest.update(data)
    connection.sendall(data)
connection.close()
print(digest.hexdigest())
"""


ECHO = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 7001))
server.settimeout(60)
print("listening", flush=True)
while data_and_source := server.recvfrom(65535):
    server.sendto(*data_and_source)
"""
ASK = """
import os, socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.bind((sys.argv[1], 0))
client.settimeout(30)  # for a machine that is busy: nothing here may be lost
for size in map(int, sys.argv[3:]):
    data = os.urandom(size)
    client.sendto(data, (sys.argv[2], 7001))
    assert client.recv(65535) == data, size
"""


@pytest.mark.parametrize("udp", [True, False], ids=["udp", "protocol-50"])
@pytest.mark.parametrize("outer", [4, 6], ids=["over-ipv4", "over-ipv6"])
def test_both_inner_families_ping_and_carry_tcp_each_way(pair: Pair, udp: bool, outer: int) -> None:
    pair.connect(udp=udp, version=outer)
    for version in (4, 6):
        index = 0 if version == 4 else 1
        pair.a.ping(INNER["b"][index], "-I", INNER["a"][index])
        transfer(pair.a, pair.b, version)
        transfer(pair.b, pair.a, version)
    for sender, receiver in ((pair.a, pair.b), (pair.b, pair.a)):
        assert arrived(receiver, sent(sender)) == sent(sender)
    assert pair.a.drops() == pair.b.drops() == {}


def sent(side: Plane) -> tuple[int, int]:
    counters = side.counters(1)
    return counters["packets_out"], counters["bytes_out"]


def arrived(side: Plane, expected: tuple[int, int]) -> tuple[int, int]:
    """Packets and bytes, once they are as expected, or as they are after a while: the last ones are on their way."""
    for _ in range(100):
        counters = side.counters(1)
        if (found := (counters["packets_in"], counters["bytes_in"])) == expected:
            break
        time.sleep(0.02)
    return found


@pytest.mark.parametrize(
    "suite",
    [["aes-gcm-16", 128], ["chacha20-poly1305", 256], ["aes-cbc", 256, "hmac-sha2-256"], ["null", 0, "hmac-sha1"]],
    ids=lambda suite: "-".join(map(str, suite)),
)
def test_suites_that_are_not_the_default_carry_tcp(pair: Pair, suite: list[object]) -> None:
    pair.connect(suite=suite, esn=True)
    transfer(pair.a, pair.b, 4, 10)
    assert pair.a.drops() == pair.b.drops() == {}


def test_without_any_offload_the_same_bytes_arrive() -> None:
    with planes(gso=False, gro=False, tun_offload=False) as pair:
        pair.connect()
        transfer(pair.a, pair.b, 4, 10)
        figures = pair.a.figures()
        assert figures["out_datagrams"] == figures["out_packets"]


def test_offloads_carry_many_packets_in_one_system_call(pair: Pair) -> None:
    pair.connect()
    transfer(pair.a, pair.b, 4)
    figures = pair.a.figures()
    assert figures["out_gso_refused"] == 0
    assert figures["out_packets"] > 8 * figures["out_send_calls"]


def test_a_path_without_offload_gets_every_packet(fresh: Pair) -> None:
    for side in (fresh.a, fresh.b):
        side.run("ethtool", "-K", "wire", "tx", "off")
    fresh.connect()
    transfer(fresh.a, fresh.b, 4, 5)
    assert fresh.a.drops() == {}


def test_udp_datagrams_of_all_sizes_arrive_whole(pair: Pair) -> None:
    pair.connect()
    echo = pair.b.start("python3", "-c", ECHO, INNER["b"][0])
    try:
        assert echo.stdout is not None
        assert echo.stdout.readline() == "listening\n"
        sizes = [0, 1, 2, 3, 4, 5, 16, 700, 1371, 1372, 1373, 8000, 60000]
        pair.a.run("python3", "-c", ASK, INNER["a"][0], INNER["b"][0], *map(str, sizes))
    finally:
        echo.kill()
        echo.communicate()
    assert pair.a.drops() == pair.b.drops() == {}


def test_a_trap_keeps_the_first_packet_and_asks_once(pair: Pair) -> None:
    selectors = pair.wanted(pair.a)["selectors"]
    pair.a.trap("net", 7, selectors)
    pair.b.install(pair.wanted(pair.b))
    ping = subprocess.Popen(
        [
            "ip",
            "netns",
            "exec",
            pair.a.namespace,
            "ping",
            "-c",
            "2",
            "-i",
            "0.3",
            "-W",
            "5",
            "-I",
            "10.10.0.1",
            "10.20.0.1",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        acquires = pair.a.events_named("Acquire")
        assert len(acquires) == 1
        assert "name='net', reqid=7" in acquires[0]
        assert "IPv4Address('10.10.0.1'), destination=IPv4Address('10.20.0.1'), protocol=1" in acquires[0]
        time.sleep(0.6)
        assert pair.a.figures()["waiting_for_sa"] == 2
        assert pair.a.events() == []
        pair.a.install(pair.wanted(pair.a))
        output = ping.communicate(timeout=10)[0]
    finally:
        ping.kill()
        ping.wait()
    assert "2 received" in output
    assert pair.a.figures()["waiting_for_sa"] == 0
    assert pair.a.drops() == {}


def test_what_a_trap_keeps_is_bounded_and_what_goes_is_counted(pair: Pair) -> None:
    pair.a.trap("net", 7, pair.wanted(pair.a)["selectors"])
    pair.a.run("ping", "-c", "100", "-i", "0.002", "-W", "1", "-I", "10.10.0.1", "10.20.0.1", check=False)
    assert pair.a.figures()["waiting_for_sa"] == 64
    assert pair.a.drops() == {"overflow": 36}


def test_when_the_sa_goes_its_trap_asks_again(pair: Pair) -> None:
    pair.a.trap("net", 7, pair.wanted(pair.a)["selectors"])
    pair.connect()
    pair.a.ping("10.20.0.1", "-I", "10.10.0.1")
    pair.a.remove(1)
    pair.a.run("ping", "-c", "1", "-W", "1", "-I", "10.10.0.1", "10.20.0.1", check=False)
    assert pair.a.events_named("Acquire")
    assert pair.a.figures()["waiting_for_sa"] == 1


def test_a_rekey_under_load_loses_no_packet(pair: Pair) -> None:
    pair.connect(1)
    size = 1000
    load = subprocess.Popen(
        [
            "ip",
            "netns",
            "exec",
            pair.a.namespace,
            "ping",
            "-q",
            "-s",
            str(size),
            "-c",
            "1500",
            "-i",
            "0.002",
            "-I",
            "10.10.0.1",
            "10.20.0.1",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for new in range(2, 12):
            old = new - 1
            pair.a.install(pair.wanted(pair.a, new), False)
            pair.b.install(pair.wanted(pair.b, new), False)
            pair.a.activate(new)
            pair.b.activate(new)
            time.sleep(0.1)
            pair.a.retire(old)
            pair.b.retire(old)
            pair.a.remove(old)
            pair.b.remove(old)
        output = load.communicate(timeout=30)[0]
    finally:
        load.kill()
        load.wait()
    assert " 0% packet loss" in output
    assert pair.a.drops() == pair.b.drops() == {}


def test_a_retired_sa_falls_back_to_the_one_before(pair: Pair) -> None:
    pair.connect(1)
    pair.connect(2)
    pair.a.retire(2)
    pair.a.ping("10.20.0.1", "-I", "10.10.0.1")
    assert pair.a.counters(1)["packets_out"] == 1
    assert pair.a.counters(2)["packets_in"] == 1


def test_what_no_policy_protects_never_leaves(pair: Pair) -> None:
    pair.a.run("ping", "-c", "3", "-i", "0.05", "-W", "1", "-I", "10.10.0.1", "10.20.0.1", check=False)
    assert pair.a.drops() == {"no-policy": 3}


@pytest.mark.parametrize(("action", "label"), [("discard", "discard"), ("bypass", "send-failed")])
def test_exceptions_stand_before_an_sa_and_what_they_stop_is_counted(pair: Pair, action: str, label: str) -> None:
    pair.connect()
    pair.a.trap("exception", 0, [["10.10.0.1-10.10.0.1", "10.20.0.1-10.20.0.1"]], action)
    pair.a.run("ping", "-c", "3", "-i", "0.05", "-W", "1", "-I", "10.10.0.1", "10.20.0.1", check=False)
    assert pair.a.drops() == {label: 3}
    assert pair.a.counters(1)["packets_out"] == 0


def copy_of_one_packet(pair: Pair) -> bytes:
    """An ESP packet of a's, caught on the wire at b: what follows the UDP header."""
    command = ["tcpdump", "-i", "wire", "-c", "1", "-U", "-w", "-", "udp", "port", "4500"]
    capture = subprocess.Popen(
        ["ip", "netns", "exec", pair.b.namespace, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert capture.stderr is not None
        while b"listening" not in (line := capture.stderr.readline()):
            assert line, "tcpdump ended before it listened"
        pair.a.ping("10.20.0.1", "-I", "10.10.0.1")
        return capture.communicate(timeout=10)[0][24 + 16 + 14 + 20 + 8 :]
    finally:
        capture.kill()
        capture.communicate()


def inject(pair: Pair, *datagrams: bytes) -> None:
    """Send datagrams from a's namespace to b's port 4500."""
    script = "import socket,sys;s=socket.socket(2,2);[s.sendto(bytes.fromhex(x),('%s',4500)) for x in sys.argv[1:]]"
    pair.a.run("python3", "-c", script % OUTER["b"][0], *(datagram.hex() for datagram in datagrams))


def settled_drops(side: Plane, expected: dict[str, int]) -> dict[str, int]:
    """The drops, once they are as expected, or as they are after a while."""
    for _ in range(50):
        if side.drops() == expected:
            break
        time.sleep(0.02)
    return side.drops()


def test_replays_corruption_and_rubbish_are_dropped_under_their_names(pair: Pair) -> None:
    pair.connect()
    packet = copy_of_one_packet(pair)
    flipped = packet[:-1] + bytes([packet[-1] ^ 1])
    later = packet[:4] + bytes([0, 0, 1, 0]) + packet[8:]
    inject(pair, packet, packet, later, flipped, packet[:20], packet[:6], b"\xff", bytes([9] * 40))
    expected = {"replayed": 3, "corrupt": 1, "truncated": 2, "unknown-spi": 1}
    assert settled_drops(pair.b, expected) == expected
    assert pair.b.events_named("UnknownSpi")[0].startswith(f"UnknownSpi(spi={0x09090909}")
    pair.a.ping("10.20.0.1", "-I", "10.10.0.1")


def test_a_peer_behind_a_nat_that_forgot_is_told_once_and_followed(fresh: Pair) -> None:
    fresh.connect()
    fresh.a.run(
        "nft",
        "add table ip nat; add chain ip nat post { type nat hook postrouting priority 100; };"
        " add rule ip nat post udp sport 4500 oifname wire masquerade to :40000-40001",
    )
    fresh.a.run("ping", "-c", "3", "-i", "0.05", "-W", "1", "-I", "10.10.0.1", "10.20.0.1", check=False)
    moves = fresh.b.events_named("PeerMoved")
    assert len(moves) == 1
    assert "child_id=1" in moves[0]
    port = int(re.search(r"remote_port=(4000[01])", moves[0])[1])
    fresh.b.move(1, [OUTER["b"][0], OUTER["a"][0], 4500, port])
    fresh.a.ping("10.20.0.1", "-I", "10.10.0.1")


def test_limits_are_told_soft_then_hard_and_the_hard_one_stops(pair: Pair) -> None:
    pair.connect(lifetime={"soft_packets": 5, "hard_packets": 8})
    pair.a.run("ping", "-c", "20", "-i", "0.02", "-W", "1", "-I", "10.10.0.1", "10.20.0.1", check=False)
    assert pair.a.counters(1)["packets_out"] == 8
    kinds = [kind for kind, text in pair.a.events() if "child_id=1" in text]
    assert "SoftLimit" in kinds
    assert "HardLimit" in kinds
    assert pair.a.drops()["expired"] == 12


@pytest.mark.parametrize("version", [4, 6])
def test_a_packet_too_big_for_its_path_is_answered_with_icmp(version: int) -> None:
    with planes(mtu=1300) as pair:
        pair.connect()
        index = 0 if version == 4 else 1
        output = pair.a.run(
            "ping",
            "-c",
            "2",
            "-i",
            "0.2",
            "-W",
            "1",
            "-M",
            "do",
            "-s",
            "1330",
            "-I",
            INNER["a"][index],
            INNER["b"][index],
            check=False,
        )
        assert "mtu" in output.lower() or "packet too big" in output.lower()
        assert pair.a.drops()["too-big"] >= 1
        transfer(pair.a, pair.b, version, 5)


def test_a_path_that_shrinks_later_is_learnt(fresh: Pair) -> None:
    fresh.connect()
    fresh.a.run("ip", "link", "set", "wire", "mtu", "1300")
    for _ in range(4):
        fresh.a.run("ping", "-c", "1", "-W", "1", "-M", "do", "-s", "1330", "-I", "10.10.0.1", "10.20.0.1", check=False)
        fresh.a.events()
    cache = fresh.a.run("ip", "route", "get", "10.20.0.1", "from", "10.10.0.1")
    assert "mtu 12" in cache


def test_without_df_what_is_too_big_goes_in_fragments_outside(fresh: Pair) -> None:
    fresh.connect()
    for side in (fresh.a, fresh.b):
        side.run("ip", "link", "set", "wire", "mtu", "1300")
    fresh.a.run("ping", "-c", "2", "-i", "0.1", "-W", "2", "-M", "dont", "-s", "1330", "-I", "10.10.0.1", "10.20.0.1")


def test_ike_shares_the_nat_t_port_behind_its_marker_and_has_port_500(pair: Pair) -> None:
    for port in (4500, 500):
        assert pair.a.send_ike(f"hello on {port}", [OUTER["a"][0], OUTER["b"][0], port, port])
        deadline = time.monotonic() + 3
        got: list[list[object]] = []
        while not got and time.monotonic() < deadline:
            got = pair.b.receive_ike()
        assert got == [[f"hello on {port}", OUTER["b"][0], port, OUTER["a"][0], port]]


def test_an_ike_message_larger_than_the_path_mtu_arrives(pair: Pair) -> None:
    pair.connect()
    pair.a.ping("10.20.0.1", "-I", "10.10.0.1")
    text = "certificates " * 400
    assert pair.a.send_ike(text, [OUTER["a"][0], OUTER["b"][0], 4500, 4500])
    time.sleep(0.2)
    assert [got[0] for got in pair.b.receive_ike()] == [text]


def test_tfc_padding_hides_the_length(pair: Pair) -> None:
    pair.connect(tfc_padding=-1)
    packet = copy_of_one_packet(pair)
    assert len(packet) > 1300


def processor_seconds(side: Plane) -> float:
    fields = Path(f"/proc/{side.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_idle_costs_nothing(pair: Pair) -> None:
    pair.connect()
    pair.a.ping("10.20.0.1", "-I", "10.10.0.1")
    before, waits = processor_seconds(pair.a), pair.a.figures()
    time.sleep(1.5)
    after = pair.a.figures()
    assert processor_seconds(pair.a) - before <= 0.02
    assert after["out_waits"] == waits["out_waits"]
    assert after["in_waits"] == waits["in_waits"]


def test_a_worker_that_sleeps_is_not_woken_for_sas_that_come_and_go(pair: Pair) -> None:
    pair.connect()
    before = pair.a.figures()
    for number in range(2, 52):
        pair.a.install(pair.wanted(pair.a, number))
        pair.a.remove(number)
    after = pair.a.figures()
    assert after["out_waits"] == before["out_waits"]
    assert after["in_waits"] == before["in_waits"]
    pair.a.ping("10.20.0.1", "-I", "10.10.0.1")


def test_packets_wait_while_a_sleeper_lends_what_it_owns(pair: Pair) -> None:
    pair.connect()
    lending = threading.Thread(target=pair.b.park, args=(0, 0.6))
    lending.start()
    time.sleep(0.2)
    answers = pair.a.ping("10.20.0.1", "-I", "10.10.0.1", "-c", "1", "-W", "3")
    lending.join()
    assert float(re.search(r"time=([\d.]+)", answers)[1]) > 200
    for _ in range(200):
        pair.b.park(0, 0.0)
    pair.a.ping("10.20.0.1", "-I", "10.10.0.1")


def test_a_port_in_use_is_named_with_the_way_out(pair: Pair) -> None:
    with pytest.raises(RuntimeError, match=r"UDP port 4500 .*in use.*stop it, or choose other ports"):
        pair.a._ask("start", {"tun_name": "second"})


def test_after_the_end_nothing_is_left(fresh: Pair) -> None:
    fresh.connect()
    fresh.a.close()
    assert fresh.a.tun not in fresh.a.ip("link")
    assert "4500" not in fresh.a.run("ss", "-lun")
