"""What a client sent, as what a command needs: each helper refuses what it cannot read, and names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..vici.codec import text
from ..vici.server import RefusedError


def word(message: Mapping[str, Any], key: str) -> str:
    """A value as text, empty where it is not there."""
    return text(message.get(key, b""))


def required(message: Mapping[str, Any], key: str, complaint: str) -> str:
    """A value that must be there; where it is not, ``complaint`` is the answer, in strongSwan's words."""
    value = word(message, key)
    if not value:
        raise RefusedError(complaint, outcome="failed")
    return value


def number(message: Mapping[str, Any], key: str, default: int = 0) -> int:
    """A value as a whole number."""
    value = word(message, key)
    if not value:
        return default
    try:
        return int(value)
    except ValueError:
        raise RefusedError(f"{key} is no whole number: {value[:20]!r}", outcome="failed") from None


def flag(message: Mapping[str, Any], key: str) -> bool:
    """A value as yes or no; not there is no."""
    return word(message, key).lower() in ("yes", "true", "enabled", "1")
