"""``get-algorithms``: what can be negotiated here, and which library does it. What nobody here can do is not named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ike.crypto import available
from ike.crypto.transforms import ENCR, INTEG, KE_NAMES, PRF
from ike.wire.constants import ProtocolId, TransformType
from ike.wire.payloads import Transform

from ..vici.server import Request

if TYPE_CHECKING:
    from ..gateway import Gateway

LIBRARY = "cryptography"
"""What IKE's algorithms come from; those of packets alone are the data plane's."""
HASHES = ("SHA1", "SHA2_256", "SHA2_384", "SHA2_512", "IDENTITY")
"""Of signatures (RFC 7427, RFC 8420)."""


async def get_algorithms(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """By kind and in strongSwan's words, each with who does it."""
    del request
    ciphers = _negotiable(gateway, TransformType.ENCR, ENCR, available.encryption())
    macs = _negotiable(gateway, TransformType.INTEG, INTEG, available.integrity())
    return {
        "encryption": {ENCR[number].name: by for number, by in ciphers.items() if not ENCR[number].is_aead},
        "integrity": {INTEG[number].name: by for number, by in macs.items()},
        "aead": {ENCR[number].name: by for number, by in ciphers.items() if ENCR[number].is_aead},
        "hasher": {f"HASH_{name}": LIBRARY for name in HASHES},
        "prf": {info.name: LIBRARY for number, info in PRF.items() if number in available.prfs()},
        "dh": {name: LIBRARY for number, name in KE_NAMES.items() if number in available.key_exchanges()},
        "rng": {"RNG_STRONG": "kernel", "RNG_TRUE": "kernel"},
        "nonce-gen": {"NONCE_GEN": "kernel"},
    }


def _negotiable(gateway: Gateway, kind: TransformType, known: Iterable[int], for_ike: frozenset[int]) -> dict[int, str]:
    """Transform id -> who does it, for those that IKE or the data plane can do."""
    found: dict[int, str] = {}
    for number in known:
        transform = Transform(kind, number)
        if number in for_ike:
            found[number] = LIBRARY
        elif any(gateway.ability.can(transform, protocol) for protocol in (ProtocolId.ESP, ProtocolId.AH)):
            found[number] = gateway.provider
    return found


COMMANDS = {"get-algorithms": get_algorithms}
