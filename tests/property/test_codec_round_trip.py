"""The codec for any value, any bytes and any mutation of a valid message."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from ike.errors import PeerError, SilentDrop
from ike.wire.constants import HeaderFlag, PayloadType
from ike.wire.identity import Identity
from ike.wire.message import pull_message, pull_payloads, push_message, push_payloads
from ike.wire.payloads import (
    AuthPayload,
    CertPayload,
    CertRequestPayload,
    CpAttribute,
    CpPayload,
    DeletePayload,
    EapPayload,
    IdPayload,
    KePayload,
    NoncePayload,
    NotifyPayload,
    Payload,
    Proposal,
    SaPayload,
    SkfPayload,
    SkPayload,
    Transform,
    TsPayload,
    UnknownPayload,
    VendorIdPayload,
)
from ike.wire.selectors import TrafficSelector

u8 = st.integers(0, 255)
u16 = st.integers(0, 65535)
blob = st.binary(max_size=64)
KNOWN = frozenset(int(kind) for kind in PayloadType)
REFUSALS = {
    "read",
    "not-ike",
    "length-mismatch",
    "zero-spi",
    "ikev1-refused",
    "invalid-major-version",
    "invalid-syntax",
    "unsupported-critical-payload",
}


def outcome(read: Callable[..., object], *arguments: object) -> str:
    """``read``, or the code of the refusal; anything else that is raised is a failure."""
    try:
        read(*arguments)
    except (PeerError, SilentDrop) as refusal:
        return refusal.code
    return "read"


@st.composite
def selectors(draw: st.DrawFn) -> TrafficSelector:
    family = draw(st.sampled_from((IPv4Address, IPv6Address)))
    top = (1 << family(0).max_prefixlen) - 1
    start, end = sorted((draw(st.integers(0, top)), draw(st.integers(0, top))))
    ports = draw(st.one_of(st.just((65535, 0)), st.tuples(u16, u16).map(lambda pair: tuple(sorted(pair)))))
    return TrafficSelector(family(start), family(end), draw(u8), *ports)


@st.composite
def deletes(draw: st.DrawFn) -> DeletePayload:
    size = draw(st.integers(1, 8))
    return DeletePayload(draw(u8), tuple(draw(st.lists(st.binary(min_size=size, max_size=size), max_size=4))))


@st.composite
def fragments(draw: st.DrawFn) -> SkfPayload:
    total = draw(st.integers(1, 65535))
    return SkfPayload(draw(u8), draw(st.integers(1, total)), total, draw(blob))


transforms = st.builds(Transform, u8, u16, st.none() | u16)
proposals = st.builds(Proposal, u8, u8, st.binary(max_size=8), st.lists(transforms, max_size=5).map(tuple))
ids = st.sampled_from((PayloadType.ID_I, PayloadType.ID_R))
sides = st.sampled_from((PayloadType.TS_I, PayloadType.TS_R))
hashed = st.builds(
    CertRequestPayload,
    st.sampled_from((4, 12, 13, 14)),
    st.lists(st.binary(min_size=20, max_size=20), max_size=3).map(tuple),
)
opaque = st.builds(CertRequestPayload, st.integers(15, 255), st.binary(min_size=1, max_size=30).map(lambda b: (b,)))
attributes = st.builds(CpAttribute, st.integers(0, 0x7FFF), blob)
eap = st.builds(
    lambda code, number, rest: EapPayload(bytes((code, number)) + (4 + len(rest)).to_bytes(2, "big") + rest),
    u8,
    u8,
    blob,
)

payloads: st.SearchStrategy[Payload] = st.one_of(
    st.builds(SaPayload, st.lists(proposals, min_size=1, max_size=3).map(tuple)),
    st.builds(KePayload, u16, st.binary(min_size=1, max_size=64)),
    st.builds(IdPayload, ids, u8, blob),
    st.builds(CertPayload, u8, blob),
    hashed,
    opaque,
    st.builds(AuthPayload, u8, blob),
    st.builds(NoncePayload, st.binary(min_size=16, max_size=256)),
    st.builds(NotifyPayload, u16, blob, u8, st.binary(max_size=8)),
    deletes(),
    st.builds(VendorIdPayload, blob),
    st.builds(TsPayload, sides, st.lists(selectors(), max_size=4).map(tuple)),
    st.builds(CpPayload, u8, st.lists(attributes, max_size=4).map(tuple)),
    eap,
    st.builds(UnknownPayload, u8.filter(lambda kind: kind not in KNOWN), st.just(False), blob),
)
sealed = st.one_of(st.builds(SkPayload, u8, blob), fragments())
chains = st.lists(payloads, max_size=6)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    chain = draw(chains) + draw(st.lists(sealed, max_size=1))
    return push_message(
        spi_i=draw(st.binary(min_size=8, max_size=8).filter(any)),
        spi_r=draw(st.binary(min_size=8, max_size=8)),
        exchange=draw(u8),
        flags=HeaderFlag(draw(u8)),
        message_id=draw(st.integers(0, 2**32 - 1)),
        payloads=chain,
        minor=draw(st.integers(0, 15)),
    )


@given(payloads)
def test_a_payload_reads_back_as_it_was_written(payload: Payload) -> None:
    first, data = push_payloads((payload,))
    assert first == payload.TYPE
    assert pull_payloads(first, data) == (payload,)


@given(chains)
def test_a_chain_reads_back_as_it_was_written(chain: list[Payload]) -> None:
    assert pull_payloads(*push_payloads(chain)) == tuple(chain)


@given(messages())
def test_a_message_reads_back_as_it_was_written(data: bytes) -> None:
    message = pull_message(data)
    header = message.header
    again = push_message(
        spi_i=header.spi_i,
        spi_r=header.spi_r,
        exchange=header.exchange,
        flags=header.flags,
        message_id=header.message_id,
        payloads=message.payloads,
        minor=header.minor,
    )
    assert again == data


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    assert outcome(pull_message, data) in REFUSALS


@given(u8, st.binary(max_size=200))
def test_any_bytes_are_a_chain_or_refused(first: int, data: bytes) -> None:
    assert outcome(pull_payloads, first, data) in {"read", "invalid-syntax", "unsupported-critical-payload"}


@given(messages(), st.lists(st.tuples(st.integers(0), u8), min_size=1, max_size=4), st.booleans())
def test_a_mutated_message_is_a_message_or_refused(data: bytes, changes: list[tuple[int, int]], cut: bool) -> None:
    mutated = bytearray(data)
    for position, value in changes:
        mutated[position % len(mutated)] = value
    if cut:
        mutated = mutated[: changes[0][0] % len(mutated)]
    if len(mutated) >= 28:
        mutated[24:28] = len(mutated).to_bytes(4, "big")
    assert outcome(pull_message, bytes(mutated)) in REFUSALS


@given(u8, blob)
def test_any_claimed_identity_prints_and_matches_itself(kind: int, data: bytes) -> None:
    identity = Identity(kind, data)
    assert str(identity).isprintable()
    assert identity.matches(Identity.ANY)
    assert identity.matches(identity)


@given(st.text())
def test_any_text_is_an_identity(text: str) -> None:
    identity = Identity.parse(text.encode("utf-8", "replace").decode())
    assert str(identity).isprintable()


@given(
    st.lists(
        st.tuples(st.sampled_from(("CN", "O", "OU", "C", "E", "DC")), st.text(min_size=1, max_size=12)),
        min_size=1,
        max_size=4,
    )
)
def test_a_printed_name_reads_back(attributes: list[tuple[str, str]]) -> None:
    printable = [(key, "".join(c for c in value if c.isprintable()).strip() or "x") for key, value in attributes]
    escaped = ", ".join(f"{key}=" + "".join("\\" + c if c in ',\\"' else c for c in value) for key, value in printable)
    try:
        escaped.encode()
    except UnicodeEncodeError:
        return
    identity = Identity.parse(escaped)
    assert Identity.parse(str(identity)) == identity
