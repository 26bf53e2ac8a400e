"""Choosing a suite, refusing one with reasons, and checking the answer to our own offer."""

from dataclasses import replace

import pytest

from ike.crypto.proposal import Mismatch, ProposalSpec, Selection, confirm, describe, parse_proposals, select, to_wire
from ike.errors import PeerError
from ike.wire.constants import Encr, Integ, Ke, NotifyType, ProtocolId, TransformType
from ike.wire.payloads import Proposal, Transform

IKE, ESP = ProtocolId.IKE, ProtocolId.ESP


def specs(text, protocol=IKE):
    return parse_proposals(text, protocol)


def choose(offered, allowed, protocol=IKE, *, with_ke=True, **options):
    wire = to_wire(specs(offered, protocol), b"peer") if isinstance(offered, str) else offered
    return select(wire, specs(allowed, protocol), protocol=protocol, with_ke=with_ke, **options)


def chosen(*arguments, **options):
    result = choose(*arguments, **options)
    assert isinstance(result, Selection), str(result)
    return describe(result.suite)


def mismatch(*arguments, **options):
    result = choose(*arguments, **options)
    assert isinstance(result, Mismatch)
    return result


def test_a_common_suite_is_found_with_the_offers_number_and_spi():
    result = choose("aes256gcm16-prfsha384-x25519, aes256-sha384-modp3072", "aes256-sha384-modp3072")
    assert describe(result.suite) == "AES_CBC_256/HMAC_SHA2_384_192/PRF_HMAC_SHA2_384/MODP_3072"
    assert result.proposal.number == 2
    assert result.proposal.spi == b"peer"
    assert result.ke_method == Ke.MODP_3072
    assert result.answer(b"ours!!!!") == replace(result.proposal, spi=b"ours!!!!")


def test_our_order_decides_unless_the_offers_is_preferred():
    offered, allowed = "aes128-aes256-sha256-modp2048-x25519", "aes256-aes128-sha256-x25519-modp2048"
    assert chosen(offered, allowed).startswith("AES_CBC_256")
    assert chosen(offered, allowed).endswith("CURVE_25519")
    assert chosen(offered, allowed, prefer_offered=True).startswith("AES_CBC_128")
    assert chosen(offered, allowed, prefer_offered=True).endswith("MODP_2048")
    offered, allowed = "aes128-sha256-x25519, aes256-sha256-x25519", "aes256-sha256-x25519, aes128-sha256-x25519"
    assert chosen(offered, allowed).startswith("AES_CBC_256")
    assert chosen(offered, allowed, prefer_offered=True).startswith("AES_CBC_128")


def test_key_lengths_are_compared():
    result = mismatch("aes128gcm16-prfsha256-x25519", "aes256gcm16-prfsha256-x25519")
    assert result.kind == TransformType.ENCR
    assert str(result) == "no common encryption algorithm: the peer has aes128gcm16; we allow aes256gcm16"


@pytest.mark.parametrize(
    ("offered", "allowed", "kind", "words"),
    [
        ("aes256-sha384-modp4096", "aes256-sha384-modp3072", TransformType.KE, "modp4096; we allow modp3072"),
        ("aes256-sha1-x25519", "aes256-sha256-x25519", TransformType.INTEG, "sha1; we allow sha256"),
        (
            "aes256gcm16-prfsha1-x25519",
            "aes256gcm16-prfsha256-prfsha384-x25519",
            TransformType.PRF,
            "prfsha1; we allow prfsha256, prfsha384",
        ),
        ("aes256gcm16-prfsha256-x25519", "aes256-sha256-x25519", TransformType.ENCR, "aes256gcm16; we allow aes256"),
        (
            "aes256gcm16-prfsha256-x25519-ke1_mlkem768",
            "aes256gcm16-prfsha256-x25519-ke1_mlkem1024",
            TransformType.ADDKE1,
            "ke1_mlkem768; we allow ke1_mlkem1024",
        ),
    ],
)
def test_a_mismatch_names_the_first_type_and_both_sides_words(offered, allowed, kind, words):
    result = mismatch(offered, allowed)
    assert result.kind == kind
    assert words in str(result)
    assert result.allowed == (allowed,)


