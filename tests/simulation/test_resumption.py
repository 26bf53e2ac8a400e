"""An IKE SA whose peer died is brought back with a ticket, or set up in full where that may not be (RFC 5723)."""

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
    net,
    psk,
    psk_pair,
    replayable,
    seeds,
)

from ike.config import Fragmentation, Unique
from ike.crypto.secret import Secret
from ike.events import IkeSaDeleted, IkeSaEstablished, Path
from ike.sa import tickets
from ike.timing import Timing
from ike.wire.constants import ExchangeType, NotifyType
from ike.wire.header import pull_header
from ike.wire.identity import Identity
from ike.wire.message import pull_message

GATEWAY = {"session_resumption": True}
RESUMED = {**GATEWAY, "dpd_delay": 10.0}
BRISK = Timing(retransmit_timeout=1.0, retransmit_base=1.2, retransmit_tries=3)
BACK = {"IKE_SESSION_RESUME": 2, "IKE_AUTH": 2}
IN_FULL = {"IKE_SA_INIT": 2, "IKE_AUTH": 2}


def pair(seed: int = 1, *, a: dict | None = None, b: dict | None = None, **wire: object) -> World:
    return psk_pair(seed, a={**RESUMED, **(a or {})}, b={**GATEWAY, **(b or {})}, timing=BRISK, **wire)


def exchanges(world: World, start: int = 0) -> dict[str, int]:
    """How many messages of each exchange that sets an IKE SA up went out."""
    names = [ExchangeType(pull_header(data).exchange).name for _, data, _ in world.wire.log[start:]]
    return {n: names.count(n) for n in dict.fromkeys(names) if n not in ("INFORMATIONAL", "CREATE_CHILD_SA")}


def lose_the_way(world: World) -> None:
    """Nothing arrives until the initiator has given its peer up; the responder's half stays."""
    world.wire.loss = 1.0
    world.run(30)
    a, _ = both(world)
    assert [e.reason for e in a.of(IkeSaDeleted)][-1:] == ["dead"]
    assert a.established() == []
    world.wire.loss = 0.0


def up(world: World) -> None:
    world.initiate(both(world)[0])
    world.run(1)
    assert len(both(world)[0].established()) == 1


def up_and_dead(world: World) -> int:
    """Set up, then lost by the initiator; returns how many messages went out so far."""
    up(world)
    lose_the_way(world)
    return len(world.wire.log)


def is_back(world: World) -> None:
    a, b = both(world)
    assert len(a.established()) == len(b.established()) == 1
    assert_mirrored(a, b)
    assert_usable(a, b)


def test_an_ike_sa_that_died_comes_back_without_a_key_exchange() -> None:
    world = pair()
    start = up_and_dead(world)
    up(world)
    assert exchanges(world, start) == BACK
    is_back(world)
    a, b = both(world)
    assert [e.remote_auth for e in b.of(IkeSaEstablished)] == ["pre-shared key"] * 2
    assert [e.remote_id for e in a.of(IkeSaEstablished)] == [a.connections[0].remote[0].id] * 2
    # What the gateway had left of the old one went without a word.
    assert [e.reason for e in b.of(IkeSaDeleted)] == ["resumed"]
    assert b.failures == []


def test_each_return_brings_the_ticket_for_the_next() -> None:
    world = pair()
    for _ in range(3):
        start = up_and_dead(world)
    up(world)
    assert exchanges(world, start) == BACK
    is_back(world)


def test_keys_are_fresh_each_time() -> None:
    world = pair()
    up(world)
    a, _ = both(world)
    before = {bytes(e.outbound.encryption_key) for e in a.installed.values()}
    lose_the_way(world)
    up(world)
    assert before.isdisjoint({bytes(e.outbound.encryption_key) for e in a.installed.values()})


@pytest.mark.parametrize("side", ["a", "b"])
def test_without_the_wish_of_both_there_is_no_ticket(side: str) -> None:
    world = pair(**{side: {"session_resumption": False}})
    start = up_and_dead(world)
    up(world)
    assert exchanges(world, start) == IN_FULL


