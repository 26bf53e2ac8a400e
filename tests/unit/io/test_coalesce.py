"""What must not be joined: each of these differs in one thing from the segment before it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Packet, Raw

from fastesp.io.coalesce import coalesce


def tcp(seq: int, body: bytes = bytes(100), **fields: object) -> Packet:
    return (
        IP(src="10.1.0.1", dst="10.2.0.1", flags="DF", id=1)
        / TCP(**{"sport": 1, "dport": 2, "seq": seq, "ack": 7, "flags": "A", "window": 100, **fields})
        / Raw(body)
    )


def count(*packets: Packet | bytes) -> int:
    return len(coalesce([bytes(packet) for packet in packets]))


def changed(change: Callable[[Packet], None]) -> Packet:
    packet = tcp(200)
    change(packet)
    return packet


def test_segments_that_follow_each_other_are_joined() -> None:
    assert count(tcp(100), tcp(200), tcp(300)) == 1


@pytest.mark.parametrize(
    "second",
    [
        tcp(201),
        tcp(100),
        tcp(200, ack=8),
        tcp(200, window=101),
        tcp(200, dport=3),
        tcp(200, flags="FA"),
        tcp(200, flags="SA"),
        tcp(200, flags="UA"),
        tcp(200, flags="ECA"),
        tcp(200, options=[("NOP", None)] * 4),
        tcp(200, body=bytes(101)),
        tcp(200, body=b""),
        changed(lambda p: setattr(p[IP], "tos", 3)),
        changed(lambda p: setattr(p[IP], "ttl", 3)),
        changed(lambda p: setattr(p[IP], "flags", "")),
        changed(lambda p: setattr(p[IP], "src", "10.1.0.2")),
    ],
    ids=lambda p: p.summary(),
)
def test_a_segment_that_differs_in_its_headers_stays_alone(second: Packet) -> None:
    assert count(tcp(100), second) == 2


def test_a_short_segment_ends_the_joined_packet() -> None:
    assert count(tcp(100), tcp(200, body=bytes(50)), tcp(250)) == 2


def test_push_ends_the_joined_packet_and_stays_set() -> None:
    joined = coalesce([bytes(tcp(100)), bytes(tcp(200, flags="PA")), bytes(tcp(300))])
    assert [str(IP(data)[TCP].flags) for data, _ in joined] == ["PA", "A"]


def test_a_segment_with_a_wrong_checksum_is_not_vouched_for() -> None:
    damaged = bytearray(bytes(tcp(200)))
    damaged[-1] ^= 1
    joined = coalesce([bytes(tcp(100)), bytes(damaged), bytes(tcp(300))])
    assert [header["flags"] for _, header in joined] == [0, 0, 0]
    assert joined[1][0] == bytes(damaged)


def test_a_segment_whose_ip_header_is_damaged_is_not_vouched_for() -> None:
    damaged = bytearray(bytes(tcp(200)))
    damaged[11] ^= 1
    joined = coalesce([bytes(tcp(100)), bytes(damaged), bytes(tcp(300))])
    assert [header["flags"] for _, header in joined] == [0, 0, 0]
    assert joined[1][0] == bytes(damaged)


def test_without_df_the_identification_must_count_up() -> None:
    def numbered(seq: int, ident: int) -> Packet:
        packet = tcp(seq)
        packet[IP].flags = ""
        packet[IP].id = ident
        return packet

    assert count(numbered(100, 5), numbered(200, 6)) == 1
    assert count(numbered(100, 5), numbered(200, 5)) == 2


def test_fragments_and_ip_options_pass_alone() -> None:
    fragment = tcp(200)
    fragment[IP].flags = "MF"
    assert count(tcp(100), fragment) == 2


def test_a_joined_packet_stays_below_64_kib() -> None:
    packets = [tcp(100 + 1400 * i, body=bytes(1400)) for i in range(60)]
    joined = coalesce([bytes(p) for p in packets])
    assert [len(data) for data, _ in joined] == [40 + 46 * 1400, 40 + 14 * 1400]


def udp(body: bytes = bytes(100), *, dport: int = 2, **fields: object) -> Packet:
    return (
        IP(**{"src": "10.1.0.1", "dst": "10.2.0.1", "flags": "DF", "id": 1, **fields})
        / UDP(sport=1, dport=dport)
        / body
    )


def without_checksum() -> Packet:
    packet = udp()
    packet[UDP].chksum = 0
    return packet


def test_datagrams_of_one_length_are_joined_and_a_shorter_one_is_the_last() -> None:
    assert count(udp(), udp(), udp()) == 1
    assert count(udp(), udp(bytes(50)), udp()) == 2
    assert count(udp(bytes(50)), udp()) == 2


@pytest.mark.parametrize(
    "second",
    [
        udp(dport=3),
        udp(b""),
        udp(tos=3),
        udp(ttl=3),
        udp(src="10.1.0.2"),
        udp(flags=""),
        udp(flags="MF"),
        without_checksum(),
        tcp(200),
    ],
    ids=lambda p: p.summary(),
)
def test_a_datagram_that_differs_in_its_headers_stays_alone(second: Packet) -> None:
    assert count(udp(), second) == 2


def test_a_datagram_with_a_wrong_checksum_or_length_is_not_vouched_for() -> None:
    damaged = bytearray(bytes(udp()))
    damaged[-1] ^= 1
    lying = bytearray(bytes(udp()))
    lying[25] -= 1
    for odd in (damaged, lying):
        joined = coalesce([bytes(udp()), bytes(odd), bytes(udp())])
        assert [header["flags"] for _, header in joined] == [0, 0, 0]
        assert joined[1][0] == bytes(odd)


def test_no_more_datagrams_are_joined_than_a_kernel_cuts() -> None:
    assert [header["gso_size"] for _, header in coalesce([bytes(udp())] * 130)] == [100, 100, 100]
