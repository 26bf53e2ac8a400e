"""Whoever gives out SPIs hears which SA the new one is to replace, so that it can stay with the same worker."""

from __future__ import annotations

import pytest
from support.peers import World, both, psk_pair


@pytest.fixture
def world() -> World:
    made = psk_pair(1)
    made.initiate(both(made)[0])
    made.run(1)
    return made


def test_the_first_sa_replaces_none(world: World) -> None:
    assert [peer.replaced for peer in both(world)] == [[0], [0]]


@pytest.mark.parametrize("side", [0, 1])
def test_a_rekeyed_sa_follows_the_old_one_on_both_sides(world: World, side: int) -> None:
    old = [next(iter(peer.installed.values())).inbound.spi for peer in both(world)]
    peer = both(world)[side]
    peer.endpoint.rekey_child(next(iter(peer.installed)), world.now)
    world.run(1)
    assert [peer.replaced for peer in both(world)] == [[0, old[0]], [0, old[1]]]
    assert all(len(peer.installed) == 1 for peer in both(world))