def test_a_gateway_that_restarted_refuses_and_a_full_handshake_follows_at_once() -> None:
    world = pair()
    start = up_and_dead(world)
    _, old = both(world)
    world.peers[B] = Peer(B, old.connections, old.credentials, 77, BRISK)
    up(world)
    assert exchanges(world, start) == {"IKE_SESSION_RESUME": 2, **IN_FULL}
    assert world.wire.log[start][0] == pytest.approx(world.wire.log[start + 2][0], abs=0.1)
    is_back(world)
    assert both(world)[1].failures == []


def refused(world: World, start: int) -> None:
    up(world)
    assert exchanges(world, start) == {"IKE_SESSION_RESUME": 2, **IN_FULL}


def test_a_changed_connection_is_not_resumed() -> None:
    world = pair()
    start = up_and_dead(world)
    gateway = both(world)[1]
    gateway.connections[0] = replace(gateway.connections[0], unique=Unique.REPLACE)
    refused(world, start)


def test_a_changed_secret_is_not_got_round_with_a_ticket() -> None:
    world = pair()
    start = up_and_dead(world)
    a, b = both(world)
    b.credentials.shared[:] = psk(b"another one").shared
    world.initiate(a)
    world.run(1)
    assert exchanges(world, start) == {"IKE_SESSION_RESUME": 2, **IN_FULL}
    assert [f.code for f in b.failures] == ["auth-psk-mismatch"]
    assert b.established() == a.established() == [] or len(b.established()) == 1


def test_the_client_uses_no_ticket_of_a_connection_that_it_changed() -> None:
    world = pair()
    start = up_and_dead(world)
    client = both(world)[0]
    client.connections[0] = replace(client.connections[0], rekey_time=77.0)
    up(world)
    assert exchanges(world, start) == IN_FULL


@pytest.mark.parametrize("who", [0, 1])
def test_an_ike_sa_that_was_closed_is_not_resumed(who: int) -> None:
    world = pair()
    up(world)
    peer = both(world)[who]
    peer.endpoint.terminate_ike(peer.established()[0], world.now)
    world.run(1)
    start = len(world.wire.log)
    up(world)
    assert exchanges(world, start) == IN_FULL


def test_a_ticket_that_expired_is_not_presented() -> None:
    world = pair()
    start = up_and_dead(world)
    world.run(tickets.LIFETIME)
    up(world)
    assert exchanges(world, start) == IN_FULL


def test_a_ticket_lives_no_longer_than_the_proof_that_it_stands_for() -> None:
    world = pair(b={"reauth_time": 300.0, "rand_time": 0.0})
    start = up_and_dead(world)
    world.run(300)
    up(world)
    assert exchanges(world, start) == IN_FULL


def test_a_rekeyed_ike_sa_gets_a_ticket_of_its_own() -> None:
    world = pair()
    up(world)
    for peer in both(world):
        peer.endpoint.rekey_ike(peer.established()[0], world.now)
        world.run(1)
    lose_the_way(world)
    start = len(world.wire.log)
    up(world)
    assert exchanges(world, start) == BACK
    is_back(world)


def test_a_ticket_is_replaced_before_it_is_too_old() -> None:
    world = pair(a={"rekey_time": 0.0}, b={"rekey_time": 0.0})
    up(world)
    world.run(tickets.LIFETIME * 1.6)
    start = up_and_dead_again(world)
    up(world)
    assert exchanges(world, start) == BACK


def up_and_dead_again(world: World) -> int:
    lose_the_way(world)
    return len(world.wire.log)


def presented(world: World) -> bytes:
    """The IKE_SESSION_RESUME request that the client sends next."""
    start = up_and_dead(world)
    world.wire.loss = 1.0
    world.initiate(both(world)[0])
    world.run(0.1)
    world.wire.loss = 0.0
    data = world.wire.log[start][1]
    assert pull_header(data).exchange == ExchangeType.IKE_SESSION_RESUME
    return data