def test_the_pair_that_came_furthest_is_the_one_reported():
    result = mismatch("3des-md5-modp1024, aes256-sha256-modp2048", "aes256-sha256-x25519, aes128gcm16-prfsha256-x25519")
    assert result.kind == TransformType.KE
    assert (result.offered_words, result.allowed_words) == (("modp2048",), ("x25519",))
    assert result.offered == ("3des-md5-prfmd5-modp1024", "aes256-sha256-prfsha256-modp2048")


def test_no_proposal_for_the_protocol_is_a_mismatch_without_a_type():
    result = select(to_wire(specs("aes256-sha256", ESP)), specs("aes256-sha256-x25519"), protocol=IKE, with_ke=True)
    assert isinstance(result, Mismatch)
    assert result.kind is None
    assert isinstance(select((), (), protocol=IKE, with_ke=True), Mismatch)


def test_an_ike_proposal_without_a_key_exchange_is_not_chosen():
    offered = (Proposal(1, IKE, b"", specs("aes256-sha256-x25519")[0].without_ke().transforms),)
    assert mismatch(offered, "aes256-sha256-x25519").kind == TransformType.KE


def test_a_child_of_ike_auth_needs_no_key_exchange():
    assert chosen("aes256gcm16-x25519", "aes256gcm16-modp3072", ESP, with_ke=False) == "AES_GCM_16_256/NO_EXT_SEQ"
    assert mismatch("aes256gcm16-x25519", "aes256gcm16-modp3072", ESP).kind == TransformType.KE


def test_pfs_may_be_left_out_where_none_is_named():
    assert chosen("aes256gcm16", "aes256gcm16-x25519-none", ESP) == "AES_GCM_16_256/NO_EXT_SEQ"
    assert chosen("aes256gcm16-x25519-none", "aes256gcm16", ESP) == "AES_GCM_16_256/NO_EXT_SEQ"
    assert mismatch("aes256gcm16", "aes256gcm16-x25519", ESP).kind == TransformType.KE
    assert mismatch("aes256gcm16-x25519", "aes256gcm16", ESP).kind == TransformType.KE


def test_an_additional_exchange_may_be_left_out_where_none_is_named():
    with_none = "aes256gcm16-prfsha256-x25519-ke1_mlkem768-ke1_none"
    plain = "aes256gcm16-prfsha256-x25519"
    assert chosen(plain, with_none).endswith("CURVE_25519")
    assert chosen(with_none, plain).endswith("CURVE_25519")
    assert chosen(with_none, with_none).endswith("KE1_ML_KEM_768")
    assert mismatch(plain, "aes256gcm16-prfsha256-x25519-ke1_mlkem768").kind == TransformType.ADDKE1


def test_no_method_is_chosen_twice():
    text = "aes256gcm16-prfsha256-x25519-ke1_x25519-ke1_mlkem768-ke2_mlkem768-ke2_mlkem1024"
    result = choose(text, text)
    assert result.ke_method == Ke.X25519
    assert result.additional_ke_methods == (Ke.ML_KEM_768, Ke.ML_KEM_1024)
    twice = "aes256gcm16-prfsha256-x25519-ke1_x25519"
    assert mismatch(twice, twice).kind == TransformType.ADDKE1


def test_esn_must_be_agreed_on():
    assert mismatch("aes256gcm16-esn", "aes256gcm16", ESP).kind == TransformType.ESN
    assert chosen("aes256gcm16-esn-noesn", "aes256gcm16-esn", ESP).endswith("/EXT_SEQ")


def test_an_integrity_algorithm_beside_an_aead_is_passed_over():
    transforms = specs("aes256gcm16", ESP)[0].transforms
    for extra in (Integ.NONE, Integ.HMAC_SHA2_256_128):
        offered = (Proposal(1, ESP, b"spi!", (*transforms, Transform(TransformType.INTEG, extra))),)
        assert chosen(offered, "aes256gcm16", ESP) == "AES_GCM_16_256/NO_EXT_SEQ"


