"""CA certificates that a peer made to keep us busy: their keys are not even tried."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.x509.oid import NameOID
from support.certs import START, issue

from ike.crypto import x509 as module
from ike.crypto.x509 import Trust
from ike.errors import PeerError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SIGNER = ec.generate_private_key(ec.SECP256R1())
AUTHORITY = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])


def authority(key: rsa.RSAPublicKey | dsa.DSAPublicKey | ec.EllipticCurvePublicKey, serial: int) -> x509.Certificate:
    """One called ``CN=ca`` with that key; whoever signed it does not matter."""
    builder = x509.CertificateBuilder(AUTHORITY, AUTHORITY, key, serial, START, START + timedelta(days=3650))
    return builder.sign(SIGNER, hashes.SHA256())


def slow_rsa() -> rsa.RSAPublicKey:
    """The exponents change places: a check costs as much as a signature, and more."""
    numbers = rsa.generate_private_key(65537, 2048).private_numbers()
    return rsa.RSAPublicNumbers(pow(65537, -1, (numbers.p - 1) * (numbers.q - 1)), numbers.p * numbers.q).public_key()


def huge_rsa() -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(65537, (1 << 16383) + 1).public_key()


def odd_dsa() -> dsa.DSAPublicKey:
    return dsa.generate_private_key(1024).public_key()


@pytest.mark.parametrize("make", [slow_rsa, huge_rsa, odd_dsa])
def test_a_key_that_costs_much_is_not_tried(make: type, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def has_issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
        del certificate
        tried.append(issuer.serial_number)
        return False

    monkeypatch.setattr(module, "has_issued", has_issued)
    key = make()
    ours, leaf = issue("ca", authority=True).certificate, issue("leaf", issue("ca", authority=True)).certificate
    ordinary = authority(SIGNER.public_key(), 1)
    trust = Trust((ours,), (), (), NOW)
    with pytest.raises(PeerError, match="not trusted") as caught:
        trust.validate([leaf, *(authority(key, serial) for serial in range(2, 30)), ordinary])
    assert caught.value.code == "cert-untrusted"
    assert tried == [ours.serial_number, 1]
