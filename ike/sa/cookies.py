"""Who may open an IKE SA while many are half open (RFC 7296 section 2.6).

A cookie is a MAC over what the request comes with, so nothing is kept for a source that has not shown that it
receives what we send.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from hashlib import sha256

from ..timing import Timing
from ..wire.selectors import Address

SECRET_LIFE = 120.0
"""Seconds after which a new secret signs; the one before is good for as long again."""
COOKIE_LENGTH = 33


def _site(source: Address) -> Address | int:
    """What is counted as one: an IPv4 address, or the 64 bits that an IPv6 host is given to choose addresses from."""
    return source if source.version == 4 else int(source) >> 64


class Doorkeeper:
    """Counts half-open IKE SAs by source, asks for cookies and knows its own."""

    __slots__ = ("_made_at", "_previous", "_random", "_secret", "_sources", "_timing", "_version", "half_open")

    def __init__(self, random: Callable[[int], bytes], timing: Timing) -> None:
        self._random = random
        self._timing = timing
        self._sources: dict[Address | int, int] = {}
        self._secret = b""
        self._previous = b""
        self._version = 0
        self._made_at = float("-inf")
        self.half_open = 0

    def enter(self, source: Address) -> None:
        """One more half-open IKE SA."""
        self.half_open += 1
        site = _site(source)
        self._sources[site] = self._sources.get(site, 0) + 1

    def leave(self, source: Address) -> None:
        """One less: it is established or gone."""
        self.half_open -= 1
        site = _site(source)
        left = self._sources[site] - 1
        if left:
            self._sources[site] = left
        else:
            del self._sources[site]

    def turns_away(self, source: Address) -> bool:
        """Whether it may not come in: no place is left, or it has half of all places already.

        Whoever owns one address, or one network of IPv6, keeps nobody else out.
        """
        limit = self._timing.half_open_limit
        return self.half_open >= limit or self._sources.get(_site(source), 0) >= max(1, limit // 2)

    def wants_cookie(self, source: Address) -> bool:
        """Whether a request from ``source`` must bring a cookie now."""
        timing = self._timing
        if timing.cookie_threshold and self.half_open >= timing.cookie_threshold:
            return True
        return bool(timing.cookie_threshold_ip) and self._sources.get(_site(source), 0) >= timing.cookie_threshold_ip

    def cookie(self, source: Address, spi_i: bytes, nonce: bytes, now: float) -> bytes:
        """The cookie that this request has to come back with: one byte of secret version, then the MAC."""
        self._rotate(now)
        return self._sign(self._version, self._secret, source, spi_i, nonce)

    def is_mine(self, cookie: bytes, source: Address, spi_i: bytes, nonce: bytes, now: float) -> bool:
        """Whether ``cookie`` was made here, not long ago, for this very source, SPI and nonce."""
        if len(cookie) != COOKIE_LENGTH:
            return False
        self._rotate(now)
        if cookie[0] == self._version:
            secret = self._secret
        elif cookie[0] == (self._version - 1) & 0xFF and self._previous:
            secret = self._previous
        else:
            return False
        return hmac.compare_digest(cookie, self._sign(cookie[0], secret, source, spi_i, nonce))

    def _rotate(self, now: float) -> None:
        if now - self._made_at < SECRET_LIFE:
            return
        self._previous = self._secret if now - self._made_at < 2 * SECRET_LIFE else b""
        self._secret = self._random(32)
        self._version = (self._version + 1) & 0xFF
        self._made_at = now

    @staticmethod
    def _sign(version: int, secret: bytes, source: Address, spi_i: bytes, nonce: bytes) -> bytes:
        # Address and SPI have fixed lengths within one address family, and the family's length comes first.
        text = bytes((len(source.packed),)) + source.packed + spi_i + nonce
        return bytes((version,)) + hmac.digest(secret, text, sha256)
