"""The chain of payloads: generic headers, and which function reads which body (RFC 7296 section 3.2).

A payload of an unknown type is kept as it came, unless its critical bit asks to refuse the message (section 2.5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import LocalError, PeerError
from .codec_auth import (
    pull_auth,
    pull_cert,
    pull_certreq,
    pull_eap,
    pull_id_i,
    pull_id_r,
    pull_ke,
    pull_nonce,
    push_auth,
    push_cert,
    push_certreq,
    push_eap,
    push_id,
    push_ke,
    push_nonce,
)
from .codec_info import pull_delete, pull_notify, pull_vendor_id, push_delete, push_notify, push_vendor_id
from .codec_sa import pull_sa, push_sa
from .codec_traffic import pull_cp, pull_ts_i, pull_ts_r, push_cp, push_ts
from .constants import NotifyType, PayloadType
from .cursor import Cursor, push_u8, push_u16
from .payloads import (
    AuthPayload,
    CertPayload,
    CertRequestPayload,
    CpPayload,
    DeletePayload,
    EapPayload,
    IdPayload,
    KePayload,
    NoncePayload,
    NotifyPayload,
    Payload,
    SaPayload,
    SkfPayload,
    SkPayload,
    TsPayload,
    UnknownPayload,
    VendorIdPayload,
)

MAX_PAYLOADS = 256
"""In one chain. A chain of certificates and a request for each CA of a large site stay far below."""

GENERIC_HEADER = 4
CRITICAL = 0x80

NAMES: Mapping[int, str] = {
    PayloadType.SA: "SA payload",
    PayloadType.KE: "KE payload",
    PayloadType.ID_I: "IDi payload",
    PayloadType.ID_R: "IDr payload",
    PayloadType.CERT: "CERT payload",
    PayloadType.CERTREQ: "CERTREQ payload",
    PayloadType.AUTH: "AUTH payload",
    PayloadType.NONCE: "Nonce payload",
    PayloadType.NOTIFY: "Notify payload",
    PayloadType.DELETE: "Delete payload",
    PayloadType.VENDOR_ID: "Vendor ID payload",
    PayloadType.TS_I: "TSi payload",
    PayloadType.TS_R: "TSr payload",
    PayloadType.SK: "SK payload",
    PayloadType.CP: "CP payload",
    PayloadType.EAP: "EAP payload",
    PayloadType.SKF: "SKF payload",
}

PULL: Mapping[int, Callable[[Cursor], Payload]] = {
    PayloadType.SA: pull_sa,
    PayloadType.KE: pull_ke,
    PayloadType.ID_I: pull_id_i,
    PayloadType.ID_R: pull_id_r,
    PayloadType.CERT: pull_cert,
    PayloadType.CERTREQ: pull_certreq,
    PayloadType.AUTH: pull_auth,
    PayloadType.NONCE: pull_nonce,
    PayloadType.NOTIFY: pull_notify,
    PayloadType.DELETE: pull_delete,
    PayloadType.VENDOR_ID: pull_vendor_id,
    PayloadType.TS_I: pull_ts_i,
    PayloadType.TS_R: pull_ts_r,
    PayloadType.CP: pull_cp,
    PayloadType.EAP: pull_eap,
}

PUSH: Mapping[type, Callable[[Any], bytes]] = {
    SaPayload: push_sa,
    KePayload: push_ke,
    IdPayload: push_id,
    CertPayload: push_cert,
    CertRequestPayload: push_certreq,
    AuthPayload: push_auth,
    NoncePayload: push_nonce,
    NotifyPayload: push_notify,
    DeletePayload: push_delete,
    VendorIdPayload: push_vendor_id,
    TsPayload: push_ts,
    CpPayload: push_cp,
    EapPayload: push_eap,
    SkPayload: lambda payload: payload.body,
    SkfPayload: lambda payload: push_skf(payload),
    UnknownPayload: lambda payload: bytes(payload.data),
}


def pull_payloads(first: int, data: bytes, *, sealed: bool = False) -> tuple[Payload, ...]:
    """The chain of ``data`` that starts with a payload of type ``first`` (0: empty).

    ``sealed`` allows an SK or SKF payload at its end: so in a message, never inside SK. Raises :class:`PeerError`.
    """
    cursor = Cursor(data, "payload chain")
    payloads: list[Payload] = []
    kind = first
    while kind != PayloadType.NONE:
        if len(payloads) == MAX_PAYLOADS:
            cursor.refuse(f"more than {MAX_PAYLOADS} payloads")
        following, flags = cursor.take(2)
        body = cursor.sub(cursor.u16() - GENERIC_HEADER, NAMES.get(kind, f"payload of type {kind}"))
        if kind in (PayloadType.SK, PayloadType.SKF):
            if not sealed:
                body.refuse("an encrypted payload inside an encrypted payload")
            payloads.append(pull_sk(body, following) if kind == PayloadType.SK else pull_skf(body, following))
            break
        payloads.append(_pull_payload(kind, critical=bool(flags & CRITICAL), body=body))
        kind = following
    cursor.finish()
    return tuple(payloads)


def push_payloads(payloads: Sequence[Payload]) -> tuple[int, bytes]:
    """The type of the first payload (0: none) and the chain's bytes. SK and SKF may stand at the end alone."""
    pieces: list[bytes] = []
    for index, payload in enumerate(payloads):
        following = int(payloads[index + 1].TYPE) if index + 1 < len(payloads) else int(PayloadType.NONE)
        if isinstance(payload, SkPayload | SkfPayload):
            if following:
                raise LocalError("sealed-not-last", "an encrypted payload is the last of its message")
            following = payload.first
        body = PUSH[type(payload)](payload)
        critical = isinstance(payload, UnknownPayload) and payload.critical
        pieces.append(push_generic_header(following, GENERIC_HEADER + len(body), critical=critical))
        pieces.append(body)
    return (int(payloads[0].TYPE) if payloads else int(PayloadType.NONE)), b"".join(pieces)


def push_generic_header(following: int, length: int, *, critical: bool = False) -> bytes:
    """The four bytes in front of each payload; ``length`` counts them too."""
    return push_u8(following) + push_u8(CRITICAL if critical else 0) + push_u16(length)


def _pull_payload(kind: int, *, critical: bool, body: Cursor) -> Payload:
    pull = PULL.get(kind)
    if pull is not None:
        return pull(body)
    if critical:
        raise PeerError(
            "unsupported-critical-payload",
            f"the peer insists on payload type {kind}, which we do not know",
            notify=NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD,
            notify_data=bytes((kind,)),
            fields={"payload": kind},
        )
    return UnknownPayload(kind, critical, body.rest())


def pull_sk(cursor: Cursor, first: int) -> SkPayload:
    """Encrypted (RFC 7296 section 3.14); whether it is long enough is the cipher's to say."""
    return SkPayload(first, cursor.rest())


def push_sk(payload: SkPayload) -> bytes:
    """The reverse of :func:`pull_sk`."""
    return payload.body


def pull_skf(cursor: Cursor, first: int) -> SkfPayload:
    """Encrypted fragment (RFC 7383 section 2.5)."""
    number, total = cursor.u16(), cursor.u16()
    if not 1 <= number <= total:
        cursor.refuse(f"fragment {number} of {total}")
    return SkfPayload(first, number, total, cursor.rest())


def push_skf(payload: SkfPayload) -> bytes:
    """The reverse of :func:`pull_skf`."""
    return push_u16(payload.number) + push_u16(payload.total) + payload.body
