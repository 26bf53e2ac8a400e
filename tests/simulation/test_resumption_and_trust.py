"""A ticket gives neither side what a full handshake would refuse by now, and stands for no proof but its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from support.certificates import NOW, issue
from support.peers import Peer, World, both, psk, psk_pair
from support.responders import ocsp_answer, ocsp_at

from ike.config import AuthRound, Connection
from ike.credentials import CredentialStore
from ike.events import LookupWanted
from ike.sa import tickets
from ike.timing import Timing
from ike.wire.constants import ExchangeType
from ike.wire.header import pull_header
from ike.wire.identity import Identity

BRISK = Timing(retransmit_timeout=1.0, retransmit_base=1.2, retransmit_tries=3)
ROOT = issue("CN=root", ca=True)


def pair(*, a: dict | None = None, b: dict | None = None, timing: Timing = BRISK) -> World:
    wanted = {"session_resumption": True}
    return psk_pair(1, a={**wanted, "dpd_delay": 10.0, **(a or {})}, b={**wanted, **(b or {})}, timing=timing)


def up(world: World) -> list[str]:
    """Bring it up, and say with which exchanges."""
    start = len(world.wire.log)
    world.initiate(both(world)[0])
    world.run(1)
    assert len(both(world)[0].established()) == 1
    names = [ExchangeType(pull_header(data).exchange).name for _, data, _ in world.wire.log[start:]]
    return list(dict.fromkeys(names))


def up_and_dead(world: World) -> Peer:
    up(world)
    world.wire.loss = 1.0
    world.run(30)
    world.wire.loss = 0.0
    client = both(world)[0]
    assert client.established() == []
    return client


IN_FULL = ["IKE_SA_INIT", "IKE_AUTH"]


def test_the_client_resumes_where_nothing_has_changed() -> None:
    world = pair()
    up_and_dead(world)
    assert up(world) == ["IKE_SESSION_RESUME", "IKE_AUTH"]


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.revocation.append(ROOT.crl()),
        lambda store: store.add_authority(ROOT.certificate),
        lambda store: store.add_ppk(bytes(32)),
    ],
)
def test_a_client_that_trusts_others_by_now_looks_anew_who_the_gateway_is(
    change: Callable[[CredentialStore], None],
) -> None:
    world = pair()
    change(up_and_dead(world).credentials)
    assert up(world) == IN_FULL


def test_a_client_whose_secret_is_another_one_does_not_go_on_with_the_old_one() -> None:
    world = pair()
    client = up_and_dead(world)
    for peer in both(world):
        peer.credentials.shared[:] = psk(b"a new one").shared
    assert client.endpoint._core.held
    assert up(world) == IN_FULL
    assert client.endpoint._core.held == {}


def test_a_client_lets_its_ticket_live_no_longer_than_its_own_reauth_time() -> None:
    world = pair(a={"reauth_time": 300.0, "rand_time": 0.0})
    up_and_dead(world)
    world.run(300)
    assert up(world) == IN_FULL


def test_a_reauthentication_is_none_with_a_ticket() -> None:
    world = pair(timing=replace(BRISK, make_before_break=True))
    up(world)
    client = both(world)[0]
    (core, ike_id) = client.endpoint._core, client.established()[0]
    ticket = core.by_id[ike_id].ticket
    assert ticket is not None
    core.held["site", ticket.remote] = ticket
    start = len(world.wire.log)
    client.endpoint.reauthenticate_ike(ike_id, world.now)
    world.run(3)
    assert client.established() != [ike_id]
    names = {pull_header(data).exchange for _, data, _ in world.wire.log[start:]}
    assert ExchangeType.IKE_SA_INIT in names
    assert ExchangeType.IKE_SESSION_RESUME not in names


def section(auth: str, name: str | None) -> AuthRound:
    return AuthRound(auth=auth, id=Identity.parse(name) if name is not None else None)


def test_a_secret_of_any_round_counts_however_many_rounds_the_other_side_has() -> None:
    """One round of ours, two of the peer: the first is the one whose secret changes."""
    connection = Connection(
        name="hub",
        proposals=(),
        local=(section("pubkey", "hub"),),
        remote=(section("psk", "site"), section("pubkey", "bob")),
        children=(),
    )
    hub = both(pair())[1]
    ends = Identity.parse("hub"), Identity.parse("bob")

    def witness_with(secret: bytes) -> bytes:
        hub.credentials.shared.clear()
        hub.credentials.add_shared_key(secret, (Identity.parse("site"),))
        return tickets.witness(hub.endpoint._core, connection, *ends)

    old = witness_with(b"old")
    assert witness_with(b"new") != old == witness_with(b"old")


@pytest.mark.parametrize(("name", "can"), [("site", True), ("*.example.org", False), (None, False)])
def test_where_nobody_knows_later_whose_secret_a_round_was_there_is_no_ticket(name: str | None, *, can: bool) -> None:
    connection = Connection(
        name="hub", proposals=(), remote=(section("psk", name), section("pubkey", "bob")), children=()
    )
    assert tickets.can_be_witnessed(connection) is can


def test_what_a_responder_says_of_a_revoked_certificate_makes_tickets_worthless() -> None:
    client, gateway = both(pair())
    core, (connection,) = gateway.endpoint._core, gateway.connections
    ends = gateway.connections[0].local[0].id, client.connections[0].local[0].id
    before = tickets.witness(core, connection, *ends)  # type: ignore[arg-type]
    site = ROOT.issue("CN=site", extensions=[ocsp_at("http://ca.example/ocsp")])
    for revoked in (False, True):
        (question, *_) = core.lookups.status_questions(site.certificate, ROOT.certificate)
        assert core.lookups.ask(question, 1, 0.0)
        wanted = [event for event in core.events if isinstance(event, LookupWanted)][-1]
        core.wall_clock = core.lookups._wall_clock = lambda: NOW
        core.lookups.answer(wanted.lookup_id, ocsp_answer(wanted.body, site, ROOT, NOW, revoked=revoked), "", 0.0)
        after = tickets.witness(core, connection, *ends)  # type: ignore[arg-type]
        assert (after != before) is revoked
        core.lookups._failed.clear()
        if not revoked:
            core.lookups.forget({question.kind})
