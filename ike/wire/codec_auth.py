"""Payloads that agree on keys and prove who one is: KE, Nonce, ID, CERT, CERTREQ, AUTH, EAP.

RFC 7296 sections 3.4 to 3.9 and 3.16.
"""

from __future__ import annotations

from .constants import CertEncoding, PayloadType
from .cursor import Cursor, push_u8, push_u16
from .payloads import (
    AuthPayload,
    CertPayload,
    CertRequestPayload,
    EapPayload,
    IdPayload,
    KePayload,
    NoncePayload,
)

MIN_NONCE = 16
MAX_NONCE = 256
MAX_IDENTITY = 4096
"""Bytes of an identity; the longest distinguished names have a few hundred."""
SHA1_LENGTH = 20
EAP_HEADER = 4

HASHED_AUTHORITIES = frozenset(
    (
        CertEncoding.X509_SIGNATURE,
        CertEncoding.HASH_AND_URL_X509,
        CertEncoding.HASH_AND_URL_BUNDLE,
        CertEncoding.OCSP,
    )
)
"""Encodings whose request is a row of SHA-1 hashes (RFC 7296 section 3.7; OCSP: RFC 4806 section 3.1)."""


def pull_ke(cursor: Cursor) -> KePayload:
    """Key Exchange (RFC 7296 section 3.4)."""
    method = cursor.u16()
    cursor.u16()
    if not cursor.remaining:
        cursor.refuse("no key exchange data")
    return KePayload(method, cursor.rest())


def push_ke(payload: KePayload) -> bytes:
    """The reverse of :func:`pull_ke`."""
    return push_u16(payload.method) + b"\0\0" + payload.data


def pull_nonce(cursor: Cursor) -> NoncePayload:
    """Nonce (RFC 7296 section 3.9)."""
    if not MIN_NONCE <= cursor.remaining <= MAX_NONCE:
        cursor.refuse(f"a nonce of {cursor.remaining} bytes; it has {MIN_NONCE} to {MAX_NONCE}")
    return NoncePayload(cursor.rest())


def push_nonce(payload: NoncePayload) -> bytes:
    """The reverse of :func:`pull_nonce`."""
    return payload.data


def pull_id_i(cursor: Cursor) -> IdPayload:
    """IDi (RFC 7296 section 3.5)."""
    return _pull_id(cursor, PayloadType.ID_I)


def pull_id_r(cursor: Cursor) -> IdPayload:
    """IDr (RFC 7296 section 3.5)."""
    return _pull_id(cursor, PayloadType.ID_R)


def _pull_id(cursor: Cursor, kind: PayloadType) -> IdPayload:
    id_type = cursor.u8()
    cursor.take(3)
    if cursor.remaining > MAX_IDENTITY:
        cursor.refuse(f"an identity of {cursor.remaining} bytes; at most {MAX_IDENTITY}")
    return IdPayload(kind, id_type, cursor.rest())


def push_id(payload: IdPayload) -> bytes:
    """The reverse of :func:`pull_id_i` and :func:`pull_id_r`."""
    return payload.body()


def pull_cert(cursor: Cursor) -> CertPayload:
    """Certificate (RFC 7296 section 3.6)."""
    encoding = cursor.u8()
    return CertPayload(encoding, cursor.rest())


def push_cert(payload: CertPayload) -> bytes:
    """The reverse of :func:`pull_cert`."""
    return push_u8(payload.encoding) + payload.data


def pull_certreq(cursor: Cursor) -> CertRequestPayload:
    """Certificate Request (RFC 7296 section 3.7). What is no row of hashes is kept in one piece."""
    encoding = cursor.u8()
    if encoding not in HASHED_AUTHORITIES:
        return CertRequestPayload(encoding, (cursor.rest(),) if cursor.remaining else ())
    if cursor.remaining % SHA1_LENGTH:
        cursor.refuse(f"{cursor.remaining} bytes are no whole number of SHA-1 hashes")
    hashes = tuple(cursor.take(SHA1_LENGTH) for _ in range(cursor.remaining // SHA1_LENGTH))
    return CertRequestPayload(encoding, hashes)


def push_certreq(payload: CertRequestPayload) -> bytes:
    """The reverse of :func:`pull_certreq`."""
    return push_u8(payload.encoding) + b"".join(payload.authorities)


def pull_auth(cursor: Cursor) -> AuthPayload:
    """Authentication (RFC 7296 section 3.8)."""
    method = cursor.u8()
    cursor.take(3)
    return AuthPayload(method, cursor.rest())


def push_auth(payload: AuthPayload) -> bytes:
    """The reverse of :func:`pull_auth`."""
    return push_u8(payload.method) + b"\0\0\0" + payload.data


def pull_eap(cursor: Cursor) -> EapPayload:
    """EAP (RFC 7296 section 3.16): the packet's own length must agree with the payload's (RFC 3748 section 4)."""
    message = cursor.rest()
    if len(message) < EAP_HEADER:
        cursor.refuse(f"an EAP packet of {len(message)} bytes")
    if int.from_bytes(message[2:4], "big") != len(message):
        cursor.refuse("the EAP packet's length is not the payload's")
    return EapPayload(message)


def push_eap(payload: EapPayload) -> bytes:
    """The reverse of :func:`pull_eap`."""
    return payload.message
