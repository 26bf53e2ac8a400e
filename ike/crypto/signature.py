"""Signatures in AUTH payloads: RFC 7427 (method 14) and the classic methods 1 and 9 to 11 (RFC 7296, RFC 4754).

Method 14 names its algorithm with a DER AlgorithmIdentifier. Only the encodings below are accepted, byte for byte, so
that no parameter (a PSS salt length, a mask function) can be chosen by the peer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from ..errors import LocalError, PeerError
from ..wire.constants import AuthMethod, NotifyType, SignatureHash
from ..wire.payloads import AuthPayload
from .signature_policy import ANY_SIGNATURE, HASH_NAMES, PublicKey, SignaturePolicy, key_bits, key_kind

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

OUR_HASHES = (
    SignatureHash.SHA2_256,
    SignatureHash.SHA2_384,
    SignatureHash.SHA2_512,
    SignatureHash.IDENTITY,
)
"""What we announce in SIGNATURE_HASH_ALGORITHMS (RFC 7427 section 4, RFC 8420 section 2)."""

_HASHES: Mapping[int, hashes.HashAlgorithm] = {
    SignatureHash.SHA1: hashes.SHA1(),
    SignatureHash.SHA2_256: hashes.SHA256(),
    SignatureHash.SHA2_384: hashes.SHA384(),
    SignatureHash.SHA2_512: hashes.SHA512(),
}


@dataclass(frozen=True, slots=True)
class Scheme:
    """A way to sign: key kind, hash, and padding where the key is RSA."""

    kind: str
    hash: SignatureHash
    pss: bool = False

    def __str__(self) -> str:
        if self.hash == SignatureHash.IDENTITY:
            return self.kind.upper()
        return f"{self.kind.upper()}{'/PSS' if self.pss else ''} with {HASH_NAMES[self.hash].upper()}"


def _der(tag: int, *content: bytes) -> bytes:
    body = b"".join(content)
    if len(body) > 0x7F:
        raise ValueError("an AlgorithmIdentifier is shorter")
    return bytes((tag, len(body))) + body


_SEQUENCE = 0x30
_NULL = b"\x05\x00"
_RSA_PSS = bytes.fromhex("06092a864886f70d01010a")
_MGF1 = bytes.fromhex("06092a864886f70d010108")
_TRAILER = _der(0xA3, b"\x02\x01\x01")


def _pss_identifier(hash_oid: str, salt: int, *, null: bytes, trailer: bytes) -> bytes:
    """RFC 4055 section 3.1: the hash, MGF1 with the same hash, a salt as long as the hash."""
    digest = _der(_SEQUENCE, bytes.fromhex(hash_oid), null)
    parameters = _der(
        _SEQUENCE,
        _der(0xA0, digest),
        _der(0xA1, _der(_SEQUENCE, _MGF1, digest)),
        _der(0xA2, bytes((2, 1, salt))),
        trailer,
    )
    return _der(_SEQUENCE, _RSA_PSS, parameters)


_PSS_HASHES = {
    SignatureHash.SHA2_256: ("0609608648016503040201", 32),
    SignatureHash.SHA2_384: ("0609608648016503040202", 48),
    SignatureHash.SHA2_512: ("0609608648016503040203", 64),
}

# RFC 7427 appendix A, RFC 8420 section 3. SHA-1 has no place in method 14 any more (RFC 8247 section 3.2).
_IDENTIFIERS: Mapping[Scheme, bytes] = {
    Scheme("rsa", SignatureHash.SHA2_256): bytes.fromhex("300d06092a864886f70d01010b0500"),
    Scheme("rsa", SignatureHash.SHA2_384): bytes.fromhex("300d06092a864886f70d01010c0500"),
    Scheme("rsa", SignatureHash.SHA2_512): bytes.fromhex("300d06092a864886f70d01010d0500"),
    Scheme("ecdsa", SignatureHash.SHA2_256): bytes.fromhex("300a06082a8648ce3d040302"),
    Scheme("ecdsa", SignatureHash.SHA2_384): bytes.fromhex("300a06082a8648ce3d040303"),
    Scheme("ecdsa", SignatureHash.SHA2_512): bytes.fromhex("300a06082a8648ce3d040304"),
    Scheme("ed25519", SignatureHash.IDENTITY): bytes.fromhex("300506032b6570"),
    Scheme("ed448", SignatureHash.IDENTITY): bytes.fromhex("300506032b6571"),
    **{
        Scheme("rsa", number, pss=True): _pss_identifier(oid, salt, null=_NULL, trailer=b"")
        for number, (oid, salt) in _PSS_HASHES.items()
    },
}

# The default trailer field may be spelt out (RFC 7427 appendix A.4.3), and NULL may be left out (RFC 4055 section 2.1).
_SCHEMES: Mapping[bytes, Scheme] = {identifier: scheme for scheme, identifier in _IDENTIFIERS.items()} | {
    _pss_identifier(oid, salt, null=null, trailer=trailer): Scheme("rsa", number, pss=True)
    for number, (oid, salt) in _PSS_HASHES.items()
    for null in (_NULL, b"")
    for trailer in (_TRAILER, b"")
}


@dataclass(frozen=True, slots=True)
class _Classic:
    """Methods 9 to 11: the curve fixes the hash; r and s have ``size`` bytes each (RFC 4754 section 7)."""

    curve: type[ec.EllipticCurve]
    hash: SignatureHash
    size: int


_CLASSIC_ECDSA: Mapping[int, _Classic] = {
    AuthMethod.ECDSA_SHA256_P256: _Classic(ec.SECP256R1, SignatureHash.SHA2_256, 32),
    AuthMethod.ECDSA_SHA384_P384: _Classic(ec.SECP384R1, SignatureHash.SHA2_384, 48),
    AuthMethod.ECDSA_SHA512_P521: _Classic(ec.SECP521R1, SignatureHash.SHA2_512, 66),
}


def sign(
    private_key: PrivateKey,
    data: bytes,
    peer_hashes: Collection[int] | None,
    policy: SignaturePolicy = ANY_SIGNATURE,
    *,
    pss: bool = False,
) -> AuthPayload:
    """Sign ``data``, the AUTH octets, in a way that the peer understands and ``policy`` allows.

    ``peer_hashes`` is what the peer's SIGNATURE_HASH_ALGORITHMS announced, ``None`` if it sent none: then, or where it
    has nothing better than SHA-1, a classic method is used. ``pss`` prefers RSASSA-PSS where the policy leaves the
    choice: for a responder that was sent one.
    Raises :class:`LocalError` ``no-common-signature``.
    """
    kind = key_kind(private_key.public_key())
    if not peer_hashes or set(peer_hashes) == {SignatureHash.SHA1}:
        return _sign_classic(private_key, data)
    scheme = _choose(private_key, kind, peer_hashes, policy, pss=pss)
    if scheme is None:
        theirs = ", ".join(HASH_NAMES.get(number, str(number)) for number in sorted(peer_hashes))
        raise LocalError(
            "no-common-signature",
            f"our {kind.upper()} key can sign with no hash that the peer announced ({theirs}) and auth allows"
            f" ({policy.text or 'any but sha1'})",
            hint="allow one of the peer's hashes in auth, or use another key",
        )
    identifier = _IDENTIFIERS[scheme]
    signature = _make(private_key, data, scheme)
    return AuthPayload(AuthMethod.DIGITAL_SIGNATURE, bytes((len(identifier),)) + identifier + signature)


def _choose(
    private_key: PrivateKey, kind: str, peer_hashes: Collection[int], policy: SignaturePolicy, *, pss: bool
) -> Scheme | None:
    if kind in ("ed25519", "ed448"):
        scheme = Scheme(kind, SignatureHash.IDENTITY)
        allowed = policy.allows_auth(kind, scheme.hash, pss=False)
        return scheme if allowed and scheme.hash in peer_hashes else None
    named = tuple(number for rule in policy.for_auth if rule.takes(kind) for number in rule.hashes)
    for number in named or _by_strength(private_key):
        for with_pss in (pss, not pss) if kind == "rsa" else (False,):
            scheme = Scheme(kind, number, with_pss)
            if number in peer_hashes and scheme in _IDENTIFIERS and policy.allows_auth(kind, number, pss=with_pss):
                return scheme
    return None


def _by_strength(private_key: PrivateKey) -> tuple[SignatureHash, ...]:
    """Hashes, the one that matches the key's strength first, then the stronger, then the weaker."""
    bits = key_bits(private_key.public_key())
    limits = (3072, 7680) if isinstance(private_key, rsa.RSAPrivateKey) else (256, 384)
    order = (SignatureHash.SHA2_256, SignatureHash.SHA2_384, SignatureHash.SHA2_512)
    fit = sum(bits > limit for limit in limits)
    return order[fit:] + order[:fit][::-1]


