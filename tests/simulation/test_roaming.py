"""Addresses that change under a tunnel that is up: roaming (RFC 4555), a NAT that forgets, a path that dies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from support.peers import A, B, Peer, World, assert_mirrored, both, ike, net, psk_pair, replayable, seeds

from ike.config import AddressTemplate, Mode
from ike.events import ChildSaEstablished, IkeSaDeleted, IkeSaRekeyed, Path, PathChanged
from ike.timing import Timing
from ike.wire.constants import NotifyType
from ike.wire.payloads import NotifyPayload

A2, A3 = IPv4Address("192.0.2.77"), IPv4Address("192.0.2.78")
B2 = IPv4Address("198.51.100.99")
A6, B6 = IPv6Address("2001:db8:a::10"), IPv6Address("2001:db8:b::20")
NAT = IPv4Address("192.0.2.1")
QUICK = Timing(retransmit_timeout=1.0, retransmit_base=1.2, retransmit_tries=20)
STUBBORN = Timing(
    retransmit_timeout=1.0, retransmit_base=1.1, retransmit_tries=40, half_open_timeout=300.0, delete_timeout=300.0
)


class Roamers(World):
    """A world in which a peer has several addresses and packets between some of them are lost for good."""

    def __init__(self, world: World) -> None:
        super().__init__(*both(world), wire=world.wire)
        self.sides = both(world)
        self.has: list[tuple] = [(A,), (B,)]
        self.dead: Callable[[Path], bool] = lambda path: False  # noqa: ARG005 - the callback's shape
        self.wire.edit = lambda data, path: None if self.dead(path) or not self._from_its_own(path) else data

    def _from_its_own(self, path: Path) -> bool:
        return any(path.local in addresses for addresses in self.has)

    def move(self, side: int, *addresses: IPv4Address | IPv6Address) -> None:
        """From now on the host of that side has these addresses and no others."""
        peer = self.sides[side]
        self.has[side] = addresses
        self.peers = {address: p for address, p in self.peers.items() if p is not peer} | dict.fromkeys(addresses, peer)
        peer.endpoint.addresses_changed(addresses, self.now)


def up(
    seed: int = 1, *, a: dict | None = None, b: dict | None = None, timing: Timing = QUICK, **wire: object
) -> Roamers:
    """A tunnel, opened by a."""
    world = Roamers(psk_pair(seed, a=a or {}, b=b or {}, timing=timing, **wire))
    for side, addresses in enumerate(((A,), (B,))):
        world.move(side, *addresses)
    world.initiate(world.sides[0])
    world.run(120 if world.wire.loss else 1)
    assert_mirrored(*world.sides)
    return world


def used(peer: Peer) -> Path:
    """The path that the data plane sends on."""
    (made,) = peer.installed.values()
    path = made.path
    for event in peer.events:
        if isinstance(event, PathChanged):
            path = event.path if event.udp_encap else replace(event.path, local_port=0, remote_port=0)
        elif isinstance(event, ChildSaEstablished):
            path = event.path
    return path


def meets(world: Roamers, here: object, there: object) -> None:
    """Both data planes and both IKE SAs use the path between these two addresses; nothing failed."""
    for peer, local, remote in zip(world.sides, (here, there), (there, here), strict=True):
        (info,) = peer.endpoint.ike_sas()
        assert (info.path.local, info.path.remote) == (local, remote)
        assert (used(peer).local, used(peer).remote) == (local, remote)
        assert (info.state, info.tasks) == ("ESTABLISHED", ())
        assert peer.failures == []
        # Encapsulation may have changed since a CHILD_SA was made: a path is thought to have a NAT for a moment.
        peer.installed = {n: replace(made, udp_encap=bool(used(peer).local_port)) for n, made in peer.installed.items()}
    assert_mirrored(*world.sides)


def test_the_initiator_roams() -> None:
    world = up()
    world.move(0, A2)
    world.run(1)
    meets(world, A2, B)
    # Three round trips at most: ours, and the check of our new address.
    assert len(world.sides[0].of(PathChanged)) == len(world.sides[1].of(PathChanged)) == 1
    world.sides[1].endpoint.rekey_child(next(iter(world.sides[1].installed)), world.now)
    world.run(1)
    meets(world, A2, B)


def test_the_responder_roams() -> None:
    world = up()
    world.move(1, B2)
    world.run(1)
    meets(world, A, B2)


def test_an_address_that_comes_and_one_that_goes_beside_the_one_in_use_move_nothing() -> None:
    world = up()
    for addresses in ((A, A2), (A, A3), (A,)):
        world.move(0, *addresses)
        world.run(1)
        meets(world, A, B)
    assert world.sides[0].of(PathChanged) == world.sides[1].of(PathChanged) == []


def test_from_ipv4_to_ipv6_and_back() -> None:
    world = up()
    world.move(1, B, B6)
    world.run(1)
    world.move(0, A6)
    world.run(1)
    meets(world, A6, B6)
    world.move(0, A)
    world.run(1)
    meets(world, A, B)


def test_an_initiator_without_any_address_waits_for_one() -> None:
    world = up()
    world.move(0)
    world.run(5)
    world.move(0, A2)
    world.run(1)
    meets(world, A2, B)


def test_the_data_plane_follows_only_where_the_new_address_receives() -> None:
    world = up()
    a, b = world.sides
    # What b sends to the new address is lost: somebody may have written a victim's address into the packets.
    world.dead = lambda path: path.remote == A2
    world.move(0, A2)
    world.run(10)
    assert used(b).remote == A
    assert b.endpoint.ike_sas()[0].path.remote == A2
    world.dead = lambda path: False  # noqa: ARG005 - the callback's shape
    world.run(30)
    meets(world, A2, B)
    assert a.of(IkeSaDeleted) == b.of(IkeSaDeleted) == []


def test_roaming_again_before_the_first_move_is_through() -> None:
    world = up(delay=(0.1, 0.1))
    for address in (A2, A3, A, A2, A3):
        world.move(0, address)
        world.run(0.13)
    world.run(30)
    meets(world, A3, B)


def test_both_roam_at_once_where_each_keeps_its_old_address_for_a_moment() -> None:
    world = up()
    world.move(0, A, A2)
    world.move(1, B, B2)
    world.run(1)
    world.move(0, A2)
    world.move(1, B2)
    world.run(60)
    meets(world, A2, B2)


@pytest.mark.parametrize("side", [0, 1])
def test_a_path_that_dies_is_left_before_the_peer_is_given_up(side: int) -> None:
    world = up(a={"dpd_delay": 10.0} if side == 0 else {}, b={"dpd_delay": 10.0} if side == 1 else {})
    world.move(1, B, B2)
    world.run(1)
    world.dead = lambda path: B in (path.local, path.remote)
    world.run(60)
    meets(world, A, B2)
    for peer in world.sides:
        assert peer.of(IkeSaDeleted) == []


def test_a_peer_that_is_dead_on_every_path_is_given_up() -> None:
    world = up(a={"dpd_delay": 10.0})
    world.move(1, B, B2)
    world.run(1)
    world.dead = lambda path: True  # noqa: ARG005 - the callback's shape
    world.run(600)
    (a, _) = world.sides
    assert [f.code for f in a.failures] == ["peer-dead"]
    assert [e.reason for e in a.of(IkeSaDeleted)] == ["dead"]


def test_routes_choose_the_source() -> None:
    world = up()
    a = world.sides[0]
    a.endpoint._core.source_for = lambda remote: {B: A2, B2: A3}.get(remote)
    world.move(0, A, A2, A3)
    world.run(1)
    meets(world, A2, B)
    world.move(1, B2)
    world.run(1)
    meets(world, A3, B2)


def test_only_addresses_that_the_connection_allows_are_told_and_used() -> None:
    allowed = (AddressTemplate(address=A), AddressTemplate(address=A3))
    world = up(a={"local_addrs": allowed})
    b = world.sides[1]
    world.move(0, A, A2, A3)
    world.run(1)
    known = b.endpoint._core.by_id[b.established()[0]].roaming
    assert known is not None
    assert set(known.peer_addresses) == {A, A3}
    world.move(0, A2, A3)
    world.run(1)
    meets(world, A3, B)
    # One that it does not name is better than none.
    world.move(0, A2)
    world.run(1)
    meets(world, A2, B)


@pytest.mark.parametrize("side", ["a", "b"])
def test_without_mobike_on_one_side_nothing_moves(side: str) -> None:
    world = up(**{side: {"mobike": False}})
    world.move(0, A, A2)
    world.run(1)
    meets(world, A, B)
    world.move(0, A2)
    world.run(1)
    assert world.sides[1].endpoint.ike_sas()[0].path.remote == A


def test_a_child_in_transport_mode_stays() -> None:
    host_a, host_b = f"{A}/32", f"{B}/32"
    world = up(
        a={"children": (net(host_a, host_b, mode=Mode.TRANSPORT),)},
        b={"children": (net(host_b, host_a, mode=Mode.TRANSPORT),)},
    )
    world.move(0, A2)
    world.run(1)
    for peer in world.sides:
        assert peer.of(PathChanged) == []


def test_a_rekeyed_ike_sa_roams_whoever_rekeyed_it() -> None:
    world = up()
    for peer in world.sides:
        peer.endpoint.rekey_ike(peer.established()[0], world.now)
        world.run(1)
    world.move(0, A2)
    world.run(1)
    meets(world, A2, B)
    assert len(world.sides[0].of(IkeSaRekeyed)) == 2


@pytest.mark.parametrize("seed", seeds(40))
def test_both_roam_and_rekey_at_random_over_a_bad_wire(seed: int) -> None:
    with replayable(seed):
        world = up(seed, timing=STUBBORN, loss=0.2, double=0.2, delay=(0.0, 0.5))
        chance = world.wire.random
        here, there = A, B
        for _ in range(12):
            what = chance.choice(("a", "a", "b", "child", "ike"))
            peer = chance.choice(world.sides)
            if what == "a":
                here = chance.choice((A, A2, A3))
                world.move(0, here)
            elif what == "b":
                # The responder keeps the old one for a while: else nobody could tell the other where it is.
                there = chance.choice((B, B2))
                world.move(1, *dict.fromkeys((there, B, B2)))
            elif what == "child" and peer.installed:
                peer.endpoint.rekey_child(next(iter(peer.installed)), world.now)
            elif what == "ike" and peer.endpoint.ike_sas()[0].state == "ESTABLISHED":
                peer.endpoint.rekey_ike(peer.endpoint.ike_sas()[0].ike_id, world.now)
            world.run(chance.choice((0.0, 0.2, 1.0, 10.0)))
        world.run(300)
        here_now, there_now = world.sides[0].endpoint.ike_sas()[0].path.local, world.sides[1].established()
        assert here_now == here
        assert len(there_now) == 1
        meets(world, here, world.sides[0].endpoint.ike_sas()[0].path.remote)


# NATs.


def behind_nat(port: list[int], **a: object) -> Roamers:
    """a sits behind a NAT that gives it the port ``port[0]`` for 4500."""
    world = psk_pair(a=dict(a), timing=QUICK)

    def translate(seen: Path) -> Path:
        if seen.remote == A:
            return replace(seen, remote=NAT, remote_port=port[0] if seen.remote_port == 4500 else seen.remote_port)
        return replace(seen, local=A, local_port=4500) if seen.local_port == port[0] else replace(seen, local=A)

    def edit(data: bytes, path: Path) -> bytes | None:
        # What is sent to a port that the NAT has forgotten is lost.
        return None if path.remote == NAT and path.remote_port not in (500, port[0]) else data

    world.wire.translate = translate
    world.wire.edit = edit
    roamers = Roamers.__new__(Roamers)
    World.__init__(roamers, *both(world), wire=world.wire)
    roamers.sides = both(world)
    for peer in roamers.sides:
        peer.endpoint.addresses_changed((peer.address,), roamers.now)
    roamers.initiate(roamers.sides[0])
    roamers.run(1)
    return roamers


@pytest.mark.parametrize("seconds", [1, 30], ids=["before-the-first", "after-one"])
@pytest.mark.parametrize("mobike", [False, True])
def test_a_nat_that_gives_another_port_is_found_out_by_the_next_liveness_check(mobike: bool, seconds: int) -> None:
    port = [40_000]
    world = behind_nat(port, mobike=mobike, dpd_delay=20.0)
    b = world.sides[1]
    assert used(b).remote_port == 40_000
    world.run(seconds)
    port[0] = 41_000
    world.run(30)
    assert (used(b).remote, used(b).remote_port) == (NAT, 41_000)
    assert b.endpoint.ike_sas()[0].path.remote_port == 41_000
    assert world.sides[0].failures == b.failures == []


def test_the_data_plane_tells_where_a_nat_has_moved_a_peer_without_mobike() -> None:
    world = behind_nat([40_000], mobike=False)
    a, b = world.sides
    child = next(iter(b.installed))
    moved = replace(b.endpoint.ike_sas()[0].path, remote_port=42_000)
    b.endpoint.peer_moved(child, moved, world.now)
    b.drain()
    assert used(b).remote_port == 42_000
    # Who sits behind the NAT itself follows nobody.
    before = used(a)
    a.endpoint.peer_moved(next(iter(a.installed)), replace(before, remote_port=9), world.now)
    a.drain()
    assert used(a) == before


def test_with_mobike_a_packet_from_elsewhere_moves_nothing() -> None:
    world = behind_nat([40_000], mobike=True)
    b = world.sides[1]
    moved = replace(b.endpoint.ike_sas()[0].path, remote=ip_address("192.0.2.66"), remote_port=42_000)
    b.endpoint.peer_moved(next(iter(b.installed)), moved, world.now)
    b.drain()
    assert used(b).remote == NAT


# Peers that do what they should not.


def _say(world: Roamers, side: int, *notifies: NotifyPayload) -> None:
    """An INFORMATIONAL with these notifies from that side."""
    from ike.sa.task import Asking, Purpose, Task
    from ike.wire.constants import ExchangeType

    class Say(Task):
        purpose = Purpose.INFORM

        def ask(self, _sa: object, _now: float) -> Asking:
            return ExchangeType.INFORMATIONAL, list(notifies)

    peer = world.sides[side]
    sa = peer.endpoint._core.by_id[peer.established()[0]]
    sa.want(Say(), world.now)
    world.run(1)


@pytest.mark.parametrize("length", [0, 3, 5, 15, 17, 200])
def test_addresses_of_no_length_of_an_address_are_passed_over(length: int) -> None:
    world = up()
    kinds = (NotifyType.ADDITIONAL_IP4_ADDRESS, NotifyType.ADDITIONAL_IP6_ADDRESS)
    _say(world, 1, *(NotifyPayload(kind, bytes(length)) for kind in kinds))
    meets(world, A, B)


def test_a_peer_with_a_thousand_addresses_makes_us_no_source_of_floods() -> None:
    world = up(a={"dpd_delay": 10.0})
    many = [NotifyPayload(NotifyType.ADDITIONAL_IP4_ADDRESS, (0x0A000001 + n).to_bytes(4, "big")) for n in range(1000)]
    _say(world, 1, *many)
    world.dead = lambda path: True  # noqa: ARG005 - the callback's shape
    before = len(world.wire.log)
    world.run(14)
    assert len(world.wire.log) - before <= 17 * 20


def test_who_does_not_lead_cannot_update_the_path() -> None:
    world = up()
    _say(world, 1, NotifyPayload(NotifyType.UPDATE_SA_ADDRESSES))
    meets(world, A, B)


def test_another_cookie_ends_the_ike_sa() -> None:
    world = up()
    a, b = world.sides
    real = a.endpoint._core.random
    # The check's answer is spoilt as a broken peer would: the cookie that b remembers is another one.
    world.move(0, A2)
    world.run(0.015)
    from ike.sa.mobike import CheckReturn

    request = b.endpoint._core.by_id[b.established()[0]].window.request
    assert request is not None
    assert isinstance(request.task, CheckReturn)
    request.task.cookie = real(16)
    world.run(5)
    assert [f.code for f in b.failures] == ["cookie2-mismatch"]
    assert a.endpoint.ike_sas() == b.endpoint.ike_sas() == []


@pytest.mark.parametrize("honest", [True, False])
def test_no_nats_allowed_is_held_against_where_the_message_came_from(honest: bool) -> None:
    world = up()
    ports = (4500).to_bytes(2, "big")
    source = A if honest else A3
    notify = NotifyPayload(NotifyType.NO_NATS_ALLOWED, source.packed + B.packed + ports + ports)
    _say(world, 0, NotifyPayload(NotifyType.UPDATE_SA_ADDRESSES), notify)
    assert [f.code for f in world.sides[1].failures] == ([] if honest else ["unexpected-nat"])
    assert len(world.sides[0].established()) == len(world.sides[1].established()) == 1


def test_ike_proposals_are_not_needed_to_roam() -> None:
    world = up(a={"proposals": ike("aes256-sha256-x25519")}, b={"proposals": ike("aes256-sha256-x25519")})
    world.move(0, A2)
    world.run(1)
    meets(world, A2, B)
