"""Several requests at a time (RFC 7296 section 2.3): as many as the peer takes, in any order, and what has to wait."""

from __future__ import annotations

import random

import pytest
from support.peers import Peer, World, assert_mirrored, assert_usable, both, esp, net, psk_pair, replayable, seeds

from ike.errors import LocalError
from ike.events import ChildSaDeleted, IkeSaRekeyed, Path
from ike.sa import flow
from ike.sa.ike_sa import IkeSa
from ike.sa.rekey_ike import RekeyIke
from ike.timing import Timing
from ike.wire.constants import ExchangeType, HeaderFlag
from ike.wire.header import Header, pull_header
from ike.wire.payloads import KePayload

WIDE = Timing(window_size=8, retransmit_timeout=1.0, retransmit_base=1.2, retransmit_tries=30, delete_timeout=60.0)
COUNT = 12


def children(side: str, **more: object) -> dict:
    left, right = ("10", "20") if side == "a" else ("20", "10")
    return {
        "children": tuple(
            net(f"10.{left}.{n}.0/24", f"10.{right}.{n}.0/24", name=f"net{n}", **more) for n in range(COUNT)
        )
    }


def wide(seed: int = 1, timing: Timing = WIDE, **wire: object) -> World:
    """A tunnel with one child, and many more to ask for."""
    world = psk_pair(seed, a=children("a"), b=children("b"), timing=timing, **wire)  # type: ignore[arg-type]
    world.initiate(both(world)[0], child="net0")
    world.run(60 if world.wire.loss else 1)
    return world


def ask_for_all(world: World, peer: Peer, names: range = range(1, COUNT)) -> None:
    for number in names:
        world.initiate(peer, child=f"net{number}")


def under_way(peer: Peer) -> int:
    (sa,) = [sa for sa in peer.endpoint._core.by_id.values() if sa.is_usable]
    return len(sa.window.requests)


def settled(world: World, count: int = COUNT) -> None:
    a, b = both(world)
    assert a.failures == b.failures == []
    assert_mirrored(a, b)
    assert_usable(a, b)
    assert len(a.installed) == count
    for peer in (a, b):
        (info,) = peer.endpoint.ike_sas()
        assert info.state == "ESTABLISHED"
        assert info.tasks == ()


@pytest.mark.parametrize("opener", [0, 1])
def test_as_many_requests_go_out_at_once_as_the_peer_takes(opener: int) -> None:
    world = wide()
    peer = both(world)[opener]
    ask_for_all(world, peer)
    assert under_way(peer) == 8
    started = world.now
    world.run(1)
    settled(world)
    # Eleven exchanges in two rounds of one round trip each, and not in eleven.
    sent = [at for at, data, path in world.wire.log if at >= started and path.local == peer.address]
    assert len(sent) == COUNT - 1
    assert max(sent) - started < 0.05


def test_a_peer_that_says_nothing_takes_one_at_a_time() -> None:
    world = psk_pair(a=children("a"), b=children("b"))
    a, _ = both(world)
    world.initiate(a, child="net0")
    world.run(1)
    ask_for_all(world, a)
    assert under_way(a) == 1
    world.run(1)
    settled(world)


def test_the_smaller_window_counts_in_its_own_direction_only() -> None:
    world = wide()
    a, b = both(world)
    for sa in b.endpoint._core.by_id.values():
        sa.window.peer_takes = 3
    ask_for_all(world, a, range(1, 6))
    ask_for_all(world, b, range(6, COUNT))
    assert (under_way(a), under_way(b)) == (5, 3)
    world.run(30)
    settled(world)


@pytest.mark.parametrize("seed", seeds(25))
def test_everything_arrives_once_over_a_wire_that_loses_doubles_and_reorders(seed: int) -> None:
    with replayable(seed):
        world = wide(seed, loss=0.25, double=0.3, delay=(0.0, 1.5))
        a, b = both(world)
        ask_for_all(world, a, range(1, 7))
        ask_for_all(world, b, range(7, COUNT))
        world.run(120)
        settled(world)
        for peer in (a, b):
            for sa in peer.endpoint._core.by_id.values():
                assert len(sa.window._answers) <= 8
                assert sa.reassemblies == {}


