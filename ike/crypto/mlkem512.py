"""ML-KEM-512 (FIPS 203) of the pqcrypto package, in the shape that cryptography gives its larger siblings.

cryptography leaves the smallest parameter set out. Whoever has to speak it installs ``fastesp[mlkem512]``; without it
the keyword ``mlkem512`` is refused by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    keygen: Callable[[], tuple[bytes, bytes]]
    encaps: Callable[[bytes], tuple[bytes, bytes]]
    decaps: Callable[[bytes, bytes], bytes]
    AVAILABLE: bool
else:
    try:
        from pqcrypto.kem.ml_kem_512 import decaps, encaps, keygen
    except ImportError:
        AVAILABLE = False
    else:
        AVAILABLE = True

MODULUS = 3329
RANK = 2
"""FIPS 203 section 8, table 2."""


class MLKEM512PublicKey:
    """An encapsulation key: 800 bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @classmethod
    def from_public_bytes(cls, data: bytes) -> MLKEM512PublicKey:
        """Raises :class:`ValueError` for coefficients beyond the modulus (FIPS 203 section 7.2)."""
        coefficients = data[: RANK * 384]
        for at in range(0, len(coefficients), 3):
            pair = int.from_bytes(coefficients[at : at + 3], "little")
            if pair & 0xFFF >= MODULUS or pair >> 12 >= MODULUS:
                raise ValueError("a coefficient is not less than the modulus")
        return cls(data)

    def public_bytes_raw(self) -> bytes:
        """As it goes on the wire."""
        return self._data

    def encapsulate(self) -> tuple[bytes, bytes]:
        """A fresh secret, and the ciphertext that carries it."""
        ciphertext, secret = encaps(self._data)
        return secret, ciphertext


class MLKEM512PrivateKey:
    """A decapsulation key. It comes from the operating system's randomness: the package takes no seed."""

    def __init__(self, public: bytes, private: bytes) -> None:
        self._public = public
        self._private = private

    @classmethod
    def from_seed_bytes(cls, data: bytes) -> MLKEM512PrivateKey:  # noqa: ARG003 - see the class
        """A fresh key, whatever the seed."""
        return cls(*keygen())

    def public_key(self) -> MLKEM512PublicKey:
        """Its other half."""
        return MLKEM512PublicKey(self._public)

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """The secret; one that nobody else has where the ciphertext is not for this key (FIPS 203 section 6.3)."""
        return decaps(self._private, ciphertext)
