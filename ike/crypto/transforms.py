"""The transforms as data: what each algorithm is called, and the sizes that keys, IVs and ICVs have.

Sizes are in bytes unless a name says bits. Names are those that ``swanctl --list-sas`` prints.
Sources are named at each table; the registry is IANA's ikev2-parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from ..wire.constants import Encr, Esn, Integ, Ke, Prf, TransformType
from ..wire.payloads import Transform

HMAC_SHA2_256_96 = 1022
"""HMAC-SHA-256 cut to 96 bits, as early Linux kernels did; a private-use number that strongSwan peers share."""

ADDITIONAL_KE_TYPES = tuple(TransformType(n) for n in range(TransformType.ADDKE1, TransformType.ADDKE7 + 1))
KE_TYPES = (TransformType.KE, *ADDITIONAL_KE_TYPES)

PRINT_ORDER = (
    TransformType.ENCR,
    TransformType.INTEG,
    TransformType.PRF,
    TransformType.KE,
    TransformType.ESN,
    *ADDITIONAL_KE_TYPES,
)
"""The order in which a suite is written, offered and compared."""

TYPE_NAMES: Mapping[int, str] = {
    TransformType.ENCR: "encryption algorithm",
    TransformType.INTEG: "integrity algorithm",
    TransformType.PRF: "pseudo-random function",
    TransformType.KE: "key exchange method",
    TransformType.ESN: "extended sequence number mode",
    **{kind: f"additional key exchange method {n}" for n, kind in enumerate(ADDITIONAL_KE_TYPES, 1)},
}


class CipherMode(Enum):
    """How a cipher is run; what :mod:`ike.crypto.envelope` and the data plane branch on."""

    NULL = "null"
    CBC = "cbc"
    CTR = "ctr"
    GCM = "gcm"
    CCM = "ccm"
    GMAC = "gmac"
    CHACHA20_POLY1305 = "chacha20-poly1305"


@dataclass(frozen=True, slots=True)
class EncrInfo:
    """An encryption transform. ``key_bits`` are the lengths allowed, the default first.

    ``has_attribute``: the Key Length attribute is mandatory (RFC 7296 section 3.3.5). ``salt`` follows the key in the
    key material. ``icv`` is zero unless the transform is an AEAD.
    """

    name: str
    mode: CipherMode
    key_bits: tuple[int, ...]
    has_attribute: bool
    salt: int
    iv: int
    block: int
    icv: int = 0

    @property
    def is_aead(self) -> bool:
        """Combined mode: no integrity transform goes with it (RFC 5282 section 8)."""
        return self.icv > 0


_AES = (128, 192, 256)

ENCR: Mapping[int, EncrInfo] = {
    # RFC 2451
    Encr.DES3: EncrInfo("3DES_CBC", CipherMode.CBC, (192,), False, 0, 8, 8),
    # RFC 2410
    Encr.NULL: EncrInfo("NULL", CipherMode.NULL, (0,), False, 0, 0, 1),
    # RFC 3602
    Encr.AES_CBC: EncrInfo("AES_CBC", CipherMode.CBC, _AES, True, 0, 16, 16),
    # RFC 3686, for IKE: RFC 5930
    Encr.AES_CTR: EncrInfo("AES_CTR", CipherMode.CTR, _AES, True, 4, 8, 1),
    # RFC 4309, for IKE: RFC 5282
    Encr.AES_CCM_8: EncrInfo("AES_CCM_8", CipherMode.CCM, _AES, True, 3, 8, 1, 8),
    Encr.AES_CCM_12: EncrInfo("AES_CCM_12", CipherMode.CCM, _AES, True, 3, 8, 1, 12),
    Encr.AES_CCM_16: EncrInfo("AES_CCM_16", CipherMode.CCM, _AES, True, 3, 8, 1, 16),
    # RFC 4106, for IKE: RFC 5282
    Encr.AES_GCM_8: EncrInfo("AES_GCM_8", CipherMode.GCM, _AES, True, 4, 8, 1, 8),
    Encr.AES_GCM_12: EncrInfo("AES_GCM_12", CipherMode.GCM, _AES, True, 4, 8, 1, 12),
    Encr.AES_GCM_16: EncrInfo("AES_GCM_16", CipherMode.GCM, _AES, True, 4, 8, 1, 16),
    # RFC 4543: ESP and AH only
    Encr.NULL_AES_GMAC: EncrInfo("NULL_AES_GMAC", CipherMode.GMAC, _AES, True, 4, 8, 1, 16),
    # RFC 5529
    Encr.CAMELLIA_CBC: EncrInfo("CAMELLIA_CBC", CipherMode.CBC, _AES, True, 0, 16, 16),
    # RFC 7634
    Encr.CHACHA20_POLY1305: EncrInfo("CHACHA20_POLY1305", CipherMode.CHACHA20_POLY1305, (256,), False, 4, 8, 1, 16),
}


@dataclass(frozen=True, slots=True)
class PrfInfo:
    """A pseudo-random function (RFC 7296 section 2.13). ``hash`` is empty for those made of AES.

    ``key`` is the preferred key length, which SK_d and SK_p have; ``fixed_key`` says that the algorithm itself takes
    no other (RFC 7296 section 2.14: such a one takes half its key from each nonce).
    """

    name: str
    hash: str
    key: int
    output: int
    fixed_key: bool = False


PRF: Mapping[int, PrfInfo] = {
    # RFC 2104
    Prf.HMAC_MD5: PrfInfo("PRF_HMAC_MD5", "md5", 16, 16),
    Prf.HMAC_SHA1: PrfInfo("PRF_HMAC_SHA1", "sha1", 20, 20),
    # RFC 4434; RFC 7296 section 2.14 treats its key as of fixed length where SKEYSEED is made
    Prf.AES128_XCBC: PrfInfo("PRF_AES128_XCBC", "", 16, 16, True),
    # RFC 4868
    Prf.HMAC_SHA2_256: PrfInfo("PRF_HMAC_SHA2_256", "sha256", 32, 32),
    Prf.HMAC_SHA2_384: PrfInfo("PRF_HMAC_SHA2_384", "sha384", 48, 48),
    Prf.HMAC_SHA2_512: PrfInfo("PRF_HMAC_SHA2_512", "sha512", 64, 64),
    # RFC 4615
    Prf.AES128_CMAC: PrfInfo("PRF_AES128_CMAC", "", 16, 16, True),
}


@dataclass(frozen=True, slots=True)
class IntegInfo:
    """An integrity transform. ``prf`` is what an IKE proposal without PRF takes; ``hash`` is empty for AES MACs."""

    name: str
    hash: str
    key: int
    icv: int
    prf: int = 0


INTEG: Mapping[int, IntegInfo] = {
    # RFC 2403, RFC 2404
    Integ.HMAC_MD5_96: IntegInfo("HMAC_MD5_96", "md5", 16, 12, Prf.HMAC_MD5),
    Integ.HMAC_SHA1_96: IntegInfo("HMAC_SHA1_96", "sha1", 20, 12, Prf.HMAC_SHA1),
    # RFC 3566
    Integ.AES_XCBC_96: IntegInfo("AES_XCBC_96", "", 16, 12, Prf.AES128_XCBC),
    # RFC 4494
    Integ.AES_CMAC_96: IntegInfo("AES_CMAC_96", "", 16, 12, Prf.AES128_CMAC),
    # RFC 4543: AH only; key and a salt of four bytes
    Integ.AES_128_GMAC: IntegInfo("AES_128_GMAC", "", 20, 16),
    Integ.AES_192_GMAC: IntegInfo("AES_192_GMAC", "", 28, 16),
    Integ.AES_256_GMAC: IntegInfo("AES_256_GMAC", "", 36, 16),
    # RFC 4868
    Integ.HMAC_SHA2_256_128: IntegInfo("HMAC_SHA2_256_128", "sha256", 32, 16, Prf.HMAC_SHA2_256),
    Integ.HMAC_SHA2_384_192: IntegInfo("HMAC_SHA2_384_192", "sha384", 48, 24, Prf.HMAC_SHA2_384),
    Integ.HMAC_SHA2_512_256: IntegInfo("HMAC_SHA2_512_256", "sha512", 64, 32, Prf.HMAC_SHA2_512),
    HMAC_SHA2_256_96: IntegInfo("HMAC_SHA2_256_96", "sha256", 32, 12, Prf.HMAC_SHA2_256),
}

KE_NAMES: Mapping[int, str] = {
    Ke.NONE: "NONE",
    # RFC 7296 appendix B, RFC 3526
    Ke.MODP_1024: "MODP_1024",
    Ke.MODP_1536: "MODP_1536",
    Ke.MODP_2048: "MODP_2048",
    Ke.MODP_3072: "MODP_3072",
    Ke.MODP_4096: "MODP_4096",
    Ke.MODP_6144: "MODP_6144",
    Ke.MODP_8192: "MODP_8192",
    # RFC 5903, RFC 5114
    Ke.ECP_256: "ECP_256",
    Ke.ECP_384: "ECP_384",
    Ke.ECP_521: "ECP_521",
    Ke.MODP_1024_160: "MODP_1024_160",
    Ke.MODP_2048_224: "MODP_2048_224",
    Ke.MODP_2048_256: "MODP_2048_256",
    Ke.ECP_192: "ECP_192",
    Ke.ECP_224: "ECP_224",
    # RFC 6954
    Ke.BRAINPOOL_P256: "ECP_256_BP",
    Ke.BRAINPOOL_P384: "ECP_384_BP",
    Ke.BRAINPOOL_P512: "ECP_512_BP",
    # RFC 8031
    Ke.X25519: "CURVE_25519",
    Ke.X448: "CURVE_448",
    # draft-ietf-ipsecme-ikev2-mlkem over RFC 9370
    Ke.ML_KEM_512: "ML_KEM_512",
    Ke.ML_KEM_768: "ML_KEM_768",
    Ke.ML_KEM_1024: "ML_KEM_1024",
}

WEAK: Mapping[tuple[TransformType, int], str] = {
    (TransformType.ENCR, Encr.DES3): "3DES has 64-bit blocks (RFC 8247 section 2.1, Sweet32)",
    (TransformType.INTEG, Integ.HMAC_MD5_96): "HMAC-MD5 must not be used any more (RFC 8247 section 2.3)",
    (TransformType.PRF, Prf.HMAC_MD5): "HMAC-MD5 must not be used any more (RFC 8247 section 2.2)",
    (TransformType.KE, Ke.MODP_1024): "a 1024-bit group is within reach of a nation state (RFC 8247 section 2.4)",
    (TransformType.KE, Ke.MODP_1536): "a 1536-bit group is too small (RFC 8247 section 2.4)",
    (TransformType.KE, Ke.MODP_1024_160): "the RFC 5114 groups are of unknown origin (RFC 8247 section 2.4)",
    (TransformType.KE, Ke.MODP_2048_224): "the RFC 5114 groups are of unknown origin (RFC 8247 section 2.4)",
    (TransformType.KE, Ke.MODP_2048_256): "the RFC 5114 groups are of unknown origin (RFC 8247 section 2.4)",
    (TransformType.KE, Ke.ECP_192): "a 192-bit curve has 96 bits of security",
}
"""Never part of a default; naming one gets a warning."""


def is_aead(transform: Transform) -> bool:
    """Whether an encryption transform brings its own integrity."""
    info = ENCR.get(transform.id)
    return transform.type == TransformType.ENCR and info is not None and info.is_aead


def encr_key_bits(transform: Transform) -> int:
    """The cipher's key length in bits, salt not counted. ``ValueError`` for one that it does not have."""
    info = ENCR[transform.id]
    bits = info.key_bits[0] if transform.key_length is None else transform.key_length
    if bits not in info.key_bits or (info.has_attribute and transform.key_length is None):
        raise ValueError(f"{info.name} takes no key of {transform.key_length} bits")
    return bits


