"""Certificates, lists and OCSP answers that no X.509 allows: the library has exceptions of its own for some of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from support.certificates import NOW, Issued, issue

from ike.auth.pubkey import read_certificates
from ike.credentials import CredentialStore
from ike.crypto.bundle import read_bundle
from ike.crypto.revocation import Publication, UnusableError
from ike.errors import PeerError
from ike.events import LookupWanted
from ike.sa.lookups import Lookups
from ike.timing import Timing
from ike.wire.constants import CertEncoding
from ike.wire.payloads import CertPayload

ROOT = issue("CN=root", ca=True)
SITE = ROOT.issue("CN=site")
V3 = bytes.fromhex("a003020102")


def of_version_6(issued: Issued) -> bytes:
    """X.509 ends with version 3, which is written 2."""
    return issued.certificate.public_bytes(Encoding.DER).replace(V3, bytes.fromhex("a003020105"), 1)


def crl_of_version_6() -> bytes:
    der = ROOT.crl().public_bytes(Encoding.DER)
    at = der.index(bytes.fromhex("020101"))
    return der[: at + 2] + b"\x05" + der[at + 3 :]


def bundle(tag: int, inside: bytes) -> bytes:
    def element(tag: int, value: bytes) -> bytes:
        return bytes((tag, 0x82)) + len(value).to_bytes(2, "big") + value

    return element(0x30, element(tag, inside))


def test_a_peers_certificate_of_another_version_is_malformed() -> None:
    with pytest.raises(PeerError) as caught:
        read_certificates([CertPayload(CertEncoding.X509_SIGNATURE, of_version_6(SITE))])
    assert caught.value.code == "cert-malformed"


@pytest.mark.parametrize(
    ("data", "single"),
    [
        (of_version_6(SITE), True),
        (bundle(0xA0, of_version_6(SITE)), False),
        (bundle(0xA1, crl_of_version_6()), False),
    ],
)
def test_what_a_reference_leads_to_may_be_of_another_version(data: bytes, single: bool) -> None:
    with pytest.raises(UnusableError):
        read_bundle(data, single=single)


def test_a_list_of_another_version_is_no_help() -> None:
    wanted: list[LookupWanted] = []
    store = CredentialStore(published=[Publication(ROOT.certificate, crl_uris=("http://ca.example/crl",))])
    made = Lookups(store, Timing(), random=bytes, wall_clock=lambda: NOW, emit=wanted.append)
    (question,) = made.status_questions(SITE.certificate, ROOT.certificate)
    assert made.ask(question, 1, 0.0)
    assert made.answer(wanted[0].lookup_id, crl_of_version_6(), "", 0.0) == (question, {1})
    assert "no CRL that can be read" in made.why_failed(question)


def test_a_serial_number_that_is_too_long_can_be_asked_about() -> None:
    long = Issued(_Long(SITE.certificate), SITE.key)  # type: ignore[arg-type]
    made = Lookups(
        CredentialStore(published=[Publication(ROOT.certificate, crl_uris=("http://ca.example/crl",))]),
        Timing(),
        random=bytes,
        wall_clock=lambda: datetime.now(UTC),
        emit=[].append,
    )
    assert len(made.status_questions(long.certificate, ROOT.certificate)) == 1


class _Long:
    """A certificate whose serial number has 50 bytes, which no library would issue any more."""

    def __init__(self, certificate: object) -> None:
        self._certificate = certificate
        self.serial_number = 1 << 400

    def __getattr__(self, name: str) -> object:
        return getattr(self._certificate, name)
