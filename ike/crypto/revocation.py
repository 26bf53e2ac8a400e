"""Whether a certificate was revoked: what is published of it and where, and what CRLs say (RFC 5280 section 6.3)."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtensionOID

_HANDLED = frozenset(
    (
        ExtensionOID.CRL_NUMBER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.DELTA_CRL_INDICATOR,
        ExtensionOID.ISSUING_DISTRIBUTION_POINT,
        ExtensionOID.FRESHEST_CRL,
    )
)


UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What the library raises for a certificate, a CRL or an OCSP answer that cannot be: some on reading, some on first use
of a part."""


class UnusableError(Exception):
    """What was fetched is no help; the message says why, for the record of a certificate that stays unknown."""


class Standing(Enum):
    """What is known of a certificate; ``STALE``: only what was to be replaced by something newer before now."""

    GOOD = "good"
    REVOKED = "revoked"
    STALE = "stale"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Publication:
    """Where a CA publishes what its certificates do not say themselves: an ``authorities`` section of swanctl.conf."""

    authority: x509.Certificate
    crl_uris: tuple[str, ...] = ()
    ocsp_uris: tuple[str, ...] = ()
    cert_uri_base: str = ""


@dataclass(frozen=True, slots=True)
class OcspAnswer:
    """What a responder said of one certificate, checked; believed ``until`` then (aware of its zone).

    ``delegate`` is whom the CA has certified to answer, where that certificate may have been revoked in turn.
    """

    standing: Standing
    reason: str
    until: datetime.datetime
    delegate: x509.Certificate | None = None


class Evidence(Protocol):
    """What was found out about certificates beside the CRLs that are at hand."""

    def crls(self, issuer: x509.Certificate) -> Sequence[x509.CertificateRevocationList]:
        """Lists that were fetched, of a CA with that subject."""
        ...

    def ocsp(self, certificate: x509.Certificate, issuer: x509.Certificate) -> OcspAnswer | None:
        """What a responder said of it, if that still holds."""
        ...

    def is_published(self, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        """Whether somebody says where its status can be looked up."""
        ...

    def attempts(self, certificate: x509.Certificate, issuer: x509.Certificate) -> str:
        """Where its status was looked up in vain, and why; empty: nowhere."""
        ...


def standing_of(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    crls: Iterable[x509.CertificateRevocationList],
    evidence: Evidence | None,
    now: datetime.datetime,
    believes: Callable[[OcspAnswer, x509.Certificate], bool],
) -> tuple[Standing, str]:
    """All that is known: who says that it is revoked is believed against everybody else.

    ``believes`` decides whether an answer counts that a delegate of the CA gave, who may have been revoked itself.
    """
    answer = evidence.ocsp(certificate, issuer) if evidence is not None else None
    fetched = evidence.crls(issuer) if evidence is not None else ()
    listed, reason = standing_by_crls(certificate, issuer, (*crls, *fetched), now)
    if listed is Standing.REVOKED or answer is None or (answer.delegate and not believes(answer, issuer)):
        return listed, reason
    return answer.standing, answer.reason


def standing_of_delegate(
    delegate: x509.Certificate,
    issuer: x509.Certificate,
    crls: Iterable[x509.CertificateRevocationList],
    evidence: Evidence | None,
    now: datetime.datetime,
) -> Standing:
    """Of whom a CA has certified to answer for it (RFC 6960 section 4.2.2.2.1).

    The answer of a delegate that would have to be checked too does not count: else they would vouch for each other.
    """
    answer = evidence.ocsp(delegate, issuer) if evidence is not None else None
    fetched = evidence.crls(issuer) if evidence is not None else ()
    listed, _ = standing_by_crls(delegate, issuer, (*crls, *fetched), now)
    if listed is Standing.REVOKED or answer is None or answer.delegate is not None:
        return listed
    return answer.standing


def standing_by_crls(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    crls: Iterable[x509.CertificateRevocationList],
    now: datetime.datetime,
) -> tuple[Standing, str]:
    """What the CRLs of ``issuer`` say at ``now`` (aware of its zone), and the reason code where it is revoked.

    A list that is stale, that covers only a part, or that has a critical extension we do not know, can still revoke; it
    cannot vouch.
    """
    standing = Standing.UNKNOWN
    for crl in crls:
        if not _is_sound(crl) or crl.issuer != certificate.issuer or crl.last_update_utc > now:
            continue
        if not signed_by(crl, issuer):
            continue
        entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
        if entry is not None and not _is_for_another_issuer(entry, issuer):
            reason = _reason(entry)
            if reason is not x509.ReasonFlags.remove_from_crl:
                return Standing.REVOKED, reason.value if reason is not None else "unspecified"
        elif standing is not Standing.GOOD and _covers(crl, certificate):
            standing = Standing.GOOD if is_fresh(crl, now) else Standing.STALE
    return standing, ""


def is_fresh(crl: x509.CertificateRevocationList, now: datetime.datetime) -> bool:
    """Whether a list says that it still holds."""
    return crl.next_update_utc is not None and crl.next_update_utc >= now


def _is_sound(crl: x509.CertificateRevocationList) -> bool:
    """Whether its parts can be read: the library parses them on first use."""
    try:
        _ = crl.issuer, crl.last_update_utc, crl.next_update_utc, crl.extensions
    except UNREADABLE:
        return False
    return True


def signed_by(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    """Whether the CA signed the list, and may."""
    try:
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
        if not usage.crl_sign:
            return False
    except x509.ExtensionNotFound:
        pass
    try:
        return crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
        return False


def _is_for_another_issuer(entry: x509.RevokedCertificate, issuer: x509.Certificate) -> bool:
    """Entries of an indirect CRL may name the CA that they speak of (RFC 5280 section 5.3.3)."""
    try:
        names = entry.extensions.get_extension_for_class(x509.CertificateIssuer).value
    except x509.ExtensionNotFound:
        return False
    return issuer.subject not in names.get_values_for_type(x509.DirectoryName)


def _reason(entry: x509.RevokedCertificate) -> x509.ReasonFlags | None:
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return None


def _covers(crl: x509.CertificateRevocationList, certificate: x509.Certificate) -> bool:
    if any(extension.critical and extension.oid not in _HANDLED for extension in crl.extensions):
        return False
    if any(extension.oid == ExtensionOID.DELTA_CRL_INDICATOR for extension in crl.extensions):
        return False
    try:
        scope = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    except x509.ExtensionNotFound:
        return True
    if scope.indirect_crl or scope.only_contains_attribute_certs or scope.only_some_reasons:
        return False
    authority = _is_authority(certificate)
    if (scope.only_contains_user_certs and authority) or (scope.only_contains_ca_certs and not authority):
        return False
    return scope.full_name is None or bool(set(scope.full_name) & set(distribution_points(certificate)))


def distribution_points(certificate: x509.Certificate) -> tuple[x509.GeneralName, ...]:
    """Where a certificate says that its CRL is (RFC 5280 section 4.2.1.13)."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(name for point in points for name in point.full_name or ())


def crl_uris(certificate: x509.Certificate) -> tuple[str, ...]:
    """Those of its distribution points that are URIs."""
    names = distribution_points(certificate)
    return tuple(name.value for name in names if isinstance(name, x509.UniformResourceIdentifier))


def ocsp_uris(certificate: x509.Certificate) -> tuple[str, ...]:
    """Where a certificate says that its OCSP responder is (RFC 5280 section 4.2.2.1)."""
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(
        description.access_location.value
        for description in access
        if description.access_method == AuthorityInformationAccessOID.OCSP
        and isinstance(description.access_location, x509.UniformResourceIdentifier)
    )


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
