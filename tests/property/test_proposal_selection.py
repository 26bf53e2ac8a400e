"""Selecting a suite, for any two sets of proposals and any offer that a peer may send."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ike.crypto.keywords import KEYWORDS
from ike.crypto.proposal import Mismatch, ProposalSpec, Selection, confirm, keyword_text, select, to_wire
from ike.crypto.transforms import KE_TYPES
from ike.errors import LocalError, PeerError
from ike.wire.constants import Ke, ProtocolId, TransformType
from ike.wire.payloads import Proposal, Transform

ENCR = ["aes128", "aes256", "aes128ctr", "camellia128"]
AEAD = ["aes128gcm16", "aes256gcm16", "aes256gcm8", "chacha20poly1305"]
INTEG = ["sha1", "sha256", "sha384", "aesxcbc"]
PRFS = ["prfsha1", "prfsha256", "prfsha384"]
KES = ["x25519", "ecp256", "modp2048", "modp3072"]
ADDED = ["ke1_mlkem768", "ke1_mlkem1024", "ke1_none", "ke2_x448", "ke2_x25519", "ke2_none"]


def some(words, least=1):
    return st.lists(st.sampled_from(words), min_size=least, max_size=3, unique=True)


@st.composite
def ike_specs(draw):
    words = draw(some(AEAD)) if draw(st.booleans()) else draw(some(ENCR)) + draw(some(INTEG))
    words += draw(some(PRFS)) + draw(some(KES)) + draw(some(ADDED, 0))
    return ProposalSpec.parse("-".join(words), ProtocolId.IKE)


@st.composite
def esp_specs(draw):
    words = draw(some(AEAD)) if draw(st.booleans()) else draw(some(ENCR)) + draw(some(INTEG))
    words += draw(some([*KES, "none"], 0)) + draw(some(["esn", "noesn"], 0))
    return ProposalSpec.parse("-".join(words), ProtocolId.ESP)


transforms = st.builds(
    Transform,
    st.integers(0, 14),
    st.sampled_from([0, 1, 2, 5, 12, 14, 18, 20, 31, 36, 1022, 65535]),
    st.sampled_from([None, 0, 1, 128, 256, 65535]),
    st.booleans(),
)
hostile = st.lists(
    st.builds(
        Proposal,
        st.integers(0, 255),
        st.integers(0, 5),
        st.binary(max_size=8),
        st.lists(transforms, max_size=12).map(tuple),
    ),
    max_size=4,
).map(tuple)


@given(st.lists(ike_specs(), min_size=1, max_size=3), st.lists(ike_specs(), min_size=1, max_size=3), st.booleans())
@settings(max_examples=300, deadline=None)
def test_a_selected_ike_suite_is_allowed_by_both_and_complete(offered, allowed, prefer):
    wire = to_wire(offered, b"peer")
    result = select(wire, allowed, protocol=ProtocolId.IKE, with_ke=True, prefer_offered=prefer)
    if isinstance(result, Mismatch):
        assert result.kind is not None
        assert not set(result.offered_words) & set(result.allowed_words) or result.kind in KE_TYPES
        assert str(result)
        return
    kinds = [t.type for t in result.suite]
    assert len(kinds) == len(set(kinds))
    assert {TransformType.ENCR, TransformType.PRF, TransformType.KE} <= set(kinds)
    source = wire[result.proposal.number - 1]
    assert set(result.suite) <= set(source.transforms)
    assert any(set(result.suite) <= set(spec.transforms) for spec in allowed)
    methods = [result.ke_method, *result.additional_ke_methods]
    assert len(methods) == len(set(methods))
    assert Ke.NONE not in methods
    assert confirm((result.answer(b""),), wire) == Selection(result.answer(b""))


@given(st.lists(ike_specs(), min_size=1, max_size=3), st.lists(ike_specs(), min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_both_sides_find_a_suite_or_neither_does(ours, theirs):
    one = select(to_wire(ours), theirs, protocol=ProtocolId.IKE, with_ke=True)
    other = select(to_wire(theirs), ours, protocol=ProtocolId.IKE, with_ke=True)
    # A method that one order takes early can leave nothing for a later exchange; without those the two must agree.
    if not any(t.type in KE_TYPES[1:] for spec in (*ours, *theirs) for t in spec.transforms):
        assert isinstance(one, Selection) is isinstance(other, Selection)


@given(esp_specs(), esp_specs(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_selected_esp_suite_has_exactly_the_integrity_it_needs(offered, allowed, with_ke):
    result = select(to_wire((offered,), b"spi!"), (allowed,), protocol=ProtocolId.ESP, with_ke=with_ke)
    if isinstance(result, Selection):
        aead = keyword_text(result.suite).startswith(tuple(AEAD))
        assert aead is not any(t.type == TransformType.INTEG for t in result.suite)
        assert any(t.type == TransformType.ESN for t in result.suite)
        if not with_ke:
            assert result.ke_method is None


@given(hostile, st.lists(st.one_of(ike_specs(), esp_specs()), max_size=3), st.sampled_from([1, 3]), st.booleans())
@settings(max_examples=400, deadline=None)
def test_any_offer_gets_an_answer(offered, allowed, protocol, with_ke):
    result = select(offered, allowed, protocol=ProtocolId(protocol), with_ke=with_ke)
    if isinstance(result, Mismatch):
        assert str(result)
    else:
        assert not any(t.unknown_attributes for t in result.suite)
        assert any(set(result.suite) <= set(spec.transforms) for spec in allowed)


@given(hostile, st.lists(ike_specs(), min_size=1, max_size=2))
@settings(max_examples=300, deadline=None)
def test_any_answer_is_confirmed_or_refused(answer, offered):
    wire = to_wire(offered)
    try:
        result = confirm(answer, wire)
    except PeerError as error:
        assert error.code == "bad-proposal-answer"  # noqa: PT017 - either outcome is right
        return
    assert set(result.suite) <= {t for p in wire for t in p.transforms}


@given(
    st.lists(st.one_of(st.sampled_from(sorted(KEYWORDS)), st.text(max_size=8)), max_size=8), st.sampled_from([1, 2, 3])
)
@settings(max_examples=400, deadline=None)
def test_any_text_is_a_proposal_or_an_error_that_points_into_it(words, protocol):
    text = "-".join(words)
    try:
        spec = ProposalSpec.parse(text, ProtocolId(protocol))
    except LocalError as error:
        assert error.code == "bad-proposal"  # noqa: PT017 - either outcome is right
        position, token = error.fields["position"], error.fields["token"]
        assert text[position:].lstrip().startswith(token)
        return
    assert ProposalSpec.parse(keyword_text(spec.transforms), spec.protocol).transforms == spec.transforms
