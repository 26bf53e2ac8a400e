"""Payloads about addresses: Traffic Selectors and Configuration (RFC 7296 sections 3.13 and 3.15)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from .constants import PayloadType, TsType
from .cursor import Cursor, push_u8, push_u16
from .payloads import CpAttribute, CpPayload, TsPayload
from .selectors import Address, TrafficSelector

MAX_ATTRIBUTES = 1024
SELECTOR_HEADER = 8
ATTRIBUTE_TYPE = 0x7FFF
OPAQUE = (65535, 0)


def pull_ts_i(cursor: Cursor) -> TsPayload:
    """TSi (RFC 7296 section 3.13)."""
    return _pull_ts(cursor, PayloadType.TS_I)


def pull_ts_r(cursor: Cursor) -> TsPayload:
    """TSr (RFC 7296 section 3.13)."""
    return _pull_ts(cursor, PayloadType.TS_R)


def _pull_ts(cursor: Cursor, kind: PayloadType) -> TsPayload:
    """Selectors of a type that we do not know are left out: nothing is narrowed to them."""
    count = cursor.u8()
    cursor.take(3)
    selectors: list[TrafficSelector] = []
    for _ in range(count):
        selector = _pull_selector(cursor)
        if selector is not None:
            selectors.append(selector)
    cursor.finish()
    return TsPayload(kind, tuple(selectors))


def push_ts(payload: TsPayload) -> bytes:
    """The reverse of :func:`pull_ts_i` and :func:`pull_ts_r`."""
    return push_u8(len(payload.selectors)) + b"\0\0\0" + b"".join(_push_selector(s) for s in payload.selectors)


def _pull_selector(cursor: Cursor) -> TrafficSelector | None:
    """One selector (section 3.13.1)."""
    kind, protocol = cursor.take(2)
    length = cursor.u16()
    body = cursor.sub(length - 4, f"{cursor.place}, selector")
    start: Address
    end: Address
    if kind == TsType.IPV4_ADDR_RANGE:
        start_port, end_port = body.u16(), body.u16()
        start, end = IPv4Address(body.take(4)), IPv4Address(body.take(4))
    elif kind == TsType.IPV6_ADDR_RANGE:
        start_port, end_port = body.u16(), body.u16()
        start, end = IPv6Address(body.take(16)), IPv6Address(body.take(16))
    else:
        return None
    body.finish()
    if int(start) > int(end):
        body.refuse(f"the range {start}..{end} ends before it starts")
    if start_port > end_port and (start_port, end_port) != OPAQUE:
        body.refuse(f"the ports {start_port}-{end_port} end before they start")
    return TrafficSelector(start, end, protocol, start_port, end_port)


def _push_selector(selector: TrafficSelector) -> bytes:
    kind = TsType.IPV4_ADDR_RANGE if selector.version == 4 else TsType.IPV6_ADDR_RANGE
    addresses = selector.start.packed + selector.end.packed
    return b"".join(
        (
            push_u8(kind),
            push_u8(selector.protocol),
            push_u16(SELECTOR_HEADER + len(addresses)),
            push_u16(selector.start_port),
            push_u16(selector.end_port),
            addresses,
        )
    )


def pull_cp(cursor: Cursor) -> CpPayload:
    """Configuration (RFC 7296 section 3.15)."""
    cfg_type = cursor.u8()
    cursor.take(3)
    attributes: list[CpAttribute] = []
    while cursor.remaining:
        if len(attributes) == MAX_ATTRIBUTES:
            cursor.refuse(f"more than {MAX_ATTRIBUTES} attributes")
        kind = cursor.u16() & ATTRIBUTE_TYPE
        attributes.append(CpAttribute(kind, cursor.take(cursor.u16())))
    return CpPayload(cfg_type, tuple(attributes))


def push_cp(payload: CpPayload) -> bytes:
    """The reverse of :func:`pull_cp`."""
    attributes = (push_u16(a.type & ATTRIBUTE_TYPE) + push_u16(len(a.value)) + a.value for a in payload.attributes)
    return push_u8(payload.cfg_type) + b"\0\0\0" + b"".join(attributes)
