"""Two gateways live through random commands at random times over a bad wire, and end with the same SAs.

Whatever happened, once the wire is good again and liveness checks had their time: both hold the same CHILD_SAs with the
same keys, both directions work, no key served two SAs, and no timer is left when all is closed.
"""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
from support.peers import Peer, World, assert_mirrored, assert_usable, both, psk, psk_pair, replayable, seeds

from ike.errors import LocalError
from ike.timing import Timing

TIMING = Timing(retransmit_timeout=1.0, retransmit_base=1.5, retransmit_tries=6, delete_timeout=20.0)
ACTIONS = ("initiate", "rekey-child", "rekey-ike", "delete-child", "delete-ike", "liveness", "both-rekey", "restart")
WEIGHTS = (4, 4, 3, 2, 1, 1, 2, 1)


class Life:
    """One run: every key that was ever handed out is remembered."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.seed = seed
        more = {"dpd_delay": 20.0}
        self.world: World = psk_pair(seed, a=dict(more), b=dict(more), timing=TIMING)
        self.world.watch = self.remember
        self.keys: dict[bytes, int] = {}
        self.lives = 0

    def remember(self) -> None:
        """No key serves two SAs."""
        for peer in both(self.world):
            for made in peer.installed.values():
                for half in (made.inbound, made.outbound):
                    assert self.keys.setdefault(bytes(half.encryption_key), half.spi) == half.spi

    def misbehave(self) -> None:
        wire = self.world.wire
        wire.loss, wire.double = self.chance.choice((0.0, 0.2, 0.4)), self.chance.choice((0.0, 0.3))
        wire.delay = (0.0, self.chance.choice((0.01, 0.5, 2.0)))

    def behave(self) -> None:
        wire = self.world.wire
        wire.loss = wire.double = 0.0
        wire.delay = (0.01, 0.02)

    def act(self) -> None:
        peer = self.chance.choice(both(self.world))
        action = self.chance.choices(ACTIONS, WEIGHTS)[0]
        # A command may come too late; that it says so is all that is asked.
        with suppress(LocalError):
            self._do(action, peer)

    def _do(self, action: str, peer: Peer) -> None:
        endpoint, now = peer.endpoint, self.world.now
        infos = endpoint.ike_sas()
        if action == "initiate":
            self.world.initiate(peer)
        elif action == "restart":
            self.restart(peer)
        elif action == "both-rekey":
            for end in both(self.world):
                for info in end.endpoint.ike_sas()[:1]:
                    end.endpoint.rekey_ike(info.ike_id, now)
        elif infos:
            info = self.chance.choice(infos)
            if action.endswith("ike"):
                (endpoint.rekey_ike if action == "rekey-ike" else endpoint.terminate_ike)(info.ike_id, now)
            elif action == "liveness":
                endpoint.check_liveness(info.ike_id, now)
            elif info.children:
                child = self.chance.choice(info.children).child_id
                (endpoint.rekey_child if action == "rekey-child" else endpoint.terminate_child)(child, now)

    def restart(self, peer: Peer) -> None:
        """Power off: nothing is said, nothing is remembered."""
        self.lives += 1
        seed = self.seed * 100 + self.lives + 7_000_000
        fresh = Peer(peer.address, peer.connections, psk(), seed, TIMING)
        fresh._spi = peer._spi
        self.world.peers[peer.address] = fresh


@pytest.mark.parametrize("seed", seeds(150))
def test_two_gateways_end_with_the_same_sas_whatever_happened(seed: int) -> None:
    with replayable(seed):
        life = Life(seed)
        world = life.world
        for _ in range(life.chance.randrange(5, 25)):
            life.misbehave()
            life.act()
            world.run(life.chance.choice((0.0, 0.3, 1.0, 5.0, 40.0)), steps=50_000)
        life.behave()
        world.run(400)
        a, b = both(world)
        assert_mirrored(a, b)
        if not a.installed:
            world.initiate(a)
            world.run(5)
        assert_mirrored(a, b)
        assert_usable(a, b)
        for peer in (a, b):
            for info in peer.endpoint.ike_sas():
                assert info.state == "ESTABLISHED"
                assert set(info.tasks) <= {"tell or ask something"}
                assert all(child.state == "INSTALLED" for child in info.children)
        for info in a.endpoint.ike_sas():
            a.endpoint.terminate_ike(info.ike_id, world.now)
        world.run(400)
        for peer in (a, b):
            assert peer.endpoint.ike_sas() == []
            assert peer.installed == {}
            assert peer.endpoint.next_timeout() is None
            assert peer.endpoint.half_open == 0


def test_a_life_is_drawn_from_its_seed_alone() -> None:
    logs = []
    for _ in range(2):
        life = Life(3)
        for _ in range(10):
            life.misbehave()
            life.act()
            life.world.run(2.0)
        logs.append(life.world.wire.log)
    assert logs[0] == logs[1]
    assert logs[0]
