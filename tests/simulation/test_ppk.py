"""Post-quantum preshared keys (RFC 8784): required or not, there or not, the same or not, on either side."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.certs import issue
from support.peers import (
    IKE,
    A,
    B,
    Peer,
    Wire,
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

from ike.auth.ppk import find, named, pull_ppk_id, push_ppk_id, score
from ike.config import AuthRound
from ike.credentials import CredentialStore, SharedKey
from ike.crypto.secret import Secret
from ike.events import IkeSaRekeyed
from ike.timing import Timing
from ike.wire.identity import Identity
from ike.wire.payloads import NotifyPayload

NAME = "hub@example.org"
PPK = bytes(range(32))
OTHER = bytes(range(1, 33))
SAID = "[ IDi IDr AUTH"


def settings(name: str = "", *, required: bool = False) -> dict:
    return {"ppk_id": Identity.parse(name) if name else None, "ppk_required": required}


def pair(
    a: dict,
    b: dict,
    *,
    ours: dict[str, bytes] | None = None,
    theirs: dict[str, bytes] | None = None,
    seed: int = 1,
    timing: Timing | None = None,
    **wire: object,
) -> World:
    """Two sites; ``ours`` and ``theirs`` are their PPKs by PPK_ID, one and the same unless said otherwise."""
    world = psk_pair(seed, a=a, b=b, timing=timing, **wire)
    for peer, keys in zip(both(world), (ours, theirs), strict=True):
        for number, (name, secret) in enumerate((keys if keys is not None else {NAME: PPK}).items()):
            peer.credentials.add_ppk(secret, (Identity.parse(name),) if name else (), f"site.conf:{40 + number}")
    return world


def up(world: World, *, used: bool, seconds: float = 1.0) -> tuple[Peer, Peer]:
    """The tunnel is up, with a PPK or without one; more than its keys tells."""
    a, b = both(world)
    world.initiate(a)
    world.run(seconds)
    assert a.failures == b.failures == []
    assert_mirrored(a, b)
    assert_usable(a, b)
    assert [[info.ppk for info in peer.endpoint.ike_sas()] for peer in (a, b)] == [[used], [used]]
    return a, b


def refused(world: World) -> tuple[Peer, Peer]:
    a, b = both(world)
    world.initiate(a)
    world.run(100)
    assert a.installed == b.installed == {}
    assert a.established() == b.established() == []
    return a, b


def line(peer: Peer, start: str) -> str:
    return next(said for said in peer.lines if said.startswith(start))


# Names.


def test_a_name_travels_without_its_type() -> None:
    for text in (NAME, "hub.example.org", "10.0.0.1", "keyid:#0001ff", "CN=hub"):
        identity = Identity.parse(text)
        name = pull_ppk_id(push_ppk_id(identity))
        assert name is not None
        assert score(name, identity) == 20


@pytest.mark.parametrize("data", [b"", b"\x02", b"\x01opaque", b"\x00x", b"\xffx"])
def test_what_names_no_fixed_key_is_not_understood(data: bytes) -> None:
    assert pull_ppk_id(data) is None


def test_of_several_keys_the_best_match_is_it() -> None:
    keys = [
        SharedKey(Secret(name.encode()), (Identity.parse(name),) if name else ())
        for name in ("", "*@example.org", NAME, "other@example.org")
    ]
    for name, expected in ((NAME, NAME), ("x@example.org", "*@example.org"), ("elsewhere", "")):
        found = find(keys, name.encode())
        assert found is not None
        assert bytes(found.secret) == expected.encode()
    assert find(keys[2:], b"nobody") is None


def test_a_name_that_is_no_text_is_shown_as_bytes() -> None:
    assert str(named(b"\x00\xff")) == "00:ff"
    assert str(named(b"a\nb")) == "61:0a:62"


# Whether it is used.


@pytest.mark.parametrize("ours", [False, True])
@pytest.mark.parametrize("theirs", [False, True])
def test_a_key_that_both_have_is_used_whether_required_or_not(ours: bool, theirs: bool) -> None:
    a, b = up(pair(settings(NAME, required=ours), settings(NAME, required=theirs)), used=True)
    assert "N(USE_PPK)" in line(a, "sent IKE_SA_INIT request")
    assert "N(USE_PPK)" in line(b, "sent IKE_SA_INIT response")
    asked = line(a, "sent IKE_AUTH request")
    assert "N(PPK_IDENTITY)" in asked
    assert ("N(NO_PPK_AUTH)" in asked) is not ours
    assert "N(PPK_IDENTITY)" in line(b, "sent IKE_AUTH response")


def test_it_changes_the_keys_of_the_child() -> None:
    """Two runs from one seed, alike but for the PPK: everything else that goes into the keys is the same."""
    keys = []
    for secret in (PPK, OTHER, PPK):
        a, _ = up(pair(settings(NAME), settings(NAME), ours={NAME: secret}, theirs={NAME: secret}), used=True)
        (child,) = a.installed.values()
        keys.append(bytes(child.outbound.encryption_key))
    assert keys[0] == keys[2] != keys[1]


@pytest.mark.parametrize("name", ["*@example.org", "", NAME])
def test_a_responder_may_allow_several(name: str) -> None:
    keys = {NAME: PPK, "other@example.org": OTHER}
    up(pair(settings(NAME, required=True), settings(name, required=True), theirs=keys), used=True)


def test_a_secret_without_id_is_for_every_name() -> None:
    up(pair(settings(NAME), settings(), ours={"": PPK}, theirs={"": PPK}), used=True)


@pytest.mark.parametrize(
    ("a", "b", "ours", "theirs"),
    [
        (settings(), settings(), None, None),
        (settings(), settings(NAME), None, None),
        (settings(NAME), settings(NAME), {}, None),
        (settings(NAME), settings(), None, {}),
        (settings(NAME), settings(), None, {"other": OTHER}),
        (settings("*@example.org"), settings(NAME), None, None),
    ],
    ids=[
        "nobody",
        "initiator-names-none",
        "initiator-lacks-it",
        "responder-has-none",
        "responder-has-others",
        "pattern",
    ],
)
def test_without_it_where_neither_requires_it(a: dict, b: dict, ours: dict | None, theirs: dict | None) -> None:
    up(pair(a, b, ours=ours, theirs=theirs), used=False)


@pytest.mark.parametrize("proposal", [IKE, f"{IKE}-ke1_mlkem768"])
def test_it_goes_into_rekeyed_sas_and_beside_further_key_exchanges(proposal: str) -> None:
    more = {"proposals": ike(proposal)}
    world = pair({**settings(NAME, required=True), **more}, {**settings(NAME, required=True), **more})
    a, b = up(world, used=True)
    b.endpoint.rekey_ike(b.established()[0], world.now)
    world.run(1)
    a.endpoint.rekey_child(next(iter(a.installed)), world.now)
    world.run(1)
    assert len(a.of(IkeSaRekeyed)) == 1
    assert a.failures == b.failures == []
    assert_mirrored(a, b)
    assert_usable(a, b)
    assert [info.ppk for peer in (a, b) for info in peer.endpoint.ike_sas()] == [True, True]


@pytest.mark.parametrize("seed", seeds(8))
def test_over_a_wire_that_loses_doubles_and_reorders(seed: int) -> None:
    timing = Timing(retransmit_timeout=1.0, retransmit_base=1.1, retransmit_tries=40, half_open_timeout=300.0)
    with replayable(seed):
        world = pair(settings(NAME), settings(NAME), seed=seed, timing=timing, loss=0.3, double=0.4, delay=(0.0, 3.0))
        up(world, used=True, seconds=280)


def certificates() -> World:
    """Both show a certificate in a first round and a shared key in a second one."""
    root = issue("root", authority=True)
    sides = []
    for name, other, child in (
        ("a", "b", net("10.1.0.0/24", "10.2.0.0/24")),
        ("b", "a", net("10.2.0.0/24", "10.1.0.0/24")),
    ):
        holder, store = issue(name, root), CredentialStore()
        store.add_authority(root.certificate)
        store.add_private_key(holder.key)
        store.add_certificate(holder.certificate)
        store.add_shared_key(b"a secret of two sites")
        store.add_ppk(PPK, (Identity.parse(NAME),))
        local = (AuthRound(id=Identity.parse(f"CN={name}")), AuthRound(auth="psk", id=Identity.parse(name)))
        remote = (AuthRound(id=Identity.parse(f"CN={other}")), AuthRound(auth="psk", id=Identity.parse(other)))
        sides.append((connection("x", "x", child, local=local, remote=remote, **settings(NAME)), store))
    (left, ours), (right, theirs) = sides
    return World(Peer(A, [left], ours, 1), Peer(B, [right], theirs, 2), wire=Wire())


def test_it_goes_into_the_first_of_several_rounds_whatever_that_is() -> None:
    a, _ = up(certificates(), used=True)
    asked = [said for said in a.lines if said.startswith("sent IKE_AUTH request")]
    assert ["N(PPK_IDENTITY)" in said for said in asked] == [True, False]


# What does not fit: one record, with the next step.


def test_an_initiator_without_the_key_that_it_requires_does_not_begin() -> None:
    a, b = refused(pair(settings(NAME, required=True), settings(NAME), ours={}))
    assert a.failure.code == "no-ppk"
    assert a.failure.hint == f"add a secrets.ppk section with id = {NAME}"
    assert b.lines == []


def test_an_initiator_gives_a_responder_up_that_has_none() -> None:
    a, b = refused(pair(settings(NAME, required=True), settings(), theirs={}))
    assert a.failure.code == "ppk-unsupported"
    assert a.failure.hint == "give the peer the PPK, or set ppk_required = no"
    assert b.failure.code == "half-open-timeout"


@pytest.mark.parametrize("ours", [settings(), settings("other")])
def test_a_responder_that_requires_one_refuses_who_uses_none(ours: dict) -> None:
    a, b = refused(pair(ours, settings(NAME, required=True), ours={}))
    assert b.failure.code == "ppk-unsupported"
    assert b.failure.remote_id == "site-a"
    assert a.failure.code == "peer-auth-failed"


@pytest.mark.parametrize("required", [False, True])
def test_another_name_than_the_configured_one_is_refused(required: bool) -> None:
    keys = {NAME: PPK, "other": OTHER}
    _, b = refused(pair(settings("other"), settings(NAME, required=required), ours=keys, theirs=keys))
    assert b.failure.code == "ppk-id-mismatch"
    assert (b.failure.offered, b.failure.allowed) == (("other",), (NAME,))


def test_a_responder_without_that_key_refuses_where_either_side_requires_it() -> None:
    for ours, theirs in ((True, False), (False, True)):
        a, b = refused(
            pair(settings(NAME, required=ours), settings(required=theirs), theirs={"other@example.org": OTHER})
        )
        assert b.failure.code == "no-ppk"
        assert b.failure.hint == f"add a secrets.ppk section with id = {NAME}"
        assert a.failure.code == "peer-auth-failed"
        assert NAME in a.failure.hint


def test_keys_that_differ_are_told_from_everything_else_that_may_differ() -> None:
    a, b = refused(pair(settings(NAME), settings(NAME), theirs={NAME: OTHER}))
    assert b.failure.code == "ppk-mismatch"
    assert b.failure.change == "site.conf:40: secret"
    assert a.failure.code == "peer-auth-failed"
    assert "post-quantum" in a.failure.hint


def test_keys_that_differ_may_be_meant_where_no_other_proof_is_there() -> None:
    _, b = refused(pair(settings(NAME, required=True), settings(NAME), theirs={NAME: OTHER}))
    assert b.failure.code == "auth-psk-mismatch"
    assert f"or its PPK {NAME} is another one" in b.failure.summary


def test_a_wrong_shared_key_is_not_blamed_on_the_ppk() -> None:
    world = pair(settings(NAME), settings(NAME))
    _, b = both(world)
    b.credentials.shared[:] = psk(b"another").shared
    refused(world)
    assert b.failure.code == "auth-psk-mismatch"


def test_signatures_with_another_ppk_are_told_too() -> None:
    world = certificates()
    _, b = both(world)
    b.credentials.post_quantum[:] = [SharedKey(Secret(OTHER), (Identity.parse(NAME),), "site.conf:40")]
    refused(world)
    assert b.failure.code == "ppk-mismatch"
    assert b.failure.summary.startswith("round 1 of 2: ")


def test_a_responder_that_leaves_it_out_where_it_must_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers as if it had used none, to an initiator that sent no proof without."""
    monkeypatch.setattr("ike.sa.ppk.accept", lambda _: [])
    a, _ = refused(pair(settings(NAME, required=True), settings(NAME)))
    assert a.failure.code == "ppk-unused"


