"""Several key exchanges for one SA (RFC 9242, RFC 9370): setting up, more CHILD_SAs and rekeys, on any wire."""

from __future__ import annotations

import pytest
from support.peers import (
    IKE,
    Peer,
    World,
    assert_mirrored,
    assert_usable,
    both,
    esp,
    ike,
    net,
    psk_pair,
    replayable,
    seeds,
)

from ike.crypto import mlkem512
from ike.events import ChildSaRekeyed, IkeSaEstablished, IkeSaRekeyed, Path
from ike.timing import Timing
from ike.wire.constants import ExchangeType, Ke, TransformType

HYBRID = f"{IKE}-ke1_mlkem768"
THREE = f"{IKE}-ke1_mlkem768-ke2_mlkem1024"
PFS = "aes256gcm16-x25519-ke1_mlkem768"
STUBBORN = Timing(
    retransmit_timeout=1.0, retransmit_base=1.1, retransmit_tries=40, half_open_timeout=300.0, delete_timeout=300.0
)


def pair(seed: int = 1, *, suite: str = HYBRID, esp_suite: str = PFS, **more: object) -> World:
    sides = {}
    for side, left, right in (("a", "10.10.0.0/24", "10.20.0.0/24"), ("b", "10.20.0.0/24", "10.10.0.0/24")):
        sides[side] = {"proposals": ike(suite), "children": (net(left, right, esp_proposals=esp(esp_suite)),)}
    return psk_pair(seed, **sides, **more)  # type: ignore[arg-type]


def up(seed: int = 1, seconds: float = 1.0, **more: object) -> World:
    world = pair(seed, **more)
    a, b = both(world)
    world.initiate(a)
    world.run(seconds)
    assert a.failures == b.failures == []
    assert_mirrored(a, b)
    assert len(a.installed) == 1
    return world


def settled(world: World) -> None:
    a, b = both(world)
    assert a.failures == b.failures == []
    assert_mirrored(a, b)
    assert_usable(a, b)
    assert len(a.installed) == 1
    for peer in (a, b):
        (info,) = peer.endpoint.ike_sas()
        assert (info.state, info.tasks) == ("ESTABLISHED", ())
        assert [c.state for c in info.children] == ["INSTALLED"]


def exchanges(world: World) -> list[int]:
    """The exchange of each datagram that was sent."""
    return [data[18] for _, data, _ in world.wire.log]


def follow_ups(world: World) -> int:
    """How many such exchanges there were."""
    return sum(line.startswith("sent IKE_FOLLOWUP_KE request") for peer in both(world) for line in peer.lines)


def methods(peer: Peer) -> list[int]:
    (info,) = peer.endpoint.ike_sas()
    return [t.id for t in info.suite if t.type == TransformType.KE or t.type >= TransformType.ADDKE1]


@pytest.mark.parametrize(
    ("suite", "rounds", "used"),
    [
        (HYBRID, 1, [Ke.X25519, Ke.ML_KEM_768]),
        (THREE, 2, [Ke.X25519, Ke.ML_KEM_768, Ke.ML_KEM_1024]),
        pytest.param(
            f"{IKE}-ke1_mlkem512",
            1,
            [Ke.X25519, Ke.ML_KEM_512],
            marks=pytest.mark.skipif(not mlkem512.AVAILABLE, reason="pqcrypto is not to be had for this machine"),
        ),
    ],
)
def test_each_further_key_exchange_is_one_round_before_ike_auth(suite: str, rounds: int, used: list[int]) -> None:
    world = up(suite=suite)
    a, b = both(world)
    assert len(a.of(IkeSaEstablished)) == len(b.of(IkeSaEstablished)) == 1
    requests = [line for line in a.lines if line.startswith("sent") and "request" in line]
    assert [line.split()[1] for line in requests] == ["IKE_SA_INIT", *["IKE_INTERMEDIATE"] * rounds, "IKE_AUTH"]
    assert methods(a) == methods(b) == used


def test_a_key_that_does_not_fit_one_datagram_travels_in_fragments() -> None:
    world = up(timing=Timing(fragment_size=600))
    assert exchanges(world).count(ExchangeType.IKE_INTERMEDIATE) > 4
    settled(world)


def test_fragments_may_come_in_any_order() -> None:
    for seed in range(5):
        with replayable(seed):
            settled(up(seed, 120, suite=THREE, timing=Timing(fragment_size=500), delay=(0.0, 0.5), double=0.5))


@pytest.mark.parametrize("seed", seeds(12))
def test_setting_up_with_loss_doubles_and_a_changed_order(seed: int) -> None:
    with replayable(seed):
        settled(up(seed, 280, suite=THREE, timing=STUBBORN, loss=0.3, double=0.4, delay=(0.0, 3.0)))


def test_a_peer_without_it_is_met_with_what_it_has_where_both_allow_none() -> None:
    for sides in (
        {"a": {"proposals": ike(HYBRID, IKE)}, "b": {"proposals": ike(IKE)}},
        {"a": {"proposals": ike(IKE)}, "b": {"proposals": ike(HYBRID, IKE)}},
        {"a": {"proposals": ike(f"{HYBRID}-ke1_none")}, "b": {"proposals": ike(IKE)}},
    ):
        world = psk_pair(**sides)
        world.initiate(both(world)[0])
        world.run(1)
        settled(world)
        assert ExchangeType.IKE_INTERMEDIATE not in exchanges(world)


