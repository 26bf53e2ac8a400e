"""Key exchange methods: two messages in, one shared secret out (RFC 7296 section 3.4, RFC 9370).

The initiator calls :meth:`KeyExchange.start` and, with the answer, :meth:`KeyExchange.finish`; the responder calls
:func:`respond`. A KEM has no other order, and Diffie-Hellman does not mind it.

Every peer value is checked before use (RFC 6989); a bad one raises :class:`PeerError` ``bad-key-exchange``.
"""

from __future__ import annotations

import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dh, ec
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
    MLKEM1024PrivateKey,
    MLKEM1024PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey, X448PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.utils import CryptographyDeprecationWarning

from ..errors import LocalError, PeerError
from ..wire.constants import Ke, NotifyType
from . import mlkem512
from .mlkem512 import MLKEM512PrivateKey, MLKEM512PublicKey
from .modp import MODP_METHODS, ModpGroup, modp_group
from .secret import Secret
from .transforms import KE_NAMES

Random = Callable[[int], bytes]


class KeyExchange(ABC):
    """Our half of one exchange. ``public`` is what goes into the KE payload. Use it once: keys are never used again."""

    method: int
    public: bytes

    @staticmethod
    def start(method: int, random: Random = os.urandom) -> KeyExchange:
        """Make a fresh key. Raises :class:`LocalError` ``unknown-key-exchange`` for a method that we do not have."""
        if method in MODP_METHODS:
            return _Modp(method, random)
        if method in _CURVES:
            return _Ecp(method, random)
        if method in _MONTGOMERY:
            return _Montgomery(method, random)
        if method in _KEMS:
            return _Kem(method, random)
        raise LocalError("unknown-key-exchange", f"key exchange method {method} is none that we have")

    @abstractmethod
    def finish(self, peer_public: bytes) -> Secret:
        """The shared secret, as RFC 7296 section 2.14 wants it."""

    def __repr__(self) -> str:
        return f"<KeyExchange {KE_NAMES[self.method]}>"


def respond(method: int, peer_public: bytes, random: Random = os.urandom) -> tuple[bytes, Secret]:
    """The responder's half in one step: what to answer with, and the shared secret.

    The randomness of a KEM's encapsulation is the library's own: ``random`` does not reach it.
    """
    if method in _KEMS:
        return _encapsulate(method, peer_public)
    ours = KeyExchange.start(method, random)
    secret = ours.finish(peer_public)
    return ours.public, secret


def public_length(method: int, *, initiator: bool = True) -> int:
    """Length of the KE payload's data in bytes. ``KeyError`` for no such method."""
    if method in MODP_METHODS:
        return modp_group(method).bits // 8
    if method in _CURVES:
        return 2 * _field_bytes(_CURVES[method])
    if method in _MONTGOMERY:
        return _MONTGOMERY[method].length
    kem = _KEMS[method]
    return kem.public if initiator else kem.ciphertext


def _refuse(method: int, why: str) -> PeerError:
    # RFC 6989 section 2.5 has the exchange fail; INVALID_SYNTAX is the notify for a value out of range.
    return PeerError(
        "bad-key-exchange",
        f"the peer's {KE_NAMES[method]} public value was refused: {why}",
        notify=NotifyType.INVALID_SYNTAX,
        fields={"method": KE_NAMES[method]},
    )


def _check_length(method: int, data: bytes, expected: int) -> None:
    if len(data) != expected:
        raise _refuse(method, f"it has {len(data)} bytes instead of {expected}")


