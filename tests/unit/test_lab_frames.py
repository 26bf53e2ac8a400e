"""What an observer of the wire says of a frame: built by scapy, told apart by the lab."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NS, IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.ipsec import AH, ESP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw
from scapy.utils import wrpcap

from fastesp.lab.frames import classify, packets

A, B = "203.0.113.10", "198.51.100.20"
A6, B6 = "2001:db8:a::10", "2001:db8:b::20"
IKE_INIT = bytes(range(1, 9)) + bytes(8) + bytes([33, 0x20, 34, 0x08]) + bytes(4) + (28).to_bytes(4, "big")
ESP_PACKET = bytes.fromhex("c0ffee00 00000001") + bytes(40)


def udp(port: int, payload: bytes) -> IP:
    return IP(src=A, dst=B) / UDP(sport=port, dport=port) / Raw(payload)


@pytest.mark.parametrize(
    ("packet", "what"),
    [
        (IP(src=A, dst=B) / ESP(spi=0xC0FFEE00, seq=1, data=bytes(40)), "ESP"),
        (IPv6(src=A6, dst=B6) / ESP(spi=0xC0FFEE00, seq=1, data=bytes(40)), "ESP"),
        (IP(src=A, dst=B) / AH(spi=0xC0FFEE00, seq=1), "AH"),
        (udp(4500, ESP_PACKET), "ESP in UDP"),
        (udp(4500, b"\xff"), "NAT keepalive"),
        (udp(500, IKE_INIT), "IKE"),
        (udp(4500, bytes(4) + IKE_INIT), "IKE"),
        (ARP(), "ARP"),
        (IPv6(src=A6, dst=B6) / ICMPv6ND_NS(tgt=B6), "neighbour discovery"),
    ],
)
def test_what_belongs_on_the_wire_has_a_name(packet: Raw, what: str) -> None:
    assert classify(bytes(Ether() / packet)) == what


@pytest.mark.parametrize(
    ("packet", "said"),
    [
        (IP(src=A, dst=B) / ICMP(), f"protocol 1, {A} to {B}"),
        (IP(src=A, dst=B) / TCP(dport=80), f"protocol 6, {A} to {B}"),
        (IPv6(src=A6, dst=B6) / ICMPv6EchoRequest(), f"protocol 58, {A6} to {B6}"),
        (udp(53, b"query"), f"UDP 53, {A} to {B}"),
        (udp(500, b"plain text on the IKE port, long enough to be a header"), "that is not IKEv2"),
        (udp(4500, bytes(4) + b"plain text behind the marker, long enough to be a header"), "that is not IKEv2"),
        (udp(4500, (255).to_bytes(4, "big") + bytes(40)), "UDP 4500"),
        (IP(src=A, dst=B) / ESP(spi=7, seq=1, data=bytes(40)), "broken ESP"),
    ],
)
def test_what_does_not_belong_is_described(packet: Raw, said: str) -> None:
    assert said in classify(bytes(Ether() / packet))


def test_later_fragments_are_what_their_first_one_was() -> None:
    fragments: dict[bytes, str] = {}
    pieces = fragment(udp(4500, ESP_PACKET + bytes(3000)), fragsize=1200)
    assert [classify(bytes(Ether() / p), fragments=fragments) for p in pieces] == ["ESP in UDP"] * len(pieces)
    big = IPv6(src=A6, dst=B6) / IPv6ExtHdrFragment() / UDP(sport=500, dport=500) / Raw(IKE_INIT + bytes(3000))
    pieces = fragment6(big, 1280)
    assert len(pieces) > 2
    assert {classify(bytes(Ether() / p), fragments=fragments) for p in pieces} == {"IKE"}


def test_a_fragment_without_its_first_one_is_foreign() -> None:
    last = fragment(udp(4500, ESP_PACKET + bytes(3000)), fragsize=1200)[-1]
    assert "later fragment" in classify(bytes(Ether() / last))


@pytest.mark.parametrize("length", range(60))
def test_a_cut_frame_is_never_taken_for_esp_or_ike_it_does_not_show(length: int) -> None:
    frame = bytes(Ether() / udp(500, IKE_INIT))
    assert isinstance(classify(frame[:length]), str)
    assert classify(frame[: 14 + 20 + 8 + min(length, 27)]) != "IKE"


def test_a_capture_file_is_read_back_and_a_cut_record_ends_it(tmp_path) -> None:
    file = tmp_path / "two.pcap"
    frames = [Ether() / udp(500, IKE_INIT), Ether() / udp(4500, ESP_PACKET)]
    wrpcap(str(file), frames)
    assert [data for _, data in packets(file)] == [bytes(f) for f in frames]
    file.write_bytes(file.read_bytes()[:-3])
    assert len(list(packets(file))) == 1
