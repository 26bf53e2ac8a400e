"""OCSP: the question whether one certificate was revoked, and what an answer to it is worth (RFC 6960)."""

from __future__ import annotations

import datetime
import hmac
from collections.abc import Iterator
from dataclasses import replace

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, OCSPExtensionOID

from .revocation import UNREADABLE, OcspAnswer, Standing, UnusableError

NONCE_LENGTH = 32
"""RFC 8954 section 2.1."""

CLOCK_SKEW = datetime.timedelta(minutes=5)
BELIEVED_FOR = datetime.timedelta(minutes=5)
"""How long an answer without nextUpdate holds: there may be a newer one at any time (RFC 6960 section 4.2.2.1)."""

_MOST_ANSWERS = 64
_MOST_CERTIFICATES = 8
_HASHES = frozenset(("sha256", "sha384", "sha512"))
_STANDINGS = {
    ocsp.OCSPCertStatus.GOOD: Standing.GOOD,
    ocsp.OCSPCertStatus.REVOKED: Standing.REVOKED,
    ocsp.OCSPCertStatus.UNKNOWN: Standing.UNKNOWN,
}


def ocsp_request(certificate: x509.Certificate, issuer: x509.Certificate, nonce: bytes) -> bytes:
    """A request about ``certificate``, DER (RFC 6960 section 4.1). SHA-1 in it names, and protects nothing."""
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA1())
    return builder.add_extension(x509.OCSPNonce(nonce), critical=False).build().public_bytes(Encoding.DER)


def read_ocsp(
    data: bytes, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime.datetime, nonce: bytes
) -> OcspAnswer:
    """What a response says of ``certificate``, if it may be believed (RFC 6960 section 3.2).

    Raises :class:`UnusableError`. A responder that answers in advance leaves the nonce out; one that repeats another
    nonce than ours answers somebody else.
    """
    try:
        response = ocsp.load_der_ocsp_response(data)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise UnusableError(f"the responder says {response.response_status.name.lower().replace('_', ' ')}")
        signer = _signer(response, issuer, now)
        _check_nonce(response, nonce)
        answer = _answer_of(response, certificate, issuer, now)
        return replace(answer, delegate=signer) if signer != issuer and not _is_exempt(signer) else answer
    except UNREADABLE as error:
        raise UnusableError("no OCSP response that can be read") from error


def _answer_of(
    response: ocsp.OCSPResponse, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime.datetime
) -> OcspAnswer:
    for number, single in enumerate(response.responses):
        if number >= _MOST_ANSWERS:
            break
        if not _is_about(single, certificate, issuer):
            continue
        if single.this_update_utc > now + CLOCK_SKEW:
            raise UnusableError(f"an answer of the future, {single.this_update_utc:%Y-%m-%d %H:%M:%S} UTC")
        until = single.next_update_utc or single.this_update_utc + BELIEVED_FOR
        if until < now:
            raise UnusableError(f"an answer that was good until {until:%Y-%m-%d %H:%M:%S} UTC")
        reason = single.revocation_reason.value if single.revocation_reason is not None else "unspecified"
        standing = _STANDINGS[single.certificate_status]
        if standing is Standing.UNKNOWN:
            raise UnusableError("the responder does not know the certificate")
        return OcspAnswer(standing, reason if standing is Standing.REVOKED else "", until)
    raise UnusableError("an answer about another certificate")


def _is_about(single: ocsp.OCSPSingleResponse, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether a CertID names the certificate: by its issuer's name and key, and by its serial number."""
    if single.serial_number != certificate.serial_number:
        return False
    return single.issuer_name_hash == _hash(single.hash_algorithm, certificate.issuer.public_bytes()) and (
        single.issuer_key_hash == _hash(single.hash_algorithm, _key_bits(issuer))
    )


def _hash(algorithm: hashes.HashAlgorithm, data: bytes) -> bytes:
    digest = hashes.Hash(algorithm)
    digest.update(data)
    return digest.finalize()


def _key_bits(certificate: x509.Certificate) -> bytes:
    """The key as it stands in a SubjectPublicKeyInfo, without the algorithm before it."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    raise UnusableError("the CA's key is of a kind that cannot sign here")


def _check_nonce(response: ocsp.OCSPResponse, nonce: bytes) -> None:
    for extension in response.extensions:
        if extension.oid == OCSPExtensionOID.NONCE and isinstance(extension.value, x509.OCSPNonce):
            if not hmac.compare_digest(extension.value.nonce, nonce):
                raise UnusableError("an answer with the nonce of another request")
        elif extension.critical:
            raise UnusableError(f"a critical extension that is not understood ({extension.oid.dotted_string})")


# Who may answer: the CA itself, or whom it has certified for that (RFC 6960 section 4.2.2.2).


def _signer(response: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime.datetime) -> x509.Certificate:
    algorithm = response.signature_hash_algorithm
    if algorithm is not None and algorithm.name not in _HASHES:
        raise UnusableError(f"an answer signed with {algorithm.name}")
    for candidate in _signers(response, issuer):
        if candidate != issuer and not _may_answer_for(candidate, issuer, now):
            continue
        if _has_signed(candidate, response, algorithm):
            return candidate
    raise UnusableError("an answer that neither the CA signed nor anybody whom it has certified to answer")


def _signers(response: ocsp.OCSPResponse, issuer: x509.Certificate) -> Iterator[x509.Certificate]:
    """Certificates that the responder's id fits; the response brings those of delegates along."""
    for candidate in (issuer, *response.certificates[:_MOST_CERTIFICATES]):
        if response.responder_name is not None:
            if candidate.subject == response.responder_name:
                yield candidate
        elif x509.SubjectKeyIdentifier.from_public_key(candidate.public_key()).digest == response.responder_key_hash:
            yield candidate


def _may_answer_for(delegate: x509.Certificate, issuer: x509.Certificate, now: datetime.datetime) -> bool:
    try:
        delegate.verify_directly_issued_by(issuer)
        purposes = delegate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (InvalidSignature, x509.ExtensionNotFound, *UNREADABLE):
        return False
    algorithm = delegate.signature_hash_algorithm
    if algorithm is not None and algorithm.name not in _HASHES:
        return False
    in_time = delegate.not_valid_before_utc <= now <= delegate.not_valid_after_utc
    return in_time and ExtendedKeyUsageOID.OCSP_SIGNING in purposes


def _is_exempt(delegate: x509.Certificate) -> bool:
    """Whether the CA wants it to be trusted for as long as it is valid (RFC 6960 section 4.2.2.2.1)."""
    return any(isinstance(extension.value, x509.OCSPNoCheck) for extension in delegate.extensions)


def _has_signed(signer: x509.Certificate, response: ocsp.OCSPResponse, algorithm: hashes.HashAlgorithm | None) -> bool:
    key, signature, signed = signer.public_key(), response.signature, response.tbs_response_bytes
    try:
        if isinstance(key, rsa.RSAPublicKey) and algorithm is not None:
            key.verify(signature, signed, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm is not None:
            key.verify(signature, signed, ec.ECDSA(algorithm))
        elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(signature, signed)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True
