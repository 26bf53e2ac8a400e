"""Reads a capture file and says of each frame what it is, as an observer between two gateways sees it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

LINK_ETHERNET, LINK_RAW = 1, 101
ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6 = 0x0806, 0x0800, 0x86DD
UDP, ESP, AH, ICMPV6, IPV6_FRAGMENT = 17, 50, 51, 58, 44
IKE_PORT, NATT_PORT = 500, 4500
NEIGHBOUR_DISCOVERY = range(133, 138)
MULTICAST_LISTENER = frozenset({130, 131, 132, 143})
IPV6_HOP_BY_HOP = 0

IKE_HEADER = 28
IKE_VERSION_2 = 0x20
IKE_EXCHANGES = range(34, 45)


def packets(file: Path) -> Iterator[tuple[int, bytes]]:
    """Link type and bytes of each packet of a pcap file (the classic format); a cut last record ends it."""
    data = file.read_bytes()
    magic = data[:4]
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}.get(magic)
    if order is None or len(data) < 24:
        raise ValueError(f"{file}: not a pcap file with microseconds")
    link = struct.unpack_from(order + "I", data, 20)[0] & 0x0FFFFFFF
    at = 24
    while at + 16 <= len(data):
        length = struct.unpack_from(order + "I", data, at + 8)[0]
        at += 16
        if at + length > len(data):
            return
        yield link, data[at : at + length]
        at += length


Fragments = dict[bytes, str]
"""What the first fragment of a datagram was, by addresses and identification: the later ones have no ports to show."""


def classify(frame: bytes, link: int = LINK_ETHERNET, fragments: Fragments | None = None) -> str:
    """One of a few names (``ESP``, ``ESP in UDP``, ``IKE``, ...), or a description of what has no business there."""
    fragments = {} if fragments is None else fragments
    if link == LINK_RAW:
        version = frame[0] >> 4 if frame else 0
        return _ipv4(frame, fragments) if version == 4 else _ipv6(frame, fragments)
    if len(frame) < 14:
        return "a frame too short for Ethernet"
    ethertype = int.from_bytes(frame[12:14], "big")
    if ethertype == ETHERTYPE_ARP:
        return "ARP"
    if ethertype == ETHERTYPE_IPV4:
        return _ipv4(frame[14:], fragments)
    if ethertype == ETHERTYPE_IPV6:
        return _ipv6(frame[14:], fragments)
    return f"ethertype {ethertype:#06x}"


def _ipv4(packet: bytes, fragments: Fragments) -> str:
    if len(packet) < 20:
        return "a cut IPv4 header"
    ends = f"{ip_address(packet[12:16])} to {ip_address(packet[16:20])}"
    field = int.from_bytes(packet[6:8], "big")
    key = packet[12:20] + packet[4:6]
    if field & 0x1FFF:
        return fragments.get(key, f"a later fragment of protocol {packet[9]}, {ends}")
    what = _transport(packet[9], packet[(packet[0] & 15) * 4 :], ends)
    if field & 0x2000:
        fragments[key] = what
    return what


def _ipv6(packet: bytes, fragments: Fragments) -> str:
    if len(packet) < 40:
        return "a cut IPv6 header"
    ends = f"{ip_address(packet[8:24])} to {ip_address(packet[24:40])}"
    protocol, rest = packet[6], packet[40:]
    if protocol == IPV6_HOP_BY_HOP and len(rest) >= 8:
        protocol, rest = rest[0], rest[(rest[1] + 1) * 8 :]
    if protocol == ICMPV6 and rest and (rest[0] in NEIGHBOUR_DISCOVERY or rest[0] in MULTICAST_LISTENER):
        return "neighbour discovery"
    if protocol != IPV6_FRAGMENT or len(rest) < 8:
        return _transport(protocol, rest, ends)
    key = packet[8:40] + rest[4:8]
    if int.from_bytes(rest[2:4], "big") & 0xFFF8:
        return fragments.get(key, f"a later fragment of protocol {rest[0]}, {ends}")
    fragments[key] = _transport(rest[0], rest[8:], ends)
    return fragments[key]


def _transport(protocol: int, data: bytes, ends: str) -> str:
    if protocol == ESP:
        return "ESP" if len(data) >= 8 and int.from_bytes(data[:4], "big") > 255 else f"broken ESP, {ends}"
    if protocol == AH:
        return "AH"
    if protocol != UDP or len(data) < 8:
        return f"protocol {protocol}, {ends}"
    ports = {int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")}
    return _datagram(ports, data[8:], ends)


def _datagram(ports: set[int], payload: bytes, ends: str) -> str:
    """RFC 3948 section 2: on port 4500 four zero bytes come before IKE, and anything else is ESP or a keepalive."""
    if NATT_PORT in ports:
        if payload[:1] == b"\xff" and len(payload) == 1:
            return "NAT keepalive"
        if payload[:4] != bytes(4):
            return (
                "ESP in UDP" if len(payload) >= 8 and int.from_bytes(payload[:4], "big") > 255 else f"UDP 4500, {ends}"
            )
        payload = payload[4:]
    elif IKE_PORT not in ports:
        return f"UDP {'/'.join(map(str, sorted(ports)))}, {ends}"
    is_ike = len(payload) >= IKE_HEADER and payload[17] == IKE_VERSION_2 and payload[18] in IKE_EXCHANGES
    return "IKE" if is_ike else f"UDP {'/'.join(map(str, sorted(ports)))} that is not IKEv2, {ends}"
