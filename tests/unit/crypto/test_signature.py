"""Signatures: the encodings of RFC 7427, every key kind there and back, and refusal of everything else."""

import hashlib
from functools import cache

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

from ike.crypto.signature import OUR_HASHES, sign, verify
from ike.crypto.signature_policy import ANY_SIGNATURE, SignaturePolicy
from ike.errors import LocalError, PeerError
from ike.wire.constants import AuthMethod, NotifyType, SignatureHash
from ike.wire.payloads import AuthPayload

DATA = b"the octets that AUTH covers"
ALL = frozenset(OUR_HASHES)

# RFC 7427 appendix A; SHA-256 with PSS as in A.4.3, and in DER, where the default trailer is left out.
IDENTIFIERS = {
    "rsa-sha256": "300d06092a864886f70d01010b0500",
    "rsa-sha384": "300d06092a864886f70d01010c0500",
    "rsa-sha512": "300d06092a864886f70d01010d0500",
    "ecdsa-sha256": "300a06082a8648ce3d040302",
    "ecdsa-sha384": "300a06082a8648ce3d040303",
    "ecdsa-sha512": "300a06082a8648ce3d040304",
}
PSS_SPELT_OUT = (
    "304606092a864886f70d01010a3039a00f300d06096086480165030402010500a11c301a06092a864886f70d010108"
    "300d06096086480165030402010500a203020120a303020101"
)
PSS_DER = (
    "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108"
    "300d06096086480165030402010500a203020120"
)


@cache
def key(name):
    return {
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "rsa1024": lambda: rsa.generate_private_key(65537, 1024),
        "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
        "bp256": lambda: ec.generate_private_key(ec.BrainpoolP256R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "ed448": ed448.Ed448PrivateKey.generate,
    }[name]()


def policy(text):
    return SignaturePolicy.parse(text)


def identifier(auth):
    return auth.data[1 : 1 + auth.data[0]].hex()


def with_identifier(text, signature):
    raw = bytes.fromhex(text)
    return AuthPayload(AuthMethod.DIGITAL_SIGNATURE, bytes((len(raw),)) + raw + signature)


def refused(name, auth, code, rules=ANY_SIGNATURE, data=DATA, **options):
    with pytest.raises(PeerError) as caught:
        verify(key(name).public_key(), auth, data, rules, **options)
    assert caught.value.code == code
    assert caught.value.notify == NotifyType.AUTHENTICATION_FAILED


@pytest.mark.parametrize("name", ["rsa", "p256", "p384", "p521", "bp256", "ed25519", "ed448"])
def test_every_kind_of_key_signs_and_verifies(name):
    auth = sign(key(name), DATA, ALL)
    assert auth.method == AuthMethod.DIGITAL_SIGNATURE
    verify(key(name).public_key(), auth, DATA)
    refused(name, auth, "signature-invalid", data=DATA + b"x")


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("rsa", "RSA with SHA256"),
        ("p256", "ECDSA with SHA256"),
        ("p384", "ECDSA with SHA384"),
        ("p521", "ECDSA with SHA512"),
        ("ed25519", "ED25519"),
        ("ed448", "ED448"),
    ],
)
def test_the_hash_matches_the_strength_of_the_key(name, scheme):
    assert str(verify(key(name).public_key(), sign(key(name), DATA, ALL), DATA)) == scheme


@pytest.mark.parametrize(
    ("name", "hashes_", "text"),
    [
        ("rsa", {SignatureHash.SHA2_512}, "rsa-sha512"),
        ("rsa", {SignatureHash.SHA1, SignatureHash.SHA2_384}, "rsa-sha384"),
        ("p521", {SignatureHash.SHA2_256, SignatureHash.SHA2_384}, "ecdsa-sha384"),
        ("p384", {SignatureHash.SHA2_256}, "ecdsa-sha256"),
        ("p256", {SignatureHash.SHA2_512}, "ecdsa-sha512"),
    ],
)
def test_only_hashes_that_the_peer_announced_are_used(name, hashes_, text):
    auth = sign(key(name), DATA, hashes_)
    assert identifier(auth) == IDENTIFIERS[text]
    verify(key(name).public_key(), auth, DATA)


def test_pss_is_used_where_asked_for_and_has_fixed_parameters():
    for auth in (sign(key("rsa"), DATA, ALL, pss=True), sign(key("rsa"), DATA, ALL, policy("rsa/pss-sha256"))):
        assert identifier(auth) == PSS_DER
        assert verify(key("rsa").public_key(), auth, DATA).pss
    spelt_out = with_identifier(PSS_SPELT_OUT, auth.data[1 + auth.data[0] :])
    assert verify(key("rsa").public_key(), spelt_out, DATA).pss


def test_pss_with_another_salt_than_announced_is_invalid():
    wrong = key("rsa").sign(DATA, padding.PSS(padding.MGF1(hashes.SHA256()), 20), hashes.SHA256())
    refused("rsa", with_identifier(PSS_DER, wrong), "signature-invalid")