def test_a_captured_ticket_is_good_for_nothing() -> None:
    world = pair()
    request = presented(world)
    world.run(5)
    gateway = both(world)[1]
    is_back(world)
    # Under another SPI it is another request: the ticket was used.
    replayed = bytes(8 * [7]) + request[8:]
    start = len(world.wire.log)
    world.inject(replayed, Path(B, 500, A, 999))
    world.run(1)
    answer = pull_message(world.wire.log[start][1])
    assert answer.notify(NotifyType.TICKET_NACK) is not None
    assert gateway.endpoint.half_open == 0
    assert len(gateway.established()) == 1


def test_whoever_presents_a_ticket_first_without_its_keys_does_not_use_it_up() -> None:
    world = pair()
    request = presented(world)
    world.inject(bytes(8 * [7]) + request[8:], Path(B, 500, A, 999))
    world.run(5)
    assert "IKE_SA_INIT" not in exchanges(world, len(world.wire.log) - 6)
    is_back(world)


@pytest.mark.parametrize("at", [28, 60, 90, 150, -1])
def test_a_ticket_that_was_changed_on_its_way_is_refused(at: int) -> None:
    def edit(data: bytes, _: Path) -> bytes:
        header = pull_header(data)
        if header.exchange != ExchangeType.IKE_SESSION_RESUME or header.is_response:
            return data
        position = data.index(opaque) + at if at >= 0 else data.index(opaque) + len(opaque) - 1
        if at == 28:
            position = data.index(opaque)
        return data[:position] + bytes((data[position] ^ 1,)) + data[position + 1 :]

    world = pair()
    start = up_and_dead(world)
    (held,) = both(world)[0].endpoint._core.held.values()
    opaque = held.opaque
    world.wire.edit = edit
    up(world)
    assert exchanges(world, start) == {"IKE_SESSION_RESUME": 2, **IN_FULL}


def test_a_forged_refusal_only_costs_a_round_trip() -> None:
    def edit(data: bytes, _: Path) -> bytes:
        header = pull_header(data)
        if header.exchange == ExchangeType.IKE_SESSION_RESUME and header.is_response:
            nack = bytes((0, 0, 0, 8, 0, 0)) + NotifyType.TICKET_NACK.to_bytes(2, "big")
            return data[:16] + bytes((41,)) + data[17:24] + (28 + 8).to_bytes(4, "big") + nack
        return data

    world = pair()
    up_and_dead(world)
    world.wire.edit = edit
    up(world)
    assert_usable(*both(world))


def test_a_gateway_that_knows_no_resumption_any_more_is_asked_in_full_soon() -> None:
    world = pair(edit=lambda data, _: None if pull_header(data).exchange == 38 else data)
    start = up_and_dead(world)
    world.initiate(both(world)[0])
    world.run(5)
    assert exchanges(world, start) == {"IKE_SESSION_RESUME": 3, **IN_FULL}


@pytest.mark.parametrize("tries", [0, 1, 3])
def test_a_way_that_is_still_lost_does_not_cost_the_ticket(tries: int) -> None:
    impatient = replace(BRISK, retransmit_tries=tries)
    world = psk_pair(1, a=RESUMED, b=GATEWAY, timing=impatient)
    up_and_dead(world)
    world.wire.loss = 1.0
    world.initiate(both(world)[0])
    world.run(30)
    world.wire.loss = 0.0
    start = len(world.wire.log)
    up(world)
    assert exchanges(world, start) == BACK


def test_a_gateway_under_load_asks_for_a_cookie_first() -> None:
    shy = replace(BRISK, cookie_threshold=1, cookie_threshold_ip=1)
    left = connection("site-a", "site-b", net("10.10.0.0/24", "10.20.0.0/24"), **RESUMED)
    right = connection("site-b", "site-a", net("10.20.0.0/24", "10.10.0.0/24"), **RESUMED)
    world = World(Peer(A, [left], psk(), 1, BRISK), Peer(B, [right], psk(), 2, shy))
    start = up_and_dead(world)
    gateway = both(world)[1]
    # Somebody's half-open IKE SA: from then on everybody is asked for a cookie.
    init = world.wire.log[0][1]
    world.inject(bytes(8 * [9]) + init[8:], Path(B, 500, A, 999))
    world.run(0.1)
    assert gateway.endpoint.half_open == 1
    start = len(world.wire.log)
    up(world)
    assert exchanges(world, start) == {"IKE_SESSION_RESUME": 4, "IKE_AUTH": 2}


