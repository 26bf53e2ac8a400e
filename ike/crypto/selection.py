"""Choosing one suite out of what the peer offers and what we allow, and saying why there is none.

RFC 7296 sections 2.7 and 3.3; additional key exchanges: RFC 9370 section 2.2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import PeerError
from ..wire.constants import Integ, Ke, NotifyType, ProtocolId, TransformType
from ..wire.payloads import Proposal, Transform
from .keywords import keyword
from .transforms import ADDITIONAL_KE_TYPES, KE_TYPES, PRINT_ORDER, TYPE_NAMES, is_aead, is_understood

if TYPE_CHECKING:
    from .proposal import ProposalSpec


@dataclass(frozen=True, slots=True)
class Selection:
    """The suite that both sides have. ``proposal`` has the offer's number and the peer's SPI, one transform a type."""

    proposal: Proposal

    @property
    def suite(self) -> tuple[Transform, ...]:
        """The chosen transforms, in the order in which they are printed."""
        return self.proposal.transforms

    @property
    def ke_method(self) -> int | None:
        """The method of the KE payload that must go with it; ``None`` where none is used."""
        return next((t.id for t in self.suite if t.type == TransformType.KE), None)

    @property
    def additional_ke_methods(self) -> tuple[int, ...]:
        """Methods of the further exchanges, in the order of their transform types (RFC 9370 section 2.2.3)."""
        return tuple(t.id for kind in ADDITIONAL_KE_TYPES for t in self.suite if t.type == kind)

    def answer(self, spi: bytes) -> Proposal:
        """The proposal as it goes back on the wire: the same number, our SPI (RFC 7296 section 3.3.1)."""
        return replace(self.proposal, spi=spi)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Nothing in common. ``offered`` and ``allowed`` are whole proposals as people write them.

    ``kind`` is the first transform type without a match in the pair of proposals that came furthest (``None``: the
    protocol differs, or one side has no proposal at all); the words of each side for that type are in
    ``offered_words`` and ``allowed_words``.
    """

    offered: tuple[str, ...]
    allowed: tuple[str, ...]
    kind: int | None
    offered_words: tuple[str, ...] = ()
    allowed_words: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.kind is None:
            return "no proposal for the protocol asked for"
        name = TYPE_NAMES.get(self.kind, f"transform type {self.kind}")
        theirs = ", ".join(self.offered_words) or "none"
        ours = ", ".join(self.allowed_words) or "none"
        return f"no common {name}: the peer has {theirs}; we allow {ours}"


@dataclass(frozen=True, slots=True)
class _Failure:
    """How far a pair of proposals came (``depth``), and at which type it failed."""

    depth: int
    kind: int
    offered: tuple[Transform, ...]
    allowed: tuple[Transform, ...]


def select(
    offered: Sequence[Proposal],
    allowed: Sequence[ProposalSpec],
    *,
    protocol: ProtocolId,
    with_ke: bool,
    prefer_offered: bool = False,
) -> Selection | Mismatch:
    """The first pair of proposals with a common suite, in our order of preference unless ``prefer_offered``.

    ``with_ke=False`` passes over key exchange transforms (the CHILD_SA of IKE_AUTH has none). Transforms that we do not
    understand are passed over one by one; a proposal with a transform type that we do not understand is passed over as
    a whole (RFC 7296 section 3.3.6).
    """
    theirs = [p for p in offered if p.protocol == protocol]
    ours = [s for s in allowed if s.protocol == protocol]
    pairs = [(p, s) for p in theirs for s in ours] if prefer_offered else [(p, s) for s in ours for p in theirs]
    closest: _Failure | None = None
    for proposal, spec in pairs:
        result = _match(proposal, spec, with_ke=with_ke, prefer_offered=prefer_offered)
        if not isinstance(result, _Failure):
            return Selection(replace(proposal, transforms=result))
        if closest is None or result.depth > closest.depth:
            closest = result
    words = tuple("-".join(keyword(t) for t in p.transforms) for p in offered)
    texts = tuple(str(s) for s in allowed)
    if closest is None:
        return Mismatch(words, texts, None)
    return Mismatch(
        words,
        texts,
        closest.kind,
        tuple(keyword(t) for t in closest.offered),
        tuple(keyword(t) for t in closest.allowed),
    )


