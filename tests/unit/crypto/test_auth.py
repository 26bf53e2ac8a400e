"""AUTH payloads: what they cover, and that nobody else can make them."""

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.certificates import NOW, issue

from ike.auth.octets import auth_octets
from ike.auth.psk import shared_key_auth, verify_shared_key
from ike.auth.pubkey import pubkey_auth, read_certificates, verify_pubkey, verify_raw_key
from ike.crypto.prf import prf
from ike.crypto.secret import Secret
from ike.crypto.signature import OUR_HASHES
from ike.crypto.x509 import Trust
from ike.errors import LocalError, PeerError
from ike.wire.constants import AuthMethod, CertEncoding, NotifyType, PayloadType, Prf
from ike.wire.identity import Identity
from ike.wire.payloads import AuthPayload, CertPayload

SHA256 = Prf.HMAC_SHA2_256
IDENTITY = Identity.parse("site-b.example.org")
SECRET = Secret(b"correct horse battery staple")
OCTETS = b"octets"


def test_octets_are_message_nonce_and_the_mac_of_the_identity():
    payload = IDENTITY.to_payload(PayloadType.ID_R)
    octets = auth_octets(SHA256, b"message", b"nonce", Secret(b"sk_p"), payload)
    body = b"\x02\x00\x00\x00" + b"site-b.example.org"
    assert octets == b"message" + b"nonce" + prf(SHA256, b"sk_p", body)
    assert auth_octets(SHA256, b"message", b"nonce", Secret(b"sk_p"), payload, b"int") == octets + b"int"


def test_a_shared_key_is_stretched_by_the_key_pad():
    auth = shared_key_auth(SHA256, SECRET, OCTETS)
    assert auth.method == AuthMethod.SHARED_KEY
    assert auth.data == prf(SHA256, prf(SHA256, bytes(SECRET), b"Key Pad for IKEv2"), OCTETS)
    verify_shared_key(SHA256, SECRET, OCTETS, auth)


@pytest.mark.parametrize(
    ("secret", "octets", "change"),
    [
        (Secret(b"another"), OCTETS, b""),
        (SECRET, b"other octets", b""),
        (SECRET, OCTETS, b"x"),
    ],
)
def test_another_key_or_other_octets_do_not_verify(secret, octets, change):
    auth = shared_key_auth(SHA256, SECRET, OCTETS)
    with pytest.raises(PeerError) as caught:
        verify_shared_key(SHA256, secret, octets, AuthPayload(auth.method, auth.data + change))
    assert caught.value.code == "psk-mismatch"
    assert caught.value.notify == NotifyType.AUTHENTICATION_FAILED
    assert "horse" not in str(caught.value) + repr(caught.value.fields) + caught.value.hint


@pytest.mark.parametrize("data", [b"", b"\x00" * 32, b"\x00" * 31])
def test_an_empty_or_short_mac_does_not_verify(data):
    with pytest.raises(PeerError):
        verify_shared_key(SHA256, SECRET, OCTETS, AuthPayload(AuthMethod.SHARED_KEY, data))


def test_another_method_is_named():
    with pytest.raises(PeerError) as caught:
        verify_shared_key(SHA256, SECRET, OCTETS, AuthPayload(AuthMethod.DIGITAL_SIGNATURE, b"x"))
    assert caught.value.code == "auth-method"
    assert caught.value.fields == {"offered": "DIGITAL_SIGNATURE", "allowed": "SHARED_KEY"}
    null = shared_key_auth(SHA256, SECRET, OCTETS, AuthMethod.NULL)
    verify_shared_key(SHA256, SECRET, OCTETS, null, AuthMethod.NULL)
    with pytest.raises(PeerError):
        verify_shared_key(SHA256, SECRET, OCTETS, null)
    with pytest.raises(PeerError):
        verify_shared_key(SHA256, SECRET, OCTETS, AuthPayload(99, null.data))


def test_an_empty_secret_authenticates_nobody():
    with pytest.raises(LocalError) as caught:
        shared_key_auth(SHA256, Secret(b""), OCTETS)
    assert caught.value.code == "empty-secret"


