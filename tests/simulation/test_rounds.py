"""Several rounds of authentication (RFC 4739): in any order and number, either side, each held against its section."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.certs import Holder, issue
from support.peers import (
    A,
    B,
    Peer,
    Wire,
    World,
    assert_mirrored,
    assert_usable,
    both,
    connection,
    net,
    replayable,
    seeds,
)

from ike.config import AuthRound, Unique
from ike.credentials import CredentialStore
from ike.events import IkeSaDeleted, IkeSaEstablished, IkeSaRekeyed
from ike.sa import rounds
from ike.sa.ike_sa import IkeSa
from ike.timing import Timing
from ike.wire.constants import NotifyType
from ike.wire.identity import Identity
from ike.wire.payloads import NotifyPayload, Payload

ROOT = issue("root", authority=True)
HOLDERS = {name: issue(name, ROOT) for name in ("a1", "a2", "b1", "b2")}
SECRET = b"a secret of two sites"
STUBBORN = Timing(retransmit_timeout=1.0, retransmit_base=1.1, retransmit_tries=40, half_open_timeout=300.0)


def pubkey(name: str, *, own: bool, holders: dict[str, Holder] = HOLDERS) -> AuthRound:
    """A round with the certificate of that name; ``own``: that shows it, else that expects it."""
    certs = (holders[name].certificate,) if own else ()
    return AuthRound(id=Identity.parse(f"CN={name}"), certs=certs, section=f"{'local' if own else 'remote'}-{name}")


def psk(name: str) -> AuthRound:
    return AuthRound(auth="psk", id=Identity.parse(name))


def side(words: str, *, own: bool) -> tuple[AuthRound, ...]:
    """``psk:x CN:a1``: one round a word."""
    kinds = [word.split(":") for word in words.split()]
    return tuple(psk(name) if kind == "psk" else pubkey(name, own=own) for kind, name in kinds)


def store(*names: str, secret: bytes = SECRET) -> CredentialStore:
    made = CredentialStore()
    made.add_shared_key(secret, where="site.conf:30")
    made.add_authority(ROOT.certificate)
    for name in names:
        made.add_private_key(HOLDERS[name].key)
        made.add_certificate(HOLDERS[name].certificate)
    return made


def pair(
    ours: str,
    theirs: str,
    *,
    a: dict | None = None,
    b: dict | None = None,
    seed: int = 1,
    timing: Timing | None = None,
    timing_of_b: Timing | None = None,
    secret_of_b: bytes = SECRET,
    **wire: object,
) -> World:
    """Two sites whose rounds mirror each other, unless ``a`` or ``b`` says otherwise."""
    left = connection(
        "x", "x", net("10.1.0.0/24", "10.2.0.0/24"), local=side(ours, own=True), remote=side(theirs, own=False)
    )
    right = connection(
        "x", "x", net("10.2.0.0/24", "10.1.0.0/24"), local=side(theirs, own=True), remote=side(ours, own=False)
    )
    return World(
        Peer(A, [replace(left, **(a or {}))], store("a1", "a2"), seed, timing),
        Peer(
            B, [replace(right, **(b or {}))], store("b1", "b2", secret=secret_of_b), seed + 1000, timing_of_b or timing
        ),
        wire=Wire(seed=seed, **wire),  # type: ignore[arg-type]
    )


def up(world: World, seconds: float = 1.0) -> tuple[Peer, Peer]:
    a, b = both(world)
    world.initiate(a)
    world.run(seconds)
    assert a.failures == b.failures == []
    assert_mirrored(a, b)
    assert_usable(a, b)
    assert len(a.installed) == 1
    return a, b


def asked(peer: Peer) -> list[str]:
    return [line for line in peer.lines if line.startswith("sent IKE_AUTH request")]


@pytest.mark.parametrize(
    ("ours", "theirs", "exchanges"),
    [
        ("psk:a", "psk:b", 1),
        ("psk:a CN:a1", "psk:b", 2),
        ("psk:a", "CN:b1 psk:b", 2),
        ("CN:a1 psk:a", "CN:b1 psk:b", 2),
        ("CN:a1 CN:a2", "CN:b1", 2),
        ("CN:a1", "CN:b1 CN:b2", 2),
        ("CN:a1 CN:a2 psk:a", "psk:b CN:b1 CN:b2", 3),
        ("psk:a psk:aa psk:aaa psk:aaaa", "psk:b CN:b1", 4),
        ("psk:a", "psk:b psk:bb CN:b1 CN:b2 psk:bbb", 5),
    ],
)
def test_each_side_does_its_rounds_in_its_order(ours: str, theirs: str, exchanges: int) -> None:
    a, b = up(pair(ours, theirs))
    assert len(asked(a)) == exchanges
    for peer, local, remote in ((a, ours, theirs), (b, theirs, ours)):
        (event,) = peer.of(IkeSaEstablished)
        last = [side(words, own=True)[-1].id for words in (local, remote)]
        assert [str(event.local_id), str(event.remote_id)] == [str(identity) for identity in last]
        assert len(event.remote_auth.split(", then ")) == len(remote.split())


def test_a_side_that_is_done_asks_with_an_empty_message() -> None:
    a, _ = up(pair("psk:a", "psk:b CN:b1"))
    assert asked(a)[1] == "sent IKE_AUTH request 2 [ ]"
    a, b = up(pair("psk:a CN:a1", "psk:b"))
    assert next(line for line in b.lines if line.startswith("sent IKE_AUTH")).endswith("[ IDr AUTH ]")
    assert "N(ANOTHER_AUTH_FOLLOWS)" in asked(a)[0]
    assert "N(ANOTHER_AUTH_FOLLOWS)" not in asked(a)[1]


def test_the_child_comes_with_the_last_answer() -> None:
    a, b = up(pair("psk:a CN:a1", "psk:b CN:b1"))
    answers = [line for line in b.lines if line.startswith("sent IKE_AUTH response")]
    assert "TSi" in asked(a)[0]
    assert "TSi" not in asked(a)[1]
    assert "TSi" not in answers[0]
    assert "TSi" in answers[1]


def test_a_child_that_is_refused_alone_leaves_the_ike_sa_up() -> None:
    """The last answer then holds nothing but the refusal, which is not that of the IKE SA."""
    world = pair("psk:a CN:a1", "psk:b", b={"children": (net("10.9.0.0/24", "10.8.0.0/24"),)})
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    assert [f.code for f in a.failures] == [f.code for f in b.failures] == ["ts-unacceptable"]
    assert len(a.established()) == len(b.established()) == 1


@pytest.mark.parametrize("seed", seeds(12))
def test_rounds_over_a_wire_that_loses_doubles_and_reorders(seed: int) -> None:
    with replayable(seed):
        world = pair(
            "psk:a CN:a1 CN:a2",
            "CN:b1 psk:b",
            seed=seed,
            timing=replace(STUBBORN, fragment_size=600),
            loss=0.3,
            double=0.4,
            delay=(0.0, 3.0),
        )
        up(world, 280)


def test_what_came_up_in_rounds_is_rekeyed_like_any_other() -> None:
    world = pair("psk:a CN:a1", "psk:b CN:b1")
    a, b = up(world)
    a.endpoint.rekey_ike(a.established()[0], world.now)
    world.run(1)
    b.endpoint.rekey_child(next(iter(b.installed)), world.now)
    world.run(1)
    assert len(a.of(IkeSaRekeyed)) == 1
    assert a.failures == b.failures == []
    assert_mirrored(a, b)
    assert_usable(a, b)


# What does not fit: one record on either side, and it names the round.


def refused(world: World) -> tuple[Peer, Peer]:
    a, b = both(world)
    world.initiate(a)
    world.run(20)
    assert a.installed == b.installed == {}
    assert a.established() == b.established() == []
    return a, b


def test_a_wrong_secret_in_the_second_round_of_the_initiator() -> None:
    a, b = refused(pair("CN:a1 psk:a", "CN:b1", secret_of_b=b"another"))
    assert b.failure.code == "auth-psk-mismatch"
    assert b.failure.summary.startswith("round 2 of 2: ")
    assert b.failure.fields["round"] == "2"
    assert a.failure.code == "peer-auth-failed"
    assert a.failure.summary == "round 2 of 2: the peer does not accept us as a"


def test_a_wrong_identity_in_the_second_round_of_the_initiator() -> None:
    where = {"remote-a2.id": "b.conf:17", "remote-a1.id": "b.conf:9"}
    world = pair("CN:a1 CN:a2", "CN:b1", a={"local": side("CN:a1 CN:a1", own=True)}, b={"where": where})
    _, b = refused(world)
    assert b.failure.code == "no-connection-for-identity"
    assert b.failure.summary.startswith("round 2 of 2: ")
    assert b.failure.change == "b.conf:17: remote-a2.id"


def test_a_wrong_method_in_the_second_round_of_the_initiator() -> None:
    _, b = refused(pair("psk:a CN:a1", "psk:b", a={"local": (psk("a"), psk("CN=a1"))}))
    assert b.failure.code == "auth-method"
    assert b.failure.summary.startswith("round 2 of 2: ")


def test_a_wrong_certificate_in_the_second_round_of_the_initiator() -> None:
    stranger = issue("a2", issue("elsewhere", authority=True))
    world = pair("CN:a1 CN:a2", "CN:b1")
    a, b = both(world)
    a.credentials.own.append(stranger.certificate)
    a.credentials.add_private_key(stranger.key)
    shown = replace(a.connections[0].local[1], certs=(stranger.certificate,))
    a.connections[0] = replace(a.connections[0], local=(a.connections[0].local[0], shown))
    refused(world)
    assert b.failure.code == "cert-untrusted"
    assert b.failure.summary.startswith("round 2 of 2: ")


def test_a_wrong_second_round_of_the_responder() -> None:
    world = pair("CN:a1", "CN:b1 CN:b2", a={"remote": side("CN:b1 CN:b1", own=False)})
    a, b = refused(world)
    assert a.failure.code == "peer-identity-mismatch"
    assert a.failure.summary.startswith("round 2 of 2: ")
    assert b.failure.code == "peer-auth-failed"


@pytest.mark.parametrize(
    ("ours", "wanted"), [("psk:a", "psk:a CN:a1"), ("psk:a CN:a1", "psk:a"), ("psk:a CN:a1 CN:a2", "psk:a CN:a1")]
)
def test_another_number_of_rounds_than_wanted_is_refused_by_the_responder(ours: str, wanted: str) -> None:
    _, b = refused(pair(ours, "psk:b", b={"remote": side(wanted, own=False)}))
    assert b.failure.code == "auth-rounds"
    assert b.failure.mismatch == "the number of rounds"


@pytest.mark.parametrize(("theirs", "wanted"), [("psk:b", "psk:b CN:b1"), ("psk:b CN:b1", "psk:b")])
def test_another_number_of_rounds_than_wanted_is_refused_by_the_initiator(theirs: str, wanted: str) -> None:
    a, _ = refused(pair("psk:a", theirs, a={"remote": side(wanted, own=False)}))
    assert a.failure.code == "auth-rounds"


def test_a_missing_secret_of_ours_says_for_which_round() -> None:
    world = pair("CN:a1 psk:a", "CN:b1")
    a, _ = both(world)
    a.credentials.shared.clear()
    refused(world)
    assert a.failure.code == "no-shared-key"
    assert a.failure.summary.startswith("round 2 of 2: ")


# Which connection it is.


def test_the_second_round_may_decide_which_connection_it_is() -> None:
    """Both begin alike; only the second one goes on as the peer does."""
    world = pair("psk:a CN:a2", "psk:b")
    _, b = both(world)
    other = replace(b.connections[0], name="other", remote=(psk("a"), pubkey("a1", own=False)))
    b.connections.insert(0, other)
    _, b = up(world)
    assert b.of(IkeSaEstablished)[0].connection == "site"


def test_who_does_one_round_gets_the_connection_that_wants_one() -> None:
    world = pair("psk:a", "psk:b")
    _, b = both(world)
    b.connections.insert(0, replace(b.connections[0], name="other", remote=(psk("a"), pubkey("a1", own=False))))
    _, b = up(world)
    assert b.of(IkeSaEstablished)[0].connection == "site"


def test_a_peer_of_several_rounds_is_one_peer_to_unique() -> None:
    """It goes by its last identity: coming back replaces what was there, a second connection does not."""
    world = pair("psk:a CN:a1", "psk:b CN:b1", b={"unique": Unique.KEEP})
    a, b = up(world)
    assert "N(INITIAL_CONTACT)" in asked(a)[0]
    again = Peer(A, a.connections, store("a1", "a2"), 77)
    world.peers[A] = again
    world.initiate(again)
    world.run(1)
    assert [e.reason for e in b.of(IkeSaDeleted)] == ["initial-contact"]
    assert len(b.established()) == 1


# Hostile peers.


OLD = replace(Timing(), multiple_authentication=False)


def test_a_peer_that_does_not_announce_it_is_shown_one_round() -> None:
    world = pair("psk:a CN:a1", "psk:b", b={"remote": side("psk:a", own=False)}, timing_of_b=OLD)
    a, _ = up(world)
    assert len(asked(a)) == 1
    assert "MULTIPLE_AUTH_SUPPORTED" not in asked(a)[0]
    assert "ANOTHER_AUTH_FOLLOWS" not in asked(a)[0]


@pytest.mark.parametrize("old", ["a", "b"])
def test_two_rounds_are_not_had_of_a_peer_that_does_not_announce_them(old: str) -> None:
    timing = {"timing": OLD} if old == "a" else {"timing_of_b": OLD}
    a, _ = refused(pair("psk:a", "psk:b CN:b1", **timing))  # type: ignore[arg-type]
    assert a.failure.code == "auth-rounds"
    assert "RFC 4739" in a.failure.hint


def test_a_round_that_never_comes_ends_with_the_half_open_time() -> None:
    sent = 0

    def lose_the_second(data: bytes, _: object) -> bytes | None:
        nonlocal sent
        if data[18] == 35 and not data[19] & 0x20:
            sent += 1
            return data if sent == 1 else None
        return data

    world = pair("psk:a CN:a1", "psk:b", edit=lose_the_second)
    a, b = both(world)
    world.initiate(a)
    world.run(200)
    assert b.failure.code == "half-open-timeout"
    assert b.endpoint.ike_sas() == []


def test_rounds_beyond_those_announced_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An initiator announces none and sends one all the same: its next request has a place only for silence."""
    monkeypatch.setattr(rounds, "shown", _shown_without_saying_so)
    _, b = refused(pair("psk:a psk:aa", "psk:b psk:bb", b={"remote": side("psk:a", own=False)}))
    assert b.failure.code == "invalid-syntax"
    assert b.endpoint.ike_sas() == []


def _shown_without_saying_so(sa: IkeSa) -> list[Payload]:
    sa.in_setup.rounds.ours += 1
    return [] if sa.initiator else [NotifyPayload(NotifyType.ANOTHER_AUTH_FOLLOWS)]