class _Modp(KeyExchange):
    """Diffie-Hellman modulo a prime. Values and secret are as long as the prime (RFC 7296 sections 2.14 and 3.4)."""

    def __init__(self, method: int, random: Random) -> None:
        self.method = method
        self._group = modp_group(method)
        numbers, generator = _dh_generator(method)
        with _finite_field():
            # The library insists on a public value beside the private one; g^x is what the exchange with g yields.
            self._private = dh.DHPrivateNumbers(_exponent(self._group, random), numbers).private_key()
        self.public = self._power(generator)

    def finish(self, peer_public: bytes) -> Secret:
        _check_length(self.method, peer_public, self._group.bits // 8)
        value = int.from_bytes(peer_public)
        wrong = self._group.check(value)
        if wrong:
            raise _refuse(self.method, wrong)
        try:
            with _finite_field():
                group = _dh_generator(self.method)[0].parameter_numbers
                return Secret(self._power(dh.DHPublicNumbers(value, group).public_key()))
        except ValueError:
            raise _refuse(self.method, "it is no element of the group") from None

    def _power(self, base: dh.DHPublicKey) -> bytes:
        return self._private.exchange(base).rjust(self._group.bits // 8, b"\0")


@cache
def _dh_generator(method: int) -> tuple[dh.DHPublicNumbers, dh.DHPublicKey]:
    """The group's generator as a public value, in both of the library's forms."""
    group = modp_group(method)
    with _finite_field():
        numbers = dh.DHPublicNumbers(group.g, dh.DHParameterNumbers(group.p, group.g, group.q))
        return numbers, numbers.public_key()


def _exponent(group: ModpGroup, random: Random) -> int:
    """A private value of the group's exponent length, top bit set; within the order where that is shorter."""
    value = int.from_bytes(random(-(-group.exponent // 8)))
    if group.q is not None:
        return value % (group.q - 3) + 2
    return value % (1 << group.exponent) | 1 << (group.exponent - 1)


class _finite_field(warnings.catch_warnings):  # noqa: N801 - used as a statement
    """Silences the library's notice that it would rather see other methods: peers choose, and configurations warn."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)


_CURVES: Mapping[int, ec.EllipticCurve] = {
    Ke.ECP_192: ec.SECP192R1(),
    Ke.ECP_224: ec.SECP224R1(),
    Ke.ECP_256: ec.SECP256R1(),
    Ke.ECP_384: ec.SECP384R1(),
    Ke.ECP_521: ec.SECP521R1(),
    Ke.BRAINPOOL_P256: ec.BrainpoolP256R1(),
    Ke.BRAINPOOL_P384: ec.BrainpoolP384R1(),
    Ke.BRAINPOOL_P512: ec.BrainpoolP512R1(),
}


def _field_bytes(curve: ec.EllipticCurve) -> int:
    return -(-curve.key_size // 8)


class _Ecp(KeyExchange):
    """Curves over a prime field. The public value is x and y, the secret x alone (RFC 5903 section 7, RFC 6954)."""

    def __init__(self, method: int, random: Random) -> None:
        self.method = method
        self._curve = _CURVES[method]
        size = _field_bytes(self._curve)
        # 64 bits more than the order has make the bias of the reduction negligible (FIPS 186-5 appendix A.2.1).
        seed = int.from_bytes(random(size + 8))
        self._private = ec.derive_private_key(seed % (self._curve.group_order - 1) + 1, self._curve)
        numbers = self._private.public_key().public_numbers()
        self.public = numbers.x.to_bytes(size) + numbers.y.to_bytes(size)

    def finish(self, peer_public: bytes) -> Secret:
        _check_length(self.method, peer_public, len(self.public))
        try:
            peer = ec.EllipticCurvePublicKey.from_encoded_point(self._curve, b"\4" + peer_public)
            return Secret(self._private.exchange(ec.ECDH(), peer))
        except ValueError:
            raise _refuse(self.method, "it is no point of the curve") from None


@dataclass(frozen=True, slots=True)
class _MontgomeryCurve:
    length: int
    private: type[X25519PrivateKey] | type[X448PrivateKey]
    public: type[X25519PublicKey] | type[X448PublicKey]


_MONTGOMERY: Mapping[int, _MontgomeryCurve] = {
    Ke.X25519: _MontgomeryCurve(32, X25519PrivateKey, X25519PublicKey),
    Ke.X448: _MontgomeryCurve(56, X448PrivateKey, X448PublicKey),
}


class _Montgomery(KeyExchange):
    """X25519 and X448 (RFC 8031)."""

    def __init__(self, method: int, random: Random) -> None:
        self.method = method
        self._curve = _MONTGOMERY[method]
        self._private = self._curve.private.from_private_bytes(random(self._curve.length))
        self.public = self._private.public_key().public_bytes_raw()

    def finish(self, peer_public: bytes) -> Secret:
        _check_length(self.method, peer_public, self._curve.length)
        peer = self._curve.public.from_public_bytes(peer_public)
        try:
            # The library refuses an all-zero secret, as RFC 8031 section 2.3 demands.
            return Secret(self._private.exchange(peer))  # type: ignore[arg-type]
        except ValueError:
            raise _refuse(self.method, "it is a point of small order") from None


@dataclass(frozen=True, slots=True)
class _KemKind:
    public: int
    ciphertext: int
    private_type: type[MLKEM512PrivateKey] | type[MLKEM768PrivateKey] | type[MLKEM1024PrivateKey]
    public_type: type[MLKEM512PublicKey] | type[MLKEM768PublicKey] | type[MLKEM1024PublicKey]


_KEMS: Mapping[int, _KemKind] = {
    **({Ke.ML_KEM_512: _KemKind(800, 768, MLKEM512PrivateKey, MLKEM512PublicKey)} if mlkem512.AVAILABLE else {}),
    Ke.ML_KEM_768: _KemKind(1184, 1088, MLKEM768PrivateKey, MLKEM768PublicKey),
    Ke.ML_KEM_1024: _KemKind(1568, 1568, MLKEM1024PrivateKey, MLKEM1024PublicKey),
}
_KEM_SEED = 64


class _Kem(KeyExchange):
    """ML-KEM: the initiator sends an encapsulation key, the responder a ciphertext (FIPS 203)."""

    def __init__(self, method: int, random: Random) -> None:
        self.method = method
        try:
            self._private = _KEMS[method].private_type.from_seed_bytes(random(_KEM_SEED))
        except UnsupportedAlgorithm:
            raise _no_kem(method) from None
        self.public = self._private.public_key().public_bytes_raw()

    def finish(self, peer_public: bytes) -> Secret:
        _check_length(self.method, peer_public, _KEMS[self.method].ciphertext)
        return Secret(self._private.decapsulate(peer_public))


def _encapsulate(method: int, peer_public: bytes) -> tuple[bytes, Secret]:
    _check_length(method, peer_public, _KEMS[method].public)
    try:
        secret, ciphertext = _KEMS[method].public_type.from_public_bytes(peer_public).encapsulate()
    except UnsupportedAlgorithm:
        raise _no_kem(method) from None
    except ValueError:
        # FIPS 203 section 7.2: coefficients beyond the modulus.
        raise _refuse(method, "it is no encapsulation key") from None
    return ciphertext, Secret(secret)


def _no_kem(method: int) -> LocalError:
    return LocalError(
        "no-ml-kem",
        f"the cryptographic library was built without {KE_NAMES[method]}",
        hint="install the cryptography package from PyPI, or leave mlkem out of the proposals",
    )


KE_METHODS: frozenset[int] = frozenset(MODP_METHODS | _CURVES.keys() | _MONTGOMERY.keys() | _KEMS.keys())
"""Every method that :meth:`KeyExchange.start` takes."""