ROOT = issue("CN=root", ca=True)
MIDDLE = ROOT.issue("CN=middle", ca=True)
LEAF = MIDDLE.issue("CN=site-b")
SITE_B = Identity.parse("CN=site-b")
TRUST = Trust([ROOT.certificate], [], [], NOW)
CHAIN = [LEAF.certificate, MIDDLE.certificate]
AUTH = pubkey_auth(LEAF.key, OCTETS, OUR_HASHES)


def pubkey_refused(code, *arguments, **options):
    with pytest.raises(PeerError) as caught:
        verify_pubkey(*arguments, **options)
    assert caught.value.code == code
    assert caught.value.notify == NotifyType.AUTHENTICATION_FAILED


def test_a_signature_with_the_key_of_a_trusted_certificate_proves_the_identity():
    proof = verify_pubkey(AUTH, OCTETS, CHAIN, SITE_B, TRUST)
    assert str(proof.scheme) == "ECDSA with SHA256"
    assert proof.verified.path[-1] == ROOT.certificate


def test_each_part_of_the_proof_is_needed():
    pubkey_refused("signature-invalid", AUTH, b"others", CHAIN, SITE_B, TRUST)
    pubkey_refused("signature-invalid", pubkey_auth(ROOT.key, OCTETS, OUR_HASHES), OCTETS, CHAIN, SITE_B, TRUST)
    pubkey_refused("cert-untrusted", AUTH, OCTETS, CHAIN[:1], SITE_B, TRUST)
    pubkey_refused("cert-identity", AUTH, OCTETS, CHAIN, Identity.parse("CN=site-a"), TRUST)
    pubkey_refused("cert-missing", AUTH, OCTETS, [], SITE_B, TRUST)


def test_the_first_certificate_is_the_one_that_signs():
    pubkey_refused("cert-identity", AUTH, OCTETS, CHAIN[::-1], SITE_B, TRUST)


def test_cacerts_ca_id_and_cert_policy_narrow_what_is_accepted():
    other = issue("CN=other", ca=True)
    assert verify_pubkey(AUTH, OCTETS, CHAIN, SITE_B, TRUST, authorities=[other.certificate, MIDDLE.certificate])
    assert verify_pubkey(AUTH, OCTETS, CHAIN, SITE_B, TRUST, authority=Identity.parse("CN=middle"))
    pubkey_refused("cert-authority", AUTH, OCTETS, CHAIN, SITE_B, TRUST, authorities=[other.certificate])
    pubkey_refused("cert-authority", AUTH, OCTETS, CHAIN, SITE_B, TRUST, authorities=[LEAF.certificate])
    pubkey_refused("cert-authority", AUTH, OCTETS, CHAIN, SITE_B, TRUST, authority=Identity.parse("CN=other"))
    pubkey_refused("cert-policy", AUTH, OCTETS, CHAIN, SITE_B, TRUST, policies=["1.2.3"])


def payload(issued, encoding=CertEncoding.X509_SIGNATURE):
    return CertPayload(encoding, issued.certificate.public_bytes(Encoding.DER))


def test_certificates_are_read_in_order_and_other_encodings_passed_over():
    read = read_certificates([payload(LEAF), payload(ROOT, CertEncoding.CRL), payload(MIDDLE)])
    assert read == (LEAF.certificate, MIDDLE.certificate)
    assert read_certificates([]) == ()


def test_what_is_no_certificate_and_too_many_of_them_are_refused():
    for data in (b"", b"\x30\x00", payload(LEAF).data[:-1], payload(LEAF).data + b"\x00"):
        with pytest.raises(PeerError) as caught:
            read_certificates([CertPayload(CertEncoding.X509_SIGNATURE, data)])
        assert caught.value.code == "cert-malformed"
    with pytest.raises(PeerError) as caught:
        read_certificates([payload(LEAF)] * 33)
    assert caught.value.code == "cert-too-many"


def test_a_raw_key_is_good_only_if_it_is_configured():
    spki = LEAF.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    other = ROOT.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert verify_raw_key(AUTH, OCTETS, spki, [other, spki]).verified is None
    for presented, trusted, octets, code in (
        (spki, [other], OCTETS, "key-untrusted"),
        (b"junk", [b"junk"], OCTETS, "key-untrusted"),
        (other, [other], OCTETS, "signature-invalid"),
        (spki, [spki], b"others", "signature-invalid"),
    ):
        with pytest.raises(PeerError) as caught:
            verify_raw_key(AUTH, octets, presented, trusted)
        assert caught.value.code == code
