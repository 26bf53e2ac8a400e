"""Cutting super-packets and joining them again: held against scapy, and against each other."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, Raw

from fastesp.io.coalesce import coalesce
from fastesp.io.segment import segment

NEEDS_CSUM = 1
NONE, TCPV4, TCPV6, UDP_L4 = 0, 1, 4, 5

payloads = st.binary(min_size=1, max_size=9000)
versions = st.sampled_from([4, 6])
sizes = st.integers(min_value=88, max_value=1448)
options = st.sampled_from([[], [("NOP", None), ("NOP", None), ("Timestamp", (7, 9))]])
ports = st.integers(min_value=1, max_value=65535)


def super_tcp(version: int, payload: bytes, flags: str, seq: int, tcp_options: list[object]) -> tuple[bytes, int]:
    """A TCP super-packet as the kernel hands it over, and the offset of its TCP header."""
    ip = IP(src="10.1.0.1", dst="10.2.0.1", id=77, flags="DF") if version == 4 else IPv6(src="fd01::1", dst="fd02::1")
    tcp = TCP(sport=40000, dport=5201, flags=flags, seq=seq, ack=99, window=501, options=tcp_options)
    return bytes(ip / tcp / Raw(payload)), 20 if version == 4 else 40


def parse(data: bytes) -> Packet:
    return (IP if data[0] >> 4 == 4 else IPv6)(data)


def with_right_checksums(packet: Packet) -> bytes:
    """The same packet with every length and checksum as scapy computes it."""
    again = packet.copy()
    for layer, fields in ((IP, ("chksum", "len")), (IPv6, ("plen",)), (TCP, ("chksum",)), (UDP, ("chksum", "len"))):
        if layer in again:
            for field in fields:
                delattr(again[layer], field)
    return bytes(again)


@given(
    payloads, sizes, st.sampled_from([4, 6]), st.sampled_from(["A", "PA", "FPA"]), st.integers(0, 2**32 - 1), options
)
@settings(max_examples=60, deadline=None)
def test_tcp_segments_carry_the_payload_and_what_scapy_computes(
    payload: bytes, size: int, version: int, flags: str, seq: int, tcp_options: list[object]
) -> None:
    data, offset = super_tcp(version, payload, flags, seq, tcp_options)
    packets = segment(data, NEEDS_CSUM, TCPV4 if version == 4 else TCPV6, size, offset, 16)
    assert packets is not None
    parsed = [parse(packet) for packet in packets]
    assert b"".join(bytes(p[TCP].payload) for p in parsed) == payload
    at = 0
    for number, (raw, packet) in enumerate(zip(packets, parsed, strict=True)):
        last = number == len(packets) - 1
        assert raw == with_right_checksums(packet)
        assert packet[TCP].seq == (seq + at) % 2**32
        assert str(packet[TCP].flags) == (flags if last else "A")
        assert len(packet[TCP].payload) == size or last
        if version == 4:
            assert packet[IP].id == 77 + number
        at += len(packet[TCP].payload)


@given(payloads, sizes, st.sampled_from([4, 6]))
@settings(max_examples=40, deadline=None)
def test_udp_segments_are_datagrams_of_their_own(payload: bytes, size: int, version: int) -> None:
    ip = IP(src="10.1.0.1", dst="10.2.0.1", id=5) if version == 4 else IPv6(src="fd01::1", dst="fd02::1")
    packets = segment(bytes(ip / UDP(sport=1000, dport=2000) / Raw(payload)), NEEDS_CSUM, UDP_L4, size, len(ip), 6)
    assert packets is not None
    assert [bytes(parse(p)[UDP].payload) for p in packets] == [
        payload[at : at + size] for at in range(0, len(payload), size)
    ]
    assert all(raw == with_right_checksums(parse(raw)) for raw in packets)


@given(payloads, sizes, st.sampled_from([4, 6]), st.sampled_from(["A", "PA"]), options)
@settings(max_examples=60, deadline=None)
def test_coalescing_is_the_inverse_of_segmentation(
    payload: bytes, size: int, version: int, flags: str, tcp_options: list[object]
) -> None:
    data, offset = super_tcp(version, payload, flags, 2**32 - 3000, tcp_options)
    packets = segment(data, NEEDS_CSUM, TCPV4 if version == 4 else TCPV6, size, offset, 16)
    assert packets is not None
    joined = coalesce(packets)
    assert len(joined) == 1
    again, header = joined[0]
    if len(packets) == 1:
        assert header["gso_type"] == NONE
        assert again == packets[0]
        return
    assert header["gso_size"] == size
    assert header["hdr_len"] == len(again) - len(payload)
    assert (
        segment(again, header["flags"], header["gso_type"], size, header["csum_start"], header["csum_offset"])
        == packets
    )


@given(payloads, sizes, st.sampled_from([4, 6]))
@settings(max_examples=40, deadline=None)
def test_joined_datagrams_are_cut_into_the_very_same_ones(payload: bytes, size: int, version: int) -> None:
    ip = IP(src="10.1.0.1", dst="10.2.0.1", id=5) if version == 4 else IPv6(src="fd01::1", dst="fd02::1")
    packets = segment(bytes(ip / UDP(sport=1000, dport=2000) / Raw(payload)), NEEDS_CSUM, UDP_L4, size, len(ip), 6)
    assert packets is not None
    cut: list[bytes] = []
    for data, header in coalesce(packets):
        if header["gso_type"] == NONE:
            cut.append(data)
            continue
        assert (header["gso_type"], header["gso_size"]) == (UDP_L4, size)
        cut += segment(data, header["flags"], UDP_L4, size, header["csum_start"], header["csum_offset"]) or []
    assert cut == packets
    assert len(coalesce(packets)) == -(-len(packets) // 64)


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from([10, 10, 10, 20])), max_size=60))
@settings(max_examples=60, deadline=None)
def test_datagrams_that_interleave_keep_their_order_within_a_flow(pieces: list[tuple[int, int]]) -> None:
    packets, sent = [], [[], [], []]  # type: list[bytes], list[list[bytes]]
    for number, (flow, length) in enumerate(pieces):
        body = bytes([number]) * length
        ip = IP(src="10.1.0.1", dst="10.2.0.1", flags="DF")
        packets.append(bytes(ip / UDP(sport=1000 + flow, dport=53) / Raw(body)))
        sent[flow].append(body)
    got: list[list[bytes]] = [[], [], []]
    for data, header in coalesce(packets):
        packet = parse(data)
        body = bytes(packet[UDP].payload)
        size = header["gso_size"] or len(body)
        got[packet[UDP].sport - 1000] += [body[at : at + size] for at in range(0, len(body), size)]
    assert got == sent


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 300)), max_size=40))
@settings(max_examples=60, deadline=None)
def test_streams_that_interleave_keep_their_order_and_their_bytes(pieces: list[tuple[int, int]]) -> None:
    sequence = [100, 200, 300]
    streams: list[bytes] = [b"", b"", b""]
    packets = []
    for number, (stream, length) in enumerate(pieces):
        body = bytes([number % 251]) * length
        ip = IP(src="10.1.0.1", dst="10.2.0.1", flags="DF")
        packets.append(
            bytes(ip / TCP(sport=1000 + stream, dport=80, flags="A", seq=sequence[stream], ack=1) / Raw(body))
        )
        sequence[stream] += length
        streams[stream] += body
    got: list[bytes] = [b"", b"", b""]
    after = [100, 200, 300]
    for data, _ in coalesce(packets):
        packet = parse(data)
        stream = packet[TCP].sport - 1000
        assert packet[TCP].seq == after[stream]
        body = bytes(packet[TCP].payload)
        after[stream] += len(body)
        got[stream] += body
    assert got == streams


@given(
    st.binary(max_size=200),
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 65535),
    st.integers(0, 65535),
    st.integers(0, 65535),
)
@settings(max_examples=400, deadline=None)
def test_headers_that_lie_cut_nothing_and_read_nothing_outside(
    data: bytes, flags: int, kind: int, size: int, start: int, offset: int
) -> None:
    packets = segment(data, flags, kind, size, start, offset)
    assert packets is None or sum(map(len, packets)) >= len(data)


@given(st.lists(st.binary(min_size=1, max_size=120), max_size=20))
@settings(max_examples=200, deadline=None)
def test_bytes_that_are_no_packets_pass_one_by_one(packets: list[bytes]) -> None:
    assert [data for data, _ in coalesce(packets)] == packets
