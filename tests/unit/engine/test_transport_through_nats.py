"""Transport mode through NATs: the packet has the receiver's addresses, and checksums that fit (RFC 3948 3.1.2)."""

from __future__ import annotations

import os
from ipaddress import ip_address

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.packet import Packet, Raw
from support.engines import LEFT, LEFT6, RIGHT, RIGHT6, Pair

SEEN = {4: ("192.0.2.77", "10.0.0.5"), 6: ("2001:db8:77::1", "fd00::5")}
"""What the receiver calls the sender, and what it calls itself."""


def pair(family: int, *, nat: bool = True) -> Pair:
    left, right = (LEFT, RIGHT) if family == 4 else (LEFT6, RIGHT6)
    remote, local = map(ip_address, SEEN[family])
    return Pair(
        options={"mode": "transport", "local": ip_address(left), "remote": ip_address(right)},
        receiving={"remote": remote, "local": local, "nat": nat},
    )


def packet(family: int, upper: Packet, *, seen: bool = False) -> bytes:
    """With the sender's addresses, or with those that the receiver sees; checksums are scapy's."""
    source, target = SEEN[family] if seen else (LEFT, RIGHT) if family == 4 else (LEFT6, RIGHT6)
    return bytes(IP(src=source, dst=target) / upper if family == 4 else IPv6(src=source, dst=target) / upper)


def header(family: int) -> int:
    return 20 if family == 4 else 40


@pytest.mark.parametrize("size", [0, 1, 2, 99, 1200])
@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("family", [4, 6])
def test_checksums_are_those_of_the_addresses_that_the_receiver_sees(family: int, kind: str, size: int) -> None:
    ports = {"sport": 40000, "dport": 443}
    upper = (TCP(**ports, seq=7, flags="PA") if kind == "tcp" else UDP(**ports)) / Raw(os.urandom(size))
    two = pair(family)
    (opened,) = two.open(*two.seal(packet(family, upper)))
    assert isinstance(opened, bytes)
    wanted = packet(family, upper, seen=True)
    assert opened[header(family) :] == wanted[header(family) :]
    addresses = slice(12, 20) if family == 4 else slice(8, 40)
    assert opened[addresses] == wanted[addresses]


def test_a_checksum_that_was_not_sent_is_not_made_up() -> None:
    two = pair(4)
    (opened,) = two.open(*two.seal(packet(4, UDP(sport=1, dport=2, chksum=0) / Raw(b"nothing to check"))))
    assert isinstance(opened, bytes)
    assert UDP(opened[20:]).chksum == 0


@pytest.mark.parametrize("family", [4, 6])
def test_without_a_nat_what_was_sent_arrives_as_it_was(family: int) -> None:
    upper = UDP(sport=1, dport=2, chksum=0x1234) / Raw(b"a checksum that is wrong on purpose")
    two = pair(family, nat=False)
    (opened,) = two.open(*two.seal(packet(family, upper)))
    assert isinstance(opened, bytes)
    assert UDP(opened[header(family) :]).chksum == 0x1234


def test_other_protocols_are_left_alone() -> None:
    two = pair(4)
    sent = packet(4, ICMP(id=3) / Raw(b"ping"))
    (opened,) = two.open(*two.seal(sent))
    assert isinstance(opened, bytes)
    assert opened[20:] == sent[20:]


def test_icmp_of_ipv6_covers_addresses_too() -> None:
    two = pair(6)
    upper = ICMPv6EchoRequest(id=3, data=b"ping!")
    (opened,) = two.open(*two.seal(packet(6, upper)))
    assert isinstance(opened, bytes)
    assert opened[40:] == packet(6, upper, seen=True)[40:]
