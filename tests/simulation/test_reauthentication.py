"""Reauthentication (RFC 7296 section 2.8.3): on time, by wish, by command, before or after the break."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace

import pytest
from support.peers import (
    A,
    B,
    Peer,
    World,
    assert_mirrored,
    assert_usable,
    both,
    net,
    psk_pair,
    replayable,
    seeds,
)

from ike.config import Unique
from ike.errors import LocalError
from ike.events import ChildSaDeleted, IkeSaDeleted, IkeSaEstablished, IkeSaReauthenticating, IkeSaRekeyed
from ike.timing import Timing

BESIDE = Timing(make_before_break=True)
AFTER = Timing()
SECOND = ("10.30.0.0/24", "10.40.0.0/24")


def up(timing: Timing = AFTER, *, seed: int = 1, children: int = 1, opener: int = 0, **more: object) -> World:
    """A tunnel that is up, with one or two children."""
    sides = {}
    for side, left, right in (("a", "10.10.0.0/24", "10.20.0.0/24"), ("b", "10.20.0.0/24", "10.10.0.0/24")):
        second = net(*(SECOND if side == "a" else SECOND[::-1]), name="other")
        wanted = {"children": (net(left, right), second)[:children], "rekey_time": 0.0, "over_time": 0.0}
        sides[side] = {**wanted, **more.pop(side, {})}  # type: ignore[dict-item]
    world = psk_pair(seed, timing=timing, **sides, **more)  # type: ignore[arg-type]
    peer = both(world)[opener]
    for name in ("net", "other")[:children]:
        world.initiate(peer, child=name)
    world.run(100 if world.wire.loss else 1)
    assert_mirrored(*both(world))
    return world


def settled(world: World, children: int = 1) -> None:
    """One IKE SA, its children, the same on both sides."""
    a, b = both(world)
    assert_mirrored(a, b)
    assert_usable(a, b)
    for peer in (a, b):
        assert len(peer.installed) == children
        (info,) = peer.endpoint.ike_sas()
        assert info.state == "ESTABLISHED"
        assert info.tasks == ()


def can_reach(world: World) -> None:
    """Each side holds what the other may send on, for every pair of selectors there is."""
    for sender, receiver in (both(world), both(world)[::-1]):
        for selectors in {e.local_ts for e in sender.installed.values()}:
            on = [n for n in sender.sending if sender.installed[n].local_ts == selectors]
            assert on, f"nothing to send on from {selectors}"
            assert sender.installed[on[-1]].outbound.spi in {e.inbound.spi for e in receiver.installed.values()}


@pytest.mark.parametrize("opener", [0, 1])
def test_make_before_break_leaves_no_moment_without_a_tunnel_in_either_direction(opener: int) -> None:
    world = up(BESIDE, children=2, opener=opener)
    a, b = both(world)
    before = {info.spi_i for info in a.endpoint.ike_sas()}
    world.watch = lambda: can_reach(world)
    peer = both(world)[opener]
    peer.lines.clear()
    peer.endpoint.reauthenticate_ike(peer.established()[0], world.now)
    world.run(30)
    settled(world, children=2)
    assert before.isdisjoint({info.spi_i for info in a.endpoint.ike_sas()})
    assert a.failures == b.failures == []
    (started,) = peer.of(IkeSaReauthenticating)
    assert started.make_before_break
    assert set(started.children) == {"net", "other"}
    assert [e.reason for e in peer.of(IkeSaDeleted)] == ["reauthenticated"]
    # The peer was not told of a first contact, which would have ended the old IKE SA at once.
    assert any("sent IKE_AUTH request" in line for line in peer.lines)
    assert not any("INITIAL_CONTACT" in line for line in peer.lines)


@pytest.mark.parametrize("seed", seeds(20))
def test_make_before_break_over_a_wire_that_loses_and_delays(seed: int) -> None:
    with replayable(seed):
        timing = Timing(make_before_break=True, retransmit_timeout=0.5, retransmit_base=1.2, retransmit_tries=20)
        world = up(timing, seed=seed, children=2, loss=0.2, delay=(0.0, 0.3))
        a, b = both(world)
        # An answer may be lost for longer than the responder waits: it may then be ahead, never without an SA.
        a.endpoint.reauthenticate_ike(a.established()[0], world.now)
        world.run(120)
        settled(world, children=2)
        assert a.failures == b.failures == []


def test_break_before_make_deletes_first_and_then_opens_anew() -> None:
    world = up(AFTER, children=2)
    a, b = both(world)
    a.endpoint.reauthenticate_ike(a.established()[0], world.now)
    world.run(5)
    settled(world, children=2)
    (started,) = a.of(IkeSaReauthenticating)
    assert not started.make_before_break
    order = [type(e) for e in a.events if isinstance(e, IkeSaReauthenticating | ChildSaDeleted | IkeSaDeleted)]
    # Who embeds the endpoint hears of it before the tunnel goes, and can keep its packets back.
    assert order == [IkeSaReauthenticating, ChildSaDeleted, ChildSaDeleted, IkeSaDeleted]
    assert [e.reason for e in b.of(IkeSaDeleted)] == ["peer-deleted"]


@pytest.mark.parametrize("timing", [BESIDE, AFTER], ids=["beside", "after"])
def test_reauthentication_comes_on_time_with_jitter_and_over_and_over(timing: Timing) -> None:
    world = up(timing, a={"reauth_time": 600.0, "rand_time": 60.0, "over_time": 60.0})
    a, _ = both(world)
    info = a.endpoint.ike_sas()[0]
    assert info.reauth_at is not None
    assert info.established_at is not None
    assert 540.0 <= info.reauth_at - info.established_at <= 600.0
    world.run(3600)
    settled(world)
    assert 6 <= len(a.of(IkeSaReauthenticating)) <= 7


def test_a_rekeying_does_not_put_reauthentication_off() -> None:
    world = up(BESIDE, a={"reauth_time": 1000.0, "rekey_time": 300.0, "rand_time": 0.0, "over_time": 100.0})
    a, _ = both(world)
    due = a.endpoint.ike_sas()[0].reauth_at
    world.run(950)
    assert a.endpoint.ike_sas()[0].reauth_at == due
    assert len(a.of(IkeSaEstablished)) == 1
    world.run(100)
    assert len(a.of(IkeSaEstablished)) == 2
    settled(world)


@pytest.mark.parametrize("timing", [BESIDE, AFTER], ids=["beside", "after"])
def test_the_responders_lifetime_is_obeyed_before_it_runs_out(timing: Timing) -> None:
    world = up(timing, a={"over_time": 100.0}, b={"reauth_time": 1000.0, "rand_time": 0.0, "over_time": 200.0})
    a, b = both(world)
    assert any("AUTH_LIFETIME" in line for line in a.lines)
    info = a.endpoint.ike_sas()[0]
    assert info.reauth_at is not None
    assert info.reauth_at - (info.established_at or 0.0) == pytest.approx(900.0, abs=1.0)
    world.run(1500)
    settled(world)
    # It was for the initiator to do it, and the responder saw no reason to.
    assert len(a.of(IkeSaReauthenticating)) == 1
    assert b.of(IkeSaReauthenticating) == []


@pytest.mark.parametrize("rekeyed_by", [0, 1])
@pytest.mark.parametrize("over_time", [0.0, 900.0])
def test_no_rekeying_puts_the_end_of_the_responders_lifetime_off(over_time: float, rekeyed_by: int) -> None:
    mine = {"over_time": over_time, "reauth_time": 0.0}
    world = up(BESIDE, a=mine, b={"reauth_time": 1000.0, "rand_time": 0.0, "over_time": 5000.0})
    a, b = both(world)
    end = world.now - 1 + 1000
    rekeyer = both(world)[rekeyed_by]
    for _ in range(2):
        rekeyer.endpoint.rekey_ike(rekeyer.established()[0], world.now)
        world.run(100)
    assert len(a.of(IkeSaRekeyed)) == 2
    # Reauthentication fails, however often it is tried.
    a.connections.clear()
    world.run(end - world.now - 2)
    assert len(a.established()) == 1
    world.run(5)
    assert a.established() == b.established() == []
    assert a.installed == b.installed == {}


def test_a_responder_whose_peer_does_not_know_of_lifetimes_does_it_itself() -> None:
    world = up(BESIDE, b={"reauth_time": 600.0, "rand_time": 0.0, "over_time": 100.0})
    a, b = both(world)
    # As a peer without RFC 4478 would.
    ours = next(iter(a.endpoint._core.by_id.values()))
    ours.reauth_at = ours.expires_at = None
    ours.go_on(world.now)
    world.run(650)
    settled(world)
    assert len(b.of(IkeSaReauthenticating)) == 1


@pytest.mark.parametrize("lifetime", [0, 1, 3])
def test_a_lifetime_of_nothing_makes_no_storm(lifetime: int) -> None:
    world = up(BESIDE, b={"reauth_time": float(lifetime) or 0.5, "rand_time": 0.0, "over_time": 500.0})
    a, _ = both(world)
    world.run(60)
    assert len(a.of(IkeSaReauthenticating)) <= 30


def test_a_lifetime_of_another_length_is_none() -> None:
    world = up(BESIDE)
    a, _ = both(world)
    sa = next(iter(a.endpoint._core.by_id.values()))
    from ike.sa import reauth
    from ike.wire.constants import HeaderFlag, NotifyType
    from ike.wire.header import Header
    from ike.wire.message import Message
    from ike.wire.payloads import NotifyPayload

    for data in (b"", b"\0\0\1", b"\0" * 5, b"\0" * 300):
        header = Header(sa.spi_i, sa.spi_r, 37, HeaderFlag(0), 5)
        reauth.obey(sa, Message(header, (NotifyPayload(NotifyType.AUTH_LIFETIME, data),)), world.now)
        assert sa.reauth_at is None


@pytest.mark.parametrize("unique", [Unique.KEEP, Unique.REPLACE, Unique.NO, Unique.NEVER])
def test_unique_lets_a_peer_that_reauthenticates_finish(unique: Unique) -> None:
    world = up(BESIDE, a={"unique": unique}, b={"unique": unique})
    a, b = both(world)
    world.watch = lambda: can_reach(world)
    a.endpoint.reauthenticate_ike(a.established()[0], world.now)
    world.run(60)
    settled(world)
    assert a.failures == b.failures == []
    assert [e.reason for e in b.of(IkeSaDeleted)] == ["peer-deleted"]


def test_a_duplicate_whose_peer_never_deletes_it_is_deleted_after_a_while() -> None:
    world = up(BESIDE, b={"unique": Unique.REPLACE})
    a, b = both(world)
    a.connections.append(replace(a.connections[0], name="second", unique=Unique.NEVER))
    a.endpoint.initiate("second", "net", world.now, local=a.address, remote=B)
    world.run(1)
    assert len(b.established()) == 2
    world.run(15)
    settled(world)


def test_a_new_one_that_fails_leaves_the_old_one_up_and_is_tried_again() -> None:
    world = up(BESIDE, a={"reauth_time": 30.0, "rand_time": 0.0, "over_time": 600.0})
    a, b = both(world)
    # The responder no longer takes us.
    right = b.connections.pop()
    world.run(35)
    assert len(a.failures) == 1
    settled(world)
    b.connections.append(right)
    world.run(25)
    settled(world)
    assert len(a.of(IkeSaEstablished)) == 2


def test_a_command_that_fails_is_not_repeated() -> None:
    world = up(BESIDE, a={"over_time": 600.0})
    a, b = both(world)
    b.connections.clear()
    a.endpoint.reauthenticate_ike(a.established()[0], world.now)
    world.run(120)
    assert len(a.failures) == 1
    settled(world)


def test_a_rekeying_by_the_peer_does_not_keep_it_from_being_opened_anew() -> None:
    world = up(AFTER, children=2)
    a, b = both(world)
    # What is under way holds the DELETE back until the peer has replaced the IKE SA.
    a.endpoint.check_liveness(a.established()[0], world.now)
    a.endpoint.reauthenticate_ike(a.established()[0], world.now)
    b.endpoint.rekey_ike(b.established()[0], world.now)
    world.run(30)
    settled(world, children=2)
    assert len(a.of(IkeSaReauthenticating)) == 1


def test_closing_while_it_is_deleted_to_be_opened_anew_closes_for_good() -> None:
    world = up(AFTER)
    a, b = both(world)
    ike_id = a.established()[0]
    a.endpoint.reauthenticate_ike(ike_id, world.now)
    a.endpoint.terminate_ike(ike_id, world.now)
    world.run(10)
    assert a.endpoint.ike_sas() == b.endpoint.ike_sas() == []


def test_a_peer_that_is_gone_is_asked_for_a_new_one_all_the_same() -> None:
    world = up(Timing(retransmit_timeout=1.0, retransmit_base=1.0, retransmit_tries=2))
    a, b = both(world)
    fresh = Peer(b.address, b.connections, b.credentials, 77)
    fresh._spi = b._spi
    world.peers[b.address] = fresh
    a.endpoint.reauthenticate_ike(a.established()[0], world.now)
    world.run(20)
    settled(world)


@pytest.mark.parametrize("timing", [BESIDE, AFTER], ids=["beside", "after"])
@pytest.mark.parametrize("unique", [Unique.NO, Unique.REPLACE])
@pytest.mark.parametrize("delay", [(0.01, 0.01), (0.001, 0.5)])
@pytest.mark.parametrize("opener", [0, 1])
def test_both_sides_reauthenticate_at_once(
    timing: Timing, unique: Unique, delay: tuple[float, float], opener: int
) -> None:
    world = up(timing, opener=opener, a={"unique": unique}, b={"unique": unique}, delay=delay)
    for peer in both(world):
        peer.endpoint.reauthenticate_ike(peer.established()[0], world.now)
    world.run(120)
    a, b = both(world)
    assert_mirrored(a, b)
    assert_usable(a, b)
    # After the break, an answer that overtakes a request can leave both as the one that opens; unique decides then.
    most = 2 if timing is AFTER and unique is Unique.NO else 1
    assert 1 <= len(a.established()) == len(b.established()) <= most


def test_a_rekeying_meanwhile_changes_nothing() -> None:
    world = up(BESIDE, children=2)
    a, b = both(world)
    a.endpoint.reauthenticate_ike(a.established()[0], world.now)
    old = b.established()[0]
    b.endpoint.rekey_ike(old, world.now)
    world.run(60)
    settled(world, children=2)
    assert [e.reason for e in a.of(IkeSaDeleted)] == ["rekeyed", "reauthenticated"]


def test_a_connection_that_was_unloaded_is_not_opened_again() -> None:
    world = up(AFTER)
    a, b = both(world)
    ike_id = a.established()[0]
    a.connections.clear()
    a.endpoint.reauthenticate_ike(ike_id, world.now)
    world.run(10)
    assert a.endpoint.ike_sas() == b.endpoint.ike_sas() == []


def test_what_is_not_up_cannot_be_reauthenticated() -> None:
    world = psk_pair()
    a, _ = both(world)
    ike_id = world.initiate(a)
    with pytest.raises(LocalError):
        a.endpoint.reauthenticate_ike(ike_id, world.now)


@pytest.mark.parametrize("seed", seeds(60))
def test_a_life_of_reauthentication_rekeying_and_crashes_ends_with_the_same_sas(seed: int) -> None:
    with replayable(seed):
        chance = random.Random(seed)
        timing = Timing(
            make_before_break=seed % 2 == 0,
            window_size=1 + seed % 3,
            retransmit_timeout=1.0,
            retransmit_base=1.5,
            retransmit_tries=6,
            delete_timeout=20.0,
        )
        times = {"reauth_time": 150.0, "rand_time": 50.0, "over_time": 30.0, "dpd_delay": 20.0}
        side = {"unique": (Unique.REPLACE, Unique.NO)[seed % 2], **times}
        world = up(timing, seed=seed, a=side, b=side)
        for life in range(12):
            world.wire.loss, world.wire.delay = chance.choice((0.0, 0.3)), (0.0, chance.choice((0.01, 1.0)))
            address = chance.choice((A, B))
            with suppress(LocalError):
                act(world, world.peers[address], chance, timing, life)
            world.run(chance.choice((0.0, 0.5, 3.0, 40.0)), steps=50_000)
        world.wire.loss, world.wire.delay = 0.0, (0.01, 0.02)
        world.run(600, steps=50_000)
        a, b = both(world)
        assert_mirrored(a, b)
        if not a.installed:
            world.initiate(a)
            world.run(5)
        assert_mirrored(a, b)
        assert_usable(a, b)
        for peer in (a, b):
            for info in peer.endpoint.ike_sas():
                peer.connections.clear()
                with suppress(LocalError):
                    peer.endpoint.terminate_ike(info.ike_id, world.now)
        world.run(400)
        for peer in (a, b):
            assert peer.endpoint.ike_sas() == []
            assert peer.installed == {}
            assert peer.endpoint.next_timeout() is None


def act(world: World, peer: Peer, chance: random.Random, timing: Timing, life: int) -> None:
    infos = peer.endpoint.ike_sas()
    what = chance.choice(("open", "reauth", "reauth", "reauth", "both", "rekey", "child", "close", "crash"))
    if what == "crash":
        fresh = Peer(
            peer.address, peer.connections, peer.credentials, life + 1000, timing, token_secret=peer.address.packed * 8
        )
        fresh._spi = peer._spi
        world.peers[peer.address] = fresh
    elif what == "open" or not infos:
        world.initiate(peer, to=B if peer.address == A else A)
    elif what == "both":
        for end in both(world):
            for info in end.endpoint.ike_sas()[:1]:
                end.endpoint.reauthenticate_ike(info.ike_id, world.now)
    else:
        info = chance.choice(infos)
        if what == "reauth":
            peer.endpoint.reauthenticate_ike(info.ike_id, world.now)
        elif what == "rekey":
            peer.endpoint.rekey_ike(info.ike_id, world.now)
        elif what == "close":
            peer.endpoint.terminate_ike(info.ike_id, world.now)
        elif info.children:
            peer.endpoint.rekey_child(chance.choice(info.children).child_id, world.now)
