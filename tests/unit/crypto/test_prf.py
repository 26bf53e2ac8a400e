"""PRFs and MACs against the vectors of their RFCs, and prf+ against a plain reading of RFC 7296 section 2.13."""

import hmac
from pathlib import Path

import cryptography_vectors
import pytest

from ike.crypto.mac import aes_xcbc, integrity
from ike.crypto.prf import prf, prf_plus
from ike.crypto.secret import Secret
from ike.wire.constants import Integ, Prf

COUNT = bytes(range(256))
VECTORS = Path(cryptography_vectors.__file__).parent

# RFC 4434 section 3 and RFC 4615 section 4: the same keys and message.
AES_PRF = [
    (Prf.AES128_XCBC, COUNT[:16], "47f51b4564966215b8985c63055ed308"),
    (Prf.AES128_XCBC, COUNT[:10], "0fa087af7d866e7653434e602fdde835"),
    (Prf.AES128_XCBC, COUNT[:16] + b"\xed\xcb", "8cd3c93ae598a9803006ffb67c40e9e4"),
    (Prf.AES128_CMAC, COUNT[:16] + b"\xed\xcb", "84a348a4a45d235babfffc0d2b4da09a"),
    (Prf.AES128_CMAC, COUNT[:16], "980ae87b5f4c9c5214f5b6a8455e4c2d"),
    (Prf.AES128_CMAC, COUNT[:10], "290d9e112edb09ee141fcf64c0b72f3d"),
]

# RFC 3566 section 4.6.
XCBC = [
    (b"", "75f0251d528ac01c4573dfd584d79f29"),
    (COUNT[:3], "5b376580ae2f19afe7219ceef172756f"),
    (COUNT[:16], "d2a246fa349b68a79998a4394ff7a263"),
    (COUNT[:20], "47f51b4564966215b8985c63055ed308"),
    (COUNT[:32], "f54f0ec8d2b9f3d36807734bd5283fd4"),
    (COUNT[:34], "becbb3bccdb518a30677d5481fb6b4d8"),
    (bytes(1000), "f0dafee895db30253761103b5d84528f"),
]


def hmac_vectors(name):
    fields = {}
    for line in (VECTORS / "HMAC" / name).read_text().splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        if equals:
            fields[key] = value
        if key == "MD":
            yield bytes.fromhex(fields["Key"]), bytes.fromhex(fields["Msg"]), bytes.fromhex(value)


@pytest.mark.parametrize(("number", "key", "expected"), AES_PRF)
def test_aes_prfs_take_keys_of_any_length(number, key, expected):
    assert prf(number, key, COUNT[:20]).hex() == expected


@pytest.mark.parametrize(("data", "expected"), XCBC)
def test_xcbc_has_the_values_of_its_rfc(data, expected):
    assert aes_xcbc(COUNT[:16], data).hex() == expected
    assert integrity(Integ.AES_XCBC_96, COUNT[:16], data).hex() == expected[:24]


@pytest.mark.parametrize(
    ("name", "number", "transform"),
    [
        ("rfc-2202-md5.txt", Prf.HMAC_MD5, Integ.HMAC_MD5_96),
        ("rfc-2202-sha1.txt", Prf.HMAC_SHA1, Integ.HMAC_SHA1_96),
        ("rfc-4231-sha256.txt", Prf.HMAC_SHA2_256, Integ.HMAC_SHA2_256_128),
        ("rfc-4231-sha384.txt", Prf.HMAC_SHA2_384, Integ.HMAC_SHA2_384_192),
        ("rfc-4231-sha512.txt", Prf.HMAC_SHA2_512, Integ.HMAC_SHA2_512_256),
    ],
)
def test_hmac_has_the_values_of_its_rfc_and_the_icv_is_its_beginning(name, number, transform):
    cases = list(hmac_vectors(name))
    assert len(cases) >= 6
    cut = {Integ.HMAC_MD5_96: 12, Integ.HMAC_SHA1_96: 12}.get(transform, len(cases[0][2]) // 2)
    for key, data, expected in cases:
        assert prf(number, Secret(key), data) == expected
        assert integrity(transform, key, data) == expected[:cut]


def test_cmac_96_is_the_beginning_of_the_cmac_of_rfc_4493():
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    data = bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")
    assert integrity(Integ.AES_CMAC_96, key, data).hex() == "070a16b46b4d4144f79bdd9d"


def test_prf_plus_chains_its_blocks_behind_a_counter():
    key, seed = b"key", b"seed"
    first = hmac.digest(key, seed + b"\x01", "sha256")
    second = hmac.digest(key, first + seed + b"\x02", "sha256")
    third = hmac.digest(key, second + seed + b"\x03", "sha256")
    assert prf_plus(Prf.HMAC_SHA2_256, key, seed, 96) == first + second + third
    assert prf_plus(Prf.HMAC_SHA2_256, key, seed, 33) == first + second[:1]
    assert prf_plus(Prf.HMAC_SHA2_256, key, seed, 0) == b""


def test_prf_plus_ends_where_its_counter_does():
    assert len(prf_plus(Prf.HMAC_SHA2_256, b"k", b"s", 255 * 32)) == 255 * 32
    with pytest.raises(ValueError, match="8160"):
        prf_plus(Prf.HMAC_SHA2_256, b"k", b"s", 255 * 32 + 1)


def test_an_unknown_transform_is_a_key_error():
    with pytest.raises(KeyError):
        prf(3, b"k", b"d")
    with pytest.raises(KeyError):
        integrity(Integ.AES_128_GMAC, b"k", b"d")
