"""A swanctl directory with a PKI of its own, made anew for each test that asks for one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


@functools.cache
def key(which: str) -> Key:
    """A key by name: the same one each time, for generating them costs more than the tests."""
    if which.startswith("rsa"):
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


def certificate(
    subject: str, subject_key: Key, issuer: str = "ca", *, days: int = 365, ca: bool = False, dns: tuple[str, ...] = ()
) -> x509.Certificate:
    """A certificate that ends in ``days``; negative: it ended so many days ago."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(subject_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=days))
    )
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    if dns:
        names = x509.SubjectAlternativeName([x509.DNSName(one) for one in dns])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(key("ca"), hashes.SHA256())


@dataclass(frozen=True)
class Swanctl:
    """A swanctl directory on disk."""

    path: Path

    def write(self, folder: str, file: str, data: bytes, mode: int = 0o600) -> Path:
        target = self.path / folder / file
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(data)
        target.chmod(mode)
        return target

    def conf(self, text: str, file: str = "swanctl.conf", mode: int = 0o600) -> Path:
        return self.write(".", file, text.encode(), mode)

    def certificate(
        self, file: str, made: x509.Certificate, folder: str = "x509", encoding: Encoding = Encoding.PEM
    ) -> Path:
        return self.write(folder, file, made.public_bytes(encoding))

    def key(
        self, file: str, which: str, folder: str = "private", passphrase: str = "", encoding: Encoding = Encoding.PEM
    ) -> Path:
        protection = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
        form = PrivateFormat.PKCS8 if folder in ("private", "pkcs8") else PrivateFormat.TraditionalOpenSSL
        return self.write(folder, file, key(which).private_bytes(encoding, form, protection))


@pytest.fixture
def swanctl(tmp_path: Path) -> Swanctl:
    """An empty directory."""
    return Swanctl(tmp_path)


@pytest.fixture
def site(swanctl: Swanctl) -> Swanctl:
    """A directory with a CA, and our certificate and key (``my-cert.pem``, ``CN=site-a``)."""
    swanctl.certificate("ca.pem", certificate("ca", key("ca"), ca=True), "x509ca")
    swanctl.certificate("my-cert.pem", certificate("site-a", key("site-a"), dns=("a.example.org",)))
    swanctl.key("my-key.pem", "site-a")
    return swanctl


@pytest.fixture
def make_certificate() -> Callable[..., x509.Certificate]:
    """The maker of certificates, for tests that need more of them."""
    return certificate


@pytest.fixture
def make_key() -> Callable[[str], Key]:
    """The maker of keys."""
    return key
