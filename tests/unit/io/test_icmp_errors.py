"""ICMP "too big" as scapy reads it, and when none may be sent."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6PacketTooBig, IPv6
from scapy.packet import Packet, Raw

from fastesp.io.icmp import too_big_error


def test_ipv4_quotes_the_packet_and_names_the_mtu() -> None:
    packet = bytes(IP(src="10.1.0.1", dst="10.2.0.1", flags="DF") / UDP() / Raw(bytes(1400)))
    error = IP(too_big_error(packet, 1300))
    assert (error.src, error.dst, error[ICMP].type, error[ICMP].code) == ("10.2.0.1", "10.1.0.1", 3, 4)
    assert error[ICMP].nexthopmtu == 1300
    assert too_big_error(packet, 1300)[28:] == packet[:548]
    checked = error.copy()
    del checked.chksum, checked[ICMP].chksum
    assert bytes(checked) == bytes(error)


def test_ipv6_quotes_the_packet_and_names_the_mtu() -> None:
    packet = bytes(IPv6(src="fd01::1", dst="fd02::1") / UDP() / Raw(bytes(1400)))
    error = IPv6(too_big_error(packet, 1300))
    assert (error.src, error.dst) == ("fd02::1", "fd01::1")
    assert error[ICMPv6PacketTooBig].mtu == 1300
    assert too_big_error(packet, 1300)[48:] == packet[:1232]
    checked = error.copy()
    del checked[ICMPv6PacketTooBig].cksum
    assert bytes(checked) == bytes(error)


def test_ipv6_never_names_less_than_its_minimum() -> None:
    error = IPv6(too_big_error(bytes(IPv6(src="fd01::1", dst="fd02::1") / UDP() / Raw(bytes(1400))), 1000))
    assert error[ICMPv6PacketTooBig].mtu == 1280


@pytest.mark.parametrize(
    "packet",
    [
        IP(src="10.1.0.1", dst="10.2.0.1") / ICMP(type=3, code=1) / Raw(bytes(1400)),
        IP(src="10.1.0.1", dst="10.2.0.1", frag=3) / Raw(bytes(1400)),
        IP(src="10.1.0.1", dst="224.0.0.5") / UDP() / Raw(bytes(1400)),
        IPv6(src="fd01::1", dst="fd02::1") / ICMPv6DestUnreach() / Raw(bytes(1400)),
        IPv6(src="fd01::1", dst="ff02::1") / UDP() / Raw(bytes(1400)),
        Raw(b""),
        Raw(b"\x45" + bytes(10)),
    ],
    ids=lambda p: p.summary(),
)
def test_no_error_is_sent_about_what_may_have_none(packet: Packet) -> None:
    assert too_big_error(bytes(packet), 1300) == b""
