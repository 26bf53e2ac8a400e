"""AH: both modes and families, against scapy both ways; what is immutable is protected, what is mutable is not."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, RouterAlert
from scapy.packet import Raw
from support.engines import HMACS, LEFT, LEFT6, RIGHT, RIGHT6, Pair, udp

from fastesp.dataplane.base import Suite
from fastesp.engine import Verdict
from fastesp.engine.batch import FLAG_OUTER

ENDS = {4: (LEFT, RIGHT), 6: (LEFT6, RIGHT6)}
HEADERS = {4: IP, 6: IPv6}


def pair(integrity: str = "hmac-sha2-256", mode: str = "tunnel", family: int = 4, **options: object) -> Pair:
    left, right = ENDS[family]
    return Pair(
        Suite("", 0, integrity),
        options={"protocol": 51, "mode": mode, "local": ip_address(left), "remote": ip_address(right)} | options,
    )


def packet_for(mode: str, family: int, size: int = 50) -> bytes:
    if mode == "tunnel":
        return udp(size)
    return udp(size, family=family, source=ENDS[family][0], destination=ENDS[family][1])


every_case = pytest.mark.parametrize(
    ("integrity", "mode", "family", "esn"),
    [
        (integrity, mode, family, esn)
        for integrity in HMACS
        for mode in ("tunnel", "transport")
        for family in (4, 6)
        for esn in (False, True)
    ],
)


@every_case
def test_what_is_authenticated_arrives_as_it_was(integrity: str, mode: str, family: int, esn: bool) -> None:
    two = pair(integrity, mode, family, esn=esn)
    packets = [packet_for(mode, family, size) for size in range(0, 70, 7)]
    sealed = two.seal(*packets)
    results = two.open(*sealed, flags=FLAG_OUTER)
    if mode == "transport" and family == 4:
        # An identification of zero would be filled in by the kernel behind the ICV's back; scapy's is 1.
        assert [HEADERS[family](result).id for result in results] == [1] * len(packets)
    assert results == packets
    assert two.open(*sealed, flags=FLAG_OUTER) == [Verdict.REPLAYED] * len(sealed)


@every_case
def test_scapy_verifies_what_the_engine_authenticated(integrity: str, mode: str, family: int, esn: bool) -> None:
    if integrity == "hmac-sha1":
        lengths = (24, 24)
    else:
        lengths = {"hmac-sha2-256": (28, 32), "hmac-sha2-384": (36, 40), "hmac-sha2-512": (44, 48)}[integrity]
    two = pair(integrity, mode, family, esn=esn)
    packet = packet_for(mode, family)
    (sealed,) = two.seal(packet)
    outer = HEADERS[family](sealed)
    assert len(sealed) - len(packet) == lengths[family == 6] + (0 if mode == "transport" else (20, 40)[family == 6])
    checked = outer.copy()
    if family == 4:
        checked.chksum = None
        assert bytes(HEADERS[family](bytes(checked)))[:20] == sealed[:20]
    header = {"tunnel_header": HEADERS[family](src=ENDS[family][0], dst=ENDS[family][1])} if mode == "tunnel" else {}
    opened = two.scapy(**header).decrypt(outer, **({"esn": 0} if esn else {}))
    assert bytes(opened) == packet


@every_case
def test_the_engine_verifies_what_scapy_authenticated(integrity: str, mode: str, family: int, esn: bool) -> None:
    two = pair(integrity, mode, family, esn=esn)
    packet = packet_for(mode, family)
    header = {"tunnel_header": HEADERS[family](src=ENDS[family][0], dst=ENDS[family][1])} if mode == "tunnel" else {}
    inner = HEADERS[packet[0] >> 4](packet)
    sealed = two.scapy(**header).encrypt(inner, seq_num=1, **({"esn": 0} if esn else {}))
    assert two.open(bytes(sealed), flags=FLAG_OUTER) == [packet]


@pytest.mark.parametrize("mode", ["tunnel", "transport"])
@pytest.mark.parametrize("family", [4, 6])
def test_routers_may_change_what_is_mutable_and_nothing_else(mode: str, family: int) -> None:
    """TOS, flags, TTL and checksum; traffic class, flow label and hop limit (RFC 4302 section 3.3.3.1)."""
    mutable = {1, 6, 7, 8, 10, 11} if family == 4 else {0, 1, 2, 3, 7}
    packet = packet_for(mode, family)
    for at in range(20 if family == 4 else 40):
        two = pair(mode=mode, family=family)
        (sealed,) = two.seal(packet)
        changed = bytearray(sealed)
        # Bits that do not turn it into a fragment, and the low half of the byte that has the version.
        changed[at] ^= 0x40 if family == 4 and at == 6 else 0 if family == 4 and at == 7 else 0x01
        (result,) = two.open(bytes(changed), flags=FLAG_OUTER)
        assert isinstance(result, bytes) == (at in mutable), f"byte {at}: {result!r}"


def test_fragments_and_foreign_protocols_are_no_ah() -> None:
    two = pair()
    (sealed,) = two.seal(udp())
    for at, value in ((6, 0x20), (7, 1), (9, 50), (0, 0x46), (0, 0x44), (3, 30)):
        changed = bytearray(sealed)
        changed[at] = value
        assert two.open(bytes(changed), flags=FLAG_OUTER) in (
            [Verdict.TRUNCATED],
            [Verdict.UNKNOWN_SPI],
            [Verdict.CORRUPT],
        )
    for length in range(len(sealed)):
        assert two.open(sealed[:length], flags=FLAG_OUTER) == [Verdict.TRUNCATED]


def test_an_esp_packet_for_an_ah_sa_and_the_reverse_know_no_such_spi() -> None:
    ah, esp = pair(), Pair()
    (sealed,) = esp.seal(udp())
    assert ah.open(sealed) == [Verdict.UNKNOWN_SPI]
    (sealed,) = ah.seal(udp())
    assert esp.open(sealed, flags=FLAG_OUTER) == [Verdict.UNKNOWN_SPI]


@pytest.mark.parametrize("options", [b"", b"\x94\x04\x00\x00", b"\x07\x07\x04\x00\x00\x00\x00\x00"])
def test_ipv4_options_travel_in_transport_mode(options: bytes) -> None:
    header = bytes(IP(src=LEFT, dst=RIGHT, proto=17, ihl=5 + len(options) // 4, len=28 + len(options)))
    whole = IP(header[:20] + options + bytes(UDP(len=8)))
    whole.chksum = None
    packet = bytes(IP(bytes(whole)))
    two = pair(mode="transport")
    assert two.open(*two.seal(packet), flags=FLAG_OUTER) == [packet]


def test_ipv6_extension_headers_stay_in_front_in_transport_mode() -> None:
    base = IPv6(src=LEFT6, dst=RIGHT6)
    for chain, first in (
        (base / IPv6ExtHdrHopByHop(options=[RouterAlert()]) / UDP() / Raw(b"1234"), 0),
        (base / IPv6ExtHdrDestOpt() / UDP() / Raw(b"1234"), 51),
    ):
        two = pair(mode="transport", family=6)
        packet = bytes(chain)
        (sealed,) = two.seal(packet)
        assert sealed[6] == first
        assert two.open(sealed, flags=FLAG_OUTER) == [packet]
        opened = two.scapy().decrypt(IPv6(sealed))
        assert bytes(opened) == packet
    two = pair(mode="transport", family=6)
    routed = bytes(base / IPv6ExtHdrRouting(addresses=[RIGHT6]) / UDP())
    (sealed,) = two.seal(routed)
    assert two.open(sealed, flags=FLAG_OUTER) == [Verdict.TRUNCATED]
