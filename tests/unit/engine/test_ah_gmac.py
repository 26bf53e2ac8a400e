"""AES-GMAC in AH (RFC 4543 section 4), held against cryptography's AES-GCM: both modes and families, each provider."""

from __future__ import annotations

import os
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from support.engines import LEFT, LEFT6, RIGHT, RIGHT6, SPI, Pair, any_packet, batch_of, outcome, udp

from fastesp.dataplane.base import Suite
from fastesp.engine import Engine, Verdict, available_providers
from fastesp.engine.batch import FLAG_OUTER
from fastesp.engine.providers import Provider

PROVIDERS = sorted(available_providers())
ENDS = {4: (LEFT, RIGHT), 6: (LEFT6, RIGHT6)}
OUTER = {4: 20, 6: 40}
IV, ICV, END = 12, 20, 36
"""Where they begin in AH, and where the ICV ends: behind that is what fills the header up."""
LENGTH = {4: 36, 6: 40}
"""Of AH: a multiple of 4 bytes over IPv4 and of 8 over IPv6 (RFC 4302 section 2.2)."""

every_case = pytest.mark.parametrize(
    ("provider", "bits", "mode", "family", "esn"),
    [
        (provider, bits, mode, family, esn)
        for provider in PROVIDERS
        for bits in (128, 192, 256)
        for mode in ("tunnel", "transport")
        for family in (4, 6)
        for esn in (False, True)
    ],
)


def pair(provider: str = "auto", bits: int = 256, mode: str = "tunnel", family: int = 4, **options: Any) -> Pair:
    left, right = ENDS[family]
    ends = {"local": ip_address(left), "remote": ip_address(right)}
    return Pair(Suite("", 0, f"aes-{bits}-gmac"), provider, options={"protocol": 51, "mode": mode} | ends | options)


def packet_for(mode: str, family: int, size: int = 50) -> bytes:
    if mode == "tunnel":
        return udp(size)
    return udp(size, family=family, source=ENDS[family][0], destination=ENDS[family][1])


def expected_icv(key: bytes, packet: bytes, high: int | None) -> bytes:
    """Of a packet without IP options, by the RFCs' words: mutable fields and ICV are zero, the IV is as it is sent."""
    family = packet[0] >> 4
    at = OUTER[family]
    covered = bytearray(packet)
    if family == 4:
        for start, end in ((1, 2), (6, 8), (8, 9), (10, 12)):
            covered[start:end] = bytes(end - start)
    else:
        covered[0:4] = b"\x60\0\0\0"
        covered[7] = 0
    covered[at + ICV : at + END] = bytes(16)
    covered += b"" if high is None else high.to_bytes(4)
    nonce = key[-4:] + packet[at + IV : at + ICV]
    return AESGCM(key[:-4]).encrypt(nonce, b"", bytes(covered))


