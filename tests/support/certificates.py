"""A certificate authority for tests: one call a certificate, with whatever a test wants to be wrong about it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

NOW = datetime.datetime(2026, 6, 1, 12, 0, 0, tzinfo=datetime.UTC)
YEAR = datetime.timedelta(days=365)


def name(text: str) -> x509.Name:
    """``O=house, CN=site-a`` as a name."""
    kinds = {
        "CN": NameOID.COMMON_NAME,
        "O": NameOID.ORGANIZATION_NAME,
        "C": NameOID.COUNTRY_NAME,
        "E": NameOID.EMAIL_ADDRESS,
    }
    pairs = [part.strip().split("=", 1) for part in text.split(",") if part.strip()]
    return x509.Name([x509.NameAttribute(kinds[kind], value) for kind, value in pairs])


@dataclass(frozen=True)
class Issued:
    """A certificate and its key; it can issue others whether or not it may."""

    certificate: x509.Certificate
    key: Key

    def issue(self, subject: str, **options: object) -> Issued:
        """A certificate below this one; see :func:`issue`."""
        return issue(subject, issuer=self, **options)  # type: ignore[arg-type]

    def crl(
        self,
        revoked: Sequence[Issued] = (),
        *,
        reason: x509.ReasonFlags | None = None,
        last: datetime.datetime = NOW - YEAR / 365,
        following: datetime.datetime | None = NOW + YEAR / 365,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
        signer: Key | None = None,
    ) -> x509.CertificateRevocationList:
        """A list of this CA."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject).last_update(last)
        builder = builder.next_update(following or last + YEAR)
        for issued in revoked:
            entry = (
                x509.RevokedCertificateBuilder().serial_number(issued.certificate.serial_number).revocation_date(last)
            )
            if reason is not None:
                entry = entry.add_extension(x509.CRLReason(reason), critical=False)
            builder = builder.add_revoked_certificate(entry.build())
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        key = signer or self.key
        return builder.sign(key, digest(key))


def digest(key: Key) -> hashes.SHA256 | None:
    """What a key of this kind signs with."""
    return None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()


def new_key() -> Key:
    """The quickest there is that every check accepts."""
    return ec.generate_private_key(ec.SECP256R1())


def issue(
    subject: str,
    *,
    issuer: Issued | None = None,
    key: Key | None = None,
    ca: bool = False,
    path_length: int | None = None,
    first: datetime.datetime = NOW - YEAR,
    last: datetime.datetime = NOW + YEAR,
    names: Sequence[x509.GeneralName] = (),
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    hash_: hashes.HashAlgorithm | None = None,
) -> Issued:
    """A certificate; self-signed without ``issuer``."""
    key = key or new_key()
    signer = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(issuer.certificate.subject if issuer else name(subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(first)
        .not_valid_after(last)
    )
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(True, path_length), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not subject)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return Issued(builder.sign(signer, hash_ or digest(signer)), key)


def usage(**allowed: bool) -> x509.KeyUsage:
    """A KeyUsage extension with these bits set."""
    bits = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(**(bits | allowed))
