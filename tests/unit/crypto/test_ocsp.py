"""OCSP answers: who may give them, for how long they hold, and everything that makes one worthless."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st
from support.certificates import NOW, issue
from support.responders import DAY, ocsp_answer

from ike.crypto.ocsp import BELIEVED_FOR, CLOCK_SKEW, ocsp_request, read_ocsp
from ike.crypto.revocation import Standing, UnusableError

NONCE = bytes(range(32))
ROOT = issue("CN=root", ca=True)
LEAF = ROOT.issue("CN=site-b")
SIGNING = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False)
REQUEST = ocsp_request(LEAF.certificate, ROOT.certificate, NONCE)


def read(data, *, about=LEAF, issuer=ROOT, nonce=NONCE):
    return read_ocsp(data, about.certificate, issuer.certificate, NOW, nonce)


def unusable(data, word, **options):
    with pytest.raises(UnusableError) as caught:
        read(data, **options)
    assert word in str(caught.value)


def test_a_request_names_the_certificate_and_carries_the_nonce():
    asked = ocsp.load_der_ocsp_request(REQUEST)
    assert asked.serial_number == LEAF.certificate.serial_number
    assert asked.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == NONCE


@pytest.mark.parametrize(
    "key",
    [
        None,
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
        ed448.Ed448PrivateKey.generate(),
    ],
    ids=["ecdsa", "rsa", "ed25519", "ed448"],
)
def test_the_ca_itself_vouches_or_revokes(key):
    root = issue("CN=root", ca=True, key=key)
    leaf = root.issue("CN=site-b")
    request = ocsp_request(leaf.certificate, root.certificate, NONCE)
    good = read(ocsp_answer(request, leaf, root, NOW), about=leaf, issuer=root)
    assert (good.standing, good.reason, good.until) == (Standing.GOOD, "", NOW + DAY)
    bad = read(ocsp_answer(request, leaf, root, NOW, revoked=True), about=leaf, issuer=root)
    assert (bad.standing, bad.reason) == (Standing.REVOKED, "keyCompromise")


def test_whom_the_ca_certified_for_it_answers_in_its_place():
    delegate = ROOT.issue("CN=OCSP", extensions=[SIGNING])
    assert read(ocsp_answer(REQUEST, LEAF, ROOT, NOW, signer=delegate)).standing is Standing.GOOD


@pytest.mark.parametrize(
    "signer",
    [
        ROOT.issue("CN=no OCSP signing"),
        LEAF,
        issue("CN=root", ca=True),
        issue("CN=other", ca=True).issue("CN=OCSP", extensions=[SIGNING]),
        ROOT.issue("CN=OCSP", extensions=[SIGNING], last=NOW - DAY),
        ROOT.issue("CN=OCSP", extensions=[SIGNING], first=NOW + DAY),
        ROOT.issue("CN=middle", ca=True).issue("CN=OCSP", extensions=[SIGNING]),
    ],
    ids=["no-purpose", "the-peer-itself", "name-alike", "of-another-ca", "expired", "not-yet", "of-a-ca-below"],
)
def test_nobody_else_does(signer):
    unusable(ocsp_answer(REQUEST, LEAF, ROOT, NOW, signer=signer), "neither the CA signed")


def test_a_delegate_is_to_be_checked_itself_unless_the_ca_says_otherwise():
    checked = ROOT.issue("CN=OCSP", extensions=[SIGNING])
    exempt = ROOT.issue("CN=OCSP", extensions=[SIGNING, (x509.OCSPNoCheck(), False)])
    assert read(ocsp_answer(REQUEST, LEAF, ROOT, NOW, signer=checked)).delegate == checked.certificate
    assert read(ocsp_answer(REQUEST, LEAF, ROOT, NOW, signer=exempt)).delegate is None
    assert read(ocsp_answer(REQUEST, LEAF, ROOT, NOW)).delegate is None


def test_a_changed_answer_is_worthless():
    answer = bytearray(ocsp_answer(REQUEST, LEAF, ROOT, NOW))
    answer[-1] ^= 1
    unusable(bytes(answer), "neither the CA signed")


def test_the_nonce_is_ours_or_there_is_none():
    assert read(ocsp_answer(REQUEST, LEAF, ROOT, NOW, nonce=None)).standing is Standing.GOOD
    unusable(ocsp_answer(REQUEST, LEAF, ROOT, NOW, nonce=bytes(32)), "nonce of another request")


def test_an_answer_holds_for_its_time():
    second = datetime.timedelta(seconds=1)
    assert read(ocsp_answer(REQUEST, LEAF, ROOT, NOW, following=NOW)).until == NOW
    unusable(ocsp_answer(REQUEST, LEAF, ROOT, NOW, following=NOW - second), "good until")
    assert read(ocsp_answer(REQUEST, LEAF, ROOT, NOW, this=NOW + CLOCK_SKEW))
    unusable(ocsp_answer(REQUEST, LEAF, ROOT, NOW, this=NOW + CLOCK_SKEW + second), "future")


@pytest.mark.parametrize(("age", "holds"), [(0, True), (2, False)])
def test_without_next_update_it_holds_for_a_few_minutes(age, holds):
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=LEAF.certificate,
        issuer=ROOT.certificate,
        algorithm=hashes.SHA256(),
        cert_status=ocsp.OCSPCertStatus.GOOD,
        this_update=NOW - age * BELIEVED_FOR,
        next_update=None,
        revocation_time=None,
        revocation_reason=None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.NAME, ROOT.certificate)
    data = builder.sign(ROOT.key, hashes.SHA256()).public_bytes(Encoding.DER)
    if holds:
        assert read(data).until == NOW + BELIEVED_FOR
    else:
        unusable(data, "good until")


def test_an_answer_about_another_certificate_is_none():
    other = ROOT.issue("CN=site-c")
    unusable(ocsp_answer(REQUEST, other, ROOT, NOW), "another certificate")
    namesake = issue("CN=root", ca=True)
    unusable(ocsp_answer(REQUEST, LEAF, namesake, NOW, signer=None), "neither the CA signed")


def test_a_responder_that_does_not_know_vouches_for_nobody():
    unusable(ocsp_answer(REQUEST, LEAF, ROOT, NOW, unknown=True), "does not know")
    refusal = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    unusable(refusal.public_bytes(Encoding.DER), "try later")


@given(st.binary(max_size=300))
def test_any_bytes_are_an_answer_or_worthless(data):
    with pytest.raises(UnusableError):
        read(data)


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_an_answer_with_any_byte_changed_is_the_same_or_worthless(at, value):
    answer = bytearray(ocsp_answer(REQUEST, LEAF, ROOT, NOW))
    before, place = bytes(answer), at % len(answer)
    answer[place] = value
    try:
        found = read(bytes(answer))
    except UnusableError:
        return
    assert found.standing is Standing.GOOD
    assert found.until == NOW + DAY or bytes(answer) == before
