"""What a peer said it can do."""

from __future__ import annotations

from enum import Flag, auto


class Feature(Flag):
    """Announced with notifies in IKE_SA_INIT and IKE_AUTH."""

    NONE = 0
    NAT_TRAVERSAL = auto()
    FRAGMENTATION = auto()
    CHILDLESS = auto()
    REDIRECT = auto()
    PPK = auto()
    """A post-quantum preshared key is part of its keys, and of those of all that descends from it."""
    CERT_LOOKUP = auto()
    """It follows references to certificates."""
