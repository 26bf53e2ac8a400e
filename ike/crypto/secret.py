"""Key material that does not print and that can be wiped."""

from __future__ import annotations

import hmac
from typing import Never


class Secret:
    """Bytes whose ``repr`` and ``str`` show nothing and which :meth:`wipe` overwrites in place.

    ``bytes(secret)`` is the one way to read them. Comparison takes constant time. A secret is not hashable and not
    picklable, so that none ends up as a dictionary key, in a cache or in a dump by accident.
    """

    __slots__ = ("_buffer",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: bytes | bytearray | memoryview | Secret) -> None:
        self._buffer = bytearray(bytes(value))

    def __bytes__(self) -> bytes:
        return bytes(self._buffer)

    def __len__(self) -> int:
        return len(self._buffer)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._buffer, other._buffer)

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> Never:
        raise TypeError("a Secret is not serialised")

    def wipe(self) -> None:
        """Overwrite in place and forget. Copies that ``bytes(secret)`` handed out are not reached."""
        self._buffer[:] = bytes(len(self._buffer))
        self._buffer.clear()
