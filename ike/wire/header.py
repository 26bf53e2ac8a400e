"""The IKE header (RFC 7296 section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import LocalError, SilentDrop
from .constants import HEADER_LENGTH, MAJOR_VERSION, HeaderFlag
from .cursor import Cursor, push_u8, push_u32

SPI_LENGTH = 8


@dataclass(frozen=True, slots=True)
class Header:
    """The 28 bytes in front of every message. ``first`` is the first payload's type, ``length`` the whole message's."""

    spi_i: bytes
    spi_r: bytes
    exchange: int
    flags: HeaderFlag
    message_id: int
    first: int = 0
    length: int = HEADER_LENGTH
    major: int = MAJOR_VERSION
    minor: int = 0

    @property
    def is_response(self) -> bool:
        """Whether this answers a request with the same message id."""
        return HeaderFlag.RESPONSE in self.flags

    @property
    def from_initiator(self) -> bool:
        """Whether the sender is the original initiator of this IKE SA (not of this exchange)."""
        return HeaderFlag.INITIATOR in self.flags


def pull_header(data: bytes) -> Header:
    """The header of a datagram (less the non-ESP marker), of any version.

    Raises :class:`SilentDrop` for what is no IKE message: shorter than a header, or of another length than it claims.
    IKEv1 lays its header out alike (RFC 2408 section 3.1), so a caller can tell it by ``major``.
    """
    if len(data) < HEADER_LENGTH:
        raise SilentDrop("not-ike", f"{len(data)} bytes are fewer than an IKE header")
    cursor = Cursor(data[:HEADER_LENGTH], "IKE header")
    spi_i, spi_r = cursor.take(SPI_LENGTH), cursor.take(SPI_LENGTH)
    first, version, exchange, flags = cursor.take(4)
    message_id, length = cursor.u32(), cursor.u32()
    if length != len(data):
        raise SilentDrop("length-mismatch", f"the IKE header claims {length} bytes, {len(data)} came")
    if not any(spi_i):
        raise SilentDrop("zero-spi", "the initiator's SPI is zero")
    return Header(
        spi_i, spi_r, exchange, HeaderFlag(flags), message_id, first, length, major=version >> 4, minor=version & 15
    )


def push_header(header: Header) -> bytes:
    """The 28 bytes; raises :class:`LocalError` for an SPI that is not 8 bytes long."""
    if len(header.spi_i) != SPI_LENGTH or len(header.spi_r) != SPI_LENGTH:
        raise LocalError("bad-spi", "an IKE SPI has 8 bytes")
    return b"".join(
        (
            header.spi_i,
            header.spi_r,
            push_u8(header.first),
            push_u8(header.major << 4 | header.minor),
            push_u8(header.exchange),
            push_u8(header.flags),
            push_u32(header.message_id),
            push_u32(header.length),
        )
    )
