"""Inbound SPIs: 12 bits of bucket, 20 random. The bucket says which worker owns the SA (``fastesp/io/owner.pxd``)."""

from __future__ import annotations

import math
import secrets
import time
from collections import deque

from fastesp.io.filters import BUCKET_SHIFT, owner_of

BUCKETS = 1 << 32 - BUCKET_SHIFT
RESERVED_SECONDS = 600.0
"""An SPI that was allocated and never installed is free again after this."""
LOWEST = 256
"""Those below are IANA's (RFC 4303 section 2.1)."""


class Spis:
    """Those of our inbound SAs, installed or about to be: ESP and AH share one space here."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._until: dict[int, float] = {}
        self._reserved: deque[int] = deque()
        self._load = [0] * workers

    def __contains__(self, spi: int) -> bool:
        return spi in self._until

    def allocate(self, replaces: int = 0) -> int:
        """A fresh one, owned by the worker of ``replaces``, else by the one with the fewest."""
        self._forget_old(time.monotonic())
        owner = owner_of(replaces, self._workers) if replaces else self._load.index(min(self._load))
        buckets = range(owner, BUCKETS, self._workers)
        while True:
            spi = secrets.choice(buckets) << BUCKET_SHIFT | secrets.randbits(BUCKET_SHIFT)
            if spi >= LOWEST and spi not in self._until:
                self._enter(spi, time.monotonic() + RESERVED_SECONDS)
                self._reserved.append(spi)
                return spi

    def install(self, spi: int) -> None:
        """It has an SA now."""
        self._enter(spi, math.inf)

    def free(self, spi: int) -> None:
        """Its SA has gone."""
        if self._until.pop(spi, None) is not None:
            self._load[owner_of(spi, self._workers)] -= 1

    def _enter(self, spi: int, until: float) -> None:
        if spi not in self._until:
            self._load[owner_of(spi, self._workers)] += 1
        self._until[spi] = until

    def _forget_old(self, now: float) -> None:
        """Reserved ones stand in the order of their ends; those installed or freed meanwhile are passed over."""
        while self._reserved:
            until = self._until.get(self._reserved[0], 0.0)
            if now < until < math.inf:
                return
            spi = self._reserved.popleft()
            if until <= now:
                self.free(spi)
