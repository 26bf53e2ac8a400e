"""Certificates by reference, between two endpoints: sent, followed, and everything that a peer can get wrong."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from support.certificates import Issued, issue
from support.peers import A, B, Peer, World, assert_mirrored, both, ike, net

from ike.config import AuthRound, Connection
from ike.credentials import CredentialStore
from ike.crypto.revocation import Publication
from ike.events import LookupSource, LookupWanted
from ike.sa import hash_and_url
from ike.timing import Timing
from ike.wire.constants import CertEncoding
from ike.wire.identity import Identity
from ike.wire.payloads import CertPayload

BASE = "http://ca.example/certs/"
FOLLOWS = Timing(hash_and_url=True)
ROOT = issue("CN=root", ca=True)
MIDDLE = ROOT.issue("CN=middle", ca=True)
OWN = {A: MIDDLE.issue("CN=site-a"), B: ROOT.issue("CN=site-b")}
NAMES = {A: "site-a", B: "site-b"}
NETS = {A: "10.10.0.0/24", B: "10.20.0.0/24"}


def peer(here, there, timing: Timing) -> Peer:  # type: ignore[no-untyped-def]
    own = OWN[here]
    connection = Connection(
        name="site",
        proposals=ike("aes256gcm16-prfsha384-x25519"),
        local=(AuthRound(auth="pubkey", id=Identity.parse(f"CN={NAMES[here]}"), certs=(own.certificate,)),),
        remote=(AuthRound(auth="pubkey", id=Identity.parse(f"CN={NAMES[there]}")),),
        children=(net(NETS[here], NETS[there]),),
    )
    store = CredentialStore(anchors=[ROOT.certificate])
    store.add_private_key(own.key)
    for held in (own, MIDDLE):
        store.add_certificate(held.certificate)
    store.published += [Publication(ca.certificate, cert_uri_base=BASE) for ca in (ROOT, MIDDLE)]
    return Peer(here, [connection], store, 1 if here is A else 2, timing)


def world(a: Timing = FOLLOWS, b: Timing = FOLLOWS) -> World:
    return World(peer(A, B, a), peer(B, A, b))


def der(issued: Issued) -> bytes:
    return issued.certificate.public_bytes(Encoding.DER)


def url(issued: Issued) -> str:
    return BASE + hashlib.sha1(der(issued), usedforsecurity=False).hexdigest()


def serve(made: World, *, seconds: float = 1.0) -> None:
    """Run, and answer what is wanted from a server that has all certificates."""
    pages = {url(issued): der(issued) for issued in (*OWN.values(), MIDDLE)}
    for _ in range(3):
        made.run(seconds)
        for side in both(made):
            for wanted in side.of(LookupWanted):
                side.endpoint.looked_up(wanted.lookup_id, pages.get(wanted.uri), made.now, "HTTP status 404")


def test_both_send_references_and_follow_them() -> None:
    made = world()
    a, b = both(made)
    made.initiate(a)
    serve(made)
    assert a.failures == b.failures == []
    assert_mirrored(a, b)
    assert len(a.installed) == 1
    assert [wanted.uri for wanted in b.of(LookupWanted)] == [url(OWN[A]), url(MIDDLE)]
    assert [wanted.uri for wanted in a.of(LookupWanted)] == [url(OWN[B])]
    assert {wanted.source for wanted in b.of(LookupWanted)} == {LookupSource.PEER}
    assert any("HTTP_CERT_LOOKUP_SUPPORTED" in line for line in a.lines if "sent IKE_AUTH" in line)
    assert any("HTTP_CERT_LOOKUP_SUPPORTED" in line for line in b.lines if "sent IKE_SA_INIT" in line)


def test_what_was_fetched_once_is_not_fetched_again() -> None:
    made = world()
    a, b = both(made)
    made.initiate(a)
    serve(made)
    a.connections.append(replace(a.connections[0], name="again"))
    made.initiate(a, "again")
    made.run(1)
    assert len(b.installed) == 2
    assert len(b.of(LookupWanted)) == 2


@pytest.mark.parametrize("follower", ["a", "b", "nobody"])
def test_a_reference_goes_only_to_a_peer_that_says_that_it_follows(follower: str) -> None:
    made = world(FOLLOWS if follower == "a" else Timing(), FOLLOWS if follower == "b" else Timing())
    a, b = both(made)
    made.initiate(a)
    serve(made)
    assert a.failures == b.failures == []
    assert len(a.installed) == 1
    asked = {"a": len(a.of(LookupWanted)), "b": len(b.of(LookupWanted))}
    assert asked == {"a": int(follower == "a"), "b": 2 * int(follower == "b")}


def test_without_a_base_the_certificate_is_sent_whole() -> None:
    made = world()
    a, b = both(made)
    a.credentials.published.clear()
    b.credentials.published.clear()
    made.initiate(a)
    made.run(1)
    assert len(a.installed) == 1
    assert a.of(LookupWanted) == b.of(LookupWanted) == []


@pytest.mark.parametrize("found", [None, b"", b"another one", der(OWN[B])])
def test_what_is_not_there_or_has_another_hash_is_refused(found: bytes | None) -> None:
    made = world()
    a, b = both(made)
    made.initiate(a)
    made.run(1)
    for wanted in b.of(LookupWanted):
        b.endpoint.looked_up(wanted.lookup_id, found, made.now, "HTTP status 404")
    made.run(1)
    assert b.failure.code == "cert-url-unfetched"
    assert url(OWN[A]) in b.failure.summary
    assert ("HTTP status 404" if found is None else "not the hash") in b.failure.summary
    assert a.failure.code == "peer-auth-failed"
    assert a.installed == b.installed == {}


def test_a_server_that_never_answers_ends_the_attempt_in_time() -> None:
    made = world()
    a, b = both(made)
    made.initiate(a)
    made.run(FOLLOWS.lookup_timeout + 1)
    assert b.failure.code == "cert-url-unfetched"
    assert "no answer in time" in b.failure.summary
    assert b.endpoint.half_open == 0


def send(monkeypatch: pytest.MonkeyPatch, *payloads: CertPayload) -> None:
    """What the initiator sends in place of its certificates."""
    original = hash_and_url.outgoing

    def outgoing(sa, chain):  # type: ignore[no-untyped-def]
        return list(payloads) if sa.initiator else original(sa, chain)

    monkeypatch.setattr(hash_and_url, "outgoing", outgoing)


def reference(target: bytes, digest: bytes = bytes(20), encoding: int = CertEncoding.HASH_AND_URL_X509) -> CertPayload:
    return CertPayload(encoding, digest + target)


@pytest.mark.parametrize(
    "target",
    [
        b"",
        b"http://",
        b"https://ca.example/x",
        b"file:///etc/passwd",
        b"http://ca.example/\r\nX: y",
        b"http://ca.example/" + b"a" * 600,
        "http://ca.example/\u00e9".encode(),
    ],
)
def test_a_reference_to_elsewhere_or_nowhere_is_refused_unfetched(
    target: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(monkeypatch, reference(target))
    made = world()
    a, b = both(made)
    made.initiate(a)
    made.run(1)
    assert b.failure.code == "cert-url-malformed"
    assert b.of(LookupWanted) == []


def test_a_reference_shorter_than_a_hash_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    send(monkeypatch, CertPayload(CertEncoding.HASH_AND_URL_X509, b"short"))
    made = world()
    a, b = both(made)
    made.initiate(a)
    made.run(1)
    assert b.failure.code == "cert-url-malformed"


def test_no_peer_has_us_fetch_many_things(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [reference(b"http://ca.example/%d" % number, bytes((number,)) * 20) for number in range(30)]
    send(monkeypatch, *many)
    made = world()
    a, b = both(made)
    made.initiate(a)
    made.run(1)
    assert len(b.of(LookupWanted)) == hash_and_url.MAX_REFERENCES


def test_a_bundle_brings_the_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = b"".join(b"\xa0\x82" + len(der(one)).to_bytes(2, "big") + der(one) for one in (OWN[A], MIDDLE))
    bundle = b"\x30\x82" + len(parts).to_bytes(2, "big") + parts
    digest = hashlib.sha1(bundle, usedforsecurity=False).digest()
    send(monkeypatch, reference(b"http://ca.example/bundle", digest, CertEncoding.HASH_AND_URL_BUNDLE))
    made = world()
    a, b = both(made)
    made.initiate(a)
    made.run(1)
    (wanted,) = b.of(LookupWanted)
    b.endpoint.looked_up(wanted.lookup_id, bundle, made.now)
    serve(made)
    assert a.failures == b.failures == []
    assert_mirrored(a, b)
    assert len(a.installed) == 1
