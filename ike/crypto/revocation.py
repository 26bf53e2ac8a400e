"""Whether a certificate was revoked, by the CRLs that are at hand (RFC 5280 section 6.3)."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from enum import Enum

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


class Standing(Enum):
    """What the lists say of a certificate."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


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
        if not _signed_by(crl, issuer):
            continue
        entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
        if entry is not None and not _is_for_another_issuer(entry, issuer):
            reason = _reason(entry)
            if reason is not x509.ReasonFlags.remove_from_crl:
                return Standing.REVOKED, reason.value if reason is not None else "unspecified"
        elif _vouches(crl, certificate, now):
            standing = Standing.GOOD
    return standing, ""


def _is_sound(crl: x509.CertificateRevocationList) -> bool:
    """Whether its parts can be read: the library parses them on first use."""
    try:
        _ = crl.issuer, crl.last_update_utc, crl.next_update_utc, crl.extensions
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return False
    return True


def _signed_by(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
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


def _vouches(crl: x509.CertificateRevocationList, certificate: x509.Certificate, now: datetime.datetime) -> bool:
    if crl.next_update_utc is None or crl.next_update_utc < now:
        return False
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


def names_responders(certificate: x509.Certificate) -> bool:
    """Whether a certificate says where its OCSP responder is (RFC 5280 section 4.2.2.1)."""
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return False
    return any(description.access_method == AuthorityInformationAccessOID.OCSP for description in access)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
