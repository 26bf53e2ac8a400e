"""How much is said of peers that have not shown who they are: enough to follow a few, too little to fill a disk."""

from __future__ import annotations

BURST = 1000.0
RATE = 50.0
"""Lines a second at level 1 once ``BURST`` are used up; what is beyond goes to level 2, and is counted as before."""


class Strangers:
    """An allowance for all of them together: a flood may come from any number of addresses."""

    __slots__ = ("_left", "_looked_at")

    def __init__(self) -> None:
        self._left = BURST
        self._looked_at = 0.0

    def level(self, now: float) -> int:
        """Of one more line."""
        self._left = min(BURST, self._left + max(0.0, now - self._looked_at) * RATE)
        self._looked_at = now
        if self._left < 1:
            return 2
        self._left -= 1
        return 1
