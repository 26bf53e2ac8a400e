"""Two endpoints prove themselves with certificates, or fail to with the right record."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache

import pytest
from support.certs import Holder, issue
from support.peers import A, B, Peer, World, assert_mirrored, both, ike, net

from ike.config import AuthRound, Connection, SendCert
from ike.credentials import CredentialStore
from ike.events import IkeSaDeleted, IkeSaEstablished
from ike.timing import Timing
from ike.wire.identity import Identity


@cache
def root() -> Holder:
    return issue("root", authority=True)


def store(own: Holder, anchors: Iterable[Holder], others: Iterable[Holder] = ()) -> CredentialStore:
    made = CredentialStore()
    made.add_private_key(own.key)
    made.add_certificate(own.certificate)
    for other in others:
        made.add_certificate(other.certificate)
    for anchor in anchors:
        made.add_authority(anchor.certificate)
    return made


def site(own: Holder, local: str, remote: str, left: str, right: str, **more: object) -> Connection:
    made = Connection(
        name="site",
        proposals=ike("aes256-sha384-modp3072"),
        local=(AuthRound(auth="pubkey", id=Identity.parse(local), certs=(own.certificate,)),),
        remote=(AuthRound(auth="pubkey", id=Identity.parse(remote)),),
        children=(net(left, right),),
        where={"": "site.conf:1", "remote.auth": "site.conf:8", "remote.id": "site.conf:9"},
    )
    return replace(made, **more)  # type: ignore[arg-type]


def pair(
    a: Holder,
    b: Holder,
    *,
    anchors: Iterable[Holder] = (),
    others_a: Iterable[Holder] = (),
    timing: Timing | None = None,
    **more: object,
) -> World:
    anchors = list(anchors) or [root()]
    left = site(a, "CN=site-a", "CN=site-b", "10.10.0.0/24", "10.20.0.0/24", **more)
    right = site(b, "CN=site-b", "CN=site-a", "10.20.0.0/24", "10.10.0.0/24", **more)
    return World(
        Peer(A, [left], store(a, anchors, others_a), 1, timing), Peer(B, [right], store(b, anchors), 2, timing)
    )


@pytest.mark.parametrize("kind", ["rsa2048", "p256", "p384", "p521", "ed25519"])
def test_connect_with_certificates(kind: str) -> None:
    world = pair(issue("site-a", root(), kind=kind), issue("site-b", root(), kind=kind))
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    assert a.failures == b.failures == []
    assert_mirrored(a, b)
    assert len(a.installed) == 1
    request, response = (next(line for line in a.lines if f"{v} IKE_AUTH" in line) for v in ("sent", "received"))
    assert "IDi CERT N(INITIAL_CONTACT) CERTREQ IDr AUTH" in request
    assert "IDr CERT AUTH" in response


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("rsa/pss-sha256", "RSA/PSS"), ("rsa-sha256", "RSA"), ("", "RSA"), ("rsa/pss-sha384", "RSA/PSS")],
)
def test_a_responder_signs_with_the_padding_that_it_was_sent(ours: str, theirs: str) -> None:
    world = pair(issue("site-a", root(), kind="rsa2048"), issue("site-b", root(), kind="rsa2048"))
    a, b = both(world)
    (local,) = a.connections[0].local
    a.connections[0] = replace(a.connections[0], local=(replace(local, auth_detail=ours),))
    world.initiate(a)
    world.run(1)
    assert a.failures == b.failures == []
    (up_a,), (up_b,) = a.of(IkeSaEstablished), b.of(IkeSaEstablished)
    assert up_b.remote_auth.split(" with ")[0] == theirs
    assert up_a.remote_auth.split(" with ")[0] == theirs


def test_a_chain_is_sent_and_travels_in_fragments() -> None:
    middle = issue("middle", root(), authority=True, kind="rsa2048")
    low = issue("low", middle, authority=True, kind="rsa2048")
    world = pair(issue("site-a", low, kind="rsa2048"), issue("site-b", root()), others_a=[low, middle])
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    assert a.failures == b.failures == []
    assert_mirrored(a, b)
    assert max(len(data) for _, data, _ in world.wire.log) <= 1280 - 28
    assert len([1 for _, data, _ in world.wire.log if data[16] == 53]) >= 2


@pytest.mark.parametrize("seed", range(20))
def test_fragments_arrive_over_a_wire_that_loses_doubles_and_reorders(seed: int) -> None:
    middle = issue("middle", root(), authority=True)
    low = issue("low", middle, authority=True)
    timing = Timing(1.0, 1.1, 40, half_open_timeout=300.0, fragment_size=576)
    world = pair(issue("site-a", low), issue("site-b", root()), others_a=[low, middle], timing=timing)
    world.wire.random.seed(seed)
    world.wire.loss, world.wire.double, world.wire.delay = 0.2, 0.3, (0.0, 1.5)
    a, b = both(world)
    world.initiate(a)
    world.run(300)
    assert a.failures == b.failures == []
    assert_mirrored(a, b)


def test_an_untrusted_responder_is_refused_and_told() -> None:
    stranger = issue("other root", authority=True)
    b = issue("site-b", stranger)
    world = pair(issue("site-a", root()), b)
    a, other = both(world)
    world.initiate(a)
    world.run(1)
    assert a.failure.code == "cert-untrusted"
    assert a.failure.role == "initiator"
    assert "site.conf:" in a.failure.change
    assert other.failure.code == "peer-auth-failed"
    assert [e.reason for e in a.of(IkeSaDeleted)] == ["cert-untrusted"]
    assert [e.reason for e in other.of(IkeSaDeleted)] == ["peer-auth-failed"]
    assert a.of(IkeSaEstablished) == []
    assert a.installed == other.installed == {}


def test_an_untrusted_initiator_is_refused() -> None:
    stranger = issue("other root", authority=True)
    world = pair(issue("site-a", stranger), issue("site-b", root()))
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    assert b.failure.code == "cert-untrusted"
    assert b.failure.role == "responder"
    assert b.failure.connection == "site"
    assert b.failure.remote_id == "CN=site-a"
    assert a.failure.code == "peer-auth-failed"
    assert "local.certs" in a.failure.hint


def test_an_expired_certificate_is_named_as_such() -> None:
    world = pair(issue("site-a", root(), days=30), issue("site-b", root()))
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    assert b.failure.code == "cert-expired"
    assert a.failure.code == "peer-auth-failed"
    world = pair(issue("site-a", root()), issue("site-b", root(), days=30))
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    assert a.failure.code == "cert-expired"


def test_a_certificate_for_another_name_is_refused() -> None:
    world = pair(issue("somebody", root()), issue("site-b", root()))
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    assert b.failure.code == "cert-identity"
    assert b.failure.change == "site.conf:9: remote.id"


def test_no_certificate_is_sent_where_none_may_be() -> None:
    world = pair(issue("site-a", root()), issue("site-b", root()), send_cert=SendCert.NEVER)
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    assert b.failure.code == "cert-missing"
    assert "CERT " not in next(line for line in a.lines if "sent IKE_AUTH" in line)


def test_certificates_known_beforehand_need_not_be_sent() -> None:
    a_cert, b_cert = issue("site-a", root()), issue("site-b", root())
    world = pair(a_cert, b_cert, send_cert=SendCert.NEVER)
    a, b = both(world)
    a.credentials.add_certificate(b_cert.certificate)
    b.credentials.add_certificate(a_cert.certificate)
    world.initiate(a)
    world.run(1)
    assert a.failures == b.failures == []
    assert_mirrored(a, b)


def test_a_missing_private_key_is_our_own_failure() -> None:
    a_cert = issue("site-a", root())
    world = pair(a_cert, issue("site-b", root()))
    a, _b = both(world)
    a.credentials._keys.clear()
    world.initiate(a)
    world.run(1)
    assert a.failure.code == "no-private-key"
    assert a.endpoint.ike_sas() == []
