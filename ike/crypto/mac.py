"""Message authentication codes: the integrity transforms of the SK payload, and the AES MACs that PRFs are made of."""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from ..wire.constants import Integ
from .secret import Secret
from .transforms import INTEG

_BLOCK = 16


def integrity(number: int, key: bytes | Secret, data: bytes) -> bytes:
    """The ICV of ``data``, of the transform's length (RFC 7296 section 3.14). ``KeyError`` for no such transform."""
    info = INTEG[number]
    secret = bytes(key)
    if info.hash:
        return hmac.digest(secret, data, info.hash)[: info.icv]
    if number == Integ.AES_XCBC_96:
        return aes_xcbc(secret, data)[: info.icv]
    if number == Integ.AES_CMAC_96:
        return aes_cmac(secret, data)[: info.icv]
    raise KeyError(number)


def aes_cmac(key: bytes, data: bytes) -> bytes:
    """AES-CMAC (RFC 4493); 16 bytes."""
    mac = CMAC(algorithms.AES(key))
    mac.update(data)
    return mac.finalize()


def aes_xcbc(key: bytes, data: bytes) -> bytes:
    """AES-XCBC-MAC (RFC 3566 section 4), not truncated; 16 bytes. ``key`` has 16 bytes."""
    block = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    k1, k2, k3 = (block.update(bytes((n,)) * _BLOCK) for n in (1, 2, 3))
    whole = max(0, (len(data) - 1) // _BLOCK) * _BLOCK
    last = data[whole:]
    final = _xor(last, k2) if len(last) == _BLOCK else _xor((last + b"\x80").ljust(_BLOCK, b"\0"), k3)
    chain = Cipher(algorithms.AES(k1), modes.CBC(bytes(_BLOCK))).encryptor()
    return chain.update(data[:whole] + final)[-_BLOCK:]


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left) ^ int.from_bytes(right)).to_bytes(_BLOCK)