def test_of_two_who_present_one_ticket_at_a_time_one_comes_back() -> None:
    world = pair()
    up_and_dead(world)
    client, gateway = both(world)
    (held,) = client.endpoint._core.held.values()
    twin = Peer(IPv4Address("203.0.113.11"), client.connections, client.credentials, 9, BRISK)
    core = twin.endpoint._core
    seen = tickets.witness(core, held.connection, held.local_id, held.remote_id)
    core.held["site", B] = replace(held, sk_d=Secret(held.sk_d), witness=seen)
    world.peers[twin.address] = twin
    world.initiate(client)
    world.initiate(twin)
    world.run(1)
    assert len(client.established()) + len(twin.established()) == 1
    assert [f.code for f in gateway.failures] == ["ticket-used"]
    assert sorted(f.code for f in client.failures + twin.failures) == ["peer-dead", "resumption-refused"]


def test_nobody_is_brought_back_who_never_proved_anything() -> None:
    world = pair(a={"local": auth("null", "site-a")}, b={"remote": auth("null", None)})
    start = up_and_dead(world)
    up(world)
    assert exchanges(world, start) == IN_FULL


def auth(method: str, identity: str | None) -> tuple:
    from ike.config import AuthRound
    from ike.wire.identity import Identity

    return (AuthRound(auth=method, id=Identity.parse(identity) if identity else None),)


def test_a_ticket_goes_in_fragments_where_ike_does_and_without_them_too() -> None:
    for fragmentation in (Fragmentation.YES, Fragmentation.NO):
        world = pair(a={"fragmentation": fragmentation}, b={"fragmentation": fragmentation})
        start = up_and_dead(world)
        up(world)
        assert exchanges(world, start) == BACK


@pytest.mark.parametrize("seed", seeds(30))
def test_a_return_over_a_bad_wire_ends_with_one_tunnel_on_both_sides(seed: int) -> None:
    stubborn = Timing(retransmit_timeout=1.0, retransmit_base=1.1, retransmit_tries=40, half_open_timeout=300.0)
    with replayable(seed):
        world = psk_pair(seed, a=RESUMED, b=GATEWAY, timing=stubborn)
        up(world)
        world.wire.loss = 1.0
        world.run(700)
        world.wire.loss, world.wire.double, world.wire.delay = 0.3, 0.5, (0.0, 3.0)
        world.initiate(both(world)[0])
        world.run(200)
        a, b = both(world)
        assert len(a.established()) == 1
        assert {(o, i) for i, o in pairs(a)} <= pairs(b)
        assert_usable(a, b)


def pairs(peer: Peer) -> set[tuple[int, int]]:
    return {(e.inbound.spi, e.outbound.spi) for e in peer.installed.values()}


@pytest.mark.parametrize("used", [True, False])
def test_what_comes_back_says_whether_a_ppk_is_part_of_its_keys(*, used: bool) -> None:
    name = Identity.parse("hub@example.org")
    world = pair(a={"ppk_id": name} if used else {})
    for peer in both(world):
        peer.credentials.add_ppk(bytes(range(32)), (name,))
    for _ in range(2):
        start = up_and_dead(world)
    up(world)
    assert exchanges(world, start) == BACK
    a, b = both(world)
    for _ in range(2):
        assert [[info.ppk for info in peer.endpoint.ike_sas()] for peer in (a, b)] == [[used], [used]]
        b.endpoint.rekey_ike(b.established()[0], world.now)
        world.run(1)


def test_a_held_ticket_shows_no_secret() -> None:
    world = pair()
    up_and_dead(world)
    (held,) = both(world)[0].endpoint._core.held.values()
    assert held.opaque.hex() not in repr(held)
    assert repr(held.opaque) not in repr(held)
    assert "Secret(...)" in repr(held)
