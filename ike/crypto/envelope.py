"""The SK payload: sealing and opening what follows IKE_SA_INIT (RFC 7296 section 3.14, RFC 5282, RFC 7383).

A sealed message is header, SK (or SKF) payload header, IV, ciphertext, ICV. Everything before the IV is authenticated
too, so that the header's length and the payload's are filled in before sealing.
"""

from __future__ import annotations

import hmac
import os
import struct
from collections.abc import Callable, Sequence
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import Camellia, TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

from ..errors import LocalError, PeerError, SilentDrop
from ..wire.constants import HEADER_LENGTH, Encr, Integ, NotifyType, PayloadType, TransformType
from ..wire.payloads import SkfPayload, SkPayload, Transform
from .mac import integrity
from .secret import Secret
from .transforms import ENCR, INTEG, CipherMode, EncrInfo, encr_key_size, integ_key_size

_GENERIC_HEADER = 4
_FRAGMENT_HEADER = 8
_LARGEST_PAYLOAD = 0xFFFF
_FULL_TAG = 16


class Envelope:
    """One direction of an IKE SA. Seals with an IV that no other message under this key has; opens and verifies.

    ``random`` gives the unpredictable IVs of CBC; the other modes count, from ``first_iv`` on, which whoever takes over
    a running SA sets beyond what was used.
    """

    __slots__ = ("_info", "_next_iv", "_random", "_sealer")

    def __init__(
        self,
        suite: Sequence[Transform],
        key_e: Secret,
        key_a: Secret,
        *,
        random: Callable[[int], bytes] = os.urandom,
        first_iv: int = 0,
    ) -> None:
        encr = next(t for t in suite if t.type == TransformType.ENCR)
        integ = next((t for t in suite if t.type == TransformType.INTEG and t.id != Integ.NONE), None)
        if len(key_e) != encr_key_size(encr) or len(key_a) != (0 if ENCR[encr.id].is_aead else integ_key_size(integ)):
            raise LocalError(
                "bad-key-length", "the keys of the SK payload do not have the length that the suite asks for"
            )
        self._info = ENCR[encr.id]
        self._random = random
        self._next_iv = first_iv
        self._sealer: _Sealer
        if self._info.is_aead:
            self._sealer = _Aead(encr, key_e)
        elif integ is not None:
            self._sealer = _CipherThenMac(encr, integ, key_e, key_a)
        else:
            raise LocalError("no-integrity", f"{self._info.name} without an integrity transform cannot protect IKE")

    def __repr__(self) -> str:
        return f"<Envelope {self._info.name}>"

    def body_length(self, plaintext: int) -> int:
        """Bytes of IV, ciphertext with padding, and ICV for so many bytes of plaintext."""
        return self._info.iv + _padded(plaintext, self._info.block) + self._sealer.icv

    def room(self, message: int, *, fragment: bool = False) -> int:
        """The most plaintext that fits a message of so many bytes, header included (RFC 7383 section 2.5.2)."""
        body = message - HEADER_LENGTH - (_FRAGMENT_HEADER if fragment else _GENERIC_HEADER)
        cipher = body - self._info.iv - self._sealer.icv
        return max(0, cipher - cipher % self._info.block - 1)

    def seal(self, header: bytes, first: int, plaintext: bytes) -> bytes:
        """A whole message with one SK payload. ``header``: 28 bytes, whose next payload and length are filled in here.

        ``first`` is the type of the first payload inside, ``plaintext`` the payloads one after another.
        """
        return self._seal(header, PayloadType.SK, first, b"", plaintext)

    def seal_fragment(self, header: bytes, first: int, number: int, total: int, plaintext: bytes) -> bytes:
        """The same with an SKF payload: fragment ``number`` (from 1) of ``total`` (RFC 7383 section 2.5)."""
        if not 1 <= number <= total <= 0xFFFF:
            raise ValueError(f"there is no fragment {number} of {total}")
        return self._seal(header, PayloadType.SKF, first, struct.pack(">HH", number, total), plaintext)

    def open(self, message: bytes, payload: SkPayload | SkfPayload) -> bytes:
        """The plaintext of a message's last payload, once the whole message is verified.

        ``message`` is the datagram as it came, which ends with ``payload``. Raises :class:`SilentDrop` for what does
        not verify (RFC 7296 section 2.21), and :class:`PeerError` for a verified message whose padding is wrong.
        """
        body = payload.body
        cipher = len(body) - self._info.iv - self._sealer.icv
        if cipher < self._info.block or cipher % self._info.block:
            raise SilentDrop("sk-length", f"an encrypted payload of {len(body)} bytes fits no {self._info.name} block")
        covered = len(message) - len(body)
        if covered < HEADER_LENGTH + _GENERIC_HEADER or not message.endswith(body):
            raise SilentDrop("sk-length", "the encrypted payload is not the end of the message")
        iv, sealed = body[: self._info.iv], body[self._info.iv :]
        try:
            padded = self._sealer.open(message[:covered], iv, sealed)
        except InvalidTag:
            raise SilentDrop("bad-icv", "the integrity check of an encrypted payload failed") from None
        if padded[-1] >= len(padded):
            raise PeerError(
                "invalid-syntax",
                f"an encrypted payload of {len(padded)} bytes claims {padded[-1]} bytes of padding",
                notify=NotifyType.INVALID_SYNTAX,
            )
        return padded[: len(padded) - 1 - padded[-1]]

    def _seal(self, header: bytes, kind: PayloadType, first: int, fragment: bytes, plaintext: bytes) -> bytes:
        if len(header) != HEADER_LENGTH:
            raise ValueError(f"an IKE header has {HEADER_LENGTH} bytes, not {len(header)}")
        length = _GENERIC_HEADER + len(fragment) + self.body_length(len(plaintext))
        if length > _LARGEST_PAYLOAD:
            raise LocalError(
                "message-too-long", f"an encrypted payload of {length} bytes does not fit its length field"
            )
        total = HEADER_LENGTH + length
        covered = b"".join(
            (header[:16], bytes((kind,)), header[17:24], struct.pack(">IBBH", total, first, 0, length), fragment)
        )
        padding = _padded(len(plaintext), self._info.block) - len(plaintext) - 1
        iv = self._iv()
        return covered + iv + self._sealer.seal(covered, iv, plaintext + bytes(padding) + bytes((padding,)))

    def _iv(self) -> bytes:
        if self._info.mode is CipherMode.CBC:
            return self._random(self._info.iv)
        if self._next_iv >= 1 << 64:
            raise LocalError("iv-exhausted", "every IV of this key was used: rekey the IKE SA")
        iv = self._next_iv.to_bytes(8)
        self._next_iv += 1
        return iv