def _make(private_key: PrivateKey, data: bytes, scheme: Scheme) -> bytes:
    if isinstance(private_key, rsa.RSAPrivateKey):
        return private_key.sign(data, _rsa_padding(scheme), _HASHES[scheme.hash])
    if isinstance(private_key, ec.EllipticCurvePrivateKey):
        return private_key.sign(data, ec.ECDSA(_HASHES[scheme.hash]))
    return private_key.sign(data)


def _sign_classic(private_key: PrivateKey, data: bytes) -> AuthPayload:
    if isinstance(private_key, rsa.RSAPrivateKey):
        # RFC 7296 section 3.8: without RFC 7427 there is only SHA-1 that every peer has.
        return AuthPayload(AuthMethod.RSA_SIGNATURE, _make(private_key, data, Scheme("rsa", SignatureHash.SHA1)))
    if isinstance(private_key, ec.EllipticCurvePrivateKey):
        for method, classic in _CLASSIC_ECDSA.items():
            if isinstance(private_key.curve, classic.curve):
                r, s = decode_dss_signature(_make(private_key, data, Scheme("ecdsa", classic.hash)))
                return AuthPayload(AuthMethod(method), r.to_bytes(classic.size) + s.to_bytes(classic.size))
    kind = key_kind(private_key.public_key())
    raise LocalError(
        "no-common-signature",
        f"the peer announced no usable signature hash (RFC 7427), and without one our {kind} key cannot sign",
        hint="use an RSA or an ECDSA P-256, P-384 or P-521 key with this peer",
    )


