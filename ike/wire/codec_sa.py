"""The Security Association payload: proposals, transforms and their attributes (RFC 7296 section 3.3)."""

from __future__ import annotations

from ..errors import LocalError
from .cursor import Cursor, push_u8, push_u16
from .payloads import Proposal, SaPayload, Transform

MAX_PROPOSALS = 128
"""Far above what any peer sends; an offer beyond it is an attempt to keep us busy."""

MAX_TRANSFORMS = 1024
"""In all proposals together: each is held against each of ours, before anybody knows who asks."""

KEY_LENGTH_ATTRIBUTE = 14
FIXED_FORMAT = 0x8000
MORE_PROPOSALS = 2
MORE_TRANSFORMS = 3
PROPOSAL_HEADER = 8
TRANSFORM_HEADER = 8


def pull_sa(cursor: Cursor) -> SaPayload:
    """An SA payload's body (RFC 7296 section 3.3)."""
    proposals: list[Proposal] = []
    transforms = 0
    more = True
    while more:
        if len(proposals) == MAX_PROPOSALS:
            cursor.refuse(f"more than {MAX_PROPOSALS} proposals")
        proposal, more = _pull_proposal(cursor)
        proposals.append(proposal)
        transforms += len(proposal.transforms)
        if transforms > MAX_TRANSFORMS:
            cursor.refuse(f"more than {MAX_TRANSFORMS} transforms")
    cursor.finish()
    return SaPayload(tuple(proposals))


def push_sa(payload: SaPayload) -> bytes:
    """The reverse of :func:`pull_sa`."""
    last = len(payload.proposals) - 1
    return b"".join(_push_proposal(p, more=index < last) for index, p in enumerate(payload.proposals))


def _pull_proposal(cursor: Cursor) -> tuple[Proposal, bool]:
    more = _pull_more(cursor, MORE_PROPOSALS)
    cursor.u8()
    length = cursor.u16()
    body = cursor.sub(length - 4, "SA payload, proposal")
    number, protocol, spi_size, count = body.take(4)
    spi = body.take(spi_size)
    transforms: list[Transform] = []
    for index in range(count):
        transform, more_transforms = _pull_transform(body)
        if more_transforms != (index < count - 1):
            body.refuse(f"proposal {number} announces {count} transforms, the chain says otherwise")
        transforms.append(transform)
    body.finish()
    return Proposal(number, protocol, spi, tuple(transforms)), more


def _push_proposal(proposal: Proposal, *, more: bool) -> bytes:
    last = len(proposal.transforms) - 1
    transforms = b"".join(_push_transform(t, more=index < last) for index, t in enumerate(proposal.transforms))
    length = PROPOSAL_HEADER + len(proposal.spi) + len(transforms)
    return b"".join(
        (
            push_u8(MORE_PROPOSALS if more else 0),
            b"\0",
            push_u16(length),
            push_u8(proposal.number),
            push_u8(proposal.protocol),
            push_u8(len(proposal.spi)),
            push_u8(len(proposal.transforms)),
            proposal.spi,
            transforms,
        )
    )


def _pull_transform(cursor: Cursor) -> tuple[Transform, bool]:
    more = _pull_more(cursor, MORE_TRANSFORMS)
    cursor.u8()
    length = cursor.u16()
    body = cursor.sub(length - 4, "SA payload, transform")
    kind = body.u8()
    body.u8()
    identifier = body.u16()
    key_length, unknown = _pull_attributes(body)
    return Transform(kind, identifier, key_length, unknown), more


def _push_transform(transform: Transform, *, more: bool) -> bytes:
    if transform.unknown_attributes:
        raise LocalError("unknown-attribute", "a transform with attributes that we do not understand is never sent")
    attributes = b""
    if transform.key_length is not None:
        attributes = push_u16(FIXED_FORMAT | KEY_LENGTH_ATTRIBUTE) + push_u16(transform.key_length)
    return b"".join(
        (
            push_u8(MORE_TRANSFORMS if more else 0),
            b"\0",
            push_u16(TRANSFORM_HEADER + len(attributes)),
            push_u8(transform.type),
            b"\0",
            push_u16(transform.id),
            attributes,
        )
    )


def _pull_attributes(cursor: Cursor) -> tuple[int | None, bool]:
    """Key length, and whether another attribute makes the transform one that we do not understand (section 3.3.6)."""
    key_length: int | None = None
    unknown = False
    while cursor.remaining:
        head = cursor.u16()
        if head & FIXED_FORMAT:
            value = cursor.u16()
            if head == FIXED_FORMAT | KEY_LENGTH_ATTRIBUTE and key_length is None:
                key_length = value
                continue
        else:
            cursor.take(cursor.u16())
        unknown = True
    return key_length, unknown


def _pull_more(cursor: Cursor, marker: int) -> bool:
    """The "Last Substruc" octet: 0, or the marker where another substructure follows (section 3.3.1)."""
    value = cursor.u8()
    if value not in (0, marker):
        cursor.refuse(f"{value} where 0 or {marker} says whether more follows")
    return value == marker
