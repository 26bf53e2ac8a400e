"""The SK payload: the vector of RFC 7634, an independent reading of the formats, and refusals."""

import hmac
import struct

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ike.crypto.envelope import Envelope
from ike.crypto.keys import IkeKeys
from ike.crypto.proposal import ProposalSpec
from ike.crypto.secret import Secret
from ike.errors import LocalError, PeerError, SilentDrop
from ike.wire.constants import PayloadType, ProtocolId
from ike.wire.payloads import SkfPayload, SkPayload

HEADER = bytes(range(16)) + bytes((0, 0x20, 35, 8)) + bytes(8)

SUITES = [
    f"{cipher}-{rest}-x25519"
    for cipher in ("aes128", "aes192", "aes256", "aes256ctr", "camellia256", "3des")
    for rest in ("sha256", "sha384", "sha512", "sha1", "md5", "aesxcbc", "aescmac", "sha256_96")
] + [
    f"{cipher}-prfsha256-x25519"
    for cipher in (
        *(f"aes{bits}{mode}{icv}" for bits in (128, 192, 256) for mode in ("gcm", "ccm") for icv in (8, 12, 16)),
        "chacha20poly1305",
    )
]


def pair(text, **options):
    suite = ProposalSpec.parse(text, ProtocolId.IKE).transforms
    keys = IkeKeys.derive(suite, Secret(b"g" * 32), b"i" * 32, b"r" * 32, b"I" * 8, b"R" * 8)
    return (
        Envelope(suite, keys.sk_ei, keys.sk_ai, **options),
        Envelope(suite, keys.sk_ei, keys.sk_ai, **options),
        keys,
    )


def sk(message, first=PayloadType.ID_I):
    return SkPayload(first, message[32:])


def test_chacha20_poly1305_is_the_example_of_rfc_7634():
    suite = ProposalSpec.parse("chacha20poly1305-prfsha256-x25519", ProtocolId.IKE).transforms
    key = Secret(bytes(range(0x80, 0xA0)) + bytes(range(0xA0, 0xA4)))
    header = bytes.fromhex("c0c1c2c3c4c5c6c7d0d1d2d3d4d5d6d70020250000000009 00000000")
    envelope = Envelope(suite, key, Secret(b""), first_iv=0x1011121314151617)
    message = envelope.seal(header, 0x29, bytes.fromhex("0000000c0000400100 00000a"))
    assert message.hex() == (
        "c0c1c2c3c4c5c6c7d0d1d2d3d4d5d6d72e2025000000000900000045"
        "29000029"
        "1011121314151617"
        "610394701f8d017f7c12924889"
        "6b71bfe25236efd7cdc67066906315b2"
    )


def test_aes_gcm_is_what_rfc_5282_says():
    sealer, _, keys = pair("aes256gcm16-prfsha256-x25519")
    message = sealer.seal(HEADER, PayloadType.ID_I, b"payloads")
    covered, body = message[:32], message[32:]
    assert covered[16] == PayloadType.SK
    assert struct.unpack(">I", covered[24:28]) == (len(message),)
    assert struct.unpack(">BBH", covered[28:32]) == (PayloadType.ID_I, 0, len(message) - 28)
    key = bytes(keys.sk_ei)
    assert AESGCM(key[:32]).decrypt(key[32:] + body[:8], body[8:], covered) == b"payloads\x00"


def test_cbc_is_encrypted_first_and_then_covered_as_a_whole():
    sealer, _, keys = pair("aes256-sha384-modp3072", random=lambda n: b"\x55" * n)
    message = sealer.seal(HEADER, PayloadType.ID_I, b"payloads")
    assert message[-24:] == hmac.digest(bytes(keys.sk_ai), message[:-24], "sha384")[:24]
    assert message[32:48] == b"\x55" * 16
    cipher = Cipher(algorithms.AES(bytes(keys.sk_ei)), modes.CBC(message[32:48])).decryptor()
    assert cipher.update(message[48:-24]) == b"payloads" + bytes(7) + b"\x07"


def test_ctr_starts_its_block_counter_at_one():
    sealer, _, keys = pair("aes128ctr-sha256-x25519")
    message = sealer.seal(HEADER, PayloadType.ID_I, b"payloads")
    key = bytes(keys.sk_ei)
    nonce = key[16:] + message[32:40] + b"\x00\x00\x00\x01"
    assert Cipher(algorithms.AES(key[:16]), modes.CTR(nonce)).decryptor().update(message[40:-16]) == b"payloads\x00"


@pytest.mark.parametrize("text", SUITES)
def test_every_suite_opens_what_it_sealed(text):
    sealer, opener, _ = pair(text)
    for size in (0, 1, 15, 16, 17, 300):
        plaintext = bytes(range(256))[:size].ljust(size, b"x")
        message = sealer.seal(HEADER, PayloadType.ID_I, plaintext)
        assert len(message) == 32 + sealer.body_length(size)
        assert opener.open(message, sk(message)) == plaintext


@pytest.mark.parametrize("text", SUITES)
def test_room_is_the_most_that_fits(text):
    sealer, _, _ = pair(text)
    for limit in range(576, 576 + 33):
        for fragment, header in ((False, 32), (True, 36)):
            room = sealer.room(limit, fragment=fragment)
            assert header + sealer.body_length(room) <= limit < header + sealer.body_length(room + 1)


