"""Certificates by reference: their SHA-1 hash and a URL in place of a long chain (RFC 7296 section 3.6).

Off by default: with it, anybody who can send us IKE_AUTH can make us fetch something, before we know who it is. So the
embedding program is told that a peer chose the address (:class:`ike.events.LookupSource`), and there are few of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

from ..crypto.bundle import Bundle
from ..errors import PeerError
from ..events import LookupSource
from ..wire.constants import CertEncoding, NotifyType
from ..wire.message import Message
from ..wire.payloads import CertPayload, NotifyPayload
from .features import Feature
from .lookups import Awaiting, Kind, Question

if TYPE_CHECKING:
    from .ike_sa import IkeSa

SHA1_LENGTH = 20
MAX_URL = 512
MAX_REFERENCES = 8
"""References that are followed for one peer."""

KINDS = {CertEncoding.HASH_AND_URL_X509: Kind.CERTIFICATE, CertEncoding.HASH_AND_URL_BUNDLE: Kind.BUNDLE}


def announce(sa: IkeSa) -> list[NotifyPayload]:
    """HTTP_CERT_LOOKUP_SUPPORTED, beside a CERTREQ (RFC 7296 section 3.10.1)."""
    return [NotifyPayload(NotifyType.HTTP_CERT_LOOKUP_SUPPORTED)] if sa.core.timing.hash_and_url else []


def note(sa: IkeSa, message: Message) -> None:
    """Whether the peer follows references."""
    if message.notify(NotifyType.HTTP_CERT_LOOKUP_SUPPORTED) is not None:
        sa.features |= Feature.CERT_LOOKUP


# Ours.


def outgoing(sa: IkeSa, chain: Sequence[Certificate]) -> list[CertPayload]:
    """CERT payloads for a chain: by reference where the peer follows them and ``cert_uri_base`` says where it is."""
    return [_by_reference(sa, certificate) or _whole(certificate) for certificate in chain]


def _whole(certificate: Certificate) -> CertPayload:
    return CertPayload(CertEncoding.X509_SIGNATURE, certificate.public_bytes(Encoding.DER))


def _by_reference(sa: IkeSa, certificate: Certificate) -> CertPayload | None:
    if Feature.CERT_LOOKUP not in sa.features:
        return None
    publications = sa.core.credentials.publications()
    issuers = [p for p in publications if p.cert_uri_base and p.authority.subject == certificate.issuer]
    if not issuers:
        return None
    digest = hashlib.sha1(certificate.public_bytes(Encoding.DER), usedforsecurity=False).digest()
    url = issuers[0].cert_uri_base + digest.hex()
    return CertPayload(CertEncoding.HASH_AND_URL_X509, digest + url.encode())


# The peer's.


def incoming(sa: IkeSa, payloads: Sequence[CertPayload]) -> tuple[tuple[CertPayload, ...], list[Bundle]]:
    """CERT payloads with what references lead to in their place, in order, and the bundles that were fetched.

    References stay out where they are not followed. Raises :class:`Awaiting` where something is still to be fetched,
    and :class:`PeerError` where the certificate that signs, which comes first, cannot be had.
    """
    found: list[CertPayload] = []
    bundles: list[Bundle] = []
    questions: list[Question] = []
    references = 0
    for number, payload in enumerate(payloads):
        if payload.encoding not in KINDS:
            found.append(payload)
            continue
        references += 1
        if not sa.core.timing.hash_and_url or references > MAX_REFERENCES:
            continue
        question = question_of(payload)
        bundle = sa.core.lookups.bundle(question.key)
        if bundle is not None:
            bundles.append(bundle)
            found += [_whole(certificate) for certificate in bundle.certificates]
        elif sa.in_setup.patience.may_ask(question):
            questions.append(question)
        elif number == 0:
            why = sa.core.lookups.why_failed(question) or f"{question.places[0][0]}: no answer in time"
            raise _refuse("cert-url-unfetched", f"the peer's certificate cannot be fetched: {why}")
    if questions:
        raise Awaiting(questions)
    return tuple(found), bundles


def question_of(payload: CertPayload) -> Question:
    """What a reference asks for. Raises :class:`PeerError` for one that is malformed or does not lead to HTTP."""
    digest, url = payload.data[:SHA1_LENGTH], payload.data[SHA1_LENGTH:]
    if len(digest) < SHA1_LENGTH or not 8 <= len(url) <= MAX_URL or any(not 0x21 <= octet <= 0x7E for octet in url):
        raise _refuse("cert-url-malformed", "the peer refers to a certificate with what is no hash and URL")
    text = url.decode("ascii")
    if not text.lower().startswith("http://"):
        raise _refuse("cert-url-malformed", f"the peer refers to a certificate at '{text[:80]}', which is not HTTP")
    return Question(KINDS[CertEncoding(payload.encoding)], digest, ((text, LookupSource.PEER),))


def _refuse(code: str, message: str) -> PeerError:
    hint = "have the peer send its certificate whole (no cert_uri_base for its CA)"
    return PeerError(code, message, notify=NotifyType.AUTHENTICATION_FAILED, hint=hint)
