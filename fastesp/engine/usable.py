"""Which algorithms the crypto providers of this machine can really do: each one seals a packet once.

A provider that was forced has fewer than all of them together, and a library may have been built without some.
"""

from __future__ import annotations

from functools import cache

from fastesp.dataplane.base import Suite
from fastesp.engine.providers import Provider, open_providers
from fastesp.engine.suites import ENCRYPTION, INTEGRITY

HEAD = bytes(8)
TEXT = bytes(16)


@cache
def usable_suites(provider: str) -> frozenset[str]:
    """The names of :data:`fastesp.engine.SUITES` that ``provider`` (or ``auto``: any) does. :class:`ValueError` as
    :func:`open_providers` has it."""
    opened = open_providers(provider)
    macs = [name for name in INTEGRITY if any(_authenticates(one, name) for one in opened)]
    beside = [name for name in macs if not INTEGRITY[name].is_for_ah_alone]
    ciphers = [
        name
        for name, row in ENCRYPTION.items()
        if any(_seals(one, name, mac) for one in opened for mac in ([""] if row.is_aead else beside))
    ]
    return frozenset((*macs, *ciphers))


def _authenticates(provider: Provider, integrity: str) -> bool:
    """Whether AH can have it."""
    key = bytes(INTEGRITY[integrity].key)
    try:
        return provider.authenticate(Suite("", 0, integrity), key, HEAD + TEXT, len(HEAD)) is not None
    except ValueError:
        return False


def _seals(provider: Provider, encryption: str, integrity: str) -> bool:
    row = ENCRYPTION[encryption]
    bits = row.key_bits[-1]
    mac_key = bytes(INTEGRITY[integrity].key) if integrity else None
    try:
        provider.seal(
            Suite(encryption, bits, integrity), bytes(bits // 8 + row.salt), mac_key, HEAD, bytes(row.iv), TEXT
        )
    except ValueError:
        return False
    return True
