"""Certificates in IKE_AUTH: which of ours goes out, and whether the peer's is good (RFC 7296 sections 3.6 and 3.7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from cryptography.x509 import Certificate

from ..auth.pubkey import Proof, pubkey_auth, read_certificates, verify_pubkey
from ..config import AuthRound, SendCert
from ..credentials import PrivateKey
from ..crypto.signature_policy import SignaturePolicy
from ..crypto.x509 import Trust, certificate_has, has_issued, spki_hash
from ..errors import LocalError
from ..wire.constants import CertEncoding
from ..wire.message import Message
from ..wire.payloads import AuthPayload, CertPayload, CertRequestPayload, Payload
from . import hash_and_url, raw_keys
from .lookups import Awaiting

if TYPE_CHECKING:
    from .ike_sa import IkeSa

LONGEST_CHAIN = 8


@lru_cache(maxsize=256)
def _policy(text: str) -> SignaturePolicy:
    return SignaturePolicy.parse(text)


# Ours.


def note_requests(sa: IkeSa, message: Message) -> None:
    """What the peer asks for in its CERTREQ payloads, one an encoding or more (RFC 7296 section 3.7)."""
    setup, requests = sa.in_setup, message.all(CertRequestPayload)
    lists = [request.authorities for request in requests if request.encoding != CertEncoding.RAW_PUBLIC_KEY]
    setup.authorities_asked = tuple(authority for one in lists for authority in one) if lists else None
    setup.raw_key_asked = len(lists) < len(requests)


def sign(sa: IkeSa, round_: AuthRound, octets: bytes) -> tuple[list[Payload], AuthPayload]:
    """What shows our key, as ``send_cert`` says, and AUTH. Raises :class:`LocalError` where a key is missing.

    It is the chain from our certificate to below its CA, or the key itself where the section names no certificate.
    """
    setup = sa.in_setup
    if round_.pubkeys and not round_.certs:
        shown, key = raw_keys.own(sa, round_)
        asked = setup.raw_key_asked
    else:
        certificate, key = _own(sa, round_)
        shown = [*hash_and_url.outgoing(sa, _chain(sa, certificate))]
        asked = setup.authorities_asked is not None
    auth = pubkey_auth(key, octets, setup.peer_hashes or None, _policy(round_.auth_detail), pss=setup.peer_signs_pss)
    send = sa.settings.send_cert
    return shown if send is SendCert.ALWAYS or (send is SendCert.IF_ASKED and asked) else [], auth


def _own(sa: IkeSa, round_: AuthRound) -> tuple[Certificate, PrivateKey]:
    """A certificate of ours with its key: of those configured, else any that has our identity.

    One below a CA that the peer asked for comes first (RFC 7296 section 3.7).
    """
    credentials, name = sa.core.credentials, sa.settings.name
    identity = sa.local_id
    choice: Sequence[Certificate] = round_.certs
    if not choice and identity is not None:
        choice = [c for c in credentials.certificates() if certificate_has(c, identity)]
    usable = [(c, key) for c in choice if (key := credentials.private_key_for(c)) is not None]
    if not usable:
        if choice:
            subject = choice[0].subject.rfc4514_string()
            raise LocalError("no-private-key", f"there is no private key for certificate '{subject}' of {name!r}")
        raise LocalError(
            "no-certificate",
            f"connection {name!r} has no certificate for '{identity}'",
            hint="name one in local.certs, or make local.id a name of the certificate",
        )
    asked = sa.in_setup.authorities_asked
    if asked:
        wanted = {spki_hash(c): c for c in credentials.authorities()}
        issuers = {wanted[h].subject for h in asked if h in wanted}
        for certificate, key in usable:
            if any(link.issuer in issuers for link in _chain(sa, certificate)):
                return certificate, key
    return usable[0]


def _chain(sa: IkeSa, certificate: Certificate) -> list[Certificate]:
    """The certificate and what leads up from it; self-signed ones stay out, the peer has its own anchors."""
    others = (*sa.core.credentials.certificates(), *sa.core.credentials.authorities())
    chain = [certificate]
    while chain[-1].issuer != chain[-1].subject and len(chain) < LONGEST_CHAIN:
        last = chain[-1]
        named = [c for c in others if c.subject == last.issuer and c.subject != c.issuer and c not in chain]
        # A CA that was renewed with another key has a namesake.
        above = next((c for c in named if len(named) == 1 or has_issued(c, last)), None)
        if above is None:
            break
        chain.append(above)
    return chain


# The peer's.


def authority_hashes(sa: IkeSa, rounds: Sequence[AuthRound]) -> tuple[bytes, ...]:
    """SHA-1 of the CAs' SubjectPublicKeyInfo for CERTREQ; empty where no round uses certificates."""
    named = dict.fromkeys(round_.cacerts for round_ in rounds)
    anchors = dict.fromkeys(
        authority for cacerts in named for authority in cacerts or sa.core.credentials.authorities()
    )
    return tuple(map(_authority_hash, anchors))


