"""``fastesp pki``: what it makes is what OpenSSL's and the ``cryptography`` package's own validation accept."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.verification import PolicyBuilder, Store

from fastesp.cli import main


def pki(*words: str) -> Result:
    return CliRunner().invoke(main, ["pki", *words])


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    result = pki("ca", "--name", "O=example, CN=example CA", "--out", str(tmp_path / "ca"))
    assert result.exit_code == 0, result.output
    return tmp_path / "ca"


def issue(authority: Path, out: Path, name: str, *more: str) -> Result:
    return pki("issue", "--ca", str(authority), "--name", name, "--out", str(out), *more)


@pytest.mark.parametrize("kind", ["ecdsa-256", "ecdsa-384", "ecdsa-521", "rsa-2048"])
def test_a_certificate_leads_to_its_authority(authority: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "swanctl"
    assert issue(authority, out, "CN=site-a", "--san", "a.example.org", "--type", kind).exit_code == 0
    certificate = x509.load_pem_x509_certificate((out / "x509/site-a.pem").read_bytes())
    root = x509.load_pem_x509_certificate((out / "x509ca/example-CA.pem").read_bytes())
    verifier = PolicyBuilder().store(Store([root])).build_server_verifier(x509.DNSName("a.example.org"))
    assert verifier.verify(certificate, []) == [certificate, root]
    key = load_pem_private_key((out / "private/site-a.pem").read_bytes(), None)
    assert key.public_key() == certificate.public_key()


def test_an_ed25519_certificate_is_signed_by_its_authority(authority: Path, tmp_path: Path) -> None:
    assert issue(authority, tmp_path, "CN=ed", "--type", "ed25519").exit_code == 0
    certificate = x509.load_pem_x509_certificate((tmp_path / "x509/ed.pem").read_bytes())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate((authority / "ca-cert.pem").read_bytes()))


def test_a_name_keeps_its_order(authority: Path, tmp_path: Path) -> None:
    result = issue(authority, tmp_path, "C=CH, O=example\\, inc, CN=site-a", "--file", "a")
    assert result.exit_code == 0, result.output
    subject = x509.load_pem_x509_certificate((tmp_path / "x509/a.pem").read_bytes()).subject
    assert [attribute.value for attribute in subject] == ["CH", "example, inc", "site-a"]


def test_keys_are_for_their_owner_alone(authority: Path, tmp_path: Path) -> None:
    issue(authority, tmp_path, "CN=site-a")
    for file in (authority / "ca-key.pem", tmp_path / "private/site-a.pem"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_nothing_is_overwritten(authority: Path, tmp_path: Path) -> None:
    assert issue(authority, tmp_path, "CN=site-a").exit_code == 0
    before = (tmp_path / "private/site-a.pem").read_bytes()
    again = issue(authority, tmp_path, "CN=site-a")
    assert again.exit_code == 1
    assert "is there already" in again.stderr
    assert (tmp_path / "private/site-a.pem").read_bytes() == before


def test_an_authority_that_is_not_there_is_5(tmp_path: Path) -> None:
    result = issue(tmp_path / "none", tmp_path, "CN=x")
    assert result.exit_code == 5
    assert "fastesp pki ca" in result.stderr


@pytest.mark.parametrize(("option", "value"), [("--name", "C=Switzerland"), ("--san", "user@exämple")])
def test_a_name_that_cannot_be_is_2(authority: Path, tmp_path: Path, option: str, value: str) -> None:
    words = {"--name": "CN=x"} | {option: value}
    result = pki("issue", "--ca", str(authority), "--out", str(tmp_path), *(w for pair in words.items() for w in pair))
    assert result.exit_code == 2


def test_show_says_what_a_file_holds(authority: Path, tmp_path: Path) -> None:
    assert "O=example, CN=example CA" in pki("show", str(authority / "ca-cert.pem")).stdout
    (tmp_path / "junk").write_bytes(b"junk")
    assert pki("show", str(tmp_path / "junk")).exit_code == 1