@pytest.mark.parametrize("seed", seeds(8))
def test_fragments_of_several_messages_come_mixed_up(seed: int) -> None:
    with replayable(seed):
        timing = Timing(1.0, 1.2, 40, window_size=6, fragment_size=576, half_open_timeout=300.0)
        hybrid = {"esp_proposals": esp("aes256gcm16-x25519-ke1_mlkem768")}
        sides = {side: children(side, **hybrid) for side in "ab"}
        world = psk_pair(seed, timing=timing, loss=0.1, double=0.2, delay=(0.0, 0.6), **sides)  # type: ignore[arg-type]
        a, b = both(world)
        world.initiate(a, child="net0")
        world.run(60)
        ask_for_all(world, a, range(1, 5))
        ask_for_all(world, b, range(5, 9))
        world.run(200)
        settled(world, 9)
        for peer in (a, b):
            for sa in peer.endpoint._core.by_id.values():
                assert sa.reassemblies == {}


@pytest.mark.parametrize("seed", seeds(25))
def test_rekeys_and_deletes_of_everything_at_once_end_with_the_same_sas(seed: int) -> None:
    with replayable(seed):
        world = wide(seed, loss=0.1, double=0.2, delay=(0.0, 0.8))
        a, b = both(world)
        chance = random.Random(seed)
        ask_for_all(world, a)
        world.run(60)
        for _ in range(10):
            for peer in chance.choice(((a,), (b,), (a, b))):
                for child in chance.sample(list(peer.installed), k=min(5, len(peer.installed))):
                    peer.endpoint.rekey_child(child, world.now)
                if chance.random() < 0.3 and len(peer.installed) > 4:
                    peer.endpoint.terminate_child(chance.choice(list(peer.installed)), world.now)
                if chance.random() < 0.4:
                    infos = [i for i in peer.endpoint.ike_sas() if i.state == "ESTABLISHED"]
                    for info in infos:
                        peer.endpoint.rekey_ike(info.ike_id, world.now)
            world.run(chance.choice((0.0, 0.3, 2.0, 20.0)))
        world.run(300)
        assert a.failures == b.failures == []
        assert_mirrored(a, b)
        assert_usable(a, b)
        for peer in (a, b):
            (info,) = peer.endpoint.ike_sas()
            assert info.tasks == ()
            assert {child.state for child in info.children} == {"INSTALLED"}


def test_a_rekeying_of_the_ike_sa_waits_for_what_is_under_way_and_nothing_goes_beside_it() -> None:
    world = wide()
    a, _ = both(world)
    ask_for_all(world, a, range(1, 4))
    a.endpoint.rekey_ike(a.established()[0], world.now)
    ask_for_all(world, a, range(4, COUNT))
    assert under_way(a) == 3
    order: list[int] = []
    started = world.now
    world.run(2)
    for at, data, path in world.wire.log:
        if at >= started and path.local == a.address and not pull_header(data).is_response:
            order.append(pull_header(data).exchange)
    settled(world)
    # The new IKE SA begins with a window of one, and says anew how wide it is.
    assert ExchangeType.INFORMATIONAL in order
    ask = [info for info in a.endpoint._core.by_id.values() if info.is_usable]
    assert ask[0].window.peer_takes == 8


def test_closing_the_ike_sa_waits_for_what_is_under_way() -> None:
    world = wide()
    a, b = both(world)
    ask_for_all(world, a, range(1, 4))
    a.endpoint.terminate_ike(a.established()[0], world.now)
    assert under_way(a) == 3
    world.run(5)
    assert a.endpoint.ike_sas() == b.endpoint.ike_sas() == []
    assert a.failures == b.failures == []


def test_two_wishes_about_one_child_go_one_after_the_other() -> None:
    world = wide()
    a, _ = both(world)
    child = next(iter(a.installed))
    a.endpoint.rekey_child(child, world.now)
    a.endpoint.terminate_child(child, world.now)
    assert under_way(a) == 1
    world.run(5)
    assert a.failures == []
    assert_mirrored(*both(world))


