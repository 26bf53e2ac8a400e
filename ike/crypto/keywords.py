"""The words of a proposal, as swanctl.conf has them, and the transforms that they stand for.

A word is kept out of :data:`KEYWORDS`, and given a reason in :data:`REFUSED`, where strongSwan knows it and this
implementation does not offer it: whoever carries a configuration over learns why, and not only that it is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..wire.constants import Encr, Esn, Integ, Ke, Prf, TransformType
from ..wire.payloads import Transform
from . import mlkem512
from .transforms import ADDITIONAL_KE_TYPES, HMAC_SHA2_256_96, transform_name

_AES_BITS = (128, 192, 256)


def _encryption() -> dict[str, Transform]:
    words: dict[str, Transform] = {}

    def add(word: str, number: Encr, bits: int | None = None) -> None:
        words[word] = Transform(TransformType.ENCR, number, bits)

    for bits in _AES_BITS:
        add(f"aes{bits}", Encr.AES_CBC, bits)
        for mode, icvs in (
            ("gcm", (Encr.AES_GCM_8, Encr.AES_GCM_12, Encr.AES_GCM_16)),
            ("ccm", (Encr.AES_CCM_8, Encr.AES_CCM_12, Encr.AES_CCM_16)),
        ):
            # The ICV may be named in bytes or in bits; 16 bytes where it is not named.
            for icv_bytes, number in zip((8, 12, 16), icvs, strict=True):
                add(f"aes{bits}{mode}{icv_bytes}", number, bits)
                add(f"aes{bits}{mode}{icv_bytes * 8}", number, bits)
            add(f"aes{bits}{mode}", icvs[-1], bits)
        add(f"aes{bits}ctr", Encr.AES_CTR, bits)
        add(f"aes{bits}gmac", Encr.NULL_AES_GMAC, bits)
        add(f"camellia{bits}", Encr.CAMELLIA_CBC, bits)
    add("aes", Encr.AES_CBC, 128)
    add("camellia", Encr.CAMELLIA_CBC, 128)
    add("chacha20poly1305", Encr.CHACHA20_POLY1305)
    # Some peers attach a Key Length attribute that RFC 7634 section 2 does not foresee.
    add("chacha20poly1305compat", Encr.CHACHA20_POLY1305, 256)
    add("3des", Encr.DES3)
    add("null", Encr.NULL)
    return words


_INTEGRITY: Mapping[str, int] = {
    "sha256": Integ.HMAC_SHA2_256_128,
    "sha2_256": Integ.HMAC_SHA2_256_128,
    "sha384": Integ.HMAC_SHA2_384_192,
    "sha2_384": Integ.HMAC_SHA2_384_192,
    "sha512": Integ.HMAC_SHA2_512_256,
    "sha2_512": Integ.HMAC_SHA2_512_256,
    "sha1": Integ.HMAC_SHA1_96,
    "sha": Integ.HMAC_SHA1_96,
    "sha256_96": HMAC_SHA2_256_96,
    "sha2_256_96": HMAC_SHA2_256_96,
    "aesxcbc": Integ.AES_XCBC_96,
    "aescmac": Integ.AES_CMAC_96,
    "md5": Integ.HMAC_MD5_96,
}

_PRF: Mapping[str, int] = {
    "prfsha256": Prf.HMAC_SHA2_256,
    "prfsha384": Prf.HMAC_SHA2_384,
    "prfsha512": Prf.HMAC_SHA2_512,
    "prfsha1": Prf.HMAC_SHA1,
    "prfaesxcbc": Prf.AES128_XCBC,
    "prfaescmac": Prf.AES128_CMAC,
    "prfmd5": Prf.HMAC_MD5,
}

_KE: Mapping[str, int] = {
    "none": Ke.NONE,
    "modpnone": Ke.NONE,
    "x25519": Ke.X25519,
    "curve25519": Ke.X25519,
    "x448": Ke.X448,
    "curve448": Ke.X448,
    "ecp256": Ke.ECP_256,
    "ecp384": Ke.ECP_384,
    "ecp521": Ke.ECP_521,
    "ecp224": Ke.ECP_224,
    "ecp192": Ke.ECP_192,
    "ecp256bp": Ke.BRAINPOOL_P256,
    "ecp384bp": Ke.BRAINPOOL_P384,
    "ecp512bp": Ke.BRAINPOOL_P512,
    "modp2048": Ke.MODP_2048,
    "modp3072": Ke.MODP_3072,
    "modp4096": Ke.MODP_4096,
    "modp6144": Ke.MODP_6144,
    "modp8192": Ke.MODP_8192,
    "modp1024": Ke.MODP_1024,
    "modp1536": Ke.MODP_1536,
    "modp1024s160": Ke.MODP_1024_160,
    "modp2048s224": Ke.MODP_2048_224,
    "modp2048s256": Ke.MODP_2048_256,
    **({"mlkem512": Ke.ML_KEM_512} if mlkem512.AVAILABLE else {}),
    "mlkem768": Ke.ML_KEM_768,
    "mlkem1024": Ke.ML_KEM_1024,
}


def _all_words() -> dict[str, Transform]:
    words = _encryption()
    words |= {word: Transform(TransformType.INTEG, number) for word, number in _INTEGRITY.items()}
    words |= {word: Transform(TransformType.PRF, number) for word, number in _PRF.items()}
    words |= {word: Transform(TransformType.KE, number) for word, number in _KE.items()}
    words |= {"esn": Transform(TransformType.ESN, Esn.YES), "noesn": Transform(TransformType.ESN, Esn.NO)}
    for n, kind in enumerate(ADDITIONAL_KE_TYPES, 1):
        words |= {f"ke{n}_{word}": Transform(kind, number) for word, number in _KE.items() if word != "modpnone"}
    return words


KEYWORDS: Mapping[str, Transform] = MappingProxyType(_all_words())

_NO_LIBRARY = "the cryptographic library has no implementation of it"
_BROKEN = "it gives no protection any more"


def _without_mlkem512() -> dict[str, str]:
    why = "it needs the package pqcrypto: pip install 'fastesp[mlkem512]'; '{}mlkem768' is there"
    return {f"{prefix}mlkem512": why.format(prefix) for prefix in ("", *(f"ke{n}_" for n in range(1, 8)))}


REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "des": _BROKEN,
        "modp768": _BROKEN,
        "modpnull": "it is no key exchange at all",
        "md5_128": "it was never registered for IKEv2",
        "sha1_160": "it was never registered for ESP; 'sha1' is HMAC-SHA1-96",
        "ecp224bp": _NO_LIBRARY,
        **({} if mlkem512.AVAILABLE else _without_mlkem512()),
        "camelliaxcbc": _NO_LIBRARY,
        "prfcamelliaxcbc": _NO_LIBRARY,
        "camelliactr": _NO_LIBRARY,
        **{f"camellia{bits}ctr": _NO_LIBRARY for bits in _AES_BITS},
        **{f"camellia{bits}ccm{icv}": _NO_LIBRARY for bits in _AES_BITS for icv in ("", 8, 64, 12, 96, 16, 128)},
        **{
            f"{cipher}{bits}": f"{_NO_LIBRARY}; use aes256gcm16"
            for cipher in ("blowfish", "serpent", "twofish")
            for bits in ("", *_AES_BITS)
        },
        "cast128": f"{_NO_LIBRARY}; use aes256gcm16",
        **{f"ntru{bits}": "NTRU was never registered; use mlkem768" for bits in (112, 128, 192, 256)},
        "newhope128": "NewHope was never registered; use mlkem768",
    }
)

_CANONICAL: Mapping[tuple[int, int, int | None], str] = (
    {
        (t.type, t.id, t.key_length): word
        # Reversed, so that of several words for one thing the one that stands first in the tables wins.
        for word, t in reversed(list(KEYWORDS.items()))
    }
    | {
        (TransformType.ENCR, number, bits): f"aes{bits}{mode}{icv}"
        for bits in _AES_BITS
        for mode, icv, number in (
            ("gcm", 8, Encr.AES_GCM_8),
            ("gcm", 12, Encr.AES_GCM_12),
            ("gcm", 16, Encr.AES_GCM_16),
            ("ccm", 8, Encr.AES_CCM_8),
            ("ccm", 12, Encr.AES_CCM_12),
            ("ccm", 16, Encr.AES_CCM_16),
        )
    }
    | {
        # Written as encryption in an AH proposal too (RFC 4543 section 5.1).
        (TransformType.INTEG, number, None): f"aes{bits}gmac"
        for bits, number in zip(_AES_BITS, (Integ.AES_128_GMAC, Integ.AES_192_GMAC, Integ.AES_256_GMAC), strict=True)
    }
)


def keyword(transform: Transform) -> str:
    """The word for a transform, as one writes it in a proposal; what has none is named by its numbers."""
    word = _CANONICAL.get((transform.type, transform.id, transform.key_length))
    if word is None or transform.unknown_attributes:
        return transform_name(transform).lower() + ("?" if transform.unknown_attributes else "")
    return word
