"""Two endpoints set up an IKE SA and a CHILD_SA over wires good and bad."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from support.peers import (
    A,
    B,
    Peer,
    World,
    assert_mirrored,
    assert_usable,
    both,
    connection,
    ike,
    net,
    psk,
    psk_pair,
    replayable,
    seeds,
)

from ike.config import AuthRound, Unique
from ike.events import ChildSaDeleted, ChildSaEstablished, IkeSaDeleted, IkeSaEstablished, OutboundReady, Path
from ike.timing import Timing

STUBBORN = Timing(retransmit_timeout=1.0, retransmit_base=1.1, retransmit_tries=40, half_open_timeout=300.0)


def is_up_once(world: World) -> None:
    a, b = both(world)
    assert a.failures == b.failures == []
    assert len(a.of(IkeSaEstablished)) == len(b.of(IkeSaEstablished)) == 1
    assert len(a.of(ChildSaEstablished)) == len(b.of(ChildSaEstablished)) == 1
    assert len(a.of(OutboundReady)) == len(b.of(OutboundReady)) == 1
    assert_mirrored(a, b)


def test_connect_with_a_shared_key_takes_four_messages() -> None:
    world = psk_pair()
    world.initiate(both(world)[0])
    world.run(1)
    is_up_once(world)
    assert len(world.wire.log) == 4


def test_events_come_in_the_order_in_which_they_are_to_be_acted_on() -> None:
    world = psk_pair()
    world.initiate(both(world)[0])
    world.run(1)
    for peer in both(world):
        assert [type(e) for e in peer.events] == [IkeSaEstablished, ChildSaEstablished, OutboundReady]


def test_the_same_seed_gives_the_same_bytes() -> None:
    logs = []
    for _ in range(2):
        world = psk_pair(7, loss=0.3, double=0.3, delay=(0.0, 2.0))
        world.initiate(both(world)[0])
        world.run(300)
        logs.append(world.wire.log)
    assert logs[0] == logs[1]
    other = psk_pair(8)
    other.initiate(both(other)[0])
    other.run(300)
    assert other.wire.log != logs[0]


@pytest.mark.parametrize("seed", seeds(40))
def test_connect_with_loss(seed: int) -> None:
    with replayable(seed):
        world = psk_pair(seed, timing=STUBBORN, loss=0.5)
        world.initiate(both(world)[0])
        world.run(200)
        is_up_once(world)


@pytest.mark.parametrize("seed", seeds(40))
def test_connect_with_loss_doubles_and_a_changed_order(seed: int) -> None:
    with replayable(seed):
        world = psk_pair(seed, timing=STUBBORN, loss=0.3, double=0.5, delay=(0.0, 5.0))
        world.initiate(both(world)[0])
        world.run(250)
        is_up_once(world)


@pytest.mark.parametrize("lost", [0, 1, 2, 3])
def test_any_one_message_may_be_lost(lost: int) -> None:
    sent = 0

    def edit(data: bytes, _: Path) -> bytes | None:
        nonlocal sent
        sent += 1
        return None if sent - 1 == lost else data

    world = psk_pair(edit=edit)
    world.initiate(both(world)[0])
    world.run(10)
    is_up_once(world)


def test_a_request_is_sent_again_byte_for_byte_with_growing_waits() -> None:
    world = psk_pair(loss=1.0)
    world.initiate(both(world)[0])
    world.run(200)
    times = [at - 1000.0 for at, _, _ in world.wire.log]
    assert [round(t, 1) for t in times] == [0.0, 4.0, 11.2, 24.2, 47.5, 89.5]
    assert len({data for _, data, _ in world.wire.log}) == 1


def test_ike_moves_to_port_4500_and_esp_stays_out_of_udp_without_nat() -> None:
    world = psk_pair()
    a, _b = both(world)
    world.initiate(a)
    world.run(1)
    assert [path.local_port for _, _, path in world.wire.log] == [500, 500, 4500, 4500]
    assert not a.of(ChildSaEstablished)[0].udp_encap
    assert a.of(ChildSaEstablished)[0].path == Path(A, 0, B, 0)


def test_ike_stays_on_port_500_without_mobike_and_nat() -> None:
    world = psk_pair(a={"mobike": False})
    world.initiate(both(world)[0])
    world.run(1)
    is_up_once(world)
    assert {path.local_port for _, _, path in world.wire.log} == {500}


def test_a_nat_is_found_from_both_sides() -> None:
    def translate(seen: Path) -> Path:
        if seen.local == B:
            return Path(seen.local, seen.local_port, seen.remote, seen.remote_port + 10_000)
        return Path(seen.local, seen.local_port - 10_000, seen.remote, seen.remote_port)

    world = psk_pair(translate=translate)
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    is_up_once(world)
    up_a, up_b = a.of(IkeSaEstablished)[0], b.of(IkeSaEstablished)[0]
    assert (up_a.nat_local, up_a.nat_remote) == (True, False)
    assert (up_b.nat_local, up_b.nat_remote) == (False, True)
    assert a.of(ChildSaEstablished)[0].path == Path(A, 4500, B, 4500)
    assert b.of(ChildSaEstablished)[0].path == Path(B, 4500, A, 14500)


@pytest.mark.parametrize("side", ["a", "b"])
def test_encap_yes_on_either_side_puts_esp_into_udp_on_both(side: str) -> None:
    world = psk_pair(**{side: {"encap": True}})
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    is_up_once(world)
    assert a.of(ChildSaEstablished)[0].udp_encap
    assert b.of(ChildSaEstablished)[0].udp_encap


def test_the_responders_wish_for_another_key_exchange_is_granted() -> None:
    world = psk_pair(
        a={"proposals": ike("aes256gcm16-prfsha384-x25519-ecp256")},
        b={"proposals": ike("aes256gcm16-prfsha384-ecp256")},
    )
    world.initiate(both(world)[0])
    world.run(1)
    is_up_once(world)
    assert len(world.wire.log) == 6


def test_selectors_are_narrowed_to_what_both_sides_have() -> None:
    world = World(
        Peer(A, [connection("site-a", "site-b", net("10.10.0.0/16", "10.20.0.0/16"))], psk(), 1),
        Peer(B, [connection("site-b", "site-a", net("10.20.5.0/24", "10.10.0.0/15"))], psk(), 2),
    )
    a, _b = both(world)
    world.initiate(a)
    world.run(1)
    is_up_once(world)
    assert [str(t) for t in a.of(ChildSaEstablished)[0].remote_ts] == ["10.20.5.0/24"]
    assert [str(t) for t in a.of(ChildSaEstablished)[0].local_ts] == ["10.10.0.0/16"]


def test_an_ike_sa_may_come_up_without_a_child() -> None:
    world = psk_pair()
    a, b = both(world)
    world.initiate(a, child=None)
    world.run(1)
    assert len(a.established()) == len(b.established()) == 1
    assert a.installed == b.installed == {}
    world.initiate(a)
    world.run(1)
    assert len(a.of(IkeSaEstablished)) == 1
    assert_mirrored(a, b)
    assert len(a.installed) == 1


def test_a_second_child_uses_the_ike_sa_that_is_coming_up() -> None:
    left = connection("site-a", "site-b", net("10.10.0.0/24", "10.20.0.0/24"))
    right = connection("site-b", "site-a", net("10.20.0.0/24", "10.10.0.0/24"))
    more_left = (*left.children, net("10.11.0.0/24", "10.21.0.0/24", "more"))
    more_right = (*right.children, net("10.21.0.0/24", "10.11.0.0/24", "more"))
    world = psk_pair(a={"children": more_left}, b={"children": more_right})
    a, b = both(world)
    first = world.initiate(a, child="net")
    assert world.initiate(a, child="more") == first
    assert world.initiate(a, child="more") == first
    world.run(1)
    assert sorted(e.child for e in a.installed.values()) == ["more", "net"]
    assert_mirrored(a, b)


def test_terminate_ends_it_on_both_sides() -> None:
    for side in (0, 1):
        world = psk_pair()
        a, b = both(world)
        world.initiate(a)
        world.run(1)
        closer, other = both(world)[side], both(world)[1 - side]
        closer.endpoint.terminate_ike(closer.established()[0], world.now)
        world.run(1)
        assert [e.reason for e in closer.of(IkeSaDeleted)] == ["deleted"]
        assert [e.reason for e in other.of(IkeSaDeleted)] == ["peer-deleted"]
        assert a.installed == b.installed == {}
        assert a.endpoint.ike_sas() == b.endpoint.ike_sas() == []
        world.run(120)
        assert a.endpoint.next_timeout() is b.endpoint.next_timeout() is None


def test_terminate_child_leaves_the_ike_sa() -> None:
    world = psk_pair()
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    b.endpoint.terminate_child(next(iter(b.installed)), world.now)
    world.run(1)
    assert [e.reason for e in b.of(ChildSaDeleted)] == ["deleted"]
    assert [e.reason for e in a.of(ChildSaDeleted)] == ["peer-deleted"]
    assert len(a.established()) == len(b.established()) == 1


def test_both_delete_the_same_child_at_once() -> None:
    world = psk_pair()
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    for peer in (a, b):
        peer.endpoint.terminate_child(next(iter(peer.installed)), world.now)
    world.run(1)
    assert a.installed == b.installed == {}
    assert len(a.established()) == len(b.established()) == 1
    assert a.failures == b.failures == []


def test_both_close_the_ike_sa_at_once() -> None:
    world = psk_pair()
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    for peer in (a, b):
        peer.endpoint.terminate_ike(peer.established()[0], world.now)
    world.run(60)
    for peer in (a, b):
        assert len(peer.of(IkeSaDeleted)) == 1
        assert peer.installed == {}
        assert peer.endpoint.ike_sas() == []
        assert peer.endpoint.next_timeout() is None


def test_a_silent_peer_is_asked_and_then_given_up() -> None:
    world = psk_pair(a={"dpd_delay": 10.0})
    a, _b = both(world)
    world.initiate(a)
    world.run(25)
    asked = [line for line in a.lines if line == "sent INFORMATIONAL request 2 [ ]"]
    assert len(asked) == 1
    assert len(a.established()) == 1
    del world.peers[B]
    world.run(200)
    assert [e.reason for e in a.of(IkeSaDeleted)] == ["dead"]
    assert [e.reason for e in a.of(ChildSaDeleted)] == ["dead"]
    assert a.failure.code == "peer-dead"


def test_a_peer_whose_packets_arrive_is_not_asked() -> None:
    world = psk_pair()
    made = connection("site-a", "site-b", net("10.10.0.0/24", "10.20.0.0/24"), dpd_delay=10.0)
    busy = Peer(A, [made], psk(), 5, inbound_activity=lambda _: world.now - 1.0)
    world.peers[A] = busy
    world.initiate(busy)
    world.run(100)
    assert not any("INFORMATIONAL" in line for line in busy.lines)
    assert len(busy.established()) == 1


def test_a_peer_that_starts_over_replaces_its_own_remains() -> None:
    world = psk_pair()
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    world.peers[A] = fresh = Peer(A, a.connections, psk(), 99)
    world.initiate(fresh)
    world.run(1)
    assert [e.reason for e in b.of(IkeSaDeleted)] == ["initial-contact"]
    assert_mirrored(fresh, b)
    assert len(b.installed) == 1


@pytest.mark.parametrize("seed", seeds(30))
def test_both_connect_at_once_and_nothing_that_one_of_them_uses_is_lost(seed: int) -> None:
    with replayable(seed):
        world = psk_pair(seed, timing=STUBBORN, delay=(0.0, 0.5))
        a, b = both(world)
        world.initiate(a)
        world.run(0.2)
        world.initiate(b)
        world.run(60)
        assert_mirrored(a, b)
        assert_usable(a, b)


def test_a_connection_for_many_peers_has_an_ike_sa_for_each() -> None:
    world = psk_pair()
    a, b = both(world)
    c_address = IPv4Address("192.0.2.30")
    c = Peer(c_address, b.connections, psk(), 9)
    world.peers[c_address] = c
    a.connections[0] = replace(a.connections[0], remote=(AuthRound(auth="psk"),), unique=Unique.NEVER)
    for peer in (b, c):
        a.endpoint.initiate("site", "net", world.now, local=A, remote=peer.address)
        world.run(1)
    assert len(a.established()) == 2
    assert len(b.installed) == len(c.installed) == 1
