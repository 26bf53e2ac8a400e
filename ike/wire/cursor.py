"""A checked walk over received bytes, and the integers of the way back.

Whoever reads a message does it through :class:`Cursor`: no length that a peer sent is believed before it was held
against what is there.
"""

from __future__ import annotations

from typing import NoReturn

from ..errors import LocalError, PeerError
from .constants import NotifyType


class Cursor:
    """Reads ``data`` from front to end. ``place`` names what is being read, for the message of an error."""

    __slots__ = ("_data", "_end", "_position", "place")

    def __init__(self, data: bytes, place: str) -> None:
        self._data = data
        self._position = 0
        self._end = len(data)
        self.place = place

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._position

    @property
    def remaining(self) -> int:
        """Bytes still to read."""
        return self._end - self._position

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes; raises :class:`PeerError` where fewer are left."""
        if not 0 <= count <= self.remaining:
            self.refuse(f"{count} bytes expected at offset {self._position}, {self.remaining} left")
        start = self._position
        self._position = start + count
        return self._data[start : self._position]

    def rest(self) -> bytes:
        """Everything that is left."""
        return self.take(self.remaining)

    def sub(self, count: int, place: str) -> Cursor:
        """A cursor over the next ``count`` bytes alone."""
        return Cursor(self.take(count), place)

    def u8(self) -> int:
        """One byte."""
        return self.take(1)[0]

    def u16(self) -> int:
        """Two bytes, big-endian."""
        return int.from_bytes(self.take(2), "big")

    def u32(self) -> int:
        """Four bytes, big-endian."""
        return int.from_bytes(self.take(4), "big")

    def finish(self) -> None:
        """Nothing may be left."""
        if self.remaining:
            self.refuse(f"{self.remaining} bytes too many at offset {self._position}")

    def refuse(self, why: str) -> NoReturn:
        """Raise the error that answers malformed bytes (RFC 7296 section 2.21.2)."""
        raise PeerError(
            "invalid-syntax",
            f"{self.place}: {why}",
            notify=NotifyType.INVALID_SYNTAX,
            fields={"place": self.place, "offset": self._position},
        )


def push_u8(value: int) -> bytes:
    """One byte; raises :class:`LocalError` where the value does not fit."""
    return _push(value, 1)


def push_u16(value: int) -> bytes:
    """Two bytes, big-endian; raises :class:`LocalError` where the value does not fit."""
    return _push(value, 2)


def push_u32(value: int) -> bytes:
    """Four bytes, big-endian; raises :class:`LocalError` where the value does not fit."""
    return _push(value, 4)


def _push(value: int, size: int) -> bytes:
    if not 0 <= value < 1 << 8 * size:
        raise LocalError("does-not-fit", f"{value} does not fit into a field of {size} bytes")
    return value.to_bytes(size, "big")