def test_what_is_beyond_the_window_is_dropped_and_harms_nothing() -> None:
    world = wide()
    a, b = both(world)
    for sa in a.endpoint._core.by_id.values():
        # As a peer that does not count.
        sa.window.peer_takes = 50
    held: list = []
    world.wire.edit = lambda data, path: held.append((data, path)) if path.local == a.address and not held else data
    ask_for_all(world, a)
    assert under_way(a) == COUNT - 1
    world.run(0.5)
    world.wire.edit = None
    world.run(30)
    settled(world)
    assert b.endpoint.drops["message-id-ahead"] >= 1


def test_a_hasty_peer_gets_no_second_child_for_a_repeated_request() -> None:
    world = wide()
    a, b = both(world)
    world.wire.log.clear()
    ask_for_all(world, a, range(1, 8))
    world.run(1)
    before = len(b.installed)
    sent = [(data, path) for _, data, path in world.wire.log if path.local == a.address]
    random.Random(1).shuffle(sent)
    for data, path in sent:
        world.inject(data, Path(path.remote, path.remote_port, path.local, path.local_port))
    world.run(1)
    assert len(b.installed) == before
    assert_mirrored(a, b)


class Overtaken:
    """The DELETE of a CHILD_SA that stays on its way until it is let go."""

    def __init__(self, world: World, peer: Peer) -> None:
        self.world, self.peer = world, peer
        self.kept: list = []
        world.wire.edit = self._edit

    def _edit(self, data: bytes, path: Path) -> bytes | None:
        header = pull_header(data)
        if path.local != self.peer.address or header.exchange != ExchangeType.INFORMATIONAL or header.is_response:
            return data
        if not self.kept or (header.spi_i, header.message_id) == self.kept[0][0]:
            self.kept.append(((header.spi_i, header.message_id), data, path))
            return None
        return data

    def let_go(self) -> None:
        self.world.wire.edit = None
        _, data, path = self.kept[0]
        self.world.inject(data, Path(path.remote, path.remote_port, path.local, path.local_port))


