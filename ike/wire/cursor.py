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
        start = self._position
        end = start + count
        if count < 0 or end > self._end:
            self.refuse(f"{count} bytes expected at offset {start}, {self.remaining} left")
        self._position = end
        return self._data[start:end]

    def rest(self) -> bytes:
        """Everything that is left."""
        return self.take(self.remaining)

    def sub(self, count: int, place: str) -> Cursor:
        """A cursor over the next ``count`` bytes alone."""
        return Cursor(self.take(count), place)

    def u8(self) -> int:
        """One byte."""
        start = self._position
        if start >= self._end:
            self.take(1)
        self._position = start + 1
        return self._data[start]

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
    try:
        return value.to_bytes(1, "big")
    except OverflowError:
        raise _does_not_fit(value, 1) from None


def push_u16(value: int) -> bytes:
    """Two bytes, big-endian; raises :class:`LocalError` where the value does not fit."""
    try:
        return value.to_bytes(2, "big")
    except OverflowError:
        raise _does_not_fit(value, 2) from None


def push_u32(value: int) -> bytes:
    """Four bytes, big-endian; raises :class:`LocalError` where the value does not fit."""
    try:
        return value.to_bytes(4, "big")
    except OverflowError:
        raise _does_not_fit(value, 4) from None


def _does_not_fit(value: int, size: int) -> LocalError:
    return LocalError("does-not-fit", f"{value} does not fit into a field of {size} bytes")
