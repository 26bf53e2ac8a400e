"""Bodies of single payloads: what the RFC's figures say, and what a hostile peer makes of them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from ike.errors import LocalError, PeerError
from ike.wire.constants import CertEncoding, NotifyType, PayloadType, ProtocolId, TransformType
from ike.wire.message import pull_payloads, push_payloads
from ike.wire.payloads import (
    CertRequestPayload,
    CpAttribute,
    CpPayload,
    DeletePayload,
    EapPayload,
    KePayload,
    NoncePayload,
    NotifyPayload,
    Payload,
    Proposal,
    SaPayload,
    Transform,
    TsPayload,
)
from ike.wire.selectors import TrafficSelector


def body(payload: Payload) -> bytes:
    """The payload less its generic header."""
    return push_payloads((payload,))[1][4:]


def pull_one(kind: int, content: bytes) -> Payload:
    """One payload of a type from the bytes of its body."""
    (payload,) = pull_payloads(kind, b"\0\0" + (len(content) + 4).to_bytes(2, "big") + content)
    return payload


def refused(kind: int, content: bytes) -> str:
    """The message with which a body is refused."""
    with pytest.raises(PeerError) as caught:
        pull_one(kind, content)
    assert caught.value.code == "invalid-syntax"
    return str(caught.value)


def test_a_proposal_has_the_layout_of_the_rfc() -> None:
    payload = SaPayload((Proposal(1, ProtocolId.ESP, b"\1\2\3\4", (Transform(1, 20, 256), Transform(5, 0))),))
    expected = "00000020" + "01030402" + "01020304" + "0300000c01000014" + "800e0100" + "0000000805000000"
    assert body(payload).hex() == expected
    assert pull_one(PayloadType.SA, bytes.fromhex(expected)) == payload


def test_two_proposals_are_chained() -> None:
    payload = SaPayload((Proposal(1, 1, b"", (Transform(4, 31),)), Proposal(2, 1, b"", (Transform(4, 19),))))
    assert body(payload)[0] == 2
    assert pull_one(PayloadType.SA, body(payload)) == payload
    assert payload.proposals[0].of(TransformType.KE) == (Transform(4, 31),)


@pytest.mark.parametrize(
    "attributes",
    ["800f0001", "000e000200ff", "800e0100800e0080", "000f0000"],
    ids=["unknown", "key length of variable size", "key length twice", "unknown and empty"],
)
def test_a_transform_with_an_attribute_that_we_do_not_know_is_marked(attributes: str) -> None:
    tail = bytes.fromhex(attributes)
    transform = bytes.fromhex("0000") + (8 + len(tail)).to_bytes(2, "big") + bytes.fromhex("01000014") + tail
    proposal = b"\0\0" + (8 + len(transform)).to_bytes(2, "big") + b"\1\1\0\1" + transform
    read = pull_one(PayloadType.SA, proposal)
    assert isinstance(read, SaPayload)
    assert read.proposals[0].transforms[0].unknown_attributes
    with pytest.raises(LocalError):
        body(read)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "1 bytes expected"),
        ("0000000801010000" + "00", "too many"),
        ("0000000701010000", "bytes expected"),
        ("0100000801010000", "1 where 0 or 2 says"),
        ("0000000801010001", "1 bytes expected"),
        ("0000001001010002" + "0000000804000010", "the chain says otherwise"),
        ("0000001001010001" + "0300000804000010", "the chain says otherwise"),
        ("0000001001010000" + "0000000804000010", "too many"),
        ("0200000801010000", "1 bytes expected"),
        ("000000080101ff00", "255 bytes expected"),
        ("0000000301010000", "-1 bytes expected"),
    ],
)
def test_a_malformed_sa_payload_is_refused_with_the_reason(content: str, why: str) -> None:
    assert why in refused(PayloadType.SA, bytes.fromhex(content))


def test_a_flood_of_proposals_is_refused() -> None:
    assert "more than 128 proposals" in refused(PayloadType.SA, bytes.fromhex("0200000801010000") * 1000)


@pytest.mark.parametrize("length", [0, 1, 15, 257])
def test_a_nonce_of_a_length_that_the_rfc_forbids_is_refused(length: int) -> None:
    assert "it has 16 to 256" in refused(PayloadType.NONCE, bytes(length))


@pytest.mark.parametrize("length", [16, 256])
def test_a_nonce_of_a_length_that_the_rfc_allows_is_taken(length: int) -> None:
    assert pull_one(PayloadType.NONCE, bytes(length)) == NoncePayload(bytes(length))


def test_a_key_exchange_without_data_is_refused() -> None:
    assert "no key exchange data" in refused(PayloadType.KE, b"\0\x1f\0\0")
    assert pull_one(PayloadType.KE, b"\0\x1f\0\0a") == KePayload(31, b"a")


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        (
            TrafficSelector(IPv4Address("10.1.0.0"), IPv4Address("10.1.255.255")),
            "07000010" "0000ffff" "0a010000" "0a01ffff",
        ),
        (
            TrafficSelector(IPv6Address("fe80::"), IPv6Address("fe80::1"), 6, 80, 80),
            "08060028" "00500050" "fe80" + "00" * 14 + "fe80" + "00" * 13 + "01",
        ),
        (TrafficSelector(IPv4Address(0), IPv4Address(0), 17, 65535, 0), "07110010" "ffff0000" "00000000" "00000000"),
    ],
)  # fmt: skip
def test_a_selector_has_the_layout_of_the_rfc(selector: TrafficSelector, text: str) -> None:
    payload = TsPayload(PayloadType.TS_I, (selector,))
    assert body(payload).hex() == "01000000" + text
    assert pull_one(PayloadType.TS_I, body(payload)) == payload


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "1 bytes expected"),
        ("01000000", "2 bytes expected"),
        ("00000000" "07000010" "0000ffff" "0a010000" "0a01ffff", "too many"),
        ("01000000" "07000010" "0000ffff" "0a01ffff" "0a010000", "ends before it starts"),
        ("01000000" "07060010" "00500001" "0a010000" "0a01ffff", "end before they start"),
        ("01000000" "07000011" "0000ffff" "0a010000" "0a01ffff" "00", "1 bytes too many"),
        ("01000000" "08000010" "0000ffff" "0a010000" "0a01ffff", "16 bytes expected"),
        ("01000000" "07000000" "0000ffff" "0a010000" "0a01ffff", "-4 bytes expected"),
    ],
)  # fmt: skip
def test_a_malformed_selector_is_refused_with_the_reason(content: str, why: str) -> None:
    assert why in refused(PayloadType.TS_R, bytes.fromhex(content))


def test_a_selector_of_an_unknown_type_is_left_out() -> None:
    known = "07000010" "0000ffff" "0a010000" "0a01ffff"  # fmt: skip
    read = pull_one(PayloadType.TS_I, bytes.fromhex("02000000" + "0a000008aabbccdd" + known))
    assert isinstance(read, TsPayload)
    assert [str(s) for s in read.selectors] == ["10.1.0.0/16"]


@pytest.mark.parametrize(("content", "why"), [("030400", "2 bytes"), ("0304000a", "4 bytes"), ("03000001", "no size")])
def test_a_malformed_delete_is_refused_with_the_reason(content: str, why: str) -> None:
    assert why in refused(PayloadType.DELETE, bytes.fromhex(content))


def test_a_delete_names_spis_of_one_size() -> None:
    payload = DeletePayload(ProtocolId.ESP, (b"abcd", b"efgh"))
    assert body(payload) == b"\3\4\0\2abcdefgh"
    assert pull_one(PayloadType.DELETE, b"\1\0\0\0") == DeletePayload(ProtocolId.IKE)
    with pytest.raises(LocalError):
        body(DeletePayload(ProtocolId.ESP, (b"abcd", b"e")))


def test_a_notify_carries_spi_and_data() -> None:
    payload = NotifyPayload(NotifyType.REKEY_SA, b"xy", ProtocolId.ESP, b"abcd")
    assert body(payload) == b"\3\4\x40\x09abcdxy"
    assert "200 bytes expected" in refused(PayloadType.NOTIFY, b"\3\xc8\x40\x09abcd")


def test_a_certificate_request_is_a_row_of_hashes() -> None:
    payload = CertRequestPayload(CertEncoding.X509_SIGNATURE, (b"a" * 20, b"b" * 20))
    assert pull_one(PayloadType.CERTREQ, body(payload)) == payload
    assert "no whole number" in refused(PayloadType.CERTREQ, body(payload) + b"x")
    assert pull_one(PayloadType.CERTREQ, b"\x0fxyz") == CertRequestPayload(15, (b"xyz",))


def test_configuration_attributes_lose_their_reserved_bit() -> None:
    read = pull_one(PayloadType.CP, bytes.fromhex("01000000" "80010000" "00030004" "0a000001"))  # fmt: skip
    assert read == CpPayload(1, (CpAttribute(1), CpAttribute(3, bytes((10, 0, 0, 1)))))
    assert "4 bytes expected" in refused(PayloadType.CP, bytes.fromhex("01000000" "00030004" "0a"))  # fmt: skip


@pytest.mark.parametrize("message", [b"", b"\1\1\0", b"\1\1\0\5", b"\1\1\0\0", b"\1\1\xff\xff\1"])
def test_an_eap_packet_whose_length_lies_is_refused(message: bytes) -> None:
    assert "EAP" in refused(PayloadType.EAP, message)


def test_an_eap_packet_is_taken_whole() -> None:
    assert pull_one(PayloadType.EAP, b"\1\7\0\5\1") == EapPayload(b"\1\7\0\5\1")


def test_a_value_that_fits_no_field_is_our_own_error() -> None:
    with pytest.raises(LocalError, match="70000 does not fit into a field of 2 bytes"):
        body(KePayload(70000, b"x"))
