"""Every reason to drop an inbound packet, each under its own verdict, counted once for all and once for the SA."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting
from scapy.packet import Raw
from support.engines import SPI, Pair, batch_of, selector, udp, verdicts

from fastesp.engine import Verdict
from fastesp.engine.providers import Provider


@pytest.fixture
def two() -> Pair:
    return Pair()


def sealed_text(two: Pair, text: bytes, sequence: int = 1) -> bytes:
    """An authentic packet around any text at all: what a peer that has the key could send."""
    head = two.spi.to_bytes(4) + sequence.to_bytes(4)
    iv = sequence.to_bytes(8)
    return head + iv + b"".join(Provider("openssl").seal(two.suite, two.key, None, head, iv, text))


def dropped(two: Pair, packet: bytes, **put: int) -> Verdict:
    (result,) = two.open(packet, **put)
    assert isinstance(result, Verdict), "the packet went through"
    total, mine = two.b.verdicts[0], two.b.inbound.views[1][two.into]
    assert total[result] == 1
    assert mine[result] == (0 if result is Verdict.UNKNOWN_SPI or len(packet) < 8 else 1)
    assert total.sum() == 1
    return result


def test_both_lists_of_verdicts_are_the_same() -> None:
    text = (Path(__file__).parents[3] / "fastesp" / "engine" / "verdict.pxd").read_text()
    names = re.findall(r"^    VERDICT_(\w+)$", text, re.MULTILINE)
    assert names.pop() == "COUNT"
    assert names == [verdict.name for verdict in Verdict]
    assert [verdict.value for verdict in Verdict] == list(range(len(names)))
    assert Verdict.WRONG_SELECTORS.label == "wrong-selectors"
    assert Verdict.CORRUPT.is_drop
    assert not Verdict.DUMMY.is_drop


@pytest.mark.parametrize("length", [*range(8), 8, 15, 16, 31, 32, 33])
def test_a_packet_too_short_for_its_sa_is_truncated(two: Pair, length: int) -> None:
    (sealed,) = two.seal(udp())
    assert dropped(two, sealed[:length]) is Verdict.TRUNCATED


def test_a_length_that_is_no_multiple_of_four_is_truncated(two: Pair) -> None:
    (sealed,) = two.seal(udp())
    assert dropped(two, sealed[:-1]) is Verdict.TRUNCATED


def test_a_flipped_bit_anywhere_behind_the_sequence_number_is_corrupt() -> None:
    (sealed,) = Pair().seal(udp(20))
    for at in range(8, len(sealed)):
        two = Pair()
        (sealed,) = two.seal(udp(20))
        broken = bytearray(sealed)
        broken[at] ^= 1 << at % 8
        assert dropped(two, bytes(broken)) is Verdict.CORRUPT


def test_a_changed_sequence_number_is_corrupt_and_does_not_move_the_window(two: Pair) -> None:
    (sealed,) = two.seal(udp())
    assert dropped(two, sealed[:4] + (2**31).to_bytes(4) + sealed[8:]) is Verdict.CORRUPT
    assert two.b.inbound.sequence(two.into) == 0


@pytest.mark.parametrize("spi", [0, 1, SPI + 1, 2**32 - 1])
def test_an_unknown_spi_is_named(two: Pair, spi: int) -> None:
    (sealed,) = two.seal(udp())
    assert dropped(two, spi.to_bytes(4) + sealed[4:]) is Verdict.UNKNOWN_SPI


def test_a_packet_twice_is_a_replay_in_one_batch_and_in_two(two: Pair) -> None:
    packet = udp()
    (sealed,) = two.seal(packet)
    assert two.open(sealed, sealed) == [packet, Verdict.REPLAYED]
    assert two.open(sealed) == [Verdict.REPLAYED]


def test_a_packet_left_of_the_window_is_too_old(two: Pair) -> None:
    packets = [udp() for _ in range(40)]
    sealed = two.seal(*packets)
    assert two.open(sealed[-1]) == [packets[-1]]
    results = two.open(*sealed[:-1])
    assert results == [Verdict.TOO_OLD] * 8 + packets[8:-1]


def test_an_authentic_packet_outside_its_selectors_is_dropped() -> None:
    inside = (selector("10.2.0.0-10.2.0.255", "10.1.0.0-10.1.0.255", protocol=17),)
    for packet, expected in (
        (udp(), None),
        (udp(source="10.1.1.5"), Verdict.WRONG_SELECTORS),
        (udp(destination="10.2.1.9"), Verdict.WRONG_SELECTORS),
        (bytes(IP(src="10.1.0.5", dst="10.2.0.9") / ICMP()), Verdict.WRONG_SELECTORS),
        (udp(family=6), Verdict.WRONG_SELECTORS),
    ):
        two = Pair(receiving={"selectors": inside})
        assert two.open(*two.seal(packet)) == [expected or packet]


def test_an_sa_without_selectors_lets_nothing_in() -> None:
    two = Pair(receiving={"selectors": ()})
    assert two.open(*two.seal(udp())) == [Verdict.WRONG_SELECTORS]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (b"\x00\x04", Verdict.BAD_NEXT_HEADER),
        (udp(20) + b"\x01\x02\x03\x03\x04"[:0] + b"\x01\x03\x02\x03", Verdict.BAD_PADDING),
        (udp(20) + b"\x00\x00\xff\x04", Verdict.BAD_PADDING),
        (udp(20) + b"\x01\x02\x02\x06", Verdict.BAD_NEXT_HEADER),
        (udp(20) + b"\x01\x02\x02\x29", Verdict.BAD_NEXT_HEADER),
        (udp(20, family=6) + b"\x01\x02\x02\x04", Verdict.BAD_NEXT_HEADER),
        (udp(20) + b"\x01\x02\x02\x3b", Verdict.DUMMY),
        (b"\x45" * 18 + b"\x00\x04", Verdict.BAD_LENGTH),
    ],
    ids=[
        "no-packet",
        "wrong-padding",
        "padding-beyond-the-packet",
        "tcp",
        "ipv4-as-ipv6",
        "ipv6-as-ipv4",
        "dummy",
        "cut-short",
    ],
)
def test_a_bad_trailer_behind_a_right_icv_has_its_own_verdict(two: Pair, text: bytes, verdict: Verdict) -> None:
    text = text[: len(text) - len(text) % 4] if len(text) % 4 and len(text) > 4 else text.rjust(4, b"\x01")
    assert dropped(two, sealed_text(two, text)) is verdict


def lying_4() -> list[bytes]:
    """IPv4 headers that say something else than there is."""
    good = bytearray(udp(20))
    lies = []
    for at, value in ((0, 0x44), (0, 0x4F), (2, 0xFF), (3, 19), (3, 49)):
        lie = bytearray(good)
        lie[at] = value
        lies.append(bytes(lie))
    return [*lies, bytes(good[:19]), b"\x55" + bytes(good[1:])]


def lying_6() -> list[bytes]:
    """IPv6 headers and extension headers that say something else than there is."""
    good = bytearray(udp(24, family=6))
    long = bytearray(good)
    long[4:6] = (len(good) - 39).to_bytes(2)
    lies = [bytes(long), bytes(good[:39])]
    for header in (IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting):
        packet = bytearray(bytes(IPv6(src="2001:db8:a::5", dst="2001:db8:b::9") / header() / UDP() / Raw(b"1234")))
        packet[41] = 200
        lies.append(bytes(packet))
    chain = IPv6(src="2001:db8:a::5", dst="2001:db8:b::9")
    for _ in range(40):
        chain = chain / IPv6ExtHdrDestOpt()
    return [*lies, bytes(chain / UDP())]


LIES = lying_4() + lying_6()


@pytest.mark.parametrize("inner", LIES, ids=[f"ipv{lie[0] >> 4}-{number}" for number, lie in enumerate(LIES)])
def test_inner_lengths_that_lie_are_dropped_both_ways(inner: bytes) -> None:
    two = Pair()
    batch = batch_of(inner)
    assert two.a.encapsulate(batch, 1) == 0
    assert verdicts(batch) == [Verdict.BAD_LENGTH]
    following = b"\x04" if inner[0] >> 4 != 6 else b"\x29"
    pad = -(len(inner) + 2) % 4
    text = inner + bytes(range(1, pad + 1)) + bytes([pad]) + following
    assert dropped(two, sealed_text(two, text)) in (Verdict.BAD_LENGTH, Verdict.BAD_NEXT_HEADER)


def test_congestion_outside_drops_what_cannot_say_so() -> None:
    two = Pair()
    assert two.open(*two.seal(udp(tos=0)), tos=3) == [Verdict.CONGESTED]
