"""Algorithms by name, with the sizes that ESP and AH need of them. Numbers are IANA's IKEv2 transform numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Encryption:
    """A cipher. ``salt``, ``iv``, ``icv``, ``block`` in bytes; ``icv`` 0: an integrity algorithm stands beside it."""

    number: int
    key_bits: tuple[int, ...]
    salt: int
    iv: int
    icv: int
    block: int

    @property
    def is_aead(self) -> bool:
        """Whether it authenticates by itself."""
        return self.icv != 0


@dataclass(frozen=True, slots=True)
class Integrity:
    """An authentication algorithm. ``key`` (with its salt, where it has one), ``icv`` and ``iv`` in bytes."""

    number: int
    key: int
    icv: int
    iv: int = 0

    @property
    def is_for_ah_alone(self) -> bool:
        """Whether it needs a nonce for each packet: only in AH it has an IV of its own (RFC 4543 section 4)."""
        return self.iv != 0


AES = (128, 192, 256)

ENCRYPTION: dict[str, Encryption] = {
    "null": Encryption(11, (0,), salt=0, iv=0, icv=0, block=1),  # RFC 2410
    "aes-cbc": Encryption(12, AES, salt=0, iv=16, icv=0, block=16),  # RFC 3602
    "aes-ctr": Encryption(13, AES, salt=4, iv=8, icv=0, block=1),  # RFC 3686
    "aes-gcm-8": Encryption(18, AES, salt=4, iv=8, icv=8, block=1),  # RFC 4106
    "aes-gcm-12": Encryption(19, AES, salt=4, iv=8, icv=12, block=1),
    "aes-gcm-16": Encryption(20, AES, salt=4, iv=8, icv=16, block=1),
    "aes-gmac": Encryption(21, AES, salt=4, iv=8, icv=16, block=1),  # RFC 4543 section 3: authentication only
    "chacha20-poly1305": Encryption(28, (256,), salt=4, iv=8, icv=16, block=1),  # RFC 7634
}

INTEGRITY: dict[str, Integrity] = {
    "hmac-sha1": Integrity(2, 20, icv=12),  # RFC 2404
    "hmac-sha2-256": Integrity(12, 32, icv=16),  # RFC 4868
    "hmac-sha2-384": Integrity(13, 48, icv=24),
    "hmac-sha2-512": Integrity(14, 64, icv=32),
    "aes-128-gmac": Integrity(9, 20, icv=16, iv=8),  # RFC 4543 section 4
    "aes-192-gmac": Integrity(10, 28, icv=16, iv=8),
    "aes-256-gmac": Integrity(11, 36, icv=16, iv=8),
}

SUITES: frozenset[str] = frozenset(ENCRYPTION) | frozenset(INTEGRITY)
"""Every name that :class:`fastesp.dataplane.base.Suite` may carry."""


def sizes_of(encryption: str, key_bits: int, integrity: str, *, ah: bool) -> tuple[Encryption, Integrity | None]:
    """The rows of both tables for one SA; AH and AEADs leave one side out.

    Raises :class:`ValueError` for unknown names, key lengths an algorithm does not have, and combinations that do not
    protect (RFC 8221: a cipher without integrity) or protect twice.
    """
    if ah and encryption not in ("", "null"):
        raise ValueError(f"AH does not encrypt, but its suite names '{encryption}'")
    cipher = ENCRYPTION.get("null" if ah else encryption)
    if cipher is None:
        raise ValueError(f"unknown encryption '{encryption}' (known: {', '.join(ENCRYPTION)})")
    if not ah and key_bits not in cipher.key_bits:
        raise ValueError(f"'{encryption}' has keys of {cipher.key_bits} bits, not {key_bits}")
    if cipher.is_aead:
        if integrity:
            raise ValueError(f"'{encryption}' authenticates by itself, but the suite names '{integrity}' too")
        return cipher, None
    row = INTEGRITY.get(integrity)
    if row is None:
        known = ", ".join(INTEGRITY)
        raise ValueError(f"'{encryption or 'AH'}' needs an integrity algorithm, not '{integrity}' (known: {known})")
    if row.is_for_ah_alone and not ah:
        raise ValueError(f"'{integrity}' is for AH alone (RFC 4543 section 5.3): 'aes-gmac' is its sister in ESP")
    return cipher, row