def test_pss_with_another_mask_function_than_announced_is_invalid():
    wrong = key("rsa").sign(DATA, padding.PSS(padding.MGF1(hashes.SHA384()), 32), hashes.SHA256())
    refused("rsa", with_identifier(PSS_DER, wrong), "signature-invalid")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3000",
        "300b06092a864886f70d01010b",  # NULL left out (RFC 4055 section 5 demands it)
        "300d06092a864886f70d0101050500",  # SHA-1
        "300d06092a864886f70d0101040500",  # MD5
        "300906072a8648ce3d0401",  # ECDSA with SHA-1
        "300d06092a864886f70d01010a3000",  # PSS with its defaults: SHA-1
        PSS_DER.replace("a203020120", "a203020114"),  # a salt of 20 bytes
        PSS_DER.replace("a203020120", "a203020100"),
        PSS_DER.replace("06096086480165030402010500a2", "06096086480165030402020500a2"),  # MGF1 with another hash
        PSS_SPELT_OUT.replace("a303020101", "a303020102"),  # another trailer
        "300e06092a864886f70d01010b050000",
        "30820 00d06092a864886f70d01010b0500".replace(" ", ""),
    ],
)
def test_any_other_algorithm_identifier_is_refused(text):
    good = sign(key("rsa"), DATA, ALL)
    refused("rsa", with_identifier(text, good.data[1 + good.data[0] :]), "signature-not-allowed")


@pytest.mark.parametrize("data", [b"", b"\x0f", b"\xff" + bytes(100)])
def test_a_truncated_payload_is_invalid(data):
    refused("rsa", AuthPayload(AuthMethod.DIGITAL_SIGNATURE, data), "signature-invalid")


@pytest.mark.parametrize("name", ["rsa", "p256", "ed25519"])
def test_no_signature_and_a_changed_one_are_invalid(name):
    auth = sign(key(name), DATA, ALL)
    head = auth.data[: 1 + auth.data[0]]
    for signature in (b"", b"\x00", auth.data[len(head) :][:-1], auth.data[len(head) :] + b"\x00"):
        refused(name, AuthPayload(14, head + signature), "signature-invalid")
    for position in range(len(head), len(auth.data), 7):
        changed = bytearray(auth.data)
        changed[position] ^= 0x40
        refused(name, AuthPayload(14, bytes(changed)), "signature-invalid")


def test_the_algorithm_must_go_with_the_key():
    refused("rsa", sign(key("p256"), DATA, ALL), "signature-not-allowed")
    refused("p256", sign(key("rsa"), DATA, ALL), "signature-not-allowed")
    refused("ed448", sign(key("ed25519"), DATA, ALL), "signature-not-allowed")


def test_lenient_pkcs1_padding_is_invalid():
    """Bleichenbacher's forgery needs a verifier that stops reading behind the hash: garbage there must not pass."""
    private = key("rsa")
    numbers = private.private_numbers()
    size = 256
    digest = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(DATA).digest()
    for block in (
        b"\x00\x01" + b"\xff" * 8 + b"\x00" + digest + b"\xaa" * (size - 11 - len(digest)),
        b"\x00\x01" + b"\xff" * (size - 4 - len(digest)) + b"\xfe\x00" + digest,
        b"\x00\x02" + b"\xff" * (size - 3 - len(digest)) + b"\x00" + digest,
    ):
        assert len(block) == size
        forged = pow(int.from_bytes(block), numbers.d, numbers.public_numbers.n).to_bytes(size)
        refused("rsa", with_identifier(IDENTIFIERS["rsa-sha256"], forged), "signature-invalid")


def test_without_announced_hashes_rsa_uses_method_1():
    auth = sign(key("rsa"), DATA, None)
    assert auth.method == AuthMethod.RSA_SIGNATURE
    key("rsa").public_key().verify(auth.data, DATA, padding.PKCS1v15(), hashes.SHA1())
    verify(key("rsa").public_key(), auth, DATA)
    assert sign(key("rsa"), DATA, {SignatureHash.SHA1}).method == AuthMethod.RSA_SIGNATURE


def test_method_1_is_refused_from_a_peer_that_can_do_better():
    auth = sign(key("rsa"), DATA, None)
    refused("rsa", auth, "signature-not-allowed", peer_hashes=ALL)
    refused("rsa", auth, "signature-not-allowed", policy("pubkey-sha256"))
    refused("p256", auth, "signature-not-allowed")
    verify(key("rsa").public_key(), auth, DATA, policy("rsa-sha1-sha256"))


