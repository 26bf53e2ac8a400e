"""The steering program, run on frames without an interface (BPF_PROG_TEST_RUN), and attached to a veth pair."""

from __future__ import annotations

import os
import socket
import subprocess
import uuid
from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.ipsec import AH, ESP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from fastesp.steering import OBJECT

steer = pytest.importorskip("fastesp.steering.steer", reason="built without libbpf-dev")

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="loading BPF programs needs root"),
    pytest.mark.skipif(not OBJECT.exists(), reason="built without clang"),
]

XDP_DROP, XDP_PASS = 1, 2
SPI = 0x1234_5678
# Addresses are given: scapy would otherwise ask the network for its neighbours.
LINK = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4 = LINK / IP(src="203.0.113.10", dst="198.51.100.20")
V6 = LINK / IPv6(src="2001:db8::1", dst="2001:db8::2")


@pytest.fixture(scope="module")
def loaded() -> Iterator[steer.Steering]:
    with steer.Steering(str(OBJECT)) as loaded:
        yield loaded


@pytest.fixture
def steering(loaded: steer.Steering) -> steer.Steering:
    """The loaded programs, with no bucket owned."""
    for bucket in (steer.bucket_of(SPI), 1, 2):
        loaded.set_owner(bucket, None)
    return loaded


def run(steering: steer.Steering, frame: Packet | bytes) -> tuple[int, set[steer.Reason]]:
    """The XDP action, and the reasons that were counted."""
    before = steering.reasons()
    action = steering.test_run(bytes(frame).ljust(64, b"\0"))
    after = steering.reasons()
    return action, {reason for reason in after if after[reason] != before[reason]}


ESP_PACKET = ESP(spi=SPI, seq=1, data=b"x" * 40)


@pytest.mark.parametrize(
    "frame",
    [
        V4 / ESP_PACKET,
        V6 / ESP_PACKET,
        V4 / AH(spi=SPI, seq=1, icv=b"0" * 16),
        V4 / UDP(sport=4500, dport=4500) / ESP_PACKET,
        V6 / UDP(sport=4500, dport=4500) / ESP_PACKET,
        LINK / Dot1Q(vlan=7) / IP() / ESP_PACKET,
        LINK / Dot1Q(vlan=7) / Dot1Q(vlan=8) / IP() / ESP_PACKET,
        LINK / IP(options=b"\x94\x04\x00\x00") / ESP_PACKET,
        V6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / ESP_PACKET,
    ],
    ids=lambda frame: frame.summary(),
)
def test_an_spi_is_found_and_looked_up(steering: steer.Steering, frame: Packet) -> None:
    assert run(steering, frame) == (XDP_PASS, {steer.Reason.NO_OWNER})
    steering.set_owner(steer.bucket_of(SPI), 3)
    assert run(steering, frame) == (XDP_PASS, {steer.Reason.NO_SOCKET})
    steering.set_owner(steer.bucket_of(SPI), None)
    assert run(steering, frame) == (XDP_PASS, {steer.Reason.NO_OWNER})


@pytest.mark.parametrize(
    ("frame", "action", "reason"),
    [
        (LINK / ARP(), XDP_PASS, steer.Reason.NOT_IPSEC),
        (V4 / ICMP(), XDP_PASS, steer.Reason.NOT_IPSEC),
        (V4 / UDP(dport=500) / Raw(b"x" * 28), XDP_PASS, steer.Reason.NOT_IPSEC),
        (V4 / UDP(dport=4500) / Raw(bytes(4) + b"x" * 28), XDP_PASS, steer.Reason.IKE),
        (V4 / UDP(dport=4500) / Raw(b"\xff"), XDP_DROP, steer.Reason.KEEPALIVE),
        (LINK / IP(flags="MF") / ESP_PACKET, XDP_PASS, steer.Reason.FRAGMENT),
        (LINK / IP(frag=100, proto=50) / Raw(b"x" * 40), XDP_PASS, steer.Reason.FRAGMENT),
        (V6 / IPv6ExtHdrFragment(m=1) / ESP_PACKET, XDP_PASS, steer.Reason.FRAGMENT),
        (LINK / IP(proto=50, ihl=4) / Raw(b"x" * 40), XDP_PASS, steer.Reason.DOUBT),
        (V4 / ESP(spi=0, seq=1, data=b"x" * 40), XDP_PASS, steer.Reason.DOUBT),
    ],
    ids=str,
)
def test_what_is_not_an_sa_is_passed_with_its_reason(
    steering: steer.Steering, frame: Packet, action: int, reason: steer.Reason
) -> None:
    assert run(steering, frame) == (action, {reason})