def test_there_is_no_room_in_a_message_shorter_than_its_headers():
    assert pair("aes256-sha256-x25519")[0].room(40) == 0


@pytest.mark.parametrize("text", ["aes256gcm16-prfsha256-x25519", "aes256-sha256-x25519"])
def test_a_fragment_covers_its_number_and_total(text):
    sealer, opener, _ = pair(text)
    message = sealer.seal_fragment(HEADER, 0, 2, 3, b"piece")
    assert message[16] == PayloadType.SKF
    assert struct.unpack(">HH", message[32:36]) == (2, 3)
    assert opener.open(message, SkfPayload(0, 2, 3, message[36:])) == b"piece"
    forged = message[:33] + b"\x01" + message[34:]
    with pytest.raises(SilentDrop) as caught:
        opener.open(forged, SkfPayload(0, 1, 3, forged[36:]))
    assert caught.value.code == "bad-icv"


@pytest.mark.parametrize(("number", "total"), [(0, 3), (4, 3), (1, 0x10000)])
def test_there_is_no_such_fragment(number, total):
    with pytest.raises(ValueError):
        pair("aes256gcm16-prfsha256-x25519")[0].seal_fragment(HEADER, 0, number, total, b"")


@pytest.mark.parametrize(
    "text", ["aes256gcm16-prfsha256-x25519", "aes128ccm8-prfsha256-x25519", "aes256ctr-sha256-x25519"]
)
def test_no_iv_is_used_twice(text):
    sealer, _, _ = pair(text, first_iv=7)
    ivs = {sealer.seal(HEADER, 0, b"")[32:40] for _ in range(100)}
    assert len(ivs) == 100
    assert min(ivs) == (7).to_bytes(8)


def test_the_last_iv_is_the_end():
    sealer, _, _ = pair("aes256gcm16-prfsha256-x25519", first_iv=(1 << 64) - 1)
    sealer.seal(HEADER, 0, b"")
    with pytest.raises(LocalError) as caught:
        sealer.seal(HEADER, 0, b"")
    assert caught.value.code == "iv-exhausted"


@pytest.mark.parametrize(
    "text", ["aes256gcm16-prfsha256-x25519", "aes256gcm8-prfsha256-x25519", "aes256-sha256-x25519"]
)
def test_every_truncation_is_dropped(text):
    sealer, opener, _ = pair(text)
    message = sealer.seal(HEADER, PayloadType.ID_I, b"payloads of some length")
    for end in range(32, len(message)):
        with pytest.raises(SilentDrop):
            opener.open(message[:end], sk(message[:end]))


def test_a_payload_that_does_not_end_the_message_is_dropped():
    sealer, opener, _ = pair("aes256gcm16-prfsha256-x25519")
    message = sealer.seal(HEADER, PayloadType.ID_I, b"payloads")
    with pytest.raises(SilentDrop):
        opener.open(message + b"x", sk(message))
    with pytest.raises(SilentDrop):
        opener.open(message[32:], sk(message))


def test_the_other_direction_has_another_key():
    suite = ProposalSpec.parse("aes256gcm16-prfsha256-x25519", ProtocolId.IKE).transforms
    keys = IkeKeys.derive(suite, Secret(b"g" * 32), b"i" * 32, b"r" * 32, b"I" * 8, b"R" * 8)
    message = Envelope(suite, keys.sk_ei, keys.sk_ai).seal(HEADER, 0, b"x")
    with pytest.raises(SilentDrop):
        Envelope(suite, keys.sk_er, keys.sk_ar).open(message, sk(message))


def test_padding_beyond_the_payload_is_the_peers_error():
    sealer, opener, keys = pair("aes256gcm16-prfsha256-x25519")
    good = sealer.seal(HEADER, PayloadType.ID_I, b"abcdefg")
    covered, iv, key = good[:32], good[32:40], bytes(keys.sk_ei)
    for padding, fits in ((7, True), (8, False), (255, False)):
        sealed = AESGCM(key[:32]).encrypt(key[32:] + iv, b"abcdefg" + bytes((padding,)), covered)
        message = covered + iv + sealed
        if fits:
            assert opener.open(message, sk(message)) == b""
        else:
            with pytest.raises(PeerError) as caught:
                opener.open(message, sk(message))
            assert caught.value.code == "invalid-syntax"


def test_keys_of_the_wrong_length_are_refused_without_showing_them():
    suite = ProposalSpec.parse("aes256-sha256-x25519", ProtocolId.IKE).transforms
    for key_e, key_a in ((b"e" * 31, b"a" * 32), (b"e" * 32, b"a" * 31), (b"e" * 32, b"")):
        with pytest.raises(LocalError) as caught:
            Envelope(suite, Secret(key_e), Secret(key_a))
        assert "eee" not in str(caught.value)


def test_what_does_not_fit_a_payload_is_refused():
    with pytest.raises(LocalError) as caught:
        pair("aes256gcm16-prfsha256-x25519")[0].seal(HEADER, 0, bytes(65536))
    assert caught.value.code == "message-too-long"


def test_an_envelope_prints_its_algorithm_only():
    assert repr(pair("aes256gcm16-prfsha256-x25519")[0]) == "<Envelope AES_GCM_16>"
