"""Proposals: strongSwan's words, its rules, and errors that point at the word."""

import pytest

from ike.crypto.keywords import KEYWORDS, REFUSED, keyword
from ike.crypto.proposal import (
    ProposalSpec,
    default_ah,
    default_esp,
    default_ike,
    describe,
    keyword_text,
    parse_proposals,
    to_wire,
)
from ike.crypto.transforms import KE_NAMES, WEAK, is_understood
from ike.errors import LocalError
from ike.wire.constants import Encr, Esn, Integ, Ke, Prf, ProtocolId, TransformType
from ike.wire.payloads import Transform

IKE, ESP, AH = ProtocolId.IKE, ProtocolId.ESP, ProtocolId.AH


def ike(text):
    return ProposalSpec.parse(text, IKE)


def esp(text):
    return ProposalSpec.parse(text, ESP)


def refused(text, protocol):
    with pytest.raises(LocalError) as caught:
        ProposalSpec.parse(text, protocol)
    assert caught.value.code == "bad-proposal"
    assert text in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("text", "protocol", "suite"),
    [
        ("aes256-sha384-modp3072", IKE, "AES_CBC_256/HMAC_SHA2_384_192/PRF_HMAC_SHA2_384/MODP_3072"),
        ("aes256gcm16-prfsha384-x25519", IKE, "AES_GCM_16_256/PRF_HMAC_SHA2_384/CURVE_25519"),
        ("aes256gcm16-sha384-ecp384", IKE, "AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384"),
        ("aes128-sha1-prfsha256-modp2048", IKE, "AES_CBC_128/HMAC_SHA1_96/PRF_HMAC_SHA2_256/MODP_2048"),
        ("x25519-prfaescmac-chacha20poly1305", IKE, "CHACHA20_POLY1305/PRF_AES128_CMAC/CURVE_25519"),
        ("aes-sha-curve448", IKE, "AES_CBC_128/HMAC_SHA1_96/PRF_HMAC_SHA1/CURVE_448"),
        ("camellia256-sha512-ecp512bp", IKE, "CAMELLIA_CBC_256/HMAC_SHA2_512_256/PRF_HMAC_SHA2_512/ECP_512_BP"),
        (
            "aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke2_none",
            IKE,
            "AES_GCM_16_256/PRF_HMAC_SHA2_384/CURVE_25519/KE1_ML_KEM_768/KE2_NONE",
        ),
        ("aes256gcm16-prfsha384-modp3072", ESP, "AES_GCM_16_256/MODP_3072/NO_EXT_SEQ"),
        ("aes128gcm8-sha256-esn", ESP, "AES_GCM_8_128/EXT_SEQ"),
        ("aes256-sha256-noesn-esn", ESP, "AES_CBC_256/HMAC_SHA2_256_128/NO_EXT_SEQ/EXT_SEQ"),
        ("null-sha256", ESP, "NULL/HMAC_SHA2_256_128/NO_EXT_SEQ"),
        ("aes256gmac", ESP, "NULL_AES_GMAC_256/NO_EXT_SEQ"),
        ("aes192gmac-esn", AH, "AES_192_GMAC/EXT_SEQ"),
        ("aes256-sha256-modp2048", AH, "HMAC_SHA2_256_128/MODP_2048/NO_EXT_SEQ"),
        ("AES256-SHA256", ESP, "AES_CBC_256/HMAC_SHA2_256_128/NO_EXT_SEQ"),
    ],
)
def test_a_proposal_means_what_it_means_to_strongswan(text, protocol, suite):
    spec = ProposalSpec.parse(text, protocol)
    assert describe(spec.transforms) == suite
    assert str(spec) == text


@pytest.mark.parametrize(
    ("word", "number", "bits"),
    [
        ("aes128gcm8", Encr.AES_GCM_8, 128),
        ("aes128gcm64", Encr.AES_GCM_8, 128),
        ("aes192gcm96", Encr.AES_GCM_12, 192),
        ("aes256gcm128", Encr.AES_GCM_16, 256),
        ("aes256gcm", Encr.AES_GCM_16, 256),
        ("aes256ccm", Encr.AES_CCM_16, 256),
        ("aes128ccm12", Encr.AES_CCM_12, 128),
        ("aes256ctr", Encr.AES_CTR, 256),
        ("3des", Encr.DES3, None),
        ("chacha20poly1305", Encr.CHACHA20_POLY1305, None),
        ("chacha20poly1305compat", Encr.CHACHA20_POLY1305, 256),
    ],
)
def test_encryption_words_have_their_number_and_key_length(word, number, bits):
    assert KEYWORDS[word] == Transform(TransformType.ENCR, number, bits)


@pytest.mark.parametrize("word", sorted(KEYWORDS))
def test_every_word_is_understood_and_its_canonical_word_means_the_same(word):
    transform = KEYWORDS[word]
    assert is_understood(transform)
    assert KEYWORDS[keyword(transform)] == transform


def test_canonical_words_are_the_full_ones():
    assert [keyword(KEYWORDS[w]) for w in ("aes", "sha", "sha2_512", "curve25519", "aes256gcm", "camellia")] == [
        "aes128",
        "sha1",
        "sha512",
        "x25519",
        "aes256gcm16",
        "camellia128",
    ]


def test_text_of_a_suite_can_be_parsed_again():
    for spec in (*default_ike(), *default_esp(), *default_ah()):
        again = ProposalSpec.parse(keyword_text(spec.transforms), spec.protocol)
        assert again.transforms == spec.transforms


