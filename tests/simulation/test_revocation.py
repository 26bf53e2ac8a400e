"""Two endpoints prove themselves with certificates whose CA publishes what it revoked; look-ups take their time."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from support.certificates import Issued, issue
from support.peers import NOW, A, B, Peer, World, assert_mirrored, both, ike, net, replayable, seeds
from support.responders import DAY, Page, crl_at, found_at, ocsp_answer, ocsp_at

from ike.config import AuthRound, Connection
from ike.credentials import CredentialStore
from ike.crypto.revocation import Publication
from ike.events import LookupSource, LookupWanted
from ike.sa.tickets import witness
from ike.timing import Timing
from ike.wire.identity import Identity

CRL, OCSP = "http://ca.example/root.crl", "http://ca.example/ocsp"
QUICK = Timing(lookup_timeout=6.0, lookup_retry=20.0)


@cache
def root() -> Issued:
    return issue("CN=root", ca=True)


def site(name: str, *extensions: object, issuer: Issued | None = None) -> Issued:
    return issue(f"CN={name}", issuer=issuer or root(), extensions=extensions)  # type: ignore[arg-type]


def crl(*revoked: Issued, stale: bool = False, issuer: Issued | None = None) -> bytes:
    following = NOW - DAY if stale else NOW + 7 * DAY
    made = (issuer or root()).crl(revoked, last=NOW - 2 * DAY, following=following)
    return made.public_bytes(Encoding.DER)


class Asking(Peer):
    """A peer whose look-ups are answered from ``pages``; those at a URI that is not there wait for ever."""

    world: World

    def __init__(self, *words: object, **more: object) -> None:
        super().__init__(*words, **more)  # type: ignore[arg-type]
        self.pages: dict[str, Page] = {}
        self.answered: set[int] = set()

    def drain(self) -> None:
        super().drain()
        fresh = [w for w in self.of(LookupWanted) if w.lookup_id not in self.answered and w.uri in self.pages]
        for wanted in fresh:
            self.answered.add(wanted.lookup_id)
            data, why = found_at(self.pages, wanted)
            self.endpoint.looked_up(wanted.lookup_id, data, self.world.now, why)
        if fresh:
            self.world._collect()

    @property
    def asked(self) -> list[str]:
        return [wanted.uri for wanted in self.of(LookupWanted)]


def world(
    a: Issued, b: Issued, *others: Issued, revocation: str = "relaxed", timing: Timing = QUICK, **pages: Page
) -> World:
    """Site a, and site b that judges a as ``revocation`` says and finds ``pages`` (b looks them up, a has none)."""
    sides = []
    for own, name, other, left, right, here, seed in (
        (a, "site-a", "site-b", "10.10.0.0/24", "10.20.0.0/24", A, 1),
        (b, "site-b", "site-a", "10.20.0.0/24", "10.10.0.0/24", B, 2),
    ):
        remote = AuthRound(
            auth="pubkey", id=Identity.parse(f"CN={other}"), revocation=revocation if here is B else "relaxed"
        )
        connection = Connection(
            name="site",
            proposals=ike("aes256gcm16-prfsha384-x25519"),
            local=(AuthRound(auth="pubkey", id=Identity.parse(f"CN={name}"), certs=(own.certificate,)),),
            remote=(remote,),
            children=(net(left, right),),
            where={"remote.revocation": "site.conf:9"},
        )
        store = CredentialStore(anchors=[root().certificate])
        store.add_private_key(own.key)
        for held in (own, *others) if here is A else (own,):
            store.add_certificate(held.certificate)
        sides.append(Asking(here, [connection], store, seed, timing))
    made = World(*sides)
    for side in sides:
        side.world = made
    sides[1].pages = {{"crl": CRL, "ocsp": OCSP}[name]: page for name, page in pages.items()}
    return made


def came_up(made: World, seconds: float = 1.0) -> tuple[Asking, Asking]:
    a, b = both(made)
    made.initiate(a)
    made.run(seconds)
    assert a.failures == b.failures == []
    assert_mirrored(a, b)
    assert len(a.installed) == 1
    return a, b  # type: ignore[return-value]


def refused(made: World, code: str, seconds: float = 1.0) -> Asking:
    a, b = both(made)
    made.initiate(a)
    made.run(seconds)
    assert b.failure.code == code, b.failure
    assert a.failure.code == "peer-auth-failed"
    assert a.installed == b.installed == {}
    assert b.endpoint.half_open == 0
    return b  # type: ignore[return-value]


@pytest.mark.parametrize("revocation", ["strict", "ifuri", "relaxed"])
def test_a_list_that_is_fetched_vouches_or_revokes(revocation: str) -> None:
    a, b = site("site-a", crl_at(CRL)), site("site-b")
    _, judge = came_up(world(a, b, revocation=revocation, crl=crl()))
    assert judge.asked == [CRL]
    judge = refused(world(a, b, revocation=revocation, crl=crl(a)), "cert-revoked")
    assert "revoked by its CA" in judge.failure.summary
    assert judge.failure.change == "site.conf:9: remote.revocation"


def test_an_initiator_looks_up_the_responders_certificate_too() -> None:
    a, b = site("site-a"), site("site-b", crl_at(CRL))
    made = world(a, b)
    left, _ = both(made)
    left.pages = {CRL: crl(b)}  # type: ignore[attr-defined]
    made.initiate(left)
    made.run(1)
    assert left.failure.code == "cert-revoked"
    assert left.failure.role == "initiator"
    assert left.installed == {}
    good = world(a, b)
    both(good)[0].pages = {CRL: crl()}  # type: ignore[attr-defined]
    came_up(good)


@pytest.mark.parametrize("revoked", [False, True])
def test_a_responder_is_asked_before_a_list(revoked: bool) -> None:
    a, b = site("site-a", ocsp_at(OCSP), crl_at(CRL)), site("site-b")

    def answer(request: bytes) -> bytes:
        return ocsp_answer(request, a, root(), NOW, revoked=revoked)

    made = world(a, b, revocation="strict", ocsp=answer, crl=crl())
    if revoked:
        assert refused(made, "cert-revoked").asked == [OCSP]
    else:
        assert came_up(made)[1].asked == [OCSP]


def test_where_no_responder_helps_the_list_is_fetched() -> None:
    a, b = site("site-a", ocsp_at(OCSP), crl_at(CRL)), site("site-b")
    _, judge = came_up(world(a, b, revocation="strict", ocsp=b"nonsense", crl=crl()))
    assert judge.asked == [OCSP, CRL]


def test_strict_asks_for_an_answer_and_says_where_it_looked() -> None:
    a, b = site("site-a", ocsp_at(OCSP), crl_at(CRL)), site("site-b")
    pages: dict[str, Page] = {"ocsp": None, "crl": None}
    summary = refused(world(a, b, revocation="strict", **pages), "cert-status-unknown").failure.summary
    assert f"{OCSP}: HTTP status 404" in summary
    assert f"{CRL}: HTTP status 404" in summary
    refused(world(a, b, revocation="ifuri", **pages), "cert-status-unknown")
    came_up(world(a, b, revocation="relaxed", **pages))


def test_what_is_published_nowhere_is_let_pass_by_ifuri_and_not_by_strict() -> None:
    a, b = site("site-a"), site("site-b")
    came_up(world(a, b, revocation="ifuri"))
    refused(world(a, b, revocation="strict"), "cert-status-unknown")


def test_a_list_that_is_out_of_date_does_not_vouch() -> None:
    a, b = site("site-a", crl_at(CRL)), site("site-b")
    judge = refused(world(a, b, revocation="strict", crl=crl(stale=True)), "cert-status-stale")
    assert f"{CRL}: a CRL that is out of date" in judge.failure.summary
    refused(world(a, b, revocation="relaxed", crl=crl(a, stale=True)), "cert-revoked")


def test_a_list_of_somebody_else_is_none() -> None:
    a, b = site("site-a", crl_at(CRL)), site("site-b")
    other = issue("CN=root", ca=True)
    judge = refused(world(a, b, revocation="strict", crl=crl(issuer=other)), "cert-status-unknown")
    assert "the CA did not sign" in judge.failure.summary


@pytest.mark.parametrize(("revocation", "comes_up"), [("relaxed", True), ("strict", False)])
def test_a_server_that_never_answers_is_waited_for_but_not_long(revocation: str, comes_up: bool) -> None:
    a, b = site("site-a", crl_at(CRL)), site("site-b")
    made = world(a, b, revocation=revocation)
    left, right = both(made)
    made.initiate(left)
    made.run(QUICK.lookup_timeout - 0.5)
    assert left.installed == right.installed == {}
    assert right.endpoint.drops["lookup-under-way"] >= 1  # its repetition
    made.run(1)
    if comes_up:
        assert_mirrored(left, right)
        assert len(right.installed) == 1
    else:
        assert right.failure.code == "cert-status-unknown"
    late = right.of(LookupWanted)[0]
    right.endpoint.looked_up(late.lookup_id, crl(), made.now)
    right.endpoint.looked_up(late.lookup_id, crl(a), made.now)
    made.run(1)
    assert len(right.of(LookupWanted)) == 1


def test_an_initiator_that_waits_does_not_ask_again() -> None:
    a, b = site("site-a"), site("site-b", crl_at(CRL))
    made = world(a, b)
    left, right = both(made)
    made.initiate(left)
    made.run(5.5)
    assert len([1 for _, data, path in made.wire.log if data[18] == 35 and path.local == A]) == 1
    made.run(1)
    assert_mirrored(left, right)
    assert len(left.installed) == 1


def test_many_peers_wait_for_one_fetch_and_a_stranger_waits_for_none() -> None:
    a, b = site("site-a", crl_at(CRL)), site("site-b")
    made = world(a, b, revocation="strict")
    left, right = both(made)
    left.connections[0] = replace(left.connections[0], name="first")
    left.connections += [replace(left.connections[0], name=f"more-{n}") for n in range(4)]
    for connection in left.connections:
        made.initiate(left, connection.name)
    made.run(2)
    (wanted,) = right.of(LookupWanted)
    assert wanted.source is LookupSource.CERTIFICATE
    assert right.installed == {}
    right.endpoint.looked_up(wanted.lookup_id, crl(), made.now)
    made.run(1)
    assert len(right.installed) == 5
    # What was fetched holds for whoever comes later.
    left.connections.append(replace(left.connections[0], name="late"))
    made.initiate(left, "late")
    made.run(1)
    assert len(right.installed) == 6
    assert len(right.of(LookupWanted)) == 1


def test_while_one_waits_others_go_on() -> None:
    a, b = site("site-a", crl_at(CRL)), site("site-b")
    made = world(a, b)
    left, right = both(made)
    plain = site("site-a")
    left.credentials.add_private_key(plain.key)
    (local,) = left.connections[0].local
    left.connections.append(
        replace(left.connections[0], name="plain", local=(replace(local, certs=(plain.certificate,)),))
    )
    made.initiate(left)
    made.run(1)
    assert right.installed == {}
    made.initiate(left, "plain")
    made.run(1)
    assert len(right.installed) == 1
    for child_id in list(left.installed):
        left.endpoint.rekey_child(child_id, made.now)
    made.run(1)
    assert left.failures == right.failures == []
    assert len(right.installed) == 1


def test_a_failed_fetch_is_not_repeated_for_each_peer() -> None:
    a, b = site("site-a", crl_at(CRL)), site("site-b")
    made = world(a, b, crl=None)
    left, right = both(made)
    left.connections.append(replace(left.connections[0], name="again"))
    made.initiate(left)
    made.run(1)
    made.initiate(left, "again")
    made.run(1)
    assert len(right.installed) == 2
    assert len(right.of(LookupWanted)) == 1
    made.run(QUICK.lookup_retry)
    left.connections.append(replace(left.connections[0], name="later"))
    made.initiate(left, "later")
    made.run(1)
    assert len(right.of(LookupWanted)) == 2


def test_every_certificate_of_the_path_is_looked_up() -> None:
    other = "http://ca.example/middle.crl"
    middle = issue("CN=middle", issuer=root(), ca=True, extensions=[crl_at(CRL)])
    a, b = site("site-a", crl_at(other), issuer=middle), site("site-b")
    made = world(a, b, middle, revocation="strict", crl=crl())
    both(made)[1].pages[other] = crl(issuer=middle)  # type: ignore[attr-defined]
    _, judge = came_up(made)
    assert sorted(judge.asked) == [other, CRL]
    made = world(a, b, middle, revocation="strict", crl=crl(middle))
    both(made)[1].pages[other] = crl(issuer=middle)  # type: ignore[attr-defined]
    assert "CN=middle" in refused(made, "cert-revoked").failure.summary


def test_the_operators_places_come_before_the_certificates() -> None:
    ours = "file:///etc/ca.crl"
    a, b = site("site-a", crl_at(CRL)), site("site-b")
    made = world(a, b, revocation="strict", crl=crl())
    judge = both(made)[1]
    judge.credentials.published.append(Publication(root().certificate, crl_uris=(ours,)))
    judge.pages[ours] = None  # type: ignore[attr-defined]
    came_up(made)
    sources = {wanted.uri: wanted.source for wanted in judge.of(LookupWanted)}
    assert list(sources.items()) == [(ours, LookupSource.CONFIGURED), (CRL, LookupSource.CERTIFICATE)]


def test_nothing_is_fetched_for_somebody_who_does_not_prove_itself() -> None:
    """A URL in a certificate that leads to no CA of ours, and in one of a CA of ours that somebody else shows."""
    stranger = issue("CN=other", ca=True)
    b = site("site-b")
    made = world(site("site-a", crl_at(CRL), issuer=stranger), b, revocation="strict", crl=crl())
    assert refused(made, "cert-untrusted").asked == []
    a = site("site-a", crl_at(CRL))
    made = world(a, b, revocation="strict", crl=crl())
    thief = issue("CN=site-a", issuer=root(), key=None)
    left = both(made)[0]
    left.credentials._keys = dict.fromkeys(left.credentials._keys, thief.key)
    made.initiate(left)
    made.run(1)
    judge = both(made)[1]
    assert judge.failure.code.startswith(("signature", "auth"))
    assert judge.of(LookupWanted) == []


def test_an_ike_sa_that_is_given_up_while_it_waits_leaves_nothing() -> None:
    a, b = site("site-a"), site("site-b", crl_at(CRL))
    made = world(a, b)
    left, right = both(made)
    ike_id = made.initiate(left)
    made.run(1)
    left.endpoint.terminate_ike(ike_id, made.now)
    (wanted,) = left.of(LookupWanted)
    left.endpoint.looked_up(wanted.lookup_id, crl(), made.now)
    made.run(40)
    assert left.installed == {}
    assert left.endpoint.ike_sas() == []
    assert right.endpoint.half_open == 0


def test_a_list_that_was_fetched_since_makes_tickets_worthless() -> None:
    """Else a peer that was revoked would be resumed without anybody looking at its certificate."""
    a, b = site("site-a", crl_at(CRL)), site("site-b")
    made = world(a, b, crl=crl())
    core, (connection,) = both(made)[1].endpoint._core, both(made)[1].connections
    ends = Identity.parse("CN=site-b"), Identity.parse("CN=site-a")
    before = witness(core, connection, *ends)
    assert witness(core, connection, *ends) == before
    came_up(made)
    assert witness(core, connection, *ends) != before


# Who answers for the CA may have been revoked too (RFC 6960 section 4.2.2.2.1).


def delegate(*extensions: object) -> Issued:
    signing = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False)
    return site("OCSP", signing, *extensions)


def answered_by(signer: Issued, about: Issued, *, revoked: bool = False) -> Page:
    return lambda request: ocsp_answer(request, about, root(), NOW, signer=signer, revoked=revoked)


def either(first: Issued, *others: tuple[Issued, Page]) -> Page:
    """A responder that answers about several certificates: the first of them by itself."""

    def answer(request: bytes) -> bytes:
        serial = ocsp.load_der_ocsp_request(request).serial_number
        page = next((page for about, page in others if about.certificate.serial_number == serial), None)
        return page(request) if callable(page) else ocsp_answer(request, first, root(), NOW, signer=others[0][0])

    return answer


@pytest.mark.parametrize("revocation", ["strict", "ifuri", "relaxed"])
def test_a_delegate_that_need_not_be_checked_is_believed(revocation: str) -> None:
    a, b = site("site-a", ocsp_at(OCSP)), site("site-b")
    signer = delegate((x509.OCSPNoCheck(), False), crl_at(CRL))
    _, judge = came_up(world(a, b, revocation=revocation, ocsp=answered_by(signer, a), crl=crl(signer)))
    assert judge.asked == [OCSP]


@pytest.mark.parametrize("revocation", ["strict", "ifuri", "relaxed"])
def test_a_delegate_that_a_list_vouches_for_is_believed(revocation: str) -> None:
    a, b = site("site-a", ocsp_at(OCSP)), site("site-b")
    signer = delegate(crl_at(CRL))
    _, judge = came_up(world(a, b, revocation=revocation, ocsp=answered_by(signer, a), crl=crl()))
    assert judge.asked == [OCSP, CRL]


def test_a_delegate_that_was_revoked_vouches_for_nobody() -> None:
    a, b = site("site-a", ocsp_at(OCSP)), site("site-b")
    signer = delegate(crl_at(CRL))
    pages = {"ocsp": answered_by(signer, a), "crl": crl(signer, stale=True)}
    judge = refused(world(a, b, revocation="strict", **pages), "cert-status-stale")
    assert "CN=OCSP, which was revoked itself" in judge.failure.summary
    assert judge.asked == [OCSP, CRL]
    refused(world(a, b, revocation="ifuri", **pages), "cert-status-stale")
    came_up(world(a, b, revocation="relaxed", **pages))


@pytest.mark.parametrize("revocation", ["strict", "ifuri", "relaxed"])
def test_a_delegate_that_was_revoked_revokes_nobody(revocation: str) -> None:
    a, b = site("site-a", ocsp_at(OCSP)), site("site-b")
    signer = delegate(crl_at(CRL))
    made = world(a, b, revocation=revocation, ocsp=answered_by(signer, a, revoked=True), crl=crl(signer))
    _, judge = came_up(made)
    assert judge.asked == [OCSP, CRL]


def test_a_delegate_of_which_nothing_is_known_can_revoke_and_vouches_as_revocation_says() -> None:
    a, b = site("site-a", ocsp_at(OCSP)), site("site-b")
    bare, named = delegate(), delegate(crl_at(CRL))
    for revocation in ("strict", "ifuri", "relaxed"):
        pages = {"ocsp": answered_by(bare, a, revoked=True)}
        refused(world(a, b, revocation=revocation, **pages), "cert-revoked")
    judge = refused(world(a, b, revocation="strict", ocsp=answered_by(bare, a)), "cert-status-unknown")
    assert "CN=OCSP, of which nothing says that it was not" in judge.failure.summary
    came_up(world(a, b, revocation="ifuri", ocsp=answered_by(bare, a)))
    came_up(world(a, b, revocation="relaxed", ocsp=answered_by(bare, a)))
    refused(world(a, b, revocation="ifuri", ocsp=answered_by(named, a), crl=None), "cert-status-unknown")
    came_up(world(a, b, revocation="relaxed", ocsp=answered_by(named, a), crl=None))


def test_where_a_delegate_may_not_be_believed_the_list_of_the_peer_is_fetched() -> None:
    a, b = site("site-a", ocsp_at(OCSP), crl_at(CRL)), site("site-b")
    _, judge = came_up(world(a, b, revocation="strict", ocsp=answered_by(delegate(), a), crl=crl()))
    assert judge.asked == [OCSP, CRL]


@pytest.mark.parametrize("revoked", [False, True])
def test_a_responder_that_the_ca_itself_signs_for_vouches_for_a_delegate(revoked: bool) -> None:
    a, b = site("site-a", ocsp_at(OCSP)), site("site-b")
    above = "http://ca.example/root-ocsp"
    signer = delegate(ocsp_at(above))
    made = world(a, b, revocation="strict", ocsp=answered_by(signer, a))
    judge = both(made)[1]
    judge.pages[above] = answered_by(root(), signer, revoked=revoked)  # type: ignore[attr-defined]
    if revoked:
        refused(made, "cert-status-unknown")
    else:
        came_up(made)
    assert judge.asked == [OCSP, above]  # type: ignore[attr-defined]


def test_delegates_that_vouch_for_themselves_and_each_other_are_asked_once_and_not_believed() -> None:
    a, b = site("site-a", ocsp_at(OCSP)), site("site-b")
    other = "http://ca.example/ocsp-2"
    first, second = delegate(ocsp_at(OCSP, other)), delegate(ocsp_at(other))
    made = world(a, b, revocation="strict", ocsp=either(a, (first, answered_by(second, first))))
    judge = both(made)[1]
    judge.pages[other] = answered_by(second, second)  # type: ignore[attr-defined]
    refused(made, "cert-status-unknown")
    assert judge.asked == [OCSP, OCSP]  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", seeds(40))
def test_whatever_the_wire_and_the_servers_do_both_sides_end_alike(seed: int) -> None:
    """Both look up, answers come late, never, twice or are nonsense; datagrams are lost, doubled and reordered."""
    with replayable(seed):
        chance = random.Random(seed)
        a, b = site("site-a", ocsp_at(OCSP), crl_at(CRL)), site("site-b", crl_at(CRL))
        timing = Timing(1.0, 1.3, 12, half_open_timeout=120.0, lookup_timeout=5.0)
        made = world(a, b, revocation="relaxed", timing=timing)
        made.wire.random.seed(seed)
        made.wire.loss, made.wire.double, made.wire.delay = 0.15, 0.2, (0.0, 0.8)
        left, right = both(made)
        made.initiate(left)
        for _ in range(120):
            made.run(chance.uniform(0.1, 1.5))
            for side in (left, right):
                for wanted in side.of(LookupWanted):
                    if chance.random() < 0.2:
                        data = chance.choice([crl(), b"nonsense", None, crl(stale=True)])
                        side.endpoint.looked_up(wanted.lookup_id, data, made.now)
        made.run(200)
        assert {f.code for f in (*left.failures, *right.failures)} <= {"peer-unreachable", "half-open-timeout"}
        assert_mirrored(left, right)
        assert right.endpoint.half_open == 0
        assert len(left.installed) == len(left.established()) == len(right.established())
