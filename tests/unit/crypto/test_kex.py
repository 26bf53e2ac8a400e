"""Key exchanges: vectors, both sides agreeing, and every kind of bad peer value refused."""

import re
from pathlib import Path

import cryptography_vectors
import pytest

from ike.crypto import mlkem512
from ike.crypto.kex import KE_METHODS, KeyExchange, public_length, respond
from ike.crypto.modp import MODP_METHODS, modp_group
from ike.crypto.transforms import KE_NAMES
from ike.errors import LocalError, PeerError
from ike.wire.constants import Ke, NotifyType

VECTORS = Path(cryptography_vectors.__file__).parent / "asymmetric"

# RFC 5903 section 8.1.
P256_I = 0xC88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433
P256_GI = (
    "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180"
    "5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3"
)
P256_GR = (
    "d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63"
    "56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab"
)
P256_SECRET = "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de"


def refused(method, value, *, responding=False):
    receive = (lambda v: respond(method, v)) if responding else KeyExchange.start(method).finish
    with pytest.raises(PeerError) as caught:
        receive(value)
    assert caught.value.code == "bad-key-exchange"
    assert caught.value.notify == NotifyType.INVALID_SYNTAX
    assert KE_NAMES[method] in str(caught.value)


@pytest.mark.parametrize("method", sorted(KE_METHODS), ids=lambda m: KE_NAMES[m])
def test_both_sides_agree_and_lengths_are_as_announced(method):
    ours = KeyExchange.start(method)
    answer, theirs = respond(method, ours.public)
    assert ours.finish(answer) == theirs
    assert len(ours.public) == public_length(method)
    assert len(answer) == public_length(method, initiator=False)
    assert len(theirs) in (24, 28, 32, 48, 64, 56, 66, public_length(method))


@pytest.mark.parametrize("method", sorted(KE_METHODS), ids=lambda m: KE_NAMES[m])
def test_a_value_of_another_length_is_refused(method):
    size = public_length(method, initiator=False)
    for length in (0, 1, size - 1, size + 1):
        refused(method, bytes(length))
    refused(method, bytes(public_length(method) + 1), responding=True)


@pytest.mark.parametrize("method", sorted(KE_METHODS), ids=lambda m: KE_NAMES[m])
def test_two_exchanges_do_not_share_a_key(method):
    assert KeyExchange.start(method).public != KeyExchange.start(method).public


@pytest.mark.parametrize("method", sorted(KE_METHODS - {Ke.ML_KEM_512}), ids=lambda m: KE_NAMES[m])
def test_injected_randomness_decides_the_key(method):
    def random(size):
        return bytes(range(1, 256))[:size].ljust(size, b"\x07")

    assert KeyExchange.start(method, random).public == KeyExchange.start(method, random).public


@pytest.mark.parametrize("method", [0, 1, 27, 33, 38, 1040, 65535])
def test_a_method_that_we_do_not_have_is_refused(method):
    with pytest.raises(LocalError) as caught:
        KeyExchange.start(method)
    assert caught.value.code == "unknown-key-exchange"
    with pytest.raises(LocalError):
        respond(method, b"x" * 32)


def test_the_primes_are_those_of_rfc_3526():
    published = [
        int(text, 16) for text in re.findall(r"^P = (\w+)", (VECTORS / "DH" / "rfc3526.txt").read_text(), re.M)
    ]
    assert len(published) == 6
    ours = {modp_group(method).bits: modp_group(method) for method in MODP_METHODS - {22, 23, 24}}
    for prime in published:
        assert ours[prime.bit_length()].p == prime
        assert ours[prime.bit_length()].g == 2


def test_the_second_oakley_group_is_that_of_rfc_7296():
    prime = f"{modp_group(Ke.MODP_1024).p:x}"
    assert prime.startswith("ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74")
    assert prime.endswith("5a899fa5ae9f24117c4b1fe649286651ece65381ffffffffffffffff")


def test_the_groups_of_rfc_5114_are_theirs():
    text = (VECTORS / "DH" / "RFC5114.txt").read_text()
    numbers = {key: [int(v, 16) for v in re.findall(rf"^{key} ?= ?(\w+)", text, re.M)] for key in "PQG"}
    for method, p, q, g in zip((22, 23, 24), numbers["P"], numbers["Q"], numbers["G"], strict=True):
        group = modp_group(method)
        assert (group.p, group.q, group.g) == (p, q, g)
        assert pow(g, q, p) == 1


@pytest.mark.parametrize("method", sorted(MODP_METHODS), ids=lambda m: KE_NAMES[m])
def test_values_at_the_edges_of_the_group_are_refused(method):
    group = modp_group(method)
    size = group.bits // 8
    for value in (0, 1, group.p - 1, group.p, group.p + 1, (1 << group.bits) - 1):
        refused(method, value.to_bytes(size))
        refused(method, value.to_bytes(size), responding=True)