@pytest.mark.parametrize(
    ("text", "protocol", "token", "position", "words"),
    [
        ("aes256-sha385-modp3072", IKE, "sha385", 7, "did you mean 'sha384'?"),
        ("aes256gcm16-prfsha384-x25591", ESP, "x25591", 22, "did you mean 'x25519'?"),
        ("aes256gcm16-esp_aes", ESP, "esp_aes", 12, "unknown algorithm"),
        ("aes256--sha256", ESP, "", 7, "missing"),
        ("-aes256", ESP, "", 0, "missing"),
        ("aes256-sha256-", ESP, "", 14, "missing"),
        ("", IKE, "", 0, "empty"),
        ("twofish256-sha256", ESP, "twofish256", 0, "not offered"),
        ("aes256gcm16-prfsha256-newhope128", IKE, "newhope128", 22, "mlkem768"),
        ("aes256gcm16-prfsha256-modp768", IKE, "modp768", 22, "not offered"),
        ("aes256-sha256-x25519-esn", IKE, "esn", 21, "ESP"),
        ("null-sha256-x25519", IKE, "null", 0, "not encrypt"),
        ("aes128gmac-prfsha256-x25519", IKE, "aes128gmac", 0, "not encrypt"),
        ("aes256gcm16-aes256-sha256", ESP, "aes256", 12, "AEAD"),
        ("aes-aes256gcm16-sha256-x25519", IKE, "aes", 0, "AEAD"),
        ("aes256", ESP, "aes256", 0, "integrity"),
        ("aes256-prfsha256-x25519", IKE, "aes256", 0, "integrity"),
    ],
)
def test_an_error_names_the_word_its_place_and_what_to_do(text, protocol, token, position, words):
    error = refused(text, protocol)
    assert error.fields["token"] == token
    assert error.fields["position"] == position
    assert words in str(error)


@pytest.mark.parametrize(
    ("text", "protocol", "lacking", "hint"),
    [
        ("aes256gcm16-x25519", IKE, "pseudo-random function", "prfsha256"),
        ("aes256-sha256", IKE, "key exchange method", "x25519"),
        ("aes256-sha256-none", IKE, "key exchange method", "x25519"),
        ("sha256-x25519", IKE, "encryption algorithm", "aes256"),
        ("sha256", ESP, "encryption algorithm", "aes256gcm16"),
        ("aes256", AH, "integrity algorithm", "sha256"),
    ],
)
def test_what_is_mandatory_is_asked_for(text, protocol, lacking, hint):
    error = refused(text, protocol)
    assert lacking in str(error)
    assert hint in error.hint


@pytest.mark.parametrize("word", sorted(REFUSED))
def test_words_that_strongswan_knows_and_we_do_not_offer_say_why(word):
    error = refused(word, ESP)
    assert REFUSED[word] in str(error)


def test_weak_algorithms_warn_and_are_in_no_default():
    assert len(ike("aes256-sha256-modp1024").warnings) == 1
    assert "modp1024" in ike("aes256-sha256-modp1024").warnings[0]
    assert len(ike("3des-md5-modp2048s256").warnings) == 4
    assert ike("aes256-sha256-modp2048").warnings == ()
    for spec in (*default_ike(), *default_esp(), *default_ah()):
        assert not any((t.type, t.id) in WEAK for t in spec.transforms)
        assert spec.warnings == ()


def test_default_stands_for_the_default_proposals_in_a_list():
    specs = parse_proposals("aes256-sha256-x25519, default", IKE)
    assert specs[0] == ike("aes256-sha256-x25519")
    assert specs[1:] == default_ike()
    assert parse_proposals(["default"], ESP) == default_esp()
    assert parse_proposals(["Default"], AH) == default_ah()


def test_aeads_come_first_by_default_and_stand_apart():
    aead, classic = default_ike()
    assert aead.of(TransformType.INTEG) == ()
    assert classic.of(TransformType.INTEG)
    assert aead.ke_methods[0] == Ke.X25519
    assert set(aead.ke_methods) <= set(KE_NAMES)
    assert Prf.HMAC_SHA2_256 in [t.id for t in aead.of(TransformType.PRF)]


def test_words_for_one_thing_are_offered_once():
    assert len(esp("aes128-aes-sha256-sha2_256").transforms) == 3


def test_the_order_of_preference_is_kept_within_a_type():
    spec = ike("sha512-aes256-sha256-aes128-x25519-modp2048")
    assert keyword_text(spec.transforms) == "aes256-aes128-sha512-sha256-prfsha512-prfsha256-x25519-modp2048"


def test_the_wire_has_numbered_proposals_with_the_spi():
    first, second = to_wire(default_esp(), b"spi!")
    assert (first.number, second.number) == (1, 2)
    assert first.protocol == ESP
    assert first.spi == second.spi == b"spi!"
    assert Transform(TransformType.ESN, Esn.NO) in first.transforms


def test_without_key_exchanges_equal_proposals_are_sent_once():
    specs = parse_proposals("aes256gcm16-x25519, aes256gcm16-modp2048-ke1_mlkem768, aes256-sha256-x25519", ESP)
    wire = to_wire(specs, b"spi!", with_ke=False)
    assert [keyword_text(p.transforms) for p in wire] == ["aes256gcm16-noesn", "aes256-sha256-noesn"]
    assert [p.number for p in wire] == [1, 2]
    assert len(to_wire(specs, b"spi!")) == 3


def test_what_has_no_word_is_named_by_number():
    assert keyword(Transform(TransformType.ENCR, 99, 128)) == "encr_99_128"
    assert keyword(Transform(TransformType.KE, 1040)) == "ke_1040"
    assert keyword(Transform(77, 5)) == "unknown_77_5"
    assert describe([Transform(TransformType.INTEG, Integ.NONE), Transform(TransformType.ESN, 7)]) == "NONE/ESN_7"
