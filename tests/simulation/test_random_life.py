"""Two gateways live through random commands at random times over a bad wire, and end with the same SAs.

Whatever happened, once the wire is good again and liveness checks had their time: both hold the same CHILD_SAs with the
same keys, both directions work, no key served two SAs, and no timer is left when all is closed.
"""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from support.peers import (
    IKE,
    A,
    B,
    Peer,
    World,
    assert_mirrored,
    assert_usable,
    esp,
    ike,
    net,
    psk,
    psk_pair,
    replayable,
    seeds,
)

from ike.config import Child, Unique
from ike.errors import LocalError
from ike.timing import Timing

TIMING = Timing(retransmit_timeout=1.0, retransmit_base=1.5, retransmit_tries=6, delete_timeout=20.0)
ACTIONS = (
    "initiate",
    "rekey-child",
    "rekey-ike",
    "delete-child",
    "delete-ike",
    "liveness",
    "both-rekey",
    "roam",
    "restart",
)
WEIGHTS = (4, 4, 3, 2, 1, 1, 2, 2, 1)

CHILDREN: dict[str, dict[str, object]] = {
    "plain": {},
    "pfs": {"esp_proposals": esp("aes256gcm16-x25519")},
    "several": {"per_cpu_sas": 2},
    "restless": {"rekey_time": 25.0, "rand_time": 10.0, "life_time": 40.0},
    "hybrid": {"esp_proposals": esp("aes256gcm16-x25519-ke1_mlkem768")},
}
CONNECTIONS: dict[str, dict[str, object]] = {
    "restless": {"rekey_time": 70.0, "rand_time": 30.0, "over_time": 60.0},
    "hybrid": {"proposals": ike(f"{IKE}-ke1_mlkem768")},
    "settled": {"mobike": False, "unique": Unique.REPLACE},
    "reauthenticating": {"reauth_time": 60.0, "rekey_time": 0.0, "rand_time": 20.0, "over_time": 30.0},
    "overlapping": {"reauth_time": 60.0, "rekey_time": 0.0, "rand_time": 20.0, "over_time": 30.0},
}
TIMINGS = {
    "restless": replace(TIMING, window_size=8),
    "overlapping": replace(TIMING, make_before_break=True),
    "several": replace(TIMING, window_size=8),
}
KINDS = tuple(dict.fromkeys((*CHILDREN, *CONNECTIONS)))
"""Seeds take them in turn."""


def _children(kind: str) -> tuple[Child, Child]:
    more = CHILDREN.get(kind, {})
    return net("10.10.0.0/24", "10.20.0.0/24", **more), net("10.20.0.0/24", "10.10.0.0/24", **more)


class Life:
    """One run, of one kind of configuration: every key that was ever handed out is remembered."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.seed = seed
        self.kind = KINDS[seed % len(KINDS)]
        self.timing = TIMINGS.get(self.kind, TIMING)
        left, right = _children(self.kind)
        more = {"dpd_delay": 20.0, **CONNECTIONS.get(self.kind, {})}
        self.world: World = psk_pair(
            seed, a={**more, "children": (left,)}, b={**more, "children": (right,)}, timing=self.timing
        )
        self.sides = [self.world.peers[A], self.world.peers[B]]
        self.world.watch = self.remember
        # What leaves from an address that its host has no more is lost.
        self.world.wire.edit = lambda data, path: data if path.local in self.world.peers else None
        self.keys: dict[bytes, int] = {}
        self.lives = 0
        self.moves = 0

    def remember(self) -> None:
        """No key serves two SAs."""
        for peer in self.sides:
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
        side = self.chance.randrange(2)
        action = self.chance.choices(ACTIONS, WEIGHTS)[0]
        # A command may come too late; that it says so is all that is asked.
        with suppress(LocalError):
            self._do(action, side)

    def initiate(self, side: int) -> None:
        peer, other = self.sides[side], self.sides[1 - side]
        peer.endpoint.initiate("site", "net", self.world.now, local=peer.address, remote=other.address)

    def _do(self, action: str, side: int) -> None:
        peer, now = self.sides[side], self.world.now
        endpoint = peer.endpoint
        infos = endpoint.ike_sas()
        if action == "initiate":
            self.initiate(side)
        elif action in ("restart", "roam"):
            getattr(self, action)(side)
        elif action == "both-rekey":
            for end in self.sides:
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

    def restart(self, side: int) -> None:
        """Power off: nothing is said, nothing is remembered."""
        self.lives += 1
        seed = self.seed * 100 + self.lives + 7_000_000
        old = self.sides[side]
        fresh = Peer(old.address, old.connections, psk(), seed, self.timing)
        fresh._spi = old._spi
        self.sides[side] = self.world.peers[old.address] = fresh

    def roam(self, side: int) -> None:
        """The host has another address from now on."""
        self.moves += 1
        peer = self.sides[side]
        del self.world.peers[peer.address]
        peer.address = IPv4Address(f"192.0.2.{self.moves}")
        self.world.peers[peer.address] = peer
        peer.endpoint.addresses_changed((peer.address,), self.world.now)

    def is_quiet(self) -> bool:
        """Nothing is under way but a question whether the peer is there."""
        infos = [info for peer in self.sides for info in peer.endpoint.ike_sas()]
        return all(
            info.state == "ESTABLISHED"
            and set(info.tasks) <= {"tell or ask something"}
            and all(child.state == "INSTALLED" for child in info.children)
            for info in infos
        )

    def assert_in_step(self) -> None:
        """Both hold the same SAs, once what some timer has just begun is done.

        A path is thought to have a NAT for a moment while its end moves.
        """
        for _ in range(20):
            if self.is_quiet():
                break
            self.world.run(0.2)
        assert self.is_quiet()
        for peer in self.sides:
            peer.installed = {n: replace(made, udp_encap=False) for n, made in peer.installed.items()}
        assert_mirrored(*self.sides)


def run(life: Life) -> None:
    """From the first command to the last timer."""
    world = life.world
    for _ in range(life.chance.randrange(5, 25)):
        life.misbehave()
        life.act()
        world.run(life.chance.choice((0.0, 0.3, 1.0, 5.0, 40.0)), steps=50_000)
    life.behave()
    world.run(400)
    life.assert_in_step()
    if not life.sides[0].installed:
        life.initiate(0)
        world.run(5)
    life.assert_in_step()
    assert_usable(*life.sides)
    for info in life.sides[0].endpoint.ike_sas():
        life.sides[0].endpoint.terminate_ike(info.ike_id, world.now)
    world.run(400)
    for peer in life.sides:
        assert peer.endpoint.ike_sas() == []
        assert peer.installed == {}
        assert peer.endpoint.next_timeout() is None
        assert peer.endpoint.half_open == 0


@pytest.mark.parametrize("seed", seeds(1600))
def test_two_gateways_end_with_the_same_sas_whatever_happened(seed: int) -> None:
    with replayable(seed):
        run(Life(seed))


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