class _Sealer(Protocol):
    """What a cipher has to do: both raise :class:`InvalidTag` rather than hand out what was not verified."""

    icv: int

    def seal(self, covered: bytes, iv: bytes, plaintext: bytes) -> bytes: ...

    def open(self, covered: bytes, iv: bytes, sealed: bytes) -> bytes: ...


class _Aead:
    """RFC 5282: the nonce is salt and IV, the associated data all that stands before the IV.

    A cipher's context is made for each message: it takes 3 microseconds, and 2.5 KB as long as it is kept.
    """

    __slots__ = ("_info", "_key", "_salt", "icv")

    def __init__(self, encr: Transform, key_e: Secret) -> None:
        info = ENCR[encr.id]
        material = bytes(key_e)
        self._info = info
        self._key, self._salt = material[: -info.salt], material[-info.salt :]
        self.icv = info.icv

    def seal(self, covered: bytes, iv: bytes, plaintext: bytes) -> bytes:
        return _aead_for(self._info, self._key).encrypt(self._salt + iv, plaintext, covered)

    def open(self, covered: bytes, iv: bytes, sealed: bytes) -> bytes:
        return _aead_for(self._info, self._key).decrypt(self._salt + iv, sealed, covered)


def _aead_for(info: EncrInfo, key: bytes) -> AESGCM | AESCCM | ChaCha20Poly1305 | _ShortTagGcm:
    if info.mode is CipherMode.CHACHA20_POLY1305:
        return ChaCha20Poly1305(key)
    if info.mode is CipherMode.CCM:
        return AESCCM(key, info.icv)
    if info.mode is CipherMode.GCM:
        return AESGCM(key) if info.icv == _FULL_TAG else _ShortTagGcm(key, info.icv)
    raise LocalError("no-encryption", f"{info.name} does not encrypt: it cannot protect IKE")