@pytest.mark.parametrize("method", [Ke.MODP_1024_160, Ke.MODP_2048_224, Ke.MODP_2048_256], ids=lambda m: KE_NAMES[m])
def test_a_value_outside_the_subgroup_is_refused(method):
    group = modp_group(method)
    value = next(v for v in range(2, 100) if pow(v, group.q, group.p) != 1)
    refused(method, value.to_bytes(group.bits // 8))


def test_a_modp_secret_keeps_its_leading_zeros():
    group = modp_group(Ke.MODP_2048)
    ours = KeyExchange.start(Ke.MODP_2048, lambda n: bytes(n - 1) + b"\x01")
    exponent = 1 << (group.exponent - 1) | 1
    assert int.from_bytes(ours.public) == pow(2, exponent, group.p)
    # A peer value whose power is small: y = 25^(1/x) has y^x = 25.
    order = (group.p - 1) // 2
    square = pow(5, 2, group.p)
    peer = pow(square, pow(exponent, -1, order), group.p)
    secret = ours.finish(peer.to_bytes(256))
    assert bytes(secret) == square.to_bytes(256)
    assert bytes(secret)[:250] == bytes(250)


def test_p256_is_the_example_of_rfc_5903():
    def random(size):
        return (P256_I - 1).to_bytes(size)

    ours = KeyExchange.start(Ke.ECP_256, random)
    assert ours.public.hex() == P256_GI
    assert bytes(ours.finish(bytes.fromhex(P256_GR))).hex() == P256_SECRET


@pytest.mark.parametrize(
    "method",
    [m for m in sorted(KE_METHODS) if KE_NAMES[m].startswith("ECP")],
    ids=lambda m: KE_NAMES[m],
)
def test_a_point_off_the_curve_is_refused(method):
    good = bytearray(KeyExchange.start(method).public)
    good[-1] ^= 1
    refused(method, bytes(good))
    refused(method, bytes(len(good)))
    refused(method, b"\xff" * len(good))
    refused(method, bytes(len(good)), responding=True)


@pytest.mark.parametrize(("method", "folder"), [(Ke.X25519, "X25519"), (Ke.X448, "X448")])
def test_montgomery_curves_have_the_values_of_rfc_7748(method, folder):
    text = (VECTORS / folder / "rfc7748.txt").read_text()
    cases = re.findall(r"^INPUT_SCALAR = (\w+)\nINPUT_U = (\w+)\nOUTPUT_U = (\w+)", text, re.M)
    assert len(cases) >= 2
    for scalar, point, result in cases:
        ours = KeyExchange.start(method, lambda _, scalar=scalar: bytes.fromhex(scalar))
        assert bytes(ours.finish(bytes.fromhex(point))).hex() == result


@pytest.mark.parametrize(
    ("method", "curve"),
    [(Ke.BRAINPOOL_P256, "P256r1"), (Ke.BRAINPOOL_P384, "P384r1"), (Ke.BRAINPOOL_P512, "P512r1")],
)
def test_brainpool_curves_have_the_values_of_rfc_6932(method, curve):
    text = (VECTORS / "ECDH" / "brainpool.txt").read_text()
    block = re.split(r"\n\s*\n", text[text.index(f"brainpool{curve}") :])[0]
    fields = dict(re.findall(r"^(\w+) = (\w+)", block, re.M))
    ours = KeyExchange.start(method, lambda size: (int(fields["dA"], 16) - 1).to_bytes(size))
    assert ours.public.hex() == (fields["x_qA"] + fields["y_qA"]).lower()
    assert bytes(ours.finish(bytes.fromhex(fields["x_qB"] + fields["y_qB"]))).hex() == fields["x_Z"].lower()


@pytest.mark.parametrize("method", [Ke.X25519, Ke.X448], ids=lambda m: KE_NAMES[m])
def test_a_point_of_small_order_is_refused(method):
    size = public_length(method)
    for value in (0, 1):
        refused(method, value.to_bytes(size, "little"))
        refused(method, value.to_bytes(size, "little"), responding=True)


def test_ml_kem_keys_and_secrets_are_those_of_the_vectors():
    for method, name in ((Ke.ML_KEM_768, "kat_MLKEM_768.rsp"), (Ke.ML_KEM_1024, "kat_MLKEM_1024.rsp")):
        text = (VECTORS / "MLKEM" / name).read_text()
        fields = {key: re.search(rf"^{key} = (\w+)", text, re.M)[1] for key in ("z", "d", "pk", "ct", "ss")}
        seed = bytes.fromhex(fields["d"] + fields["z"])
        ours = KeyExchange.start(method, lambda size, seed=seed: seed[:size])
        assert ours.public.hex() == fields["pk"].lower()
        assert bytes(ours.finish(bytes.fromhex(fields["ct"]))).hex() == fields["ss"].lower()


@pytest.mark.skipif(not mlkem512.AVAILABLE, reason="pqcrypto is not to be had for this machine")
def test_ml_kem_512_opens_what_the_vectors_sealed():
    text = (VECTORS / "MLKEM" / "kat_MLKEM_512.rsp").read_text()
    found = list(zip(*(re.findall(rf"^{key} = (\w+)", text, re.M) for key in ("pk", "sk", "ct", "ss")), strict=True))
    assert found
    for public, private, ciphertext, secret in ([bytes.fromhex(field) for field in fields] for fields in found):
        key = mlkem512.MLKEM512PrivateKey(public, private)
        assert key.decapsulate(ciphertext) == secret
        shared, sealed = key.public_key().encapsulate()
        assert key.decapsulate(sealed) == shared
        assert shared != secret


@pytest.mark.parametrize(
    "method", [m for m in sorted(KE_METHODS) if KE_NAMES[m].startswith("ML_KEM")], ids=lambda m: KE_NAMES[m]
)
def test_an_encapsulation_key_beyond_the_modulus_is_refused(method):
    refused(method, b"\xff" * public_length(method), responding=True)


def test_a_key_exchange_does_not_print_its_key():
    assert repr(KeyExchange.start(Ke.X25519)) == "<KeyExchange CURVE_25519>"
