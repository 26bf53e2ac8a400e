"""The pseudo-random functions, and ``prf+`` that stretches them (RFC 7296 section 2.13)."""

from __future__ import annotations

import hmac

from ..wire.constants import Prf
from .mac import aes_cmac, aes_xcbc
from .secret import Secret
from .transforms import PRF

_MOST_ROUNDS = 255


def prf(number: int, key: bytes | Secret, data: bytes) -> bytes:
    """``prf(key, data)`` for a key of any length. ``KeyError`` for no such PRF."""
    info = PRF[number]
    secret = bytes(key)
    if info.hash:
        return hmac.digest(secret, data, info.hash)
    mac = aes_cmac if number == Prf.AES128_CMAC else aes_xcbc
    if len(secret) > info.key or (len(secret) < info.key and mac is aes_cmac):
        # RFC 4615 section 3; RFC 4434 section 2.
        secret = mac(bytes(info.key), secret)
    return mac(secret.ljust(info.key, b"\0"), data)


def prf_plus(number: int, key: bytes | Secret, seed: bytes, length: int) -> bytes:
    """``prf+(key, seed)``, its first ``length`` bytes. ``ValueError`` beyond 255 times the PRF's output."""
    rounds = -(-length // PRF[number].output)
    if rounds > _MOST_ROUNDS:
        raise ValueError(f"prf+ gives at most {_MOST_ROUNDS * PRF[number].output} bytes, {length} were asked for")
    stream = bytearray()
    block = b""
    for counter in range(1, rounds + 1):
        block = prf(number, key, block + seed + bytes((counter,)))
        stream += block
    return bytes(stream[:length])