class _ShortTagGcm:
    """AES-GCM with an ICV of 8 or 12 bytes: the leftmost of the tag (RFC 4106 section 6, NIST SP 800-38D)."""

    __slots__ = ("_icv", "_key")

    def __init__(self, key: bytes, icv: int) -> None:
        self._key = algorithms.AES(key)
        self._icv = icv

    def encrypt(self, nonce: bytes, plaintext: bytes, covered: bytes) -> bytes:
        encryptor = Cipher(self._key, modes.GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(covered)
        return encryptor.update(plaintext) + encryptor.finalize() + encryptor.tag[: self._icv]

    def decrypt(self, nonce: bytes, sealed: bytes, covered: bytes) -> bytes:
        ciphertext, tag = sealed[: -self._icv], sealed[-self._icv :]
        decryptor = Cipher(self._key, modes.GCM(nonce, tag, min_tag_length=self._icv)).decryptor()
        decryptor.authenticate_additional_data(covered)
        return decryptor.update(ciphertext) + decryptor.finalize()


class _CipherThenMac:
    """RFC 7296 section 3.14: encrypted first; the ICV covers the whole message up to itself."""

    __slots__ = ("_cipher", "_integ", "_key_a", "_mode", "_salt", "icv")

    def __init__(self, encr: Transform, integ: Transform, key_e: Secret, key_a: Secret) -> None:
        info = ENCR[encr.id]
        material = bytes(key_e)
        key = material[: len(material) - info.salt]
        self._salt = material[len(key) :]
        self._cipher = _cipher_for(encr.id, key)
        self._mode = info.mode
        self._integ = integ.id
        self._key_a = key_a
        self.icv = INTEG[integ.id].icv

    def seal(self, covered: bytes, iv: bytes, plaintext: bytes) -> bytes:
        encryptor = self._run(iv).encryptor()
        ciphertext = encryptor.update(plaintext) + encryptor.finalize()
        return ciphertext + integrity(self._integ, self._key_a, covered + iv + ciphertext)

    def open(self, covered: bytes, iv: bytes, sealed: bytes) -> bytes:
        ciphertext, icv = sealed[: -self.icv], sealed[-self.icv :]
        if not hmac.compare_digest(icv, integrity(self._integ, self._key_a, covered + iv + ciphertext)):
            raise InvalidTag
        decryptor = self._run(iv).decryptor()
        return decryptor.update(ciphertext) + decryptor.finalize()

    def _run(self, iv: bytes) -> Cipher[modes.CBC] | Cipher[modes.CTR]:
        if self._mode is CipherMode.CTR:
            # RFC 5930 section 2: the block counter starts at one.
            return Cipher(self._cipher, modes.CTR(self._salt + iv + b"\0\0\0\1"))
        return Cipher(self._cipher, modes.CBC(iv))


def _cipher_for(number: int, key: bytes) -> algorithms.AES | Camellia | TripleDES:
    if number in (Encr.AES_CBC, Encr.AES_CTR):
        return algorithms.AES(key)
    if number == Encr.CAMELLIA_CBC:
        return Camellia(key)
    if number == Encr.DES3:
        return TripleDES(key)
    raise LocalError("no-encryption", f"{ENCR[number].name} does not encrypt: it cannot protect IKE")


def _padded(plaintext: int, block: int) -> int:
    """Plaintext, padding and the pad length byte."""
    return -(-(plaintext + 1) // block) * block
