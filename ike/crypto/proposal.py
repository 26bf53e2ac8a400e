"""Proposals as people write them (``aes256gcm16-prfsha384-x25519``) and as the SA payload carries them.

The words and the rules by which they form a proposal are strongSwan's, so that a configuration means the same here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import LocalError
from ..wire.constants import Encr, Esn, Integ, Ke, ProtocolId, TransformType
from ..wire.payloads import Proposal, Transform
from .keywords import KEYWORDS, REFUSED, keyword
from .selection import Mismatch, Selection, confirm, select
from .transforms import (
    ADDITIONAL_KE_TYPES,
    INTEG,
    KE_TYPES,
    PRINT_ORDER,
    TYPE_NAMES,
    WEAK,
    is_aead,
    transform_name,
)

__all__ = [
    "Mismatch",
    "ProposalSpec",
    "Selection",
    "confirm",
    "default_ah",
    "default_esp",
    "default_ike",
    "describe",
    "keyword_text",
    "parse_proposals",
    "select",
    "to_wire",
]

_GMAC_FOR_AH = {128: Integ.AES_128_GMAC, 192: Integ.AES_192_GMAC, 256: Integ.AES_256_GMAC}
_PROTOCOL_NAMES = {ProtocolId.IKE: "IKE", ProtocolId.ESP: "ESP", ProtocolId.AH: "AH"}
_MANDATORY = {
    ProtocolId.IKE: ((TransformType.ENCR, "aes256"), (TransformType.PRF, "prfsha256"), (TransformType.KE, "x25519")),
    ProtocolId.ESP: ((TransformType.ENCR, "aes256gcm16"),),
    ProtocolId.AH: ((TransformType.INTEG, "sha256"),),
}
"""RFC 7296 section 3.3.3; an example of each for the hint."""


@dataclass(frozen=True, slots=True)
class ProposalSpec:
    """One proposal that may be offered or accepted: every transform of a type is an alternative, the best first.

    ``transforms`` stand in the order in which a suite is printed; ``text`` is what was written.
    """

    protocol: ProtocolId
    transforms: tuple[Transform, ...]
    text: str

    @classmethod
    def parse(cls, text: str, protocol: ProtocolId) -> ProposalSpec:
        """Read one proposal.

        Raises :class:`LocalError` ``bad-proposal``; its fields name the ``token`` and its ``position`` in ``text``,
        counted from 0.
        """
        reader = _Reader(text, protocol)
        return cls(protocol, reader.read(), text)

    def of(self, kind: int) -> tuple[Transform, ...]:
        """The transforms of one type, the preferred first."""
        return tuple(t for t in self.transforms if t.type == kind)

    @property
    def ke_methods(self) -> tuple[int, ...]:
        """The key exchange methods of transform type 4 (RFC 7296 section 3.3.2), the preferred first; NONE left out."""
        return tuple(t.id for t in self.of(TransformType.KE) if t.id != Ke.NONE)

    @property
    def has_additional_ke(self) -> bool:
        """Whether it may lead to more than one key exchange (RFC 9370)."""
        return any(t.type in ADDITIONAL_KE_TYPES and t.id != Ke.NONE for t in self.transforms)

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each algorithm that should not be used any more."""
        return tuple(
            f"{self.text}: '{keyword(t)}': {WEAK[kind, t.id]}"
            for t in self.transforms
            if (kind := TransformType(t.type), t.id) in WEAK
        )

    def without_ke(self) -> ProposalSpec:
        """The same less its key exchanges: what the CHILD_SA of IKE_AUTH negotiates (RFC 7296 section 1.2)."""
        return ProposalSpec(self.protocol, tuple(t for t in self.transforms if t.type not in KE_TYPES), self.text)

    def __str__(self) -> str:
        return self.text


def parse_proposals(text: str | Sequence[str], protocol: ProtocolId) -> tuple[ProposalSpec, ...]:
    """Read a list (comma-separated, or already split) in which ``default`` stands for the default proposals."""
    specs: list[ProposalSpec] = []
    for part in text.split(",") if isinstance(text, str) else text:
        word = part.strip()
        if word.lower() == "default":
            specs += {ProtocolId.IKE: default_ike, ProtocolId.ESP: default_esp, ProtocolId.AH: default_ah}[protocol]()
        else:
            specs.append(ProposalSpec.parse(word, protocol))
    return tuple(specs)


