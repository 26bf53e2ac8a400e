"""Raw public keys (RFC 7670): shown or not, on either side or on one, and none but those that are configured."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.certs import Holder, issue
from support.peers import A, B, Peer, World, assert_mirrored, assert_usable, both, connection, net

from ike.config import AuthRound, SendCert
from ike.credentials import CredentialStore, public_key_bytes
from ike.events import IkeSaEstablished
from ike.wire.identity import Identity

ROOT = issue("root", authority=True)
KINDS = ("p256", "p384", "rsa", "ed25519")


def section(name: str, *keys: Holder) -> AuthRound:
    return AuthRound(id=Identity.parse(name), pubkeys=tuple(public_key_bytes(key.certificate) for key in keys))


def store(*own: Holder) -> CredentialStore:
    made = CredentialStore()
    made.add_authority(ROOT.certificate)
    for holder in own:
        made.add_private_key(holder.key)
    return made


def pair(
    a: Holder, b: Holder, *, known_a: Holder | None = None, send_a: SendCert = SendCert.IF_ASKED, ask_b: bool = True
) -> World:
    """Each side has its key, and knows the other's; ``known_a``: what the responder takes the initiator's for."""
    left = connection("a", "b", net("10.1.0.0/24", "10.2.0.0/24"), local=(section("a", a),), remote=(section("b", b),))
    right = connection(
        "b", "a", net("10.2.0.0/24", "10.1.0.0/24"), local=(section("b", b),), remote=(section("a", known_a or a),)
    )
    left, right = replace(left, send_cert=send_a), replace(right, send_certreq=ask_b)
    return World(Peer(A, [left], store(a), 1), Peer(B, [right], store(b), 2))


def up(world: World) -> tuple[Peer, Peer]:
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    assert a.failures == b.failures == []
    assert_mirrored(a, b)
    assert_usable(a, b)
    return a, b


def asked(peer: Peer) -> str:
    return next(line for line in peer.lines if line.startswith("sent IKE_AUTH request"))


@pytest.mark.parametrize("kind", KINDS)
def test_both_show_keys_of_any_kind_where_they_are_asked(kind: str) -> None:
    a, b = up(pair(issue("a", kind=kind), issue("b", kind=kind)))
    assert "CERT " in asked(a)
    assert "CERTREQ" in next(line for line in b.lines if line.startswith("sent IKE_SA_INIT"))
    assert b.of(IkeSaEstablished)[0].remote_auth


@pytest.mark.parametrize(("send", "ask"), [(SendCert.NEVER, True), (SendCert.IF_ASKED, False)])
def test_a_key_that_is_not_shown_is_tried_since_it_is_known(send: SendCert, ask: bool) -> None:
    a, _ = up(pair(issue("a"), issue("b"), send_a=send, ask_b=ask))
    assert "CERT " not in asked(a)


def test_several_keys_may_be_configured_and_the_peers_own_is_among_them() -> None:
    holder, other, spare = issue("a"), issue("b"), issue("spare")
    world = pair(holder, other, send_a=SendCert.NEVER)
    _, b = both(world)
    b.connections[0] = replace(b.connections[0], remote=(section("a", spare, holder),))
    up(world)


def refused(world: World) -> tuple[Peer, Peer]:
    a, b = both(world)
    world.initiate(a)
    world.run(20)
    assert a.installed == b.installed == {}
    return a, b


def test_another_key_than_the_configured_one_is_refused() -> None:
    a, b = refused(pair(issue("a"), issue("b"), known_a=issue("a")))
    assert b.failure.code == "key-untrusted"
    assert a.failure.code == "peer-auth-failed"


def test_a_signature_of_another_key_than_the_configured_one_is_refused() -> None:
    _, b = refused(pair(issue("a"), issue("b"), known_a=issue("a"), send_a=SendCert.NEVER))
    assert b.failure.code == "signature-invalid"


def test_where_keys_are_named_a_certificate_of_a_trusted_authority_is_not_enough() -> None:
    certified = issue("a", ROOT)
    world = pair(issue("a"), issue("b"))
    a, b = both(world)
    a.credentials.add_private_key(certified.key)
    shown = AuthRound(id=Identity.parse("CN=a"), certs=(certified.certificate,))
    a.connections[0] = replace(a.connections[0], local=(shown,), send_cert=SendCert.ALWAYS)
    wanted = replace(b.connections[0].remote[0], id=Identity.parse("CN=a"))
    b.connections[0] = replace(b.connections[0], remote=(wanted,))
    refused(world)
    assert b.failure.code == "key-untrusted"


def test_a_certificate_of_the_configured_key_shows_that_key() -> None:
    certified = issue("a", ROOT)
    world = pair(certified, issue("b"))
    a, b = both(world)
    shown = AuthRound(id=Identity.parse("CN=a"), certs=(certified.certificate,))
    a.connections[0] = replace(a.connections[0], local=(shown,), send_cert=SendCert.ALWAYS)
    wanted = replace(b.connections[0].remote[0], id=Identity.parse("CN=a"))
    b.connections[0] = replace(b.connections[0], remote=(wanted,))
    up(world)


def test_a_missing_private_key_is_named() -> None:
    world = pair(issue("a"), issue("b"))
    a, _ = both(world)
    a.credentials = a.endpoint._core.credentials = CredentialStore()
    refused(world)
    assert a.failure.code == "no-private-key"
    assert "raw public key" in a.failure.summary
