"""An IKE SA that came back with a ticket lives on like any other: it roams, is renewed in every way, and comes back."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from support.peers import A, World, assert_mirrored, both, psk_pair, replayable, seeds

from ike.config import Unique
from ike.timing import Timing
from ike.wire.constants import ExchangeType
from ike.wire.header import pull_header

A2 = IPv4Address("192.0.2.77")
TIMINGS = {
    beside: Timing(
        retransmit_timeout=1.0, retransmit_base=1.2, retransmit_tries=3, window_size=size, make_before_break=beside
    )
    for beside, size in ((False, 1), (True, 8))
}
WISHES = {"session_resumption": True, "dpd_delay": 10.0, "unique": Unique.REPLACE}


def resumed(seed: int, timing: Timing) -> World:
    world = psk_pair(seed, a=dict(WISHES), b={**WISHES, "dpd_delay": 0.0}, timing=timing)
    for peer in both(world):
        peer.endpoint.addresses_changed((peer.address,), world.now)
    bring_up(world)
    lose(world)
    assert ExchangeType.IKE_SESSION_RESUME in bring_up(world)
    return world


def bring_up(world: World) -> set[int]:
    start = len(world.wire.log)
    world.initiate(both(world)[0])
    world.run(2)
    assert_mirrored(*both(world))
    return {pull_header(data).exchange for _, data, _ in world.wire.log[start:]}


def lose(world: World) -> None:
    world.wire.loss = 1.0
    world.run(40)
    world.wire.loss = 0.0
    assert both(world)[0].established() == []


def alone(world: World) -> None:
    """One IKE SA with one CHILD_SA on either side, and nothing wrong."""
    assert_mirrored(*both(world))
    for peer in both(world):
        (info,) = peer.endpoint.ike_sas()
        assert (info.state, info.tasks, len(info.children)) == ("ESTABLISHED", (), 1)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("seed", seeds(6))
def test_it_roams_and_is_renewed_in_every_way(seed: int, *, beside: bool) -> None:
    with replayable(seed):
        world = resumed(seed, TIMINGS[beside])
        a, b = both(world)
        world.peers[A2] = a
        a.endpoint.addresses_changed((A2,), world.now)
        world.run(3)
        assert [info.path.remote for info in b.endpoint.ike_sas()] == [A2]
        for peer in (a, b):
            peer.endpoint.rekey_ike(peer.established()[0], world.now)
            world.run(2)
            alone(world)
            peer.endpoint.rekey_child(next(iter(peer.installed)), world.now)
            world.run(2)
            alone(world)
        del world.peers[A2]
        a.endpoint.addresses_changed((A,), world.now)
        world.run(3)
        start = len(world.wire.log)
        a.endpoint.reauthenticate_ike(a.established()[0], world.now)
        a.endpoint.rekey_child(next(iter(a.installed)), world.now)
        world.run(15)
        alone(world)
        exchanges = {pull_header(data).exchange for _, data, _ in world.wire.log[start:]}
        assert ExchangeType.IKE_SA_INIT in exchanges
        assert ExchangeType.IKE_SESSION_RESUME not in exchanges
        lose(world)
        assert ExchangeType.IKE_SESSION_RESUME in bring_up(world)
        alone(world)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("seed", seeds(6))
def test_reauthenticating_and_rekeying_at_once_ends_with_one(seed: int, *, beside: bool) -> None:
    with replayable(seed):
        world = resumed(seed, TIMINGS[beside])
        a, b = both(world)
        b.endpoint.rekey_ike(b.established()[0], world.now)
        a.endpoint.rekey_ike(a.established()[0], world.now)
        a.endpoint.reauthenticate_ike(a.established()[0], world.now)
        world.run(60)
        alone(world)