def verify(
    public_key: PublicKey,
    auth: AuthPayload,
    data: bytes,
    policy: SignaturePolicy = ANY_SIGNATURE,
    *,
    peer_hashes: Collection[int] | None = None,
) -> Scheme:
    """Check an AUTH payload over ``data`` and return how it was made; every other outcome raises :class:`PeerError`.

    RSA with SHA-1 (method 1) is taken only from a peer that did not announce hashes (``peer_hashes`` empty), unless
    ``policy`` names the hashes and SHA-1 is not one of them. Codes: ``signature-invalid``, ``signature-not-allowed``.
    """
    kind = key_kind(public_key)
    if auth.method == AuthMethod.DIGITAL_SIGNATURE:
        scheme, signature = _split(auth.data)
        if scheme.kind != kind:
            raise _not_allowed(f"the AUTH payload says {scheme}, but the peer's key is {kind.upper()}")
        if not policy.allows_auth(kind, scheme.hash, pss=scheme.pss):
            raise _not_allowed(f"{scheme} is none of what auth allows ({policy.text or 'any but sha1'})")
    elif auth.method == AuthMethod.RSA_SIGNATURE:
        scheme, signature = Scheme("rsa", SignatureHash.SHA1), auth.data
        named = any(rule.hashes for rule in policy.for_auth)
        if kind != "rsa" or peer_hashes or (named and not policy.allows_auth(kind, SignatureHash.SHA1, pss=False)):
            raise _not_allowed(f"{scheme} (method 1) is not acceptable from this peer")
    elif auth.method in _CLASSIC_ECDSA:
        scheme, signature = _unpack_classic(public_key, auth)
        if not policy.allows_auth(kind, scheme.hash, pss=False):
            raise _not_allowed(f"{scheme} is none of what auth allows ({policy.text})")
    else:
        raise _not_allowed(f"authentication method {auth.method} is no signature that we know")
    _check(public_key, signature, data, scheme)
    return scheme


def _split(data: bytes) -> tuple[Scheme, bytes]:
    """RFC 7427 section 3: one byte of length, the AlgorithmIdentifier, the signature."""
    if not data or len(data) < 1 + data[0]:
        raise _invalid("it is too short for its algorithm identifier")
    identifier, signature = data[1 : 1 + data[0]], data[1 + data[0] :]
    scheme = _SCHEMES.get(identifier)
    if scheme is None:
        raise _not_allowed(f"signature algorithm {identifier.hex()} is none that we accept")
    return scheme, signature


def _unpack_classic(public_key: PublicKey, auth: AuthPayload) -> tuple[Scheme, bytes]:
    classic = _CLASSIC_ECDSA[auth.method]
    if not isinstance(public_key, ec.EllipticCurvePublicKey) or not isinstance(public_key.curve, classic.curve):
        raise _not_allowed(f"authentication method {auth.method} does not go with the peer's key")
    if len(auth.data) != 2 * classic.size:
        raise _invalid(f"it has {len(auth.data)} bytes instead of {2 * classic.size}")
    r, s = (int.from_bytes(part) for part in (auth.data[: classic.size], auth.data[classic.size :]))
    return Scheme("ecdsa", classic.hash), encode_dss_signature(r, s)


def _check(public_key: PublicKey, signature: bytes, data: bytes, scheme: Scheme) -> None:
    """Return only if the library says that the signature is good."""
    try:
        if isinstance(public_key, rsa.RSAPublicKey):
            public_key.verify(signature, data, _rsa_padding(scheme), _HASHES[scheme.hash])
        elif isinstance(public_key, ec.EllipticCurvePublicKey):
            public_key.verify(signature, data, ec.ECDSA(_HASHES[scheme.hash]))
        else:
            public_key.verify(signature, data)
    except (InvalidSignature, ValueError):
        raise _invalid(f"{scheme} does not verify with the key of the peer's certificate") from None


def _rsa_padding(scheme: Scheme) -> padding.PSS | padding.PKCS1v15:
    if not scheme.pss:
        return padding.PKCS1v15()
    algorithm = _HASHES[scheme.hash]
    return padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)


def _invalid(why: str) -> PeerError:
    return PeerError(
        "signature-invalid",
        f"the peer's signature is not valid: {why}",
        notify=NotifyType.AUTHENTICATION_FAILED,
        hint="does the peer sign with the key of the certificate that it sends?",
    )


def _not_allowed(why: str) -> PeerError:
    return PeerError(
        "signature-not-allowed",
        f"the peer's signature was refused: {why}",
        notify=NotifyType.AUTHENTICATION_FAILED,
        hint="compare 'auth' of the remote section with the keys and hashes that the peer uses",
    )