def written_by_the_book(two: Pair, inner: bytes, mode: str, family: int, *, esn: bool) -> bytes:
    """An AH packet that owes the engine nothing: IV and padding are any bytes, as a peer may choose them."""
    left, right = ENDS[family]
    if mode == "tunnel":
        following, rest = 4 if inner[0] >> 4 == 4 else 41, inner
    else:
        following, rest = inner[9] if family == 4 else inner[6], inner[OUTER[family] :]
    fixed = bytes([following, LENGTH[family] // 4 - 2, 0, 0]) + SPI.to_bytes(4) + (1).to_bytes(4)
    ah = fixed + os.urandom(8) + bytes(16) + os.urandom(LENGTH[family] - END)
    header = IP(src=left, dst=right, proto=51) if family == 4 else IPv6(src=left, dst=right, nh=51)
    packet = bytearray(bytes(header / (ah + rest)))
    at = OUTER[family]
    packet[at + ICV : at + END] = expected_icv(two.integrity_key, bytes(packet), 0 if esn else None)
    return bytes(packet)


@every_case
def test_what_is_sent_is_laid_out_as_rfc_4543_says_and_has_the_icv_that_cryptography_computes(
    provider: str, bits: int, mode: str, family: int, esn: bool
) -> None:
    two = pair(provider, bits, mode, family, esn=esn)
    assert two.a.outbound.provider_of(two.out) == provider
    packets = [packet_for(mode, family, size) for size in range(0, 70, 7)]
    for number, (sealed, packet) in enumerate(zip(two.seal(*packets), packets, strict=True), 1):
        at = OUTER[family]
        header = sealed[at : at + LENGTH[family]]
        assert len(sealed) == len(packet) + LENGTH[family] + (at if mode == "tunnel" else 0)
        assert header[1] == LENGTH[family] // 4 - 2
        assert header[4:12] == SPI.to_bytes(4) + number.to_bytes(4)
        assert header[IV:ICV] == (1 << 48 | number).to_bytes(8)
        assert header[ICV:END] == expected_icv(two.integrity_key, sealed, 0 if esn else None)
        assert header[END:] == bytes(LENGTH[family] - END)


@every_case
def test_what_is_authenticated_arrives_as_it_was_and_once(
    provider: str, bits: int, mode: str, family: int, esn: bool
) -> None:
    two = pair(provider, bits, mode, family, esn=esn)
    packets = [packet_for(mode, family, size) for size in range(0, 70, 7)]
    sealed = two.seal(*packets)
    assert two.open(*sealed, flags=FLAG_OUTER) == packets
    assert two.open(*sealed, flags=FLAG_OUTER) == [Verdict.REPLAYED] * len(sealed)


@every_case
def test_the_engine_verifies_what_cryptography_authenticated(
    provider: str, bits: int, mode: str, family: int, esn: bool
) -> None:
    two = pair(provider, bits, mode, family, esn=esn)
    packet = packet_for(mode, family)
    sealed = written_by_the_book(two, packet, mode, family, esn=esn)
    assert two.open(sealed, flags=FLAG_OUTER) == [packet]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("mode", ["tunnel", "transport"])
def test_every_byte_of_ah_is_protected_its_iv_and_padding_too(provider: str, mode: str, family: int) -> None:
    two = pair(provider, mode=mode, family=family)
    (sealed,) = two.seal(packet_for(mode, family))
    for at in range(OUTER[family], len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 0x10
        (result,) = two.open(bytes(changed), flags=FLAG_OUTER)
        assert isinstance(result, Verdict), f"byte {at}"
        assert result is not Verdict.OK
    assert isinstance(two.open(sealed, flags=FLAG_OUTER)[0], bytes)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_another_salt_is_another_key(provider: str) -> None:
    two = pair(provider)
    (sealed,) = two.seal(udp())
    other = Engine(provider=provider, max_sas=4, max_policies=4, flows=4)
    ends = {"local": ip_address(RIGHT), "remote": ip_address(LEFT)}
    key = two.integrity_key[:-1] + bytes([two.integrity_key[-1] ^ 1])
    other.install_inbound(SPI, two.suite, b"", key, selectors=any_packet(), protocol=51, **ends)
    batch = batch_of(sealed, flags=FLAG_OUTER)
    other.decapsulate(batch, 1)
    assert outcome(batch) == [Verdict.CORRUPT]


@pytest.mark.parametrize("family", [4, 6])
def test_a_header_of_another_length_is_turned_away_before_anything_is_read_of_it(family: int) -> None:
    """RFC 4302 section 2.6: only as much padding as alignment needs."""
    two = pair(family=family)
    (sealed,) = two.seal(udp(200))
    for length in range(256):
        changed = bytearray(sealed)
        changed[OUTER[family] + 1] = length
        expected = Verdict.TRUNCATED if length != LENGTH[family] // 4 - 2 else None
        (result,) = two.open(bytes(changed), flags=FLAG_OUTER)
        assert result is expected or (expected is None and isinstance(result, bytes))
    for length in range(len(sealed)):
        assert two.open(sealed[:length], flags=FLAG_OUTER) == [Verdict.TRUNCATED]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_upper_half_of_extended_numbers_is_part_of_icv_and_nonce(provider: str) -> None:
    two = pair(provider, esn=True)
    two.a.outbound.advance(two.out, 2**32 - 2)
    two.b.inbound.advance(two.into, 2**32 - 2)
    packets = [udp() for _ in range(4)]
    sealed = two.seal(*packets)
    assert [packet[28:32] for packet in sealed] == [n.to_bytes(4) for n in (2**32 - 1, 0, 1, 2)]
    assert [packet[32:40] for packet in sealed] == [(1 << 48 | n).to_bytes(8) for n in range(2**32 - 1, 2**32 + 3)]
    for packet, high in zip(sealed, (0, 1, 1, 1), strict=True):
        assert packet[40:56] == expected_icv(two.integrity_key, packet, high)
    assert two.open(*sealed, flags=FLAG_OUTER) == packets


@pytest.mark.parametrize("esn", [False, True])
def test_sequence_numbers_and_ivs_never_wrap(esn: bool) -> None:
    two = pair(esn=esn)
    stop = 2**48 - 1 if esn else 2**32 - 1
    two.a.outbound.advance(two.out, stop - 1)
    (last,) = two.seal(udp())
    assert last[32:40] == (1 << 48 | stop).to_bytes(8)
    batch = batch_of(udp(), udp())
    assert two.a.encapsulate(batch, 1) == 0
    assert outcome(batch) == [Verdict.EXPIRED] * 2
    assert ("out", two.out, "hard", "sequence") in two.a.events()


def test_no_nonce_comes_twice_over_loads_of_one_key() -> None:
    first, second = pair(), Engine(max_sas=4, max_policies=4, flows=4)
    ends = {"local": ip_address(LEFT), "remote": ip_address(RIGHT)}
    slot = second.install_outbound(SPI, first.suite, b"", first.integrity_key, epoch=2, protocol=51, **ends)
    second.add_policy(any_packet(), "protect", sa=slot)
    batch = batch_of(*(udp() for _ in range(100)))
    second.encapsulate(batch, 1)
    sealed = first.seal(*(udp() for _ in range(100))) + [batch.data(at) for at in range(100)]
    assert len({packet[32:40] for packet in sealed}) == 200


def test_it_is_for_ah_alone_and_its_key_has_its_salt() -> None:
    engine = Engine(max_sas=4, max_policies=4, flows=4)
    ends: dict[str, Any] = {"local": ip_address(LEFT), "remote": ip_address(RIGHT), "epoch": 1}
    with pytest.raises(ValueError, match="is for AH alone"):
        engine.install_outbound(SPI, Suite("aes-cbc", 128, "aes-128-gmac"), bytes(16), bytes(20), **ends)
    for bits in (128, 192, 256):
        for length in (bits // 8, bits // 8 + 3, bits // 8 + 5):
            with pytest.raises(ValueError, match=f"takes {bits // 8 + 4} bytes of integrity key, not {length}"):
                engine.install_outbound(SPI, Suite("", 0, f"aes-{bits}-gmac"), b"", bytes(length), protocol=51, **ends)


@settings(deadline=None, max_examples=60)
@given(
    bits=st.sampled_from([128, 192, 256]),
    material=st.binary(min_size=36, max_size=36),
    packet=st.binary(min_size=20, max_size=1600),
    iv_at=st.integers(8, 12),
    high=st.one_of(st.none(), st.integers(0, 2**32 - 1)),
)
@pytest.mark.parametrize("name", PROVIDERS)
def test_a_providers_tag_is_cryptographys(
    name: str, bits: int, material: bytes, packet: bytes, iv_at: int, high: int | None
) -> None:
    key = material[: bits // 8] + material[32:]
    covered = packet + (b"" if high is None else high.to_bytes(4))
    expected = AESGCM(key[:-4]).encrypt(key[-4:] + packet[iv_at : iv_at + 8], b"", covered)
    got = Provider(name).authenticate(Suite("", 0, f"aes-{bits}-gmac"), key, packet, iv_at, high=high)
    assert got == expected
