"""What the cryptographic library in use can really do: each algorithm is tried once, as an IKE SA would use it.

A distribution may have built its library without a curve or a cipher, and one in FIPS mode refuses more. An algorithm
that IKE itself has no use for (NULL, GMAC) is none of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from cryptography.exceptions import UnsupportedAlgorithm

from ..errors import LocalError
from ..wire.constants import HEADER_LENGTH, Encr, Integ, PayloadType, TransformType
from ..wire.payloads import Transform
from .envelope import Envelope
from .kex import KE_METHODS, KeyExchange
from .modp import MODP_METHODS
from .prf import prf
from .secret import Secret
from .transforms import ENCR, INTEG, PRF, encr_key_size, integ_key_size

_REFUSALS = (UnsupportedAlgorithm, LocalError, ValueError, KeyError)


@cache
def encryption() -> frozenset[int]:
    """Transform ids of the ciphers that can protect IKE."""
    return _those_that_work(ENCR, lambda number: _seal(number, Integ.HMAC_SHA2_256_128))


@cache
def integrity() -> frozenset[int]:
    """Transform ids of the MACs that can protect IKE."""
    return _those_that_work(INTEG, lambda number: _seal(Encr.AES_CBC, number))


@cache
def prfs() -> frozenset[int]:
    """Transform ids of the pseudo-random functions."""
    return _those_that_work(PRF, lambda number: prf(number, bytes(PRF[number].key), b""))


@cache
def key_exchanges() -> frozenset[int]:
    """Transform ids of the key exchange methods. MODP is arithmetic that every build has: no key is made for it."""
    others = KE_METHODS - MODP_METHODS
    return frozenset(MODP_METHODS) | _those_that_work(others, KeyExchange.start)


def _those_that_work(numbers: Iterable[int], work: Callable[[int], object]) -> frozenset[int]:
    return frozenset(number for number in numbers if _works(work, number))


def _works(work: Callable[[int], object], number: int) -> bool:
    try:
        work(number)
    except _REFUSALS:
        return False
    return True


def _seal(cipher: int, mac: int) -> bytes:
    """An empty message under a key of zeros that never protects anything."""
    bits = ENCR[cipher].key_bits[0] if ENCR[cipher].has_attribute else None
    encr, integ = Transform(TransformType.ENCR, cipher, bits), Transform(TransformType.INTEG, mac)
    aead = ENCR[cipher].is_aead
    suite = (encr,) if aead else (encr, integ)
    key_a = Secret(bytes(0 if aead else integ_key_size(integ)))
    return Envelope(suite, Secret(bytes(encr_key_size(encr))), key_a).seal(bytes(HEADER_LENGTH), PayloadType.NONE, b"")
