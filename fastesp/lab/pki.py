"""A public-key infrastructure for an afternoon: authorities and certificates, good, expired or from elsewhere."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

CURVES: dict[str, ec.EllipticCurve] = {
    "ecdsa-256": ec.SECP256R1(),
    "ecdsa-384": ec.SECP384R1(),
    "ecdsa-521": ec.SECP521R1(),
}
DAY = datetime.timedelta(days=1)


def private_key(kind: str) -> PrivateKey:
    """A fresh key: ``rsa-2048``, ``rsa-3072`` ..., ``ecdsa-256``, ``ecdsa-384``, ``ecdsa-521`` or ``ed25519``."""
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind in CURVES:
        return ec.generate_private_key(CURVES[kind])
    algorithm, _, bits = kind.partition("-")
    if algorithm != "rsa" or not bits.isdigit():
        raise ValueError(f"key kind {kind!r}: one of rsa-BITS, {', '.join(CURVES)}, ed25519")
    return rsa.generate_private_key(65537, int(bits))


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate with its private key; ``chain`` leads from its issuer up, without the root."""

    certificate: x509.Certificate
    key: PrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key as unencrypted PKCS#8."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


class Authority:
    """A certification authority, self-signed or under another one. ``Authority("lab CA").issue("CN=site-a")``."""

    def __init__(self, name: str, *, kind: str = "ecdsa-256", under: Authority | None = None) -> None:
        self.key = private_key(kind)
        self.parent = under
        subject = _name(f"CN={name}")
        issuer = self if under is None else under
        builder = _builder(subject, issuer.name if under else subject, self.key, -1, 3650)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(_usage(ca=True), critical=True)
        self.certificate = _signed(builder, issuer.key)

    @property
    def name(self) -> x509.Name:
        """The subject."""
        return self.certificate.subject

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """From this one up, the root left out."""
        return () if self.parent is None else (self.certificate, *self.parent.chain)

    @property
    def pem(self) -> bytes:
        """The authority's certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self, subject: str, *, kind: str = "ecdsa-256", names: Sequence[str] = (), starts: float = -1, days: float = 365
    ) -> Certified:
        """A certificate for ``subject`` (``CN=site-a``), with ``names`` (DNS, e-mail or IP) as subjectAltName.

        Valid from ``starts`` days from now, for ``days`` days: ``starts=-10, days=5`` has expired.
        """
        key = private_key(kind)
        builder = _builder(_name(subject), self.name, key, starts, days)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(ca=False), critical=True)
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(authority_key, critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_alt(n) for n in names]), critical=False)
        return Certified(_signed(builder, self.key), key, self.chain)


class SwanctlDirectory:
    """A directory laid out as swanctl.conf(5) has it: ``swanctl.conf``, ``x509``, ``x509ca``, ``private``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.x509, self.x509ca, self.private = (path / part for part in ("x509", "x509ca", "private"))
        for part in (self.x509, self.x509ca, self.private):
            part.mkdir(parents=True, exist_ok=True)
        self.private.chmod(0o700)

    @property
    def file(self) -> Path:
        """The configuration itself."""
        return self.path / "swanctl.conf"

    def configure(self, text: str) -> None:
        """Write ``swanctl.conf``; it may hold secrets, so nobody else reads it."""
        self.file.touch(mode=0o600)
        self.file.write_text(text)

    def own(self, certified: Certified, file: str = "my-cert.pem") -> None:
        """A certificate of this side, with its key and the chain that leads up from it."""
        (self.x509 / file).write_bytes(certified.pem)
        key_file = self.private / file.replace("cert", "key")
        key_file.touch(mode=0o600)
        key_file.write_bytes(certified.key_pem)
        for number, link in enumerate(certified.chain):
            (self.x509ca / f"chain-{number}.pem").write_bytes(link.public_bytes(serialization.Encoding.PEM))

    def trust(self, authority: Authority, file: str = "ca.pem") -> None:
        """An authority that this side trusts."""
        (self.x509ca / file).write_bytes(authority.pem)


def _name(text: str) -> x509.Name:
    return x509.Name.from_rfc4514_string(text)


def _alt(text: str) -> x509.GeneralName:
    if "@" in text:
        return x509.RFC822Name(text)
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, starts: float, days: float
) -> x509.CertificateBuilder:
    begin = datetime.datetime.now(datetime.UTC) + starts * DAY
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(begin).not_valid_after(begin + days * DAY)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _signed(builder: x509.CertificateBuilder, key: PrivateKey) -> x509.Certificate:
    return builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
