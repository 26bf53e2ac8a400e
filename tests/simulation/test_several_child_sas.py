"""Several CHILD_SAs with the same selectors (RFC 9611): how many come up, and that each lives by itself."""

from __future__ import annotations

import random

import pytest
from support.peers import Peer, World, assert_mirrored, both, net, psk_pair, replayable, seeds

from ike.events import ChildSaDeleted, ChildSaRekeyed
from ike.timing import Timing
from ike.wire.constants import NotifyType

PATIENT = Timing(retransmit_timeout=1.0, retransmit_base=1.1, retransmit_tries=40, delete_timeout=60.0)


def sites(left: int, right: int, seed: int = 1, **wire: object) -> World:
    """Each side allows so many beside the first one."""
    a = {"children": (net("10.10.0.0/24", "10.20.0.0/24", per_cpu_sas=left),)}
    b = {"children": (net("10.20.0.0/24", "10.10.0.0/24", per_cpu_sas=right),)}
    return psk_pair(seed, a=a, b=b, timing=PATIENT, **wire)


def numbers(peer: Peer) -> list[int]:
    """Of what is installed, in order."""
    return sorted(made.resource for made in peer.installed.values())


def said(peer: Peer, name: str) -> int:
    """How often a peer received something."""
    return sum(name in line for line in peer.lines if line.startswith("received"))


@pytest.mark.parametrize(("left", "right", "more"), [(3, 3, 3), (4, 2, 2), (1, 5, 1), (3, 0, 0), (0, 3, 0), (0, 0, 0)])
@pytest.mark.parametrize("side", [0, 1])
def test_as_many_come_up_as_both_sides_allow(left: int, right: int, more: int, side: int) -> None:
    world = sites(*((left, right) if side == 0 else (right, left)))
    a, b = both(world)
    asking, answering = both(world) if side == 0 else (b, a)
    world.initiate(asking)
    world.run(5)
    assert_mirrored(a, b)
    assert numbers(a) == numbers(b) == list(range(more + 1))
    assert a.failures == b.failures == []
    assert sorted(a.sending) == sorted(a.installed)
    assert sorted(b.sending) == sorted(b.installed)
    refused = left > right > 0
    assert said(asking, "TS_MAX_QUEUE") == refused
    assert said(answering, "SA_RESOURCE_INFO") == (more + 1 + refused if left else 0)
    for peer in (a, b):
        (info,) = peer.endpoint.ike_sas()
        assert info.tasks == ()
        assert {child.resource for child in info.children} == set(range(more + 1))


def test_the_notifies_have_the_numbers_of_the_registry() -> None:
    assert NotifyType.SA_RESOURCE_INFO == 16444
    assert NotifyType.TS_MAX_QUEUE == 48
    assert NotifyType.TS_MAX_QUEUE.is_error


def test_further_ones_have_the_selectors_that_the_first_was_narrowed_to() -> None:
    a = {"children": (net("10.10.0.0/16", "10.20.0.0/16", per_cpu_sas=2),)}
    b = {"children": (net("10.20.7.0/24", "10.10.0.0/16", per_cpu_sas=2),)}
    world = psk_pair(a=a, b=b)
    world.initiate(both(world)[0])
    world.run(5)
    assert_mirrored(*both(world))
    for peer in both(world):
        assert numbers(peer) == [0, 1, 2]
        assert len({(made.local_ts, made.remote_ts) for made in peer.installed.values()}) == 1


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("number", [0, 2])
def test_each_is_rekeyed_by_itself_and_its_replacement_keeps_the_number(side: int, number: int) -> None:
    world = sites(3, 3)
    world.initiate(both(world)[0])
    world.run(5)
    peer = both(world)[side]
    before = dict(peer.installed)
    (old,) = (child_id for child_id, made in before.items() if made.resource == number)
    peer.endpoint.rekey_child(old, world.now)
    world.run(5)
    assert_mirrored(*both(world))
    (rekeyed,) = peer.of(ChildSaRekeyed)
    assert rekeyed.old_id == old
    assert peer.installed[rekeyed.new_id].resource == number
    assert set(peer.installed) == set(before) - {old} | {rekeyed.new_id}
    for end in both(world):
        assert numbers(end) == [0, 1, 2, 3]
        assert said(end, "REKEY_SA") == (end is not peer)


@pytest.mark.parametrize("number", [0, 1, 3])
def test_each_is_deleted_by_itself_and_the_others_carry_on(number: int) -> None:
    world = sites(3, 3)
    a, b = both(world)
    world.initiate(a)
    world.run(5)
    (gone,) = (child_id for child_id, made in a.installed.items() if made.resource == number)
    a.endpoint.terminate_child(gone, world.now)
    world.run(60)
    assert_mirrored(a, b)
    assert numbers(a) == numbers(b) == [n for n in range(4) if n != number]
    assert len(a.of(ChildSaDeleted)) == len(b.of(ChildSaDeleted)) == 1


def test_all_of_them_move_to_the_next_ike_sa() -> None:
    world = sites(3, 3)
    a, b = both(world)
    world.initiate(a)
    # In the middle of the asking: what is still to be asked for is asked for on the new one.
    world.run(0.065)
    a.endpoint.rekey_ike(a.established()[0], world.now)
    world.run(10)
    assert len(a.established()) == 1
    assert_mirrored(a, b)
    assert numbers(a) == numbers(b) == [0, 1, 2, 3]


def test_a_person_may_still_ask_for_the_child_while_others_are_asked_for() -> None:
    world = sites(3, 3)
    a, b = both(world)
    world.initiate(a)
    world.run(0.05)
    world.initiate(a)
    world.run(10)
    assert_mirrored(a, b)
    assert len(a.installed) == 4


@pytest.mark.parametrize("seed", seeds(40))
def test_both_sides_ask_at_once_over_a_bad_wire(seed: int) -> None:
    with replayable(seed):
        world = sites(3, 3, seed, loss=0.2, double=0.3, delay=(0.0, 2.0))
        a, b = both(world)
        chance = random.Random(seed)
        world.initiate(a)
        if seed % 2:
            world.initiate(b)
        for _ in range(8):
            world.run(chance.choice((0.5, 3.0, 20.0)))
            peer = chance.choice((a, b))
            current = [c for i in peer.endpoint.ike_sas() for c in i.children if c.state == "INSTALLED"]
            if current:
                act = peer.endpoint.rekey_child if chance.random() < 0.7 else peer.endpoint.terminate_child
                act(chance.choice(current).child_id, world.now)
        world.run(600)
        assert_mirrored(a, b)
        for peer in (a, b):
            for info in peer.endpoint.ike_sas():
                assert info.tasks == ()
                assert len(info.children) <= 5
                assert all(child.state == "INSTALLED" for child in info.children)
