"""A gateway with a hundred peers that initiate, rekey, delete, roam and lose power at random times, over a bad wire.

Whatever happened: once the wire is good again and liveness checks had their time, gateway and peers hold the same SAs
with the same keys, both directions work, no key served two SAs, and no timer is left when all is closed.
"""

from __future__ import annotations

from contextlib import suppress

import pytest
from support.hub import HUB, Hub
from support.peers import Peer, replayable, seeds

from ike.errors import LocalError

ACTIONS = ("initiate", "rekey-child", "rekey-ike", "delete-child", "delete-ike", "liveness", "roam", "restart")
WEIGHTS = (5, 5, 3, 2, 1, 1, 3, 1)


def act(world: Hub) -> None:
    """One command, by a random peer or by the gateway on one of its SAs."""
    number = world.chance.randrange(len(world.peers))
    action = world.chance.choices(ACTIONS, WEIGHTS)[0]
    world.done[action] += 1
    if action in ("initiate", "restart", "roam"):
        getattr(world, action)(number)
        return
    peer = world.chance.choice((world.peers[number], world.gateway))
    with suppress(LocalError):
        # A command may come too late; that it says so is all that is asked.
        command(world, peer, action)
    world.touch(peer)


def command(world: Hub, peer: Peer, action: str) -> None:
    infos = peer.endpoint.ike_sas()
    if not infos:
        return
    info, endpoint, now = world.chance.choice(infos), peer.endpoint, world.now
    if action == "liveness":
        endpoint.check_liveness(info.ike_id, now)
    elif action.endswith("ike"):
        (endpoint.rekey_ike if action == "rekey-ike" else endpoint.terminate_ike)(info.ike_id, now)
    elif info.children:
        child = world.chance.choice(info.children).child_id
        (endpoint.rekey_child if action == "rekey-child" else endpoint.terminate_child)(child, now)


def assert_in_step(world: Hub) -> None:
    """Each peer and the gateway hold the same SAs, and what either sends now the other can open."""
    for number, peer in enumerate(world.peers):
        theirs = {made.inbound.spi: made for made in world.installed_for(number)}
        ours = peer.installed.values()
        assert {made.outbound.spi for made in ours} == set(theirs), number
        for made in ours:
            mirror = theirs[made.outbound.spi]
            assert made.inbound.spi == mirror.outbound.spi
            assert bytes(made.outbound.encryption_key) == bytes(mirror.inbound.encryption_key)
            assert bytes(made.inbound.encryption_key) == bytes(mirror.outbound.encryption_key)
            assert (made.local_ts, made.remote_ts) == (mirror.remote_ts, mirror.local_ts)
        assert set(peer.sending) == set(peer.installed)
    assert set(world.gateway.sending) == set(world.gateway.installed)
    for peer in (world.gateway, *world.peers):
        for info in peer.endpoint.ike_sas():
            assert info.state == "ESTABLISHED"
            assert set(info.tasks) <= {"tell or ask something"}
            assert all(child.state == "INSTALLED" for child in info.children)


def live(world: Hub, actions: int) -> None:
    for number in range(len(world.peers)):
        world.initiate(number)
        world.run(world.chance.choice((0.0, 0.01, 0.05)))
    for _ in range(actions):
        world.loss, world.double = world.chance.choice((0.0, 0.1, 0.3)), world.chance.choice((0.0, 0.3))
        world.delay = (0.0, world.chance.choice((0.01, 0.3, 2.0)))
        act(world)
        world.run(world.chance.choice((0.0, 0.02, 0.1, 1.0)))


def come_to_rest(world: Hub) -> None:
    """The wire is good, the dead are found out, who has no tunnel brings one up."""
    world.loss = world.double = 0.0
    world.delay = (0.01, 0.02)
    world.run(400)
    assert_in_step(world)
    for number, peer in enumerate(world.peers):
        if not peer.installed:
            world.initiate(number)
    world.run(10)
    assert_in_step(world)
    assert all(peer.installed for peer in world.peers)
    for peer in world.peers:
        # Whoever moved is found where it is now.
        assert {(i.path.local, i.path.remote) for i in peer.endpoint.ike_sas()} == {(peer.address, HUB)}


def close(world: Hub) -> None:
    for peer in world.peers:
        for info in peer.endpoint.ike_sas():
            peer.endpoint.terminate_ike(info.ike_id, world.now)
        world.touch(peer)
    world.run(100)
    for peer in (world.gateway, *world.peers):
        assert peer.endpoint.ike_sas() == []
        assert peer.installed == {}
        assert peer.endpoint.next_timeout() is None
        assert peer.endpoint.half_open == 0


@pytest.mark.parametrize("seed", seeds(8))
def test_a_gateway_with_a_hundred_peers_ends_with_the_same_sas_as_they(seed: int) -> None:
    with replayable(seed):
        world = Hub(seed, 100)
        live(world, 400)
        come_to_rest(world)
        close(world)


@pytest.mark.parametrize("seed", seeds(150))
def test_a_gateway_with_a_few_busy_peers_does_too(seed: int) -> None:
    with replayable(seed):
        world = Hub(seed, 3)
        live(world, 40)
        come_to_rest(world)
        close(world)


def test_a_run_is_drawn_from_its_seed_alone_and_does_all_there_is() -> None:
    runs = []
    for _ in range(2):
        world = Hub(5, 10)
        live(world, 120)
        runs.append((world.done, world.now, tuple(world.keys), world._order))
    assert runs[0] == runs[1]
    assert set(runs[0][0]) == set(ACTIONS)
