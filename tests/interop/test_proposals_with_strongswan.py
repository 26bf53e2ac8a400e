"""The proposal keywords that ours and charon both have, each brought up between the two and used by traffic.

One pair of gateways lives through all of them; who initiates changes from case to case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from support.living import configured, living_pair
from support.tunnels import Pair, counters_agree

from fastesp.lab.traffic import ping

pytestmark = [pytest.mark.root, pytest.mark.peer]

GCM = "aes256gcm16"
KEY_EXCHANGES = {
    "modp1024": "MODP_1024",
    "modp1536": "MODP_1536",
    "modp2048": "MODP_2048",
    "modp3072": "MODP_3072",
    "modp4096": "MODP_4096",
    "modp6144": "MODP_6144",
    "modp8192": "MODP_8192",
    "modp1024s160": "MODP_1024_160",
    "modp2048s224": "MODP_2048_224",
    "modp2048s256": "MODP_2048_256",
    "ecp192": "ECP_192",
    "ecp224": "ECP_224",
    "ecp256": "ECP_256",
    "ecp384": "ECP_384",
    "ecp521": "ECP_521",
    "ecp256bp": "ECP_256_BP",
    "ecp384bp": "ECP_384_BP",
    "ecp512bp": "ECP_512_BP",
    "x25519": "CURVE_25519",
    "x448": "CURVE_448",
}
CIPHERS = {
    **{f"aes{bits}-sha256": ("AES_CBC", bits, "HMAC_SHA2_256_128") for bits in (128, 192, 256)},
    **{f"aes{bits}ctr-sha384": ("AES_CTR", bits, "HMAC_SHA2_384_192") for bits in (128, 192, 256)},
    **{f"camellia{bits}-sha512": ("CAMELLIA_CBC", bits, "HMAC_SHA2_512_256") for bits in (128, 192, 256)},
    **{
        f"aes{bits}{mode}{icv}": (f"AES_{mode.upper()}_{icv}", bits, "")
        for mode in ("gcm", "ccm")
        for icv in (8, 12, 16)
        for bits in (128, 192, 256)
    },
    "chacha20poly1305": ("CHACHA20_POLY1305", 0, ""),
    "3des-sha1": ("3DES_CBC", 0, "HMAC_SHA1_96"),
    "aes128-aesxcbc": ("AES_CBC", 128, "AES_XCBC_96"),
    "aes128-aescmac": ("AES_CBC", 128, "AES_CMAC_96"),
}
PRFS = {
    "prfsha1": "PRF_HMAC_SHA1",
    "prfsha256": "PRF_HMAC_SHA2_256",
    "prfsha384": "PRF_HMAC_SHA2_384",
    "prfsha512": "PRF_HMAC_SHA2_512",
    "prfaesxcbc": "PRF_AES128_XCBC",
    "prfaescmac": "PRF_AES128_CMAC",
}
ESP = {
    **{f"aes{bits}gcm{icv}": (f"AES_GCM_{icv}", bits, "") for icv in (8, 12, 16) for bits in (128, 256)},
    "chacha20poly1305": ("CHACHA20_POLY1305", 0, ""),
    "aes128-sha1": ("AES_CBC", 128, "HMAC_SHA1_96"),
    "aes192-sha256": ("AES_CBC", 192, "HMAC_SHA2_256_128"),
    "aes256-sha384": ("AES_CBC", 256, "HMAC_SHA2_384_192"),
    "aes256-sha512": ("AES_CBC", 256, "HMAC_SHA2_512_256"),
    "aes256gcm16-modp8192": ("AES_GCM_16", 256, ""),
    "aes256gcm16-x448": ("AES_GCM_16", 256, ""),
    "aes256gcm16-ecp521": ("AES_GCM_16", 256, ""),
}


@pytest.fixture(scope="module")
def both() -> Iterator[Pair]:
    with living_pair() as made:
        yield made


def agreed(both: Pair, case: int, *, proposals: str, esp: str = GCM) -> Mapping[str, object]:
    """Bring the tunnel up, by ours where the number is even, and send through it; charon's words for the IKE SA."""
    with configured(both, proposals=proposals, esp_proposals=esp):
        both.side("ours" if case % 2 == 0 else "theirs").initiate("net", timeout=20.0)
        result = ping(both.sites.a.host, both.sites.b.host_address, count=2)
        assert result.received == result.sent == 2
        counters_agree(both)
        (ours,), (theirs,) = both.ours.ike_sas(), both.theirs.ike_sas()
        for key in ("encr-alg", "encr-keysize", "integ-alg", "prf-alg", "dh-group"):
            assert ours.raw.get(key) == theirs.raw.get(key), key
        (mine,), (child,) = ours.children, theirs.children
        for key in ("encr-alg", "encr-keysize", "integ-alg"):
            assert mine.raw.get(key) == child.raw.get(key), key
        return {**theirs.raw, "child": child.raw}


def suite(shown: Mapping[str, object]) -> tuple[str, int, str]:
    """Cipher, key length and integrity as they are listed."""
    found = [shown.get(key, b"") for key in ("encr-alg", "encr-keysize", "integ-alg")]
    encryption, bits, integrity = (value.decode() for value in found if isinstance(value, bytes))
    return encryption, int(bits or 0), integrity


@pytest.mark.parametrize("word", KEY_EXCHANGES)
def test_a_key_exchange_that_both_have_makes_a_tunnel(both: Pair, word: str) -> None:
    shown = agreed(both, list(KEY_EXCHANGES).index(word), proposals=f"{GCM}-prfsha384-{word}")
    assert shown["dh-group"] == KEY_EXCHANGES[word].encode()


@pytest.mark.parametrize("words", CIPHERS)
def test_a_cipher_of_ike_that_both_have_makes_a_tunnel(both: Pair, words: str) -> None:
    prf = "" if CIPHERS[words][2].startswith("HMAC") else "-prfsha256"
    shown = agreed(both, list(CIPHERS).index(words), proposals=f"{words}{prf}-x25519")
    assert suite(shown) == CIPHERS[words]


@pytest.mark.parametrize("word", PRFS)
def test_a_prf_that_both_have_makes_a_tunnel(both: Pair, word: str) -> None:
    shown = agreed(both, list(PRFS).index(word), proposals=f"aes128-sha256-{word}-x25519")
    assert shown["prf-alg"] == PRFS[word].encode()


@pytest.mark.parametrize("words", ESP)
def test_a_suite_of_esp_that_both_have_carries_traffic(both: Pair, words: str) -> None:
    shown = agreed(both, list(ESP).index(words), proposals=f"{GCM}-prfsha384-x25519", esp=words)
    child = shown["child"]
    assert isinstance(child, Mapping)
    assert suite(child) == ESP[words]


def test_a_long_list_of_proposals_ends_in_the_first_that_both_have(both: Pair) -> None:
    ours = "aes256-sha512-modp4096, chacha20poly1305-prfsha256-x448, aes128-sha256-ecp256"
    with configured(
        both, ours={"proposals": ours}, theirs={"proposals": "camellia256-sha512-x25519, aes128-sha256-ecp256"}
    ):
        both.ours.initiate("net")
        (sa,) = both.theirs.ike_sas()
        assert (suite(sa.raw), sa.raw["dh-group"]) == (("AES_CBC", 128, "HMAC_SHA2_256_128"), b"ECP_256")