def test_what_only_one_side_allows_is_refused_with_both_sides_words() -> None:
    world = psk_pair(a={"proposals": ike(HYBRID)}, b={"proposals": ike(IKE)})
    a, b = both(world)
    world.initiate(a)
    world.run(10)
    assert b.failure.code == "no-proposal-chosen"
    assert "mlkem768" in str(b.failure.mismatch)
    assert a.failure.code == "no-proposal-chosen"


def test_an_offer_without_the_exchange_for_it_is_refused() -> None:
    """INTERMEDIATE_EXCHANGE_SUPPORTED (16438) is renamed on its way into a notify that nobody knows."""

    def edit(data: bytes, _: Path) -> bytes:
        return data.replace((16438).to_bytes(2, "big"), (50_000).to_bytes(2, "big")) if data[18] == 34 else data

    world = pair(edit=edit)
    a, b = both(world)
    world.initiate(a)
    world.run(10)
    assert b.failure.code == "no-intermediate"
    assert a.established() == b.established() == []
    assert b.endpoint.half_open == 0


@pytest.mark.parametrize("response", [False, True])
def test_a_tampered_round_is_dropped_and_sent_again(response: bool) -> None:
    touched = 0

    def edit(data: bytes, _: Path) -> bytes:
        nonlocal touched
        if data[18] == ExchangeType.IKE_INTERMEDIATE and bool(data[19] & 0x20) is response and not touched:
            touched += 1
            return data[:-1] + bytes((data[-1] ^ 1,))
        return data

    world = up(seconds=10, edit=edit)
    assert touched == 1
    settled(world)


def test_ike_auth_before_the_last_round_has_no_place() -> None:
    """The round is renamed into IKE_AUTH: it is dropped unread, and nothing else goes on."""

    def edit(data: bytes, _: Path) -> bytes:
        if data[18] == ExchangeType.IKE_INTERMEDIATE:
            return data[:18] + bytes((ExchangeType.IKE_AUTH,)) + data[19:]
        return data

    world = pair(edit=edit)
    a, b = both(world)
    world.initiate(a)
    world.run(20)
    assert b.endpoint.drops["unexpected-exchange"] >= 1
    assert a.established() == b.established() == []


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("suite", [PFS, "aes256gcm16-x25519-ke1_mlkem768-ke2_mlkem1024", "aes256gcm16-ke1_mlkem768"])
def test_a_child_is_rekeyed_with_several_key_exchanges(side: int, suite: str) -> None:
    world = up(esp_suite=suite)
    a, b = both(world)
    world.watch = lambda: assert_usable(a, b)
    before = {bytes(e.inbound.encryption_key) for e in a.installed.values()}
    both(world)[side].endpoint.rekey_child(next(iter(both(world)[side].installed)), world.now)
    world.run(1)
    settled(world)
    assert follow_ups(world) == suite.count("mlkem")
    assert not before & {bytes(e.inbound.encryption_key) for e in a.installed.values()}
    assert len(a.of(ChildSaRekeyed)) == len(b.of(ChildSaRekeyed)) == 1


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("suite", [HYBRID, THREE])
def test_an_ike_sa_is_rekeyed_with_several_key_exchanges(side: int, suite: str) -> None:
    world = up(suite=suite)
    peer = both(world)[side]
    peer.endpoint.rekey_ike(peer.established()[0], world.now)
    world.run(1)
    settled(world)
    assert follow_ups(world) == suite.count("mlkem")
    for end in both(world):
        assert len(end.of(IkeSaRekeyed)) == 1
        assert len(methods(end)) == 1 + suite.count("mlkem")
    # The new one works both ways.
    for end in both(world):
        end.endpoint.rekey_child(next(iter(end.installed)), world.now)
        world.run(1)
        settled(world)


def test_one_more_child_takes_its_further_key_exchanges_too() -> None:
    world = pair()
    a, _b = both(world)
    world.initiate(a, child=None)
    world.run(1)
    world.initiate(a)
    world.run(1)
    settled(world)
    assert follow_ups(world) == 1


@pytest.mark.parametrize("seed", seeds(15))
def test_both_rekey_everything_at_once_over_a_bad_wire(seed: int) -> None:
    with replayable(seed):
        world = up(seed, 150, suite=HYBRID, timing=STUBBORN, loss=0.2, double=0.3, delay=(0.0, 1.0))
        a, b = both(world)
        world.watch = lambda: assert_usable(a, b)
        for peer in (a, b):
            peer.endpoint.rekey_child(next(iter(peer.installed)), world.now)
            peer.endpoint.rekey_ike(peer.established()[0], world.now)
        world.run(600)
        settled(world)


@pytest.mark.parametrize("what", ["child", "ike"])
def test_a_chain_that_the_peer_does_not_go_on_with_is_given_up_and_may_begin_anew(what: str) -> None:
    cut = True

    def edit(data: bytes, _: Path) -> bytes | None:
        return None if cut and data[18] == ExchangeType.IKE_FOLLOWUP_KE else data

    long = Timing(retransmit_timeout=40.0, retransmit_base=1.0, retransmit_tries=20)
    world = up(edit=edit, timing=long)
    a, _b = both(world)
    if what == "child":
        a.endpoint.rekey_child(next(iter(a.installed)), world.now)
    else:
        a.endpoint.rekey_ike(a.established()[0], world.now)
    world.run(70)
    # The responder has forgotten it: it says so, and all begins anew.
    cut = False
    world.run(120)
    settled(world)
    assert any("N(STATE_NOT_FOUND)" in line for line in a.lines)
    assert len(a.of(ChildSaRekeyed if what == "child" else IkeSaRekeyed)) == 1