def test_a_transform_with_an_unknown_attribute_is_not_chosen():
    plain = specs("aes256-aes128-sha256-x25519")[0].transforms
    strange = tuple(replace(t, unknown_attributes=True) if t.key_length == 256 else t for t in plain)
    assert chosen((Proposal(1, IKE, b"", strange),), "aes256-aes128-sha256-x25519").startswith("AES_CBC_128")


def test_a_proposal_with_an_unknown_transform_type_is_passed_over_as_a_whole():
    good = specs("aes256-sha256-x25519")[0].transforms
    strange = Proposal(1, IKE, b"", (*good, Transform(240, 1)))
    assert mismatch((strange,), "aes256-sha256-x25519").kind == 240
    result = choose((strange, Proposal(2, IKE, b"", good)), "aes256-sha256-x25519")
    assert result.proposal.number == 2


def test_aes_without_a_key_length_is_not_chosen():
    good = specs("aes256-sha256-x25519")[0].transforms
    bare = tuple(Transform(t.type, t.id) for t in good)
    assert mismatch((Proposal(1, IKE, b"", bare),), "aes256-sha256-x25519").kind == TransformType.ENCR


OFFER = to_wire(specs("aes256gcm16-aes128gcm16-prfsha256-x25519-ecp256, aes256-sha256-x25519"))


def pick(*words, number=1):
    spec = ProposalSpec.parse("-".join(words), IKE)
    return Proposal(number, IKE, b"", spec.transforms)


def test_an_answer_out_of_our_offer_is_confirmed():
    result = confirm((pick("aes128gcm16", "prfsha256", "ecp256"),), OFFER)
    assert describe(result.suite) == "AES_GCM_16_128/PRF_HMAC_SHA2_256/ECP_256"
    assert result.ke_method == Ke.ECP_256
    assert confirm((pick("aes256-sha256-x25519", number=2),), OFFER).proposal.number == 2


@pytest.mark.parametrize(
    "answer",
    [
        (),
        (pick("aes256gcm16", "prfsha256", "x25519"), pick("aes256-sha256-x25519", number=2)),
        (pick("aes256gcm16", "prfsha256", "x25519", number=3),),
        (pick("aes256gcm16", "prfsha256", "x25519", number=2),),
        (pick("aes192gcm16", "prfsha256", "x25519"),),
        (pick("aes256gcm16", "aes128gcm16", "prfsha256", "x25519"),),
        (pick("aes256gcm16", "prfsha256", "modp2048"),),
        (pick("aes256gcm16", "prfsha256", "x25519", "ke1_mlkem768"),),
        (replace(pick("aes256gcm16", "prfsha256", "x25519"), protocol=ESP),),
        (Proposal(1, IKE, b"", pick("aes256gcm16", "prfsha256", "x25519").transforms[:2]),),
        (Proposal(1, IKE, b"", ()),),
        (Proposal(1, IKE, b"", (*pick("aes256gcm16-prfsha256-x25519").transforms, Transform(241, 1))),),
        (Proposal(1, IKE, b"", (Transform(1, Encr.NULL), *pick("aes256gcm16-prfsha256-x25519").transforms[1:])),),
    ],
)
def test_an_answer_that_we_did_not_offer_is_refused(answer):
    with pytest.raises(PeerError) as caught:
        confirm(answer, OFFER)
    assert caught.value.code == "bad-proposal-answer"
    assert caught.value.notify == NotifyType.NO_PROPOSAL_CHOSEN


def test_an_answer_may_leave_out_what_we_offered_not_to_do():
    offer = to_wire(specs("aes256gcm16-x25519-none", ESP), b"ours")
    plain = Proposal(1, ESP, b"peer", specs("aes256gcm16", ESP)[0].transforms)
    assert confirm((plain,), offer).ke_method is None
    none = replace(plain, transforms=(*plain.transforms, Transform(TransformType.KE, Ke.NONE)))
    assert confirm((none,), offer).ke_method is None


def test_an_answer_with_one_method_twice_is_refused():
    text = "aes256gcm16-prfsha256-x25519-ke1_x25519-ke1_mlkem768"
    answer = pick("aes256gcm16-prfsha256-x25519-ke1_x25519")
    with pytest.raises(PeerError):
        confirm((answer,), to_wire(specs(text)))
