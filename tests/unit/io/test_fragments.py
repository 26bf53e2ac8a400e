"""Packets that are sent with their IP header, cut for a narrow path: scapy puts them together again."""

from __future__ import annotations

import os

import pytest
from scapy.layers.inet import IP, UDP, IPOption_Router_Alert, defragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, defragment6
from scapy.packet import Raw

from fastesp.io.fragment import fragments

AH = 51


@pytest.mark.parametrize("df", [False, True])
@pytest.mark.parametrize("size", [24, 500, 1399, 1400, 1401, 60000])
@pytest.mark.parametrize("times", [1, 2, 4])
def test_ipv4_pieces_make_the_packet_again(size: int, times: int, df: bool) -> None:
    packet = bytes(IP(src="192.0.2.1", dst="192.0.2.2", id=77, proto=AH, flags="DF" if df else 0) / os.urandom(size))
    pieces = fragments(packet, times, 0)
    assert 2 <= len(pieces) <= 2**times
    for piece in pieces:
        parsed = IP(piece)
        assert parsed.id == 77
        assert not parsed.flags.DF
        assert parsed.len == len(piece)
        sum_as_sent = parsed.chksum
        del parsed.chksum
        assert IP(bytes(parsed)).chksum == sum_as_sent
    whole = defragment([IP(piece) for piece in pieces])
    assert len(whole) == 1
    assert bytes(whole[0])[20:] == packet[20:]


@pytest.mark.parametrize("size", [24, 500, 1399, 1400, 1401, 60000])
@pytest.mark.parametrize("times", [1, 2, 4])
def test_ipv6_pieces_make_the_packet_again(size: int, times: int) -> None:
    packet = bytes(IPv6(src="2001:db8::1", dst="2001:db8::2", tc=0x2A, nh=AH) / Raw(os.urandom(size)))
    pieces = fragments(packet, times, 0xDEADBEEF)
    assert 2 <= len(pieces) <= 2**times
    parsed = [IPv6(piece) for piece in pieces]
    for one in parsed:
        assert one.tc == 0x2A
        assert one.plen == len(bytes(one)) - 40
        assert one[IPv6ExtHdrFragment].id == 0xDEADBEEF
        assert one[IPv6ExtHdrFragment].nh == AH
    payload = bytearray()
    for one in parsed:
        assert one[IPv6ExtHdrFragment].offset * 8 == len(payload)
        payload += bytes(one[IPv6ExtHdrFragment].payload)
        assert one[IPv6ExtHdrFragment].m == (len(payload) < size)
    assert payload == packet[40:]
    assert defragment6([IPv6(piece) for piece in pieces]).plen == size


def test_what_cannot_be_cut_is_left_alone() -> None:
    ends = {"src": "192.0.2.1", "dst": "192.0.2.2"}
    with_options = bytes(IP(**ends, options=[IPOption_Router_Alert()]) / UDP() / bytes(100))
    fragment = bytes(IP(**ends, frag=3) / bytes(100))
    first = bytes(IP(**ends, flags="MF") / bytes(104))
    extended = bytes(IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrHopByHop() / UDP() / bytes(100))
    for packet in (with_options, fragment, first, extended, b"", b"\x45", bytes(IP(**ends)), bytes(60)):
        assert fragments(packet, 1, 0) is None


def test_a_path_that_wants_too_many_pieces_is_given_up() -> None:
    packet = bytes(IP(src="192.0.2.1", dst="192.0.2.2", proto=AH) / bytes(60000))
    assert fragments(packet, 6, 0)
    assert fragments(packet, 7, 0) is None
