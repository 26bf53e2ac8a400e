"""Peers that prove nothing about themselves, where a connection lets them (RFC 7619)."""

from __future__ import annotations

import pytest
from support.certs import issue
from support.peers import A, B, Peer, World, assert_mirrored, assert_usable, both, ike, net, psk, psk_pair

from ike.config import AuthRound, Connection, Unique
from ike.credentials import CredentialStore
from ike.events import IkeSaDeleted, IkeSaEstablished, Path
from ike.wire.constants import IdType
from ike.wire.identity import Identity

NULL = (AuthRound(auth="null"),)
SERVER = Identity.parse("CN=server")


def anonymous_pair(**more: object) -> World:
    both_null = {"local": NULL, "remote": NULL, **more}
    return psk_pair(a=both_null, b=both_null)


def test_two_peers_that_prove_nothing_get_a_tunnel() -> None:
    world = anonymous_pair()
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    assert a.failures == b.failures == []
    assert_mirrored(a, b)
    assert_usable(a, b)
    for peer in (a, b):
        (up,) = peer.of(IkeSaEstablished)
        assert (up.local_id.id_type, up.remote_id.id_type) == (IdType.NULL, IdType.NULL)
        assert up.remote_auth == "null"


def test_a_client_without_identity_may_still_know_its_server() -> None:
    """The server shows a certificate, the client nothing."""
    root = issue("root", authority=True)
    holder = issue("server", root)
    known = AuthRound(auth="pubkey", id=SERVER, certs=(holder.certificate,))
    suite = ike("aes256gcm16-prfsha384-x25519")
    left = Connection(
        "site",
        proposals=suite,
        local=NULL,
        remote=(AuthRound(id=SERVER),),
        children=(net("10.1.0.0/24", "10.2.0.0/24"),),
    )
    right = Connection(
        "site", proposals=suite, local=(known,), remote=NULL, children=(net("10.2.0.0/24", "10.1.0.0/24"),)
    )
    trusting, serving = CredentialStore(), CredentialStore()
    trusting.add_authority(root.certificate)
    serving.add_private_key(holder.key)
    serving.add_certificate(holder.certificate)
    world = World(Peer(A, [left], trusting, 1), Peer(B, [right], serving, 2))
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    assert a.failures == b.failures == []
    assert_mirrored(a, b)
    assert a.of(IkeSaEstablished)[0].remote_auth.startswith("ECDSA")
    assert b.of(IkeSaEstablished)[0].remote_auth == "null"


@pytest.mark.parametrize("wanted", ["psk", "pubkey", "any"])
def test_who_wants_a_proof_does_not_take_none(wanted: str) -> None:
    world = psk_pair(a={"local": NULL}, b={"remote": (AuthRound(auth=wanted),)})
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    assert b.failure.code == "auth-method"
    assert b.failure.mismatch == f"remote.auth is {wanted}, the peer uses null"
    assert a.failure.code == "peer-auth-failed"
    assert a.installed == b.installed == {}


def test_a_responder_that_proves_nothing_is_refused_by_who_wants_a_proof() -> None:
    world = psk_pair(b={"local": NULL}, a={"remote": (AuthRound(auth="psk"),)})
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    assert a.failure.code == "auth-method"
    assert [e.reason for e in b.of(IkeSaDeleted)] == ["peer-auth-failed"]
    assert a.installed == b.installed == {}


def test_an_ike_sa_init_that_was_changed_on_its_way_is_found_out() -> None:
    """AUTH still covers IKE_SA_INIT: one of its notifies is renamed."""

    def edit(data: bytes, _: Path) -> bytes:
        if data[18] == 34 and not data[19] & 0x20:
            return data.replace((16431).to_bytes(2, "big"), (50_001).to_bytes(2, "big"))
        return data

    world = psk_pair(a={"local": NULL, "remote": NULL}, b={"local": NULL, "remote": NULL}, edit=edit)
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    assert b.failure.code == "auth-null-mismatch"
    assert a.installed == b.installed == {}


def test_a_stranger_cannot_end_another_strangers_tunnel() -> None:
    """All of them are nobody: neither INITIAL_CONTACT nor unique may take them for one and the same."""
    world = anonymous_pair(unique=Unique.REPLACE)
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    assert not any("INITIAL_CONTACT" in line for line in a.lines)
    world.peers[A] = other = Peer(A, a.connections, psk(), 77)
    world.initiate(other)
    world.run(1)
    assert len(b.established()) == 2
    assert b.of(IkeSaDeleted) == []