@pytest.mark.parametrize("length", range(14, 62))
def test_a_truncated_frame_is_never_read_past_its_end(steering: steer.Steering, length: int) -> None:
    whole = bytes(V6 / IPv6ExtHdrHopByHop() / ESP_PACKET)
    assert steering.test_run(whole[:length]) == XDP_PASS


def test_owners_and_buckets_out_of_range_are_refused(steering: steer.Steering) -> None:
    with pytest.raises(ValueError, match="4096"):
        steering.set_owner(steer.BUCKETS, 0)
    with pytest.raises(ValueError, match="64"):
        steering.set_owner(0, steer.OWNERS)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, pytest.raises(ValueError, match="64"):
        steering.set_worker(steer.OWNERS, sock)


def test_a_missing_object_says_how_to_get_it() -> None:
    with pytest.raises(steer.SteeringError, match="clang"):
        steer.Steering("/nonexistent/steer.bpf.o")


@pytest.fixture
def veth() -> Iterator[str]:
    names = [f"fs{uuid.uuid4().hex[:8]}" for _ in range(2)]
    subprocess.run(["ip", "link", "add", names[0], "type", "veth", "peer", "name", names[1]], check=True)
    try:
        yield names[0]
    finally:
        subprocess.run(["ip", "link", "del", names[0]], check=True)


def attached(veth: str) -> bool:
    shown = subprocess.run(["ip", "link", "show", veth], check=True, capture_output=True, text=True)
    return "prog/xdp" in shown.stdout


def test_it_attaches_natively_to_a_veth_and_comes_off_again(steering: steer.Steering, veth: str) -> None:
    assert steering.attach(veth) == "native"
    assert attached(veth)
    with steer.Steering(str(OBJECT)) as other, pytest.raises(steer.SteeringError, match="another XDP program"):
        other.attach(veth)
    assert attached(veth)
    steering.detach(veth)
    assert not attached(veth)


def test_what_somebody_put_in_its_place_stays(steering: steer.Steering, veth: str) -> None:
    with steer.Steering(str(OBJECT)) as other:
        other.attach(veth)
        subprocess.run(["ip", "link", "set", veth, "xdp", "off"], check=True)
        steering.attach(veth)
        other.detach(veth)
        assert attached(veth)
    assert attached(veth)
    steering.detach(veth)
    assert not attached(veth)


@pytest.mark.parametrize(("family", "loopback"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_the_stack_hands_each_spi_to_the_socket_of_its_owner(
    steering: steer.Steering, family: socket.AddressFamily, loopback: str
) -> None:
    listeners = []
    try:
        for _ in range(3):
            listener = socket.socket(family, socket.SOCK_DGRAM)
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind((loopback, listeners[0].getsockname()[1] if len(listeners) > 1 else 0))
            listener.settimeout(2)
        for owner, listener in enumerate(listeners):
            steering.set_worker(owner, listener)
        steering.steer_group(listeners[0])
        steering.set_owner(0x001, 1)
        steering.set_owner(0x002, 2)
        address = listeners[0].getsockname()
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            for spi, owner in ((0x0010_0000, 1), (0x002F_FFFF, 2), (0x0040_0000, 0), (0, 0)):
                datagram = spi.to_bytes(4, "big") + b"payload"
                sender.sendto(datagram, address)
                assert listeners[owner].recv(100) == datagram
    finally:
        for listener in listeners:
            listener.close()
