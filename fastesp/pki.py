"""X.509 made here: keys, names, certificates and revocation lists, in memory. The command line and the lab share it."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

KINDS = ("ecdsa-256", "ecdsa-384", "ecdsa-521", "ed25519", "rsa-2048", "rsa-3072", "rsa-4096")
CURVES: Mapping[str, ec.EllipticCurve] = {"256": ec.SECP256R1(), "384": ec.SECP384R1(), "521": ec.SECP521R1()}
WORDS = {
    NameOID.EMAIL_ADDRESS: "E",
    NameOID.SURNAME: "SN",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.GIVEN_NAME: "G",
    NameOID.TITLE: "T",
}
"""Words of swanctl.conf that RFC 4514 does not have."""

Extensions = Sequence[tuple[x509.ExtensionType, bool]]
"""Each with whether it is critical."""


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate with its private key; ``chain`` leads from its issuer up, without the root."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key as unencrypted PKCS#8."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def make_key(kind: str) -> PrivateKey:
    """A fresh key of one of :data:`KINDS`, or ``rsa-BITS``. Raises ``ValueError``."""
    algorithm, _, bits = kind.partition("-")
    if algorithm == "rsa" and bits.isdigit():
        return rsa.generate_private_key(65537, int(bits))
    if algorithm == "ecdsa" and bits in CURVES:
        return ec.generate_private_key(CURVES[bits])
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    raise ValueError(f"key kind {kind!r}: one of {', '.join(KINDS)}")


# Names.


def parse_name(text: str) -> x509.Name:
    """``O=example, CN=site-a`` in the order it is written (RFC 4514 writes it the other way round).

    A bare word is a CN. Raises ``ValueError``.
    """
    joined = ",".join(part.strip() for part in re.split(r"(?<!\\),", text))
    words = {word: oid for oid, word in WORDS.items()}
    reverse = x509.Name.from_rfc4514_string(joined if "=" in joined else f"CN={joined}", words)
    return x509.Name(list(reversed(reverse.rdns)))


def print_name(name: x509.Name) -> str:
    """The reverse of :func:`parse_name`."""
    return ", ".join(rdn.rfc4514_string(WORDS) for rdn in name.rdns)


def alternative_name(text: str) -> x509.GeneralName:
    """A subjectAltName out of an IP address, an e-mail address or a host name. Raises ``ValueError``."""
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.RFC822Name(text) if "@" in text else x509.DNSName(text)


# What is signed.


def certify(
    subject: x509.Name,
    key: PrivateKey,
    issuer: Certified | None,
    begin: datetime.datetime,
    end: datetime.datetime,
    *,
    authority: bool = False,
    path_length: int | None = None,
    names: Sequence[str] = (),
    extensions: Extensions = (),
) -> Certified:
    """A certificate for ``key``; self-signed without ``issuer``. ``extensions`` come beside the usual ones."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer is not None else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=path_length), critical=True)
        .add_extension(_usage(authority=authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer is not None:
        builder = builder.add_extension(_identifier_of(issuer.certificate), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(map(alternative_name, names)), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    signer = issuer.key if issuer is not None else key
    chain = () if issuer is None else _above(issuer)
    return Certified(builder.sign(signer, digest_for(signer)), key, chain)


def revoke(
    issuer: Certified, revoked: Sequence[x509.Certificate], begin: datetime.datetime, end: datetime.datetime
) -> x509.CertificateRevocationList:
    """A revocation list; its number is its time, so that each later one is higher."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.certificate.subject)
    builder = builder.last_update(begin).next_update(end)
    builder = builder.add_extension(x509.CRLNumber(int(begin.timestamp())), critical=False)
    builder = builder.add_extension(_identifier_of(issuer.certificate), critical=False)
    for certificate in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(begin)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(issuer.key, digest_for(issuer.key))


def digest_for(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | None:
    """The hash that fits a key (RFC 8032 keys bring their own)."""
    if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        return None
    strong = isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size > 256
    return hashes.SHA384() if strong else hashes.SHA256()


def _above(issuer: Certified) -> tuple[x509.Certificate, ...]:
    """What a peer needs beside the certificate: the issuer and what is above it, less the root."""
    itself = issuer.certificate
    return () if itself.issuer == itself.subject else (itself, *issuer.chain)


def _identifier_of(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
