"""Distinguished names as strongSwan's own ``pki`` encodes and prints them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ike.wire.constants import IdType
from ike.wire.identity import Identity
from ike.wire.names import KEYWORDS

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("pki") / "key.der"
    private = ed25519.Ed25519PrivateKey.generate()
    file.write_bytes(private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    return file


def pki(*words: str) -> bytes:
    """What strongSwan's ``pki`` answers; empty where it refuses."""
    return subprocess.run(["pki", *words], capture_output=True, timeout=20, check=False).stdout


def theirs(key: Path, name: str) -> tuple[bytes, str]:
    """A name as strongSwan encodes it, and as it prints that."""
    der = pki("--self", "--in", str(key), "--type", "ed25519", "--dn", name)
    assert der, f"pki refuses {name}"
    certificate = key.with_name("certificate.der")
    certificate.write_bytes(der)
    lines = pki("--print", "--in", str(certificate)).decode().splitlines()
    (subject,) = (line.partition('"')[2].rpartition('"')[0] for line in lines if line.strip().startswith("subject:"))
    return x509.load_der_x509_certificate(der).subject.public_bytes(), subject


@pytest.mark.parametrize(
    "name",
    [
        "CN=site-a",
        "C=CH, O=strongSwan, CN=peer",
        "/C=CH/O=x/CN=y",
        "C=CH,O=x,CN=y",
        "E=a@b.org, DC=org, UID=u, CN=z",
        "emailAddress=a@b, serialNumber=5, SN=Ames, CN=q",
        "CN=*",
        "O=a=b, CN=c",
        "O=x/y, CN=z",
        "O=x;y, CN=z",
        "CN=a+b",
        "CN = spaced , O =  two  words ",
        "CN=#0c0178",
        *(f"{keyword}=ab" for keyword in KEYWORDS),
    ],
)
def test_a_name_is_encoded_and_printed_as_strongswan_does(key: Path, name: str) -> None:
    encoded, printed = theirs(key, name)
    ours = Identity.parse(name)
    assert ours == Identity(IdType.DER_ASN1_DN, encoded)
    assert str(ours) == printed


@pytest.mark.parametrize("name", ["commonName=x", "S=x", "CN", "=x", "CN=x, nonsense"])
def test_what_strongswan_takes_for_no_name_is_none(key: Path, name: str) -> None:
    assert pki("--self", "--in", str(key), "--type", "ed25519", "--dn", name) == b""
    assert Identity.parse(name).id_type != IdType.DER_ASN1_DN
