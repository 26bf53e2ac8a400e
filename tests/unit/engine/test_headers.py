"""Header rules of a tunnel: ECN, DSCP, DF, MSS, traffic flow confidentiality; and what is counted."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw
from support.engines import Pair, batch_of, udp, verdicts

from fastesp.engine import Verdict
from fastesp.engine.batch import FLAG_DF


@pytest.fixture
def two() -> Pair:
    return Pair()


@pytest.mark.parametrize(
    ("inner", "outer", "after"),
    [(0, 0, 0), (0, 1, 0), (0, 2, 0), (1, 3, 3), (2, 1, 1), (2, 2, 2), (2, 3, 3), (1, 2, 1), (3, 0, 3), (3, 1, 3)],
)
@pytest.mark.parametrize("family", [4, 6])
def test_ecn_follows_rfc_6040(family: int, inner: int, outer: int, after: int) -> None:
    two = Pair()
    packet = udp(tos=0x28 | inner, family=family)
    batch = batch_of(packet)
    two.a.encapsulate(batch, 1)
    assert batch.view["tos"][0] == 0x28 | inner
    (opened,) = two.open(batch.data(0), tos=0xB8 | outer)
    assert opened == udp_with_tos(packet, 0x28 | after)


def udp_with_tos(packet: bytes, tos: int) -> bytes:
    if packet[0] >> 4 == 6:
        changed6 = IPv6(packet)
        changed6.tc = tos
        return bytes(changed6)
    changed = IP(packet)
    changed.tos, changed.chksum = tos, None
    return bytes(changed)


def test_dscp_is_copied_or_set_as_the_sa_says() -> None:
    for options, tos in (({}, 0xB9), ({"copy_dscp": False, "dscp": 10}, 0x29), ({"copy_ecn": False}, 0xB8)):
        batch = batch_of(udp(tos=0xB9))
        Pair(sending=options).a.encapsulate(batch, 1)
        assert batch.view["tos"][0] == tos
    two = Pair(receiving={"copy_dscp": True})
    packet = udp(tos=0x28)
    assert two.open(*two.seal(packet), tos=0xB8) == [udp_with_tos(packet, 0xB8)]


@pytest.mark.parametrize(("df", "copy", "flag"), [(0, True, 0), (1, True, FLAG_DF), (1, False, 0)])
def test_df_is_copied_where_the_sa_says_so(df: int, copy: bool, flag: int) -> None:
    packet = IP(udp())
    packet.flags, packet.chksum = ("DF" if df else 0), None
    batch = batch_of(bytes(packet))
    Pair(sending={"copy_df": copy}).a.encapsulate(batch, 1)
    assert batch.view["flags"][0] == flag


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("before", [b"", b"\x01", b"\x03\x03\x07", b"\x01\x01"])
def test_mss_is_clamped_and_its_checksum_stays_right(family: int, before: bytes) -> None:
    header = IP(src="10.1.0.5", dst="10.2.0.9") if family == 4 else IPv6(src="2001:db8:a::5", dst="2001:db8:b::9")
    options = before + b"\x02\x04\x05\xb4"
    options += b"\x00" * (-len(options) % 4)
    segment = bytes(TCP(flags="S", dataofs=5 + len(options) // 4)) + options
    whole = type(header)(bytes(header / Raw(segment)))
    if family == 4:
        whole.proto, whole.chksum = 6, None
    else:
        whole.nh = 6
    whole = type(header)(bytes(whole))
    whole[TCP].chksum = None
    packet = bytes(whole)
    for two in (Pair(sending={"mss": 1200}), Pair(receiving={"mss": 1200})):
        (opened,) = two.open(*two.seal(packet))
        assert isinstance(opened, bytes)
        at = opened.index(b"\x02\x04", 40)
        assert opened[at + 2 : at + 4] == (1200).to_bytes(2)
        again = type(header)(opened)
        again[TCP].chksum = None
        assert bytes(again) == opened


@pytest.mark.parametrize("wanted", [1, 200, 380])
def test_tfc_padding_hides_the_length_and_comes_off_again(wanted: int) -> None:
    two = Pair(sending={"tfc_padding": wanted})
    packets = [udp(size) for size in (1, 50, 120)]
    sealed = two.seal(*packets)
    assert two.open(*sealed) == packets
    if wanted == 200:
        assert {len(packet) for packet in sealed} == {8 + 8 + 204 + 16}
    plain = Pair().seal(*packets)
    assert all(len(padded) >= len(bare) for padded, bare in zip(sealed, plain, strict=True))


def test_a_dummy_is_sealed_counted_and_thrown_away(two: Pair) -> None:
    from fastesp.engine.batch import FLAG_DUMMY

    batch = batch_of(bytes(100), bytes(3), sa=two.out, flags=FLAG_DUMMY)
    assert two.a.encapsulate(batch, 1) == 2
    assert two.open(batch.data(0), batch.data(1)) == [Verdict.DUMMY] * 2
    assert two.b.inbound.views[0]["packets"][two.into] == 2
    assert two.b.inbound.views[0]["last"][two.into] == 1
    unknown = batch_of(bytes(100), sa=13, flags=FLAG_DUMMY)
    assert two.a.encapsulate(unknown, 1) == 0
    assert verdicts(unknown) == [Verdict.NO_SA]


def test_counters_say_packets_bytes_and_when(two: Pair) -> None:
    two.open(*two.seal(udp(10), udp(20), now=5), now=7)
    assert two.a.outbound.views[0][two.out].tolist() == (2, 86, 5)
    assert two.b.inbound.views[0][two.into].tolist() == (2, 86, 7)
    with pytest.raises(ValueError, match="read-only"):
        two.a.outbound.views[0]["packets"][two.out] = 0