@pytest.mark.parametrize(
    ("name", "method", "size"),
    [
        ("p256", AuthMethod.ECDSA_SHA256_P256, 64),
        ("p384", AuthMethod.ECDSA_SHA384_P384, 96),
        ("p521", AuthMethod.ECDSA_SHA512_P521, 132),
    ],
)
def test_classic_ecdsa_has_r_and_s_of_fixed_length(name, method, size):
    auth = sign(key(name), DATA, None)
    assert (auth.method, len(auth.data)) == (method, size)
    verify(key(name).public_key(), auth, DATA)
    refused(name, auth, "signature-invalid", data=b"other")
    refused(name, AuthPayload(method, auth.data[:-1]), "signature-invalid")
    refused(name, AuthPayload(method, auth.data + b"\x00"), "signature-invalid")
    refused(name, AuthPayload(method, bytes(size)), "signature-invalid")
    refused(name, AuthPayload(method, b"\xff" * size), "signature-invalid")
    other = "p384" if name == "p256" else "p256"
    refused(other, auth, "signature-not-allowed")
    refused("rsa", auth, "signature-not-allowed")


@pytest.mark.parametrize("name", ["ed25519", "ed448", "bp256"])
def test_keys_without_a_classic_method_need_rfc_7427(name):
    with pytest.raises(LocalError) as caught:
        sign(key(name), DATA, None)
    assert caught.value.code == "no-common-signature"


def test_ed25519_needs_the_peer_to_announce_identity():
    with pytest.raises(LocalError) as caught:
        sign(key("ed25519"), DATA, {SignatureHash.SHA2_256})
    assert caught.value.code == "no-common-signature"
    assert "sha256" in str(caught.value)


@pytest.mark.parametrize("method", [0, 2, 3, 13, 200])
def test_methods_that_are_no_signature_are_refused(method):
    refused("rsa", AuthPayload(method, bytes(256)), "signature-not-allowed")


@pytest.mark.parametrize(
    ("text", "name", "scheme"),
    [
        ("pubkey-sha512-sha256", "rsa", "RSA with SHA512"),
        ("sha384", "p256", "ECDSA with SHA384"),
        ("ike:pubkey-sha384", "rsa", "RSA with SHA384"),
        ("rsa/pss-sha384", "rsa", "RSA/PSS with SHA384"),
        ("rsa-2048-sha512-ike:rsa/pss-sha256", "rsa", "RSA/PSS with SHA256"),
        ("ecdsa-256-sha512", "p256", "ECDSA with SHA512"),
        ("ed25519", "ed25519", "ED25519"),
        ("pubkey-sha256", "ed25519", "ED25519"),
    ],
)
def test_constraints_decide_how_we_sign_and_what_we_accept(text, name, scheme):
    auth = sign(key(name), DATA, ALL, policy(text))
    assert str(verify(key(name).public_key(), auth, DATA, policy(text))) == scheme


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("pubkey-sha384", "rsa"),
        ("ike:pubkey-sha512", "p256"),
        ("ecdsa-256", "rsa"),
        ("rsa/pss-sha256", "rsa"),
        ("rsa-3072-sha384-sha512", "rsa"),
        ("ed448", "ed25519"),
    ],
)
def test_a_signature_outside_the_constraints_is_refused(text, name):
    refused(name, sign(key(name), DATA, ALL), "signature-not-allowed", policy(text))


@pytest.mark.parametrize(
    ("text", "name", "why"),
    [
        ("", "rsa", ""),
        ("", "rsa1024", "1024 bits, at least 2048"),
        ("rsa-1024", "rsa1024", ""),
        ("rsa-3072-sha256", "rsa", "2048 bits, at least 3072"),
        ("ecdsa-384", "p256", "256 bits, at least 384"),
        ("ecdsa-384", "p384", ""),
        ("rsa-2048-ecdsa-256", "p256", ""),
        ("rsa-2048", "p256", "allows none"),
        ("ike:rsa-3072", "rsa", ""),
        ("", "bp256", ""),
        ("", "ed25519", ""),
    ],
)
def test_keys_are_held_against_the_least_length(text, name, why):
    result = policy(text).refuse_key(key(name).public_key())
    assert (why in result) if why else result == ""


@pytest.mark.parametrize(
    ("text", "token", "near"),
    [("pubkey-sha265", "sha265", "sha256"), ("rsapss-sha256", "rsapss", "rsa"), ("ike:pubky", "ike:pubky", "pubkey")],
)
def test_an_unknown_constraint_is_named(text, token, near):
    with pytest.raises(LocalError) as caught:
        policy(text)
    assert caught.value.code == "bad-auth-constraint"
    assert caught.value.fields["token"] == token
    assert near in caught.value.hint


def test_sha1_certificates_pass_only_where_named():
    assert not ANY_SIGNATURE.allows_chain_hash("rsa", SignatureHash.SHA1)
    assert ANY_SIGNATURE.allows_chain_hash("ecdsa", SignatureHash.SHA2_256)
    assert policy("pubkey-sha1-sha256").allows_chain_hash("rsa", SignatureHash.SHA1)
    assert not policy("rsa-sha384").allows_chain_hash("rsa", SignatureHash.SHA2_256)
    assert policy("ike:rsa-sha384").allows_chain_hash("rsa", SignatureHash.SHA2_256)