def agreed(world: World, count: int) -> None:
    """One IKE SA, its CHILD_SAs, and nothing left to do."""
    a, b = both(world)
    assert a.failures == b.failures == []
    assert_mirrored(a, b)
    for peer in (a, b):
        assert len(peer.installed) == count
        (info,) = peer.endpoint.ike_sas()
        assert info.tasks == ()
        assert [child.state for child in info.children] == ["INSTALLED"] * count


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers that rekey an IKE SA beside whatever else is under way on it (RFC 7296 section 2.25.2 says SHOULD NOT)."""
    monkeypatch.setattr(RekeyIke, "goes_alone", False)
    monkeypatch.setattr(IkeSa, "is_changing_children", False)


@pytest.mark.parametrize("rekeys", [1, 2])
def test_a_delete_that_a_rekeying_of_the_ike_sa_has_overtaken_is_done_all_the_same(
    monkeypatch: pytest.MonkeyPatch, rekeys: int
) -> None:
    impatient(monkeypatch)
    world = wide()
    a, b = both(world)
    ask_for_all(world, a, range(1, 4))
    world.run(1)
    overtaken = Overtaken(world, a)
    a.endpoint.terminate_child(next(iter(a.installed)), world.now)
    world.run(0.1)
    for _ in range(rekeys):
        a.endpoint.rekey_ike(a.established()[0], world.now)
        world.run(0.5)
    assert len(b.of(IkeSaRekeyed)) == rekeys
    assert len(b.installed) == 4
    overtaken.let_go()
    world.run(100)
    agreed(world, 3)
    (gone,) = b.of(ChildSaDeleted)
    assert (gone.ike_id, gone.reason) == (b.of(IkeSaRekeyed)[-1].new_ike_id, "peer-deleted")


def test_a_delete_whose_ike_sa_is_rekeyed_and_closed_before_the_answer_is_sent_on_the_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    impatient(monkeypatch)
    world = wide()
    a, b = both(world)
    ask_for_all(world, a, range(1, 4))
    world.run(1)
    overtaken = Overtaken(world, a)
    a.endpoint.terminate_child(next(iter(a.installed)), world.now)
    world.run(0.1)
    b.endpoint.rekey_ike(b.established()[0], world.now)
    world.run(1)
    agreed(world, 3)
    overtaken.let_go()
    world.run(100)
    agreed(world, 3)


def test_a_delete_that_is_answered_with_nonsense_is_done_on_our_side() -> None:
    world = wide()
    a, b = both(world)
    (sa,) = b.endpoint._core.by_id.values()
    child = next(iter(a.installed))
    a.endpoint.terminate_child(child, world.now)
    world._collect()
    # The peer answers what nobody asked for.
    header = Header(sa.spi_i, sa.spi_r, ExchangeType.INFORMATIONAL, HeaderFlag.RESPONSE, sa.window.next_incoming)
    flow.respond(sa, header, [KePayload(31, bytes(32))], b"", sa.path)
    world.run(1)
    assert [record.code for record in a.failures] == ["invalid-syntax"]
    assert child not in a.installed
    (info,) = a.endpoint.ike_sas()
    assert (info.state, info.children, info.tasks) == ("ESTABLISHED", (), ())


@pytest.mark.parametrize("meanwhile", ["delete", "rekey"])
def test_the_other_side_wants_something_of_the_same_child_once_the_ike_sa_is_rekeyed(
    monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    impatient(monkeypatch)
    world = wide()
    a, b = both(world)
    ask_for_all(world, a, range(1, 4))
    world.run(1)
    overtaken = Overtaken(world, a)
    child = next(iter(a.installed.values()))
    a.endpoint.terminate_child(child.child_id, world.now)
    world.run(0.1)
    a.endpoint.rekey_ike(a.established()[0], world.now)
    world.run(0.5)
    same = next(e.child_id for e in b.installed.values() if e.inbound.spi == child.outbound.spi)
    (b.endpoint.terminate_child if meanwhile == "delete" else b.endpoint.rekey_child)(same, world.now)
    overtaken.let_go()
    world.run(100)
    agreed(world, 3)


@pytest.mark.parametrize("seed", seeds(15))
def test_a_life_of_random_commands_with_wide_windows(seed: int) -> None:
    with replayable(seed):
        timing = Timing(window_size=5, retransmit_timeout=1.0, retransmit_base=1.5, retransmit_tries=6)
        world = wide(seed, timing)
        a, b = both(world)
        chance = random.Random(seed)
        for _ in range(15):
            world.wire.loss, world.wire.delay = chance.choice((0.0, 0.2)), (0.0, chance.choice((0.01, 1.0)))
            peer = chance.choice((a, b))
            for _ in range(chance.randrange(1, 6)):
                try:
                    act(world, peer, chance)
                except LocalError:
                    continue
            world.run(chance.choice((0.0, 0.5, 5.0)))
        world.wire.loss, world.wire.delay = 0.0, (0.01, 0.02)
        world.run(400)
        assert_mirrored(a, b)
        for peer in (a, b):
            assert all(info.state == "ESTABLISHED" for info in peer.endpoint.ike_sas())
        for peer in (a, b):
            for info in peer.endpoint.ike_sas():
                peer.endpoint.terminate_ike(info.ike_id, world.now)
        world.run(400)
        for peer in (a, b):
            assert peer.endpoint.ike_sas() == []
            assert peer.installed == {}
            assert peer.endpoint.next_timeout() is None


def act(world: World, peer: Peer, chance: random.Random) -> None:
    infos = peer.endpoint.ike_sas()
    what = chance.choice(("child", "child", "rekey", "rekey", "delete", "ike", "look"))
    if what == "child" or not infos:
        world.initiate(peer, child=f"net{chance.randrange(COUNT)}")
        return
    info = chance.choice(infos)
    if what == "ike":
        peer.endpoint.rekey_ike(info.ike_id, world.now)
    elif what == "look":
        peer.endpoint.check_liveness(info.ike_id, world.now)
    elif info.children:
        child = chance.choice(info.children).child_id
        (peer.endpoint.rekey_child if what == "rekey" else peer.endpoint.terminate_child)(child, world.now)