def _match(
    proposal: Proposal, spec: ProposalSpec, *, with_ke: bool, prefer_offered: bool
) -> tuple[Transform, ...] | _Failure:
    unknown = next((t for t in proposal.transforms if t.type not in PRINT_ORDER), None)
    if unknown is not None:
        return _Failure(0, unknown.type, (unknown,), ())
    chosen: list[Transform] = []
    aead = False
    for depth, kind in enumerate(PRINT_ORDER, 1):
        if kind in KE_TYPES and not with_ke:
            continue
        theirs = tuple(t for t in proposal.transforms if t.type == kind)
        ours = tuple(t for t in spec.transforms if t.type == kind)
        if kind == TransformType.INTEG and aead:
            # An AEAD brings its own (RFC 5282 section 8); peers that name one beside it are let off.
            continue
        taken = {t.id for t in chosen if t.type in KE_TYPES}
        found = _common(kind, theirs, ours, prefer_offered=prefer_offered, taken=taken)
        if found is None:
            if (theirs or ours) and not _both_can_do_without(kind, theirs, ours, spec.protocol):
                return _Failure(depth, kind, theirs, ours)
            continue
        aead = aead or is_aead(found)
        if not (kind in KE_TYPES and found.id == Ke.NONE):
            chosen.append(found)
    return tuple(chosen)


def _common(
    kind: TransformType,
    theirs: tuple[Transform, ...],
    ours: tuple[Transform, ...],
    *,
    prefer_offered: bool,
    taken: set[int],
) -> Transform | None:
    first, second = (theirs, ours) if prefer_offered else (ours, theirs)
    for transform in first:
        # No method may serve twice in one SA (RFC 9370 section 2.2.2); NONE may.
        repeated = kind in KE_TYPES and transform.id in taken and transform.id != Ke.NONE
        if transform in second and is_understood(transform) and not repeated:
            return transform
    return None


def _both_can_do_without(
    kind: TransformType, theirs: tuple[Transform, ...], ours: tuple[Transform, ...], protocol: ProtocolId
) -> bool:
    """Whether the side that names the type also names NONE, and the other is silent (RFC 7296 section 3.3.3)."""
    if theirs and ours:
        return False
    named = theirs or ours
    if kind == TransformType.INTEG:
        return protocol == ProtocolId.ESP and any(t.id == Integ.NONE for t in named)
    optional = kind in ADDITIONAL_KE_TYPES or (kind == TransformType.KE and protocol != ProtocolId.IKE)
    return optional and any(t.id == Ke.NONE for t in named)


def confirm(answer: Sequence[Proposal], offered: Sequence[Proposal]) -> Selection:
    """Check a responder's choice against what we sent (RFC 7296 section 2.7), for the initiator.

    Raises :class:`PeerError` ``bad-proposal-answer`` unless it is exactly one proposal that picks, from the one of the
    same number, one transform of each type (or none, where we offered NONE).
    """

    def bad(why: str) -> PeerError:
        return PeerError(
            "bad-proposal-answer",
            f"the peer's choice of proposal is none of what we offered: {why}",
            notify=NotifyType.NO_PROPOSAL_CHOSEN,
            fields={"answer": tuple("-".join(keyword(t) for t in p.transforms) for p in answer)},
        )

    if len(answer) != 1:
        raise bad(f"it has {len(answer)} proposals instead of one")
    chosen = answer[0]
    sent = next((p for p in offered if p.number == chosen.number and p.protocol == chosen.protocol), None)
    if sent is None:
        raise bad(f"we sent no proposal number {chosen.number} for protocol {chosen.protocol}")
    picked: list[Transform] = []
    for kind in PRINT_ORDER:
        theirs, ours = chosen.of(kind), sent.of(kind)
        if len(theirs) > 1:
            raise bad(f"it has {len(theirs)} transforms of type {TYPE_NAMES[kind]}")
        nothing = Integ.NONE if kind == TransformType.INTEG else Ke.NONE
        optional = kind == TransformType.INTEG or kind in KE_TYPES
        if theirs and optional and theirs[0].id == nothing and (not ours or theirs[0] in ours):
            continue
        if theirs and theirs[0] not in ours:
            raise bad(f"'{keyword(theirs[0])}' was not offered")
        if ours and not theirs and not (optional and any(t.id == nothing for t in ours)):
            raise bad(f"it lacks the {TYPE_NAMES[kind]}")
        picked += theirs
    stranger = next((t for t in chosen.transforms if t.type not in PRINT_ORDER), None)
    if stranger is not None:
        raise bad(f"transform type {stranger.type} was not offered")
    methods = [t.id for t in picked if t.type in KE_TYPES]
    if len(methods) != len(set(methods)):
        raise bad("it uses one key exchange method twice (RFC 9370 section 2.2.2)")
    return Selection(replace(chosen, transforms=tuple(picked)))
