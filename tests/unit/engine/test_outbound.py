"""What does not leave, and why; and limits that stop an SA."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.packet import Raw
from support.engines import GCM, LEFT, RIGHT, SPI, Pair, any_packet, batch_of, carried, outcome, selector, udp, verdicts

from fastesp.dataplane.base import Lifetime, PolicyAction
from fastesp.engine import NO_SLOT, Engine, Verdict, available_providers
from fastesp.engine.batch import FLAG_OUTER


@pytest.fixture
def two() -> Pair:
    return Pair()


def refused(engine: Engine, packet: bytes, **put: int) -> Verdict:
    batch = batch_of(packet, **put)
    assert engine.encapsulate(batch, 1) == 0
    (verdict,) = verdicts(batch)
    assert engine.verdicts[1][verdict] == 1
    assert batch.data(0) == packet
    return verdict


@pytest.fixture
def engine() -> Engine:
    return Engine(max_sas=4, max_policies=8, flows=16)


def test_without_a_policy_nothing_leaves(engine: Engine) -> None:
    assert refused(engine, udp()) is Verdict.NO_POLICY


@pytest.mark.parametrize(
    ("action", "verdict"),
    [
        (PolicyAction.BYPASS, Verdict.BYPASS),
        (PolicyAction.DISCARD, Verdict.DISCARD),
        (PolicyAction.TRAP, Verdict.ACQUIRE),
        (PolicyAction.PROTECT, Verdict.NO_SA),
    ],
)
def test_a_policy_without_an_sa_says_what_becomes_of_a_packet(
    engine: Engine, action: PolicyAction, verdict: Verdict
) -> None:
    engine.add_policy([selector("9.9.9.9", "9.9.9.9")], PolicyAction.DISCARD)
    policy = engine.add_policy(any_packet(), action)
    batch = batch_of(udp())
    engine.encapsulate(batch, 1)
    assert verdicts(batch) == [verdict]
    assert batch.view["policy"][0] == policy
    assert batch.view["sa"][0] == NO_SLOT


def test_a_trap_sends_once_it_has_an_sa_and_acquires_again_when_it_lost_it(two: Pair) -> None:
    two.a.change_policy(two.policy, action=PolicyAction.TRAP, sa=NO_SLOT)
    assert refused(two.a, udp()) is Verdict.ACQUIRE
    two.a.change_policy(two.policy, sa=two.out)
    packet = udp()
    assert two.open(*two.seal(packet)) == [packet]
    two.a.change_policy(two.policy, sa=NO_SLOT)
    batch = batch_of(udp())
    two.a.encapsulate(batch, 1)
    assert verdicts(batch) == [Verdict.ACQUIRE]


def test_a_retired_sa_sends_no_more(two: Pair) -> None:
    two.a.retire_outbound(two.out)
    assert refused(two.a, udp()) is Verdict.NO_SA


def test_a_policy_that_names_a_removed_sa_sends_nothing(two: Pair) -> None:
    two.a.remove_outbound(two.out)
    assert refused(two.a, udp()) is Verdict.NO_SA


def test_a_packet_beyond_the_mtu_that_must_not_be_fragmented_is_too_big() -> None:
    two = Pair(sending={"mtu": 100})
    small, large = bytes(IP(udp(71))), udp(73)
    whole = IP(large)
    whole.flags, whole.chksum = "DF", None
    assert two.open(*two.seal(small)) == [small]
    assert refused(two.a, bytes(whole)) is Verdict.TOO_BIG
    assert two.open(*two.seal(large)) == [large]


def test_fragments_pass_a_tunnel_and_are_refused_in_transport_mode() -> None:
    packet = IP(src=LEFT, dst=RIGHT) / UDP() / Raw(bytes(3000))
    pieces = [bytes(piece) for piece in fragment(packet, 1000)]
    two = Pair()
    assert two.open(*two.seal(*pieces)) == pieces
    other = Pair(options={"mode": "transport"})
    for piece in pieces:
        batch = batch_of(piece)
        assert other.a.encapsulate(batch, 1) == 0
        assert verdicts(batch) == [Verdict.FRAGMENT]


def test_a_later_fragment_meets_only_selectors_for_any_port() -> None:
    ports = (selector("10.1.0.5", "10.2.0.9", protocol=17, remote_port_start=53, remote_port_end=53),)
    pieces = fragment(IP(src="10.1.0.5", dst="10.2.0.9") / UDP(dport=53) / Raw(bytes(3000)), 1000)
    two = Pair(selectors=ports)
    batch = batch_of(*(bytes(piece) for piece in pieces))
    two.a.encapsulate(batch, 1)
    assert verdicts(batch) == [Verdict.OK] + [Verdict.NO_POLICY] * (len(pieces) - 1)
    later = bytes(
        IPv6(src="2001:db8:a::5", dst="2001:db8:b::9") / IPv6ExtHdrFragment(offset=10, nh=17) / Raw(bytes(16))
    )
    six = (selector("2001:db8:a::5", "2001:db8:b::9", protocol=17, remote_port_start=0, remote_port_end=53),)
    assert refused(Pair(selectors=six).a, later) is Verdict.NO_POLICY
    assert len(Pair().seal(later)) == 1


def test_a_buffer_without_head_or_tail_room_is_left_alone(two: Pair) -> None:
    packet = udp()
    for offset, size in ((0, 4096), (15, 4096), (128, 128 + len(packet)), (128, 128 + len(packet) + 40)):
        batch = batch_of(packet)
        region = bytearray(size)
        region[offset : offset + len(packet)] = packet
        batch = type(batch)(region)
        batch.count = 1
        batch.view[0] = (offset, len(packet), 0, 0, 0, NO_SLOT, NO_SLOT, 0, 0, 0, NO_SLOT)
        assert two.a.encapsulate(batch, 1) == 0
        assert verdicts(batch) == [Verdict.NO_ROOM]
        assert bytes(region[offset : offset + len(packet)]) == packet


@pytest.mark.parametrize("flags", [0, FLAG_OUTER])
def test_a_descriptor_that_points_outside_of_its_region_is_dropped(two: Pair, flags: int) -> None:
    batch = batch_of(udp())
    for offset, length in ((0, 2**32 - 1), (2**32 - 1, 2**32 - 1), (2**32 - 1, 1), (4096, 100)):
        batch.view["offset"][0], batch.view["length"][0] = offset, length
        for step in (two.a.encapsulate, two.b.decapsulate):
            batch.view["verdict"][0], batch.view["flags"][0] = 0, flags
            assert step(batch, 1) == 0


def test_packets_that_come_with_a_verdict_are_left_alone(two: Pair) -> None:
    batch = batch_of(udp(), udp(), udp())
    batch.view["verdict"][1] = Verdict.OVERFLOW
    before = batch.data(1)
    assert two.a.encapsulate(batch, 1) == 2
    assert outcome(batch)[1] is Verdict.OVERFLOW
    assert batch.data(1) == before
    assert two.a.verdicts[1].sum() == 2


# ---- limits ----------------------------------------------------------------------------------------------------


def test_soft_limits_are_said_once_and_hard_limits_stop_the_sa() -> None:
    two = Pair(sending={"lifetime": Lifetime(soft_packets=3, hard_packets=5)})
    two.seal(udp(), udp())
    assert two.a.events() == []
    two.seal(udp(), udp())
    assert two.a.events() == [("out", two.out, "soft", "packets")]
    two.seal(udp())
    assert two.a.events() == [("out", two.out, "hard", "packets")]
    assert refused(two.a, udp()) is Verdict.EXPIRED
    assert two.a.events() == []


def test_a_byte_limit_counts_inner_bytes_both_ways() -> None:
    limits = {"lifetime": Lifetime(soft_bytes=1000, hard_bytes=2000)}
    two = Pair(sending=limits, receiving=limits)
    packets = [udp(472) for _ in range(4)]
    sealed = [two.seal(packet)[0] for packet in packets]
    assert [event[2] for event in two.a.events()] == ["soft", "hard"]
    assert refused(two.a, udp()) is Verdict.EXPIRED
    assert two.open(*sealed) == packets
    assert two.b.events() == [("in", two.into, "soft", "bytes"), ("in", two.into, "hard", "bytes")]


@pytest.mark.parametrize("esn", [False, True])
def test_sequence_numbers_never_wrap(esn: bool) -> None:
    two = Pair(options={"esn": esn})
    stop = 2**48 - 1 if esn else 2**32 - 1
    two.a.outbound.advance(two.out, stop - stop // 8 - 1)
    two.seal(udp(), udp())
    assert two.a.events() == [("out", two.out, "soft", "sequence")]
    two.a.outbound.advance(two.out, stop - 1)
    (last,) = two.seal(udp())
    assert last[4:8] == b"\xff\xff\xff\xff"
    assert refused(two.a, udp()) is Verdict.EXPIRED
    assert two.a.events() == [("out", two.out, "hard", "sequence")]


def test_no_nonce_comes_twice_over_loads_of_one_key() -> None:
    first, second = Pair(), Engine(max_sas=4, max_policies=4, flows=4)
    slot = second.install_outbound(SPI, GCM, first.key, epoch=2)
    second.add_policy(any_packet(), "protect", sa=slot)
    batch = batch_of(*(udp() for _ in range(50)))
    second.encapsulate(batch, 1)
    ivs = [sealed[8:16] for sealed in first.seal(*(udp() for _ in range(50)))]
    ivs += [batch.data(at)[8:16] for at in range(50)]
    assert len(set(ivs)) == 100
    with pytest.raises(ValueError, match="forwards"):
        second.outbound.advance(slot, 49)


@pytest.mark.parametrize("provider", sorted(available_providers()))
def test_numbers_may_leap_and_several_sas_take_turns(provider: str) -> None:
    """A provider that counts the IV on by itself has to notice when the next packet's is another one."""
    pairs = [Pair(provider=provider) for _ in range(3)]
    for leap in (0, 1, 5, 2**31):
        for two in pairs:
            two.a.outbound.advance(two.out, two.a.outbound.sequence(two.out) + leap)
            packets = [udp(), udp()]
            sealed = two.seal(*packets)
            numbers = [int.from_bytes(packet[4:8]) for packet in sealed]
            assert [packet[8:16] for packet in sealed] == [(1 << 48 | n).to_bytes(8) for n in numbers]
            assert [bytes(two.scapy().decrypt(carried(packet))) for packet in sealed] == packets
            assert two.open(*sealed) == packets


def test_iv_of_cbc_is_never_the_same_and_not_a_counter() -> None:
    from support.engines import SUITES

    (suite,) = [s for s in SUITES if (s.encryption, s.key_bits, s.integrity) == ("aes-cbc", 128, "hmac-sha2-256")]
    ivs = [sealed[8:24] for sealed in Pair(suite).seal(*(udp() for _ in range(600)))]
    assert len(set(ivs)) == 600
    assert len({iv[:8] for iv in ivs}) == 600
