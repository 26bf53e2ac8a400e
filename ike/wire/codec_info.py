"""Payloads that tell something: Notify, Delete and Vendor ID (RFC 7296 sections 3.10 to 3.12)."""

from __future__ import annotations

from ..errors import LocalError
from .cursor import Cursor, push_u8, push_u16
from .payloads import DeletePayload, NotifyPayload, VendorIdPayload

MAX_DELETED = 4096
"""SPIs in one Delete payload that are acted on; more than any SA has children."""


def pull_notify(cursor: Cursor) -> NotifyPayload:
    """Notify (RFC 7296 section 3.10)."""
    protocol, spi_size = cursor.take(2)
    notify = cursor.u16()
    spi = cursor.take(spi_size)
    return NotifyPayload(notify, cursor.rest(), protocol, spi)


def push_notify(payload: NotifyPayload) -> bytes:
    """The reverse of :func:`pull_notify`."""
    head = push_u8(payload.protocol) + push_u8(len(payload.spi)) + push_u16(payload.notify)
    return head + payload.spi + payload.data


def pull_delete(cursor: Cursor) -> DeletePayload:
    """Delete (RFC 7296 section 3.11)."""
    protocol, spi_size = cursor.take(2)
    count = cursor.u16()
    if count > MAX_DELETED:
        cursor.refuse(f"more than {MAX_DELETED} SPIs")
    if count and not spi_size:
        cursor.refuse(f"{count} SPIs of no size")
    spis = tuple(cursor.take(spi_size) for _ in range(count))
    cursor.finish()
    return DeletePayload(protocol, spis)


def push_delete(payload: DeletePayload) -> bytes:
    """The reverse of :func:`pull_delete`; raises :class:`LocalError` where the SPIs differ in size."""
    sizes = {len(spi) for spi in payload.spis}
    if len(sizes) > 1 or 0 in sizes:
        raise LocalError("bad-spi", "the SPIs of a Delete payload are of one size")
    size = sizes.pop() if sizes else 0
    return push_u8(payload.protocol) + push_u8(size) + push_u16(len(payload.spis)) + b"".join(payload.spis)


def pull_vendor_id(cursor: Cursor) -> VendorIdPayload:
    """Vendor ID (RFC 7296 section 3.12)."""
    return VendorIdPayload(cursor.rest())


def push_vendor_id(payload: VendorIdPayload) -> bytes:
    """The reverse of :func:`pull_vendor_id`."""
    return payload.data
