"""Replacing CHILD_SAs and IKE SAs while traffic flows: on command, on time, and both at once."""

from __future__ import annotations

import random

import pytest
from support.peers import Peer, World, assert_mirrored, assert_usable, both, esp, ike, net, psk_pair, replayable, seeds

from ike.config import Child
from ike.events import ChildSaDeleted, ChildSaRekeyed, IkeSaDeleted, IkeSaRekeyed
from ike.timing import Timing

STUBBORN = Timing(
    retransmit_timeout=1.0, retransmit_base=1.1, retransmit_tries=40, half_open_timeout=300.0, delete_timeout=300.0
)


def up(seed: int = 1, *, child: dict | None = None, **more: object) -> World:
    """A tunnel that is up, watched from then on."""
    sides: dict = {}
    for side, left, right in (("a", "10.10.0.0/24", "10.20.0.0/24"), ("b", "10.20.0.0/24", "10.10.0.0/24")):
        made: Child = net(left, right, **(child or {}))
        sides[side] = {"children": (made,), **more.pop(side, {})}  # type: ignore[dict-item]
    world = psk_pair(seed, **sides, **more)  # type: ignore[arg-type]
    a, b = both(world)
    world.initiate(a)
    world.run(100 if world.wire.loss else 1)
    assert_mirrored(a, b)
    world.watch = lambda: assert_usable(a, b)
    return world


def keys(peer: Peer) -> set[bytes]:
    return {bytes(half.encryption_key) for e in peer.installed.values() for half in (e.inbound, e.outbound)}


def settled(world: World) -> None:
    """One tunnel, the same on both sides, nothing refused, nothing left over."""
    a, b = both(world)
    assert a.failures == b.failures == []
    assert_mirrored(a, b)
    assert len(a.installed) == 1
    assert a.sending == list(a.installed)
    assert b.sending == list(b.installed)
    for peer in (a, b):
        (info,) = peer.endpoint.ike_sas()
        assert info.state == "ESTABLISHED"
        assert info.tasks == ()
        assert [c.state for c in info.children] == ["INSTALLED"]


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("suite", ["aes256gcm16", "aes256gcm16-x25519", "aes256-sha256-modp2048"])
def test_a_child_is_rekeyed_without_a_gap(side: int, suite: str) -> None:
    world = up(child={"esp_proposals": esp(suite)})
    peer = both(world)[side]
    before = keys(peer)
    peer.endpoint.rekey_child(next(iter(peer.installed)), world.now)
    world.run(1)
    settled(world)
    assert not before & keys(peer)
    for end in both(world):
        assert len(end.of(ChildSaRekeyed)) == 1
        assert [e.reason for e in end.of(ChildSaDeleted)] == ["rekeyed"]


def test_another_key_exchange_for_pfs_is_asked_for_and_given() -> None:
    world = psk_pair(
        a={"children": (net("10.10.0.0/24", "10.20.0.0/24", esp_proposals=esp("aes256gcm16-x25519-ecp256")),)},
        b={"children": (net("10.20.0.0/24", "10.10.0.0/24", esp_proposals=esp("aes256gcm16-ecp256")),)},
    )
    a, _ = both(world)
    world.initiate(a)
    world.run(1)
    a.endpoint.rekey_child(next(iter(a.installed)), world.now)
    world.run(1)
    settled(world)


@pytest.mark.parametrize("side", [0, 1])
def test_an_ike_sa_is_rekeyed_and_its_children_move(side: int) -> None:
    world = up()
    a, b = both(world)
    peer = both(world)[side]
    before = peer.endpoint.ike_sas()[0]
    peer.endpoint.rekey_ike(before.ike_id, world.now)
    world.run(1)
    settled(world)
    after = peer.endpoint.ike_sas()[0]
    assert {after.spi_i, after.spi_r}.isdisjoint({before.spi_i, before.spi_r})
    assert after.initiator
    for end in (a, b):
        assert len(end.of(IkeSaRekeyed)) == 1
        assert [e.reason for e in end.of(IkeSaDeleted)] == ["rekeyed"]
        assert end.of(ChildSaDeleted) == []
    # The new one works both ways.
    for end in (a, b):
        end.endpoint.rekey_child(next(iter(end.installed)), world.now)
        world.run(1)
        settled(world)


def test_the_responder_may_want_another_key_exchange_for_the_ike_sa() -> None:
    world = up(
        a={"proposals": ike("aes256gcm16-prfsha384-x25519-ecp256")},
        b={"proposals": ike("aes256gcm16-prfsha384-ecp256")},
    )
    a, _ = both(world)
    a.endpoint.rekey_ike(a.established()[0], world.now)
    world.run(1)
    settled(world)


def test_sas_are_rekeyed_on_time_with_jitter() -> None:
    times = []
    for seed in range(4):
        world = up(seed, child={"rekey_time": 600.0, "life_time": 660.0, "rand_time": 60.0}, a={"rekey_time": 0.0})
        a, b = both(world)
        info = a.endpoint.ike_sas()[0].children[0]
        assert info.rekey_at is not None
        assert 540.0 <= info.rekey_at - info.installed_at <= 600.0
        assert info.expires_at == info.installed_at + 660.0
        times.append(info.rekey_at)
        world.run(3600)
        settled(world)
        assert 5 <= len(a.of(ChildSaRekeyed)) == len(b.of(ChildSaRekeyed)) <= 7
    assert len(set(times)) == 4