def encr_key_size(transform: Transform) -> int:
    """Bytes of key material that an encryption transform takes: key, then salt (RFC 5282 section 7.1)."""
    return encr_key_bits(transform) // 8 + ENCR[transform.id].salt


def integ_key_size(transform: Transform | None) -> int:
    """Bytes of key material that an integrity transform takes; none for an AEAD."""
    return 0 if transform is None or transform.id == Integ.NONE else INTEG[transform.id].key


def is_understood(transform: Transform) -> bool:
    """Whether the transform is one of ours, with a key length that it can have (RFC 7296 section 3.3.6)."""
    if transform.unknown_attributes:
        return False
    if transform.type == TransformType.ENCR:
        info = ENCR.get(transform.id)
        if info is None or (info.has_attribute and transform.key_length is None):
            return False
        return transform.key_length is None or transform.key_length in info.key_bits
    if transform.key_length is not None:
        return False
    if transform.type == TransformType.PRF:
        return transform.id in PRF
    if transform.type == TransformType.INTEG:
        return transform.id in INTEG or transform.id == Integ.NONE
    if transform.type == TransformType.ESN:
        return transform.id in (Esn.NO, Esn.YES)
    return transform.type in KE_TYPES and transform.id in KE_NAMES


def transform_name(transform: Transform) -> str:
    """As strongSwan prints it: ``AES_CBC_256``, ``HMAC_SHA2_384_192``, ``KE1_ML_KEM_768``, ``NO_EXT_SEQ``."""
    kind, number = transform.type, transform.id
    name: str | None = None
    prefix = ""
    if kind == TransformType.ENCR:
        name = ENCR[number].name if number in ENCR else f"ENCR_{number}"
    elif kind == TransformType.PRF:
        name = PRF[number].name if number in PRF else f"PRF_{number}"
    elif kind == TransformType.INTEG:
        name = "NONE" if number == Integ.NONE else INTEG[number].name if number in INTEG else f"INTEG_{number}"
    elif kind == TransformType.ESN:
        name = {Esn.NO: "NO_EXT_SEQ", Esn.YES: "EXT_SEQ"}.get(number, f"ESN_{number}")  # type: ignore[call-overload]
    elif kind in KE_TYPES:
        prefix = f"KE{kind - TransformType.ADDKE1 + 1}_" if kind != TransformType.KE else ""
        name = KE_NAMES.get(number, f"KE_{number}")
    else:
        name = f"UNKNOWN_{kind}_{number}"
    suffix = f"_{transform.key_length}" if transform.key_length else ""
    return f"{prefix}{name}{suffix}"
