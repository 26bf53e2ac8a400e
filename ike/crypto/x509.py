"""Certificates: from a peer's certificate to a CA that we trust (RFC 5280 section 6, in the profile of RFC 4945).

The library's own path validation speaks the Web's profile alone: it refuses Ed25519, Brainpool and certificates whose
only name is their subject, all of which VPN sites use. Its parsing and signature checks do the work here; the path and
its rules are below, in the order: search, then every rule on each certificate of the path.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from ..errors import PeerError
from ..wire.constants import IdType, NotifyType
from ..wire.identity import MATCH_PERFECT, Identity
from .name_constraints import refused_name, subject_alternative_names
from .policies import policies_of
from .revocation import (
    UNREADABLE,
    Evidence,
    OcspAnswer,
    Standing,
    crl_uris,
    ocsp_uris,
    standing_of,
    standing_of_delegate,
)
from .signature_policy import ANY_SIGNATURE, HASH_WORDS, PublicKey, SignaturePolicy, key_kind

E = TypeVar("E", bound=x509.ExtensionType)

_LONGEST_PATH = 8
_MOST_SIGNATURES = 64
"""Signatures checked for one peer: certificates that all claim one issuer must not cost us more."""

_LONGEST_RSA = 8192
_HIGHEST_EXPONENT = 1 << 32
"""Of RSA keys in CA certificates that a peer sends: those that are in use have 3 or 65537."""

_HANDLED = frozenset(
    (
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.ISSUER_ALTERNATIVE_NAME,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.POLICY_CONSTRAINTS,
        ExtensionOID.POLICY_MAPPINGS,
        ExtensionOID.INHIBIT_ANY_POLICY,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
    )
)
_IKE_PURPOSES = frozenset(
    (
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        ExtendedKeyUsageOID.IPSEC_IKE,
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        # iKEIntermediate, and the three purposes for IPsec that RFC 4945 section 5.1.3.12 retired.
        x509.ObjectIdentifier("1.3.6.1.5.5.8.2.2"),
        x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
        x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
        x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    )
)
SPKI_TYPES = (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)


@dataclass(frozen=True, slots=True)
class Verified:
    """A peer's certificate and the way to the CA that vouches for it: ``path`` goes from ``leaf`` to the anchor.

    ``policies`` are the certificate policies that hold along the whole path, in dotted form.
    """

    leaf: x509.Certificate
    path: tuple[x509.Certificate, ...]
    public_key: PublicKey
    policies: frozenset[str]


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom we trust, and what we know: all that it takes to judge a peer's certificate at one moment.

    ``anchors`` are CA certificates; ``pinned`` are peers' own, trusted as they are. ``now`` knows its zone.
    ``revocation`` is swanctl.conf's: ``strict`` asks for a list that vouches for each certificate, ``ifuri`` so for
    those that say where their status is published, ``relaxed`` refuses only what a list names. ``evidence`` is what was
    looked up elsewhere; ``preliminary``: more of that is to come about those who answered.
    """

    anchors: Sequence[x509.Certificate]
    intermediates: Sequence[x509.Certificate]
    crls: Sequence[x509.CertificateRevocationList]
    now: datetime.datetime
    pinned: Sequence[x509.Certificate] = ()
    policy: SignaturePolicy = ANY_SIGNATURE
    revocation: str = "relaxed"
    evidence: Evidence | None = None
    preliminary: bool = False

    def validate(self, chain: Sequence[x509.Certificate], identity: Identity | None = None) -> Verified:
        """Judge ``chain[0]``, with the rest of ``chain`` as the peer's help in any order.

        ``identity`` is who the peer says it is; it must be a name of the certificate. Every refusal is a
        :class:`PeerError` with AUTHENTICATION_FAILED and a code of its own (``cert-untrusted``, ``cert-expired``,
        ``cert-not-yet-valid``, ``cert-identity``, ``cert-revoked``, ``cert-purpose`` ...). Where several paths fail the
        first that led to an anchor is reported, else the longest.
        """
        if not chain:
            raise _refuse("cert-missing", "the peer sent no certificate", "set send_cert = always on the peer's side")
        if not is_sound(chain[0]):
            raise _refuse("cert-malformed", "the peer's certificate cannot be read", "issue it anew")
        sent = [c for c in chain[1:] if is_sound(c) and has_ordinary_key(c)]
        verified = self._trusted(chain[0], [*sent, *(c for c in self.intermediates if is_sound(c))])
        if identity is not None and not certificate_has(verified.leaf, identity):
            names = ", ".join(f"'{name}'" for name in certificate_identities(verified.leaf))
            raise _refuse(
                "cert-identity",
                f"the peer says that it is '{identity}', but its certificate is for {names}",
                "set the peer's local.id to one of these names, or issue a certificate with the name in subjectAltName",
                identity=str(identity),
                names=names,
            )
        return verified

    def _trusted(self, leaf: x509.Certificate, helpers: Sequence[x509.Certificate]) -> Verified:
        failure: PeerError | None = None
        search = _Search(self.anchors, helpers)
        for path in [(leaf,)] if leaf in self.pinned else search.paths((leaf,)):
            try:
                for position in range(len(path)):
                    self._judge(path, position)
                policies = _check_policies(path)
            except PeerError as error:
                failure = failure or error
                continue
            key = leaf.public_key()
            assert isinstance(key, SPKI_TYPES)
            return Verified(leaf, path, key, policies)
        raise failure or search.failure or _untrusted((leaf,), forged=False)

    def _judge(self, path: tuple[x509.Certificate, ...], position: int) -> None:
        """Every rule on one certificate of a path."""
        certificate = path[position]
        _check_validity(certificate, self.now)
        _check_extensions(certificate)
        key = certificate.public_key()
        if not isinstance(key, SPKI_TYPES):
            raise _refuse("cert-weak-key", f"'{_subject(certificate)}' has a key of a kind that cannot sign here")
        weakness = self.policy.refuse_key(key)
        if weakness:
            raise _refuse("cert-weak-key", f"the key of '{_subject(certificate)}' was refused: {weakness}")
        if position == 0:
            _check_purpose(certificate)
        else:
            _check_authority(path, position)
        if position + 1 < len(path):
            self._check_signature_hash(certificate, path[position + 1])
            self._check_revocation(certificate, path[position + 1])

    def _check_signature_hash(self, certificate: x509.Certificate, issuer: x509.Certificate) -> None:
        algorithm = certificate.signature_hash_algorithm
        name = "identity" if algorithm is None else algorithm.name
        number = HASH_WORDS.get(name)
        issuer_key = issuer.public_key()
        assert isinstance(issuer_key, SPKI_TYPES)
        if number is None or not self.policy.allows_chain_hash(key_kind(issuer_key), number):
            raise _refuse(
                "cert-weak-signature",
                f"'{_subject(certificate)}' is signed with {name}, which auth does not allow"
                f" ({self.policy.text or 'sha256, sha384 or sha512'})",
                "issue it anew with SHA-256 or better",
            )

    def _check_revocation(self, certificate: x509.Certificate, issuer: x509.Certificate) -> None:
        standing, reason = standing_of(certificate, issuer, self.crls, self.evidence, self.now, self._believes)
        if standing is Standing.REVOKED:
            raise _refuse("cert-revoked", f"'{_subject(certificate)}' was revoked by its CA ({reason})")
        if standing is Standing.GOOD or self._may_be_unknown(certificate, issuer):
            return
        attempts = self.evidence.attempts(certificate, issuer) if self.evidence is not None else ""
        tried = f"; tried: {attempts}" if attempts else ""
        if standing is Standing.STALE:
            raise _refuse(
                "cert-status-stale",
                f"what vouches for '{_subject(certificate)}' is out of date, and revocation = {self.revocation}{tried}",
                "see that the CA issues its CRL in time, and that this machine's clock is right",
            )
        raise _refuse(
            "cert-status-unknown",
            f"nothing says that '{_subject(certificate)}' is not revoked, and revocation = {self.revocation}{tried}",
            "provide the CA's current CRL, see that its URI can be reached from here, or relax revocation",
        )

    def _may_be_unknown(self, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        """Whether ``revocation`` lets it pass where nothing says that it was not revoked."""
        if self.revocation == "ifuri":
            return not self._is_published(certificate, issuer)
        return self.revocation == "relaxed"

    def _believes(self, answer: OcspAnswer, issuer: x509.Certificate) -> bool:
        """Whether the answer of a delegate counts (RFC 6960 section 4.2.2.2.1): revoked is believed of one unknown."""
        if answer.delegate is None:
            return True
        known = standing_of_delegate(answer.delegate, issuer, self.crls, self.evidence, self.now)
        if known is Standing.GOOD or known is Standing.REVOKED or self.preliminary:
            return known is Standing.GOOD
        return answer.standing is Standing.REVOKED or self._may_be_unknown(answer.delegate, issuer)

    def _is_published(self, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        if self.evidence is not None:
            return self.evidence.is_published(certificate, issuer)
        return bool(crl_uris(certificate) or ocsp_uris(certificate))


class _Search:
    """Depth-first from the leaf to an anchor, by name and signature; bounded in depth and in signatures checked."""

    def __init__(self, anchors: Sequence[x509.Certificate], helpers: Sequence[x509.Certificate]) -> None:
        self._anchors = anchors
        self._pool = (*anchors, *helpers)
        self._signatures = 0
        self._deepest = 0
        self.failure: PeerError | None = None

    def paths(self, path: tuple[x509.Certificate, ...]) -> Iterator[tuple[x509.Certificate, ...]]:
        last = path[-1]
        is_anchor = last in self._anchors
        if is_anchor and _self_issued(last):
            yield path
            return
        named = signed = reached = False
        for candidate in dict.fromkeys(self._pool):
            if len(path) >= _LONGEST_PATH or self._signatures >= _MOST_SIGNATURES:
                break
            if candidate in path or candidate.subject != last.issuer:
                continue
            named = True
            self._signatures += 1
            if has_issued(candidate, last):
                signed = True
                for found in self.paths((*path, candidate)):
                    reached = True
                    yield found
        if is_anchor and not reached:
            # An intermediate CA that is trusted by itself; who is above it, where that is known, may have revoked it.
            yield path
        elif not signed and len(path) > self._deepest:
            self._deepest = len(path)
            self.failure = _untrusted(path, forged=named)


def has_issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether a certificate has the name and the signature of ``issuer``."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
        return False
    return True


def _untrusted(path: tuple[x509.Certificate, ...], *, forged: bool) -> PeerError:
    last = path[-1]
    issuer, subject = str(Identity.of_name(last.issuer)), _subject(last)
    if forged:
        why = f"'{subject}' was not signed with the key of the CA certificate that we have for '{issuer}'"
        hint = "the CA was renewed with a new key, or it is another CA of the same name: install its certificate"
    elif last.issuer == last.subject:
        why = f"'{subject}' is self-signed, and is none of the CA certificates that we trust"
        hint = "install it among the CA certificates (x509ca) if it is to be trusted"
    else:
        why = f"there is no CA certificate for '{issuer}', which issued '{subject}'"
        hint = f"install the certificate of '{issuer}' among the CA certificates (x509ca)"
    return _refuse("cert-untrusted", f"the peer's certificate is not trusted: {why}", hint, issuer=issuer)


def _check_validity(certificate: x509.Certificate, now: datetime.datetime) -> None:
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < first:
        raise _refuse(
            "cert-not-yet-valid",
            f"'{_subject(certificate)}' is valid from {first:%Y-%m-%d %H:%M:%S} UTC on; now is {now:%Y-%m-%d %H:%M:%S}",
            "compare the clocks of both sides and of the CA",
        )
    if now > last:
        raise _refuse(
            "cert-expired",
            f"'{_subject(certificate)}' expired at {last:%Y-%m-%d %H:%M:%S} UTC",
            "renew it",
            expired=f"{last:%Y-%m-%dT%H:%M:%SZ}",
        )


def _check_extensions(certificate: x509.Certificate) -> None:
    for extension in certificate.extensions:
        if extension.critical and extension.oid not in _HANDLED:
            raise _refuse(
                "cert-critical-extension",
                f"'{_subject(certificate)}' has a critical extension that is not understood here"
                f" ({extension.oid.dotted_string})",
            )


def _check_purpose(leaf: x509.Certificate) -> None:
    """RFC 4945 sections 5.1.3.2 and 5.1.3.12; TLS purposes are let pass, as most CAs know no other template."""
    usage = _extension(leaf, x509.KeyUsage)
    if usage is not None and not (usage.digital_signature or usage.content_commitment):
        raise _refuse("cert-purpose", f"the keyUsage of '{_subject(leaf)}' does not allow signatures")
    purposes = _extension(leaf, x509.ExtendedKeyUsage)
    if purposes is not None and not _IKE_PURPOSES & set(purposes):
        words = ", ".join(purpose.dotted_string for purpose in purposes)
        raise _refuse("cert-purpose", f"the extendedKeyUsage of '{_subject(leaf)}' ({words}) is not for IKE")


def _check_authority(path: tuple[x509.Certificate, ...], position: int) -> None:
    """RFC 5280 sections 6.1.4 (k) to (n), and 6.1.3 (b) and (c): what a CA may do, to everything below it."""
    authority = path[position]
    basic = _extension(authority, x509.BasicConstraints)
    if basic is None or not basic.ca:
        raise _refuse("cert-not-authority", f"'{_subject(authority)}' signed a certificate but is no CA")
    usage = _extension(authority, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        raise _refuse("cert-not-authority", f"the keyUsage of '{_subject(authority)}' does not allow certificates")
    below = sum(not _self_issued(certificate) for certificate in path[1:position])
    if basic.path_length is not None and below > basic.path_length:
        raise _refuse(
            "cert-path-length",
            f"'{_subject(authority)}' allows {basic.path_length} CAs below it, there are {below}",
        )
    constraints = _extension(authority, x509.NameConstraints)
    if constraints is None:
        return
    for depth, certificate in enumerate(path[:position]):
        name = "" if depth and _self_issued(certificate) else refused_name(constraints, certificate)
        if name:
            raise _refuse(
                "cert-name-constraint",
                f"the name constraints of '{_subject(authority)}' do not allow '{name}' of '{_subject(certificate)}'",
            )


def _check_policies(path: tuple[x509.Certificate, ...]) -> frozenset[str]:
    policies, demands = policies_of(path)
    if demands is not None:
        raise _refuse(
            "cert-policy",
            f"'{_subject(demands)}' demands a certificate policy that holds along the whole path, and none does",
            "issue the certificates below it with a policy in common",
        )
    return policies


def is_sound(certificate: x509.Certificate) -> bool:
    """Whether everything that is looked at later can be read: the library parses a certificate's parts on first use."""
    try:
        certificate.public_key()
        _ = certificate.extensions, certificate.subject, certificate.issuer, certificate.signature_hash_algorithm
        _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc, certificate.version
    except UNREADABLE:
        return False
    return True


def has_ordinary_key(certificate: x509.Certificate) -> bool:
    """Whether a signature of its key is checked at once: anybody can make a key with which that takes milliseconds."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size <= _LONGEST_RSA and key.public_numbers().e <= _HIGHEST_EXPONENT
    return isinstance(key, SPKI_TYPES)


def certificate_identities(certificate: x509.Certificate) -> tuple[Identity, ...]:
    """Every identity that a certificate proves: its subject, if there is one, then its alternative names."""
    found: list[Identity] = []
    if certificate.subject.rdns:
        found.append(Identity.of_name(certificate.subject))
    for name in subject_alternative_names(certificate):
        if isinstance(name, x509.DNSName):
            found.append(Identity(IdType.FQDN, name.value.encode()))
        elif isinstance(name, x509.RFC822Name):
            found.append(Identity(IdType.RFC822_ADDR, name.value.encode()))
        elif isinstance(name, x509.IPAddress):
            found.append(_address_identity(name))
        elif isinstance(name, x509.DirectoryName):
            found.append(Identity.of_name(name.value))
    return tuple(found)


def _address_identity(name: x509.IPAddress) -> Identity:
    packed = getattr(name.value, "packed", b"")
    return Identity(IdType.IPV4_ADDR if len(packed) == 4 else IdType.IPV6_ADDR, packed)


def certificate_has(certificate: x509.Certificate, identity: Identity) -> bool:
    """Whether the certificate proves exactly this identity; a name with wildcards in it is taken literally.

    A KEY_ID is the key's subjectKeyIdentifier or the SHA-1 of its SubjectPublicKeyInfo.
    """
    if identity.id_type == IdType.KEY_ID:
        identifier = _extension(certificate, x509.SubjectKeyIdentifier)
        return identity.data == spki_hash(certificate) or (
            identifier is not None and identity.data == identifier.digest
        )
    return any(
        own.match_score(identity) == MATCH_PERFECT and (own == identity or not identity.has_wildcards)
        for own in certificate_identities(certificate)
    )


def certificate_matches(certificate: x509.Certificate, pattern: Identity) -> bool:
    """Whether some identity of the certificate fits a pattern (``CN=*, O=site``, ``*.example.org``, ``%any``)."""
    return certificate_has(certificate, pattern) or any(
        own.matches(pattern) for own in certificate_identities(certificate)
    )


def spki_hash(certificate: x509.Certificate) -> bytes:
    """SHA-1 of the DER SubjectPublicKeyInfo: how CERTREQ names a CA (RFC 7296 section 3.7)."""
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha1(spki, usedforsecurity=False).digest()


def _self_issued(certificate: x509.Certificate) -> bool:
    return certificate.subject == certificate.issuer


def _subject(certificate: x509.Certificate) -> str:
    names = certificate_identities(certificate)
    return str(names[0]) if names else f"serial {certificate.serial_number:x}"


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _refuse(code: str, message: str, hint: str = "", **fields: object) -> PeerError:
    return PeerError(code, message, notify=NotifyType.AUTHENTICATION_FAILED, hint=hint, fields=fields)