def test_a_week_of_rekeys_of_everything_on_both_sides() -> None:
    ike_times = {"rekey_time": 14400.0, "rand_time": 1440.0, "over_time": 1440.0}
    world = up(child={"rekey_time": 3600.0, "life_time": 3960.0, "rand_time": 360.0}, a=ike_times, b=ike_times)
    world.run(7 * 86400, steps=100_000)
    settled(world)


def test_a_hard_limit_ends_what_cannot_be_rekeyed() -> None:
    world = up(child={"rekey_time": 0.0, "life_time": 100.0})
    a, b = both(world)
    world.watch = None
    world.run(101)
    assert {e.reason for e in a.of(ChildSaDeleted) + b.of(ChildSaDeleted)} <= {"expired", "peer-deleted"}
    assert a.installed == b.installed == {}
    assert len(a.established()) == len(b.established()) == 1


@pytest.mark.parametrize("seed", seeds(20))
def test_both_rekey_the_same_child_at_once(seed: int) -> None:
    with replayable(seed):
        world = up(seed)
        for peer in both(world):
            peer.endpoint.rekey_child(next(iter(peer.installed)), world.now)
        world.run(1)
        settled(world)


@pytest.mark.parametrize("seed", seeds(20))
def test_both_rekey_the_ike_sa_at_once(seed: int) -> None:
    with replayable(seed):
        world = up(seed)
        for peer in both(world):
            peer.endpoint.rekey_ike(peer.established()[0], world.now)
        world.run(1)
        settled(world)
        for peer in both(world):
            assert len(peer.of(IkeSaRekeyed)) == 1
            assert [e.reason for e in peer.of(IkeSaDeleted)] == ["rekeyed"]


@pytest.mark.parametrize("seed", seeds(20))
def test_one_rekeys_the_ike_sa_while_the_other_rekeys_its_child(seed: int) -> None:
    with replayable(seed):
        world = up(seed)
        a, b = both(world)
        a.endpoint.rekey_ike(a.established()[0], world.now)
        b.endpoint.rekey_child(next(iter(b.installed)), world.now)
        world.run(60)
        settled(world)


def test_one_rekeys_a_child_that_the_other_deletes() -> None:
    world = up()
    a, b = both(world)
    world.watch = None
    a.endpoint.rekey_child(next(iter(a.installed)), world.now)
    b.endpoint.terminate_child(next(iter(b.installed)), world.now)
    world.run(60)
    assert a.failures == b.failures == []
    assert_mirrored(a, b)


def test_one_rekeys_the_ike_sa_while_the_other_closes_it() -> None:
    world = up()
    a, b = both(world)
    world.watch = None
    a.endpoint.rekey_ike(a.established()[0], world.now)
    b.endpoint.terminate_ike(b.established()[0], world.now)
    world.run(60)
    for peer in (a, b):
        assert peer.endpoint.ike_sas() == []
        assert peer.installed == {}
        assert len(peer.of(IkeSaDeleted)) == 1


@pytest.mark.parametrize("seed", seeds(60))
def test_rekeys_of_everything_at_random_times_over_a_bad_wire(seed: int) -> None:
    with replayable(seed):
        world = up(seed, timing=STUBBORN, loss=0.2, double=0.3, delay=(0.0, 3.0))
        a, b = both(world)
        chance = random.Random(seed)
        for _ in range(12):
            peer = chance.choice((a, b))
            what = chance.choice(("child", "ike", "both", "liveness"))
            for end in (a, b) if what == "both" else (peer,):
                infos = end.endpoint.ike_sas()
                if what == "liveness":
                    end.endpoint.check_liveness(infos[0].ike_id, world.now)
                elif what == "ike" and infos[0].state == "ESTABLISHED":
                    end.endpoint.rekey_ike(infos[0].ike_id, world.now)
                elif what != "ike":
                    end.endpoint.rekey_child(chance.choice(list(end.installed)), world.now)
            world.run(chance.choice((0.0, 0.5, 2.0, 30.0)))
        world.run(600)
        settled(world)
        harmless = {"repeated-message-id", "old-message-id", "unexpected-response", "unprotected", "unknown-ike-spi"}
        assert a.endpoint.drops.keys() <= harmless


def test_an_ike_sa_whose_message_ids_run_out_is_replaced() -> None:
    world = up()
    a, b = both(world)
    # Four thousand million exchanges later.
    ours, theirs = (next(iter(peer.endpoint._core.by_id.values())) for peer in (a, b))
    ours.window.next_outgoing = theirs.window.next_incoming = 0xFFFF0000
    a.endpoint.check_liveness(ours.ike_id, world.now)
    world.run(5)
    settled(world)
    assert len(a.of(IkeSaRekeyed)) == len(b.of(IkeSaRekeyed)) == 1