class _Reader:
    """Reads one proposal, and remembers where each transform was written so that an error can point at it."""

    def __init__(self, text: str, protocol: ProtocolId) -> None:
        self.text = text
        self.protocol = protocol
        self.written: dict[Transform, tuple[str, int]] = {}

    def read(self) -> tuple[Transform, ...]:
        position = 0
        for word in self.text.split("-"):
            token = word.strip()
            self.written.setdefault(self._transform(token, position), (token, position))
            position += len(word) + 1
        transforms = self._complete(list(self.written))
        self._require(transforms)
        return tuple(sorted(dict.fromkeys(transforms), key=lambda t: PRINT_ORDER.index(TransformType(t.type))))

    def bad(self, token: str, position: int, why: str, hint: str = "") -> LocalError:
        fields = {"proposal": self.text, "token": token, "position": position}
        return LocalError("bad-proposal", f"proposal '{self.text}': {why}", hint=hint, fields=fields)

    def _transform(self, token: str, position: int) -> Transform:
        if not token:
            raise self.bad(token, position, "an algorithm is missing" if self.text.strip() else "it is empty")
        word = token.lower()
        if word in REFUSED:
            raise self.bad(token, position, f"'{token}' is not offered: {REFUSED[word]}")
        transform = KEYWORDS.get(word)
        if transform is None:
            near = difflib.get_close_matches(word, KEYWORDS, n=1, cutoff=0.6)
            hint = f"did you mean '{near[0]}'?" if near else ""
            raise self.bad(token, position, f"unknown algorithm '{token}'" + (f" ({hint})" if hint else ""), hint)
        if self.protocol == ProtocolId.IKE:
            if transform.type == TransformType.ESN:
                raise self.bad(token, position, f"'{token}' is for ESP and AH: an IKE SA has no sequence numbers")
            if transform.type == TransformType.ENCR and transform.id in (Encr.NULL, Encr.NULL_AES_GMAC):
                # RFC 7296 section 5; RFC 4543 section 8.
                raise self.bad(token, position, f"'{token}' does not encrypt: it is for ESP and AH, not for IKE")
        return transform

    def _complete(self, transforms: list[Transform]) -> list[Transform]:
        """Add what goes without saying, and drop what means nothing for this protocol."""
        kinds = {t.type for t in transforms}
        if self.protocol == ProtocolId.IKE:
            if TransformType.PRF not in kinds:
                transforms += [
                    Transform(TransformType.PRF, INTEG[t.id].prf) for t in transforms if t.type == TransformType.INTEG
                ]
            transforms = [t for t in transforms if not (t.type == TransformType.KE and t.id == Ke.NONE)]
        else:
            transforms = [t for t in transforms if t.type != TransformType.PRF]
            if TransformType.ESN not in kinds:
                transforms.append(Transform(TransformType.ESN, Esn.NO))
        return _for_ah(transforms) if self.protocol == ProtocolId.AH else self._for_encryption(transforms)

    def _for_encryption(self, transforms: list[Transform]) -> list[Transform]:
        """RFC 7296 section 3.3: a classic cipher needs an integrity transform, an AEAD must not have one."""
        ciphers = [t for t in transforms if t.type == TransformType.ENCR]
        aeads = [t for t in ciphers if is_aead(t)]
        classic = [t for t in ciphers if not is_aead(t)]
        if aeads and classic:
            (aead_word, _), (token, position) = self.written[aeads[0]], self.written[classic[0]]
            why = f"'{aead_word}' (AEAD) and '{token}' (not AEAD) cannot stand in one proposal"
            raise self.bad(token, position, why, "write two proposals with a comma in between")
        if aeads:
            return [t for t in transforms if t.type != TransformType.INTEG]
        if classic and not any(t.type == TransformType.INTEG for t in transforms):
            token, position = self.written[classic[0]]
            why = f"'{token}' needs an integrity algorithm beside it"
            raise self.bad(token, position, why, "add sha256, or use an AEAD such as aes256gcm16")
        return transforms

    def _require(self, transforms: list[Transform]) -> None:
        for kind, example in _MANDATORY[self.protocol]:
            if not any(t.type == kind for t in transforms):
                why = f"it has no {TYPE_NAMES[kind]}, which every {_PROTOCOL_NAMES[self.protocol]} proposal needs"
                raise self.bad("", len(self.text), why, f"add one, such as '{example}'")