@pytest.mark.parametrize(
    "data", [b"", b"\x01opaque", b"\x02", b"\x02" + bytes(9000), b"\x02%any", b"\x02*@example.org"]
)
@pytest.mark.parametrize("required", [False, True])
def test_a_strange_name_finds_no_key(monkeypatch: pytest.MonkeyPatch, data: bytes, required: bool) -> None:
    """It is as if there were no such key: the other proof counts, unless a PPK is required."""
    monkeypatch.setattr("ike.sa.ppk.push_ppk_id", lambda _: data)
    world = pair(settings(NAME), settings(required=required))
    if not required:
        up(world, used=False)
        return
    _, b = refused(world)
    assert b.failure.code == "no-ppk"
    assert len(b.failure.summary) < 1000
    assert b.failure.summary.isprintable()


@pytest.mark.parametrize("data", [b"", bytes(48), bytes(47), bytes(9000)])
@pytest.mark.parametrize("rounds", [False, True], ids=["shared-key", "signature"])
def test_a_forged_proof_without_the_key_is_refused(monkeypatch: pytest.MonkeyPatch, data: bytes, rounds: bool) -> None:
    monkeypatch.setattr("ike.sa.ike_auth.NotifyPayload", lambda notify, _: NotifyPayload(notify, data))
    world = certificates() if rounds else pair(settings(NAME), settings())
    _, b = both(world)
    b.credentials.post_quantum[:] = [SharedKey(Secret(OTHER), (Identity.parse("other"),))]
    b.connections[0] = replace(b.connections[0], ppk_id=None)
    refused(world)
    assert b.failure.code in (("signature-invalid", "signature-not-allowed") if rounds else ("auth-psk-mismatch",))


def test_secrets_are_never_shown() -> None:
    world = pair(settings(NAME), settings(NAME), theirs={NAME: OTHER})
    a, b = refused(world)
    for peer in (a, b):
        told = repr(peer.events) + "".join(peer.lines) + repr(peer.credentials)
        for secret in (PPK, OTHER):
            assert secret.hex() not in told
            assert repr(secret)[2:-1] not in told