_authority_hash = lru_cache(maxsize=1024)(spki_hash)


def verify(sa: IkeSa, round_: AuthRound, message: Message, auth: AuthPayload, octets: bytes) -> str:
    """Check a signature and the certificate behind it. Raises :class:`PeerError` with the exact reason.

    :class:`Awaiting` is raised where something must be looked up first: where a certificate's status is published is
    asked only once the peer has signed with the key of a certificate that leads to one of our CAs.
    """
    identity = sa.remote_id
    if identity is None:
        raise RuntimeError("a certificate is checked against an identity")
    credentials, hashes = sa.core.credentials, sa.in_setup.peer_hashes or None
    payloads = message.all(CertPayload)
    policy = _policy(round_.auth_detail)
    payloads, bundles = hash_and_url.incoming(sa, payloads)
    chain = read_certificates(payloads)
    if round_.pubkeys and not (chain and round_.certs):
        return _signed(sa, raw_keys.verify(sa, round_, payloads, chain, auth, octets, policy))
    if not chain:
        # A peer that sends none may be known: what the connection names, else a certificate with its identity.
        known = [*round_.certs, *credentials.certificates()]
        chain = tuple(c for c in known if certificate_has(c, identity))[:1]
    trust = Trust(
        anchors=() if round_.certs else (*credentials.authorities(), *round_.cacerts),
        intermediates=credentials.certificates(),
        crls=(*credentials.crls(), *(crl for bundle in bundles for crl in bundle.crls)),
        now=sa.core.wall_clock(),
        pinned=round_.certs,
        policy=policy,
        evidence=sa.core.lookups,
        preliminary=True,
    )

    def judged(trust: Trust) -> Proof:
        return verify_pubkey(
            auth,
            octets,
            chain,
            identity,
            trust,
            peer_hashes=hashes,
            authorities=round_.cacerts,
            authority=round_.ca_id,
            policies=round_.cert_policy,
        )

    proof = judged(trust)
    _ask_for_status(sa, proof)
    if round_.revocation != trust.revocation or _is_by_delegates(sa, proof):
        proof = judged(replace(trust, revocation=round_.revocation, preliminary=False))
    return _signed(sa, proof)


def _ask_for_status(sa: IkeSa, proof: Proof) -> None:
    """Have looked up whether certificates of the path were revoked: at one place each, the best that is left."""
    path = proof.verified.path if proof.verified is not None else ()
    wanted = []
    for certificate, issuer in pairwise(path):
        questions = sa.core.lookups.status_questions(certificate, issuer)
        wanted += [question for question in questions if sa.in_setup.patience.may_ask(question)][:1]
    if wanted:
        raise Awaiting(wanted)


def _is_by_delegates(sa: IkeSa, proof: Proof) -> bool:
    """Whether somebody answered for a CA who may have been revoked, and whose word did not count so far."""
    path = proof.verified.path if proof.verified is not None else ()
    answers = [sa.core.lookups.ocsp(certificate, issuer) for certificate, issuer in pairwise(path)]
    return any(answer is not None and answer.delegate is not None for answer in answers)


def _signed(sa: IkeSa, proof: Proof) -> str:
    """How the peer signed, in words. A responder that was sent PSS answers with it: the peer surely has it."""
    sa.in_setup.peer_signs_pss = proof.scheme.pss
    return str(proof.scheme)