def _for_ah(transforms: list[Transform]) -> list[Transform]:
    """AH has no encryption; AES-GMAC, though written as one, is an integrity transform there (RFC 4543 section 5.1)."""
    gmac = [
        Transform(TransformType.INTEG, _GMAC_FOR_AH[t.key_length])
        for t in transforms
        if t.id == Encr.NULL_AES_GMAC and t.type == TransformType.ENCR and t.key_length is not None
    ]
    return gmac + [t for t in transforms if t.type != TransformType.ENCR]


def _spec(text: str, protocol: ProtocolId) -> ProposalSpec:
    return ProposalSpec.parse(text, protocol)


_DEFAULT_PRFS = "prfsha256-prfsha384-prfsha512-prfaesxcbc-prfaescmac-prfsha1"
_DEFAULT_KES = (
    "x25519-ecp256-ecp384-ecp521-ecp256bp-ecp384bp-ecp512bp-x448-modp3072-modp4096-modp6144-modp8192-modp2048"
)


def default_ike() -> tuple[ProposalSpec, ...]:
    """What ``default`` stands for in ``proposals``: AEADs, then classic ciphers, none weaker than RFC 8247 allows."""
    return (
        _spec(f"aes128gcm16-aes192gcm16-aes256gcm16-chacha20poly1305-{_DEFAULT_PRFS}-{_DEFAULT_KES}", ProtocolId.IKE),
        _spec(
            f"aes128-aes192-aes256-sha256-sha384-sha512-aesxcbc-aescmac-sha1-{_DEFAULT_PRFS}-{_DEFAULT_KES}",
            ProtocolId.IKE,
        ),
    )


def default_esp() -> tuple[ProposalSpec, ...]:
    """What ``default`` stands for in ``esp_proposals``."""
    return (
        _spec("aes128gcm16-aes192gcm16-aes256gcm16", ProtocolId.ESP),
        _spec("aes128-aes192-aes256-sha256-sha384-sha512-sha1", ProtocolId.ESP),
    )


def default_ah() -> tuple[ProposalSpec, ...]:
    """What ``default`` stands for in ``ah_proposals``."""
    return (_spec("sha256-sha384-sha512-sha1", ProtocolId.AH),)


def to_wire(specs: Iterable[ProposalSpec], spi: bytes = b"", *, with_ke: bool = True) -> tuple[Proposal, ...]:
    """The proposals of an SA payload, numbered from 1 (RFC 7296 section 3.3.1).

    ``with_ke=False`` leaves the key exchanges out, as in IKE_AUTH; proposals that become equal so are sent once.
    """
    bodies = dict.fromkeys((spec.protocol, (spec if with_ke else spec.without_ke()).transforms) for spec in specs)
    return tuple(Proposal(number, protocol, spi, transforms) for number, (protocol, transforms) in enumerate(bodies, 1))


def describe(transforms: Iterable[Transform]) -> str:
    """A suite as ``swanctl`` prints it: ``AES_CBC_256/HMAC_SHA2_384_192/PRF_HMAC_SHA2_384/MODP_3072``."""
    return "/".join(transform_name(t) for t in _in_order(transforms))


def keyword_text(transforms: Iterable[Transform]) -> str:
    """The same as one writes it in swanctl.conf: ``aes256-sha384-prfsha384-modp3072``."""
    return "-".join(keyword(t) for t in _in_order(transforms))


def _in_order(transforms: Iterable[Transform]) -> list[Transform]:
    rank = {kind: n for n, kind in enumerate(PRINT_ORDER)}
    return sorted(transforms, key=lambda t: rank.get(t.type, len(rank)))  # type: ignore[call-overload]
