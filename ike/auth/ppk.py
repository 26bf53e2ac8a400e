"""Post-quantum preshared keys: how one is named, and which key a name means (RFC 8784 sections 3 and 5.1)."""

from __future__ import annotations

from collections.abc import Sequence

from ..credentials import SharedKey
from ..wire.constants import IdType
from ..wire.identity import MATCH_PERFECT, Identity

FIXED = 2
"""PPK_ID_FIXED: the name of one key. The other type, PPK_ID_OPAQUE, means something to its two vendors alone."""

LONGEST = 255
"""Bytes of a name: it is a person's, and stands in records."""


def push_ppk_id(identity: Identity) -> bytes:
    """What PPK_IDENTITY holds: a type, and the name's bytes without a type of identity."""
    return bytes((FIXED,)) + identity.data


def pull_ppk_id(data: bytes) -> bytes | None:
    """The name; ``None`` for one of a type that is not known, for none at all, and for one longer than names are."""
    return data[1:] if 1 < len(data) <= 1 + LONGEST and data[0] == FIXED else None


def score(name: bytes, pattern: Identity) -> int:
    """How well ``pattern`` names it, wildcards included; 0: not at all. On the wire a name has lost its type."""
    return MATCH_PERFECT if name == pattern.data else named(name).match_score(pattern)


def named(name: bytes) -> Identity:
    """The name as identity, read as configurations are, so that its text fits theirs."""
    if name.isascii() and (text := name.decode("ascii")).isprintable():
        return Identity.parse(text)
    return Identity(IdType.KEY_ID, name)


def find(keys: Sequence[SharedKey], name: bytes) -> SharedKey | None:
    """The key that is for this name, the best match; one without owners is for all."""
    best, rank = None, 0
    for key in keys:
        found = max((score(name, owner) for owner in key.owners), default=1)
        if found > rank:
            best, rank = key, found
    return best
