"""Messages, headers and the chain of payloads (RFC 7296 sections 2.5, 3.1 and 3.2)."""

from __future__ import annotations

import pytest

from ike.errors import LocalError, PeerError, SilentDrop
from ike.wire.constants import ExchangeType, HeaderFlag, NotifyType, PayloadType, ProtocolId
from ike.wire.header import pull_header
from ike.wire.message import Message, pull_message, pull_payloads, push_message, push_payloads
from ike.wire.payloads import (
    IdPayload,
    KePayload,
    NoncePayload,
    NotifyPayload,
    Payload,
    SkfPayload,
    SkPayload,
    UnknownPayload,
    VendorIdPayload,
)

SPI_I = bytes(range(1, 9))
NONCE = NoncePayload(bytes(32))


def message(*payloads: Payload, exchange: int = ExchangeType.IKE_SA_INIT, major: int = 2) -> bytes:
    """A request of the initiator that holds these payloads."""
    return push_message(
        spi_i=SPI_I,
        spi_r=bytes(8),
        exchange=exchange,
        flags=HeaderFlag.INITIATOR,
        message_id=0,
        payloads=payloads,
        major=major,
    )


def test_a_message_reads_back_as_it_was_written() -> None:
    data = message(KePayload(31, bytes(32)), NONCE)
    read = pull_message(data)
    assert read.payloads == (KePayload(31, bytes(32)), NONCE)
    assert read.raw == data
    assert read.header.length == len(data)
    assert read.header.first == PayloadType.KE
    assert read.header.from_initiator
    assert not read.header.is_response


def test_the_header_has_the_layout_of_the_rfc() -> None:
    data = push_message(
        spi_i=SPI_I,
        spi_r=b"\xff" * 8,
        exchange=ExchangeType.INFORMATIONAL,
        flags=HeaderFlag.RESPONSE,
        message_id=7,
    )
    assert data.hex() == "0102030405060708" + "ff" * 8 + "00" + "20" + "25" + "20" + "00000007" + "0000001c"


@pytest.mark.parametrize("data", [b"", b"\0", bytes(27), b"GET / HTTP/1.1\r\n"])
def test_what_is_shorter_than_a_header_is_dropped(data: bytes) -> None:
    with pytest.raises(SilentDrop) as caught:
        pull_message(data)
    assert caught.value.code == "not-ike"


@pytest.mark.parametrize("change", [-1, 1])
def test_a_length_that_is_not_the_datagrams_is_dropped(change: int) -> None:
    data = bytearray(message(NONCE))
    data[24:28] = (len(data) + change).to_bytes(4, "big")
    with pytest.raises(SilentDrop) as caught:
        pull_message(bytes(data))
    assert caught.value.code == "length-mismatch"


def test_a_zero_initiator_spi_is_dropped() -> None:
    with pytest.raises(SilentDrop) as caught:
        pull_message(bytes(8) + message(NONCE)[8:])
    assert caught.value.code == "zero-spi"


@pytest.mark.parametrize(("major", "code"), [(1, "ikev1-refused"), (3, "invalid-major-version")])
def test_another_major_version_is_told_by_its_code(major: int, code: str) -> None:
    data = message(NONCE, major=major)
    with pytest.raises(PeerError) as caught:
        pull_message(data)
    assert caught.value.code == code
    assert caught.value.notify == NotifyType.INVALID_MAJOR_VERSION
    assert pull_header(data).major == major


def test_an_unknown_payload_is_kept_unless_it_is_critical() -> None:
    kept = UnknownPayload(200, critical=False, data=b"abc")
    assert pull_message(message(kept, NONCE)).payloads == (kept, NONCE)
    with pytest.raises(PeerError) as caught:
        pull_message(message(UnknownPayload(200, critical=True, data=b"abc"), NONCE))
    assert caught.value.notify == NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD
    assert caught.value.notify_data == b"\xc8"


def test_the_critical_bit_of_a_known_payload_is_ignored() -> None:
    first, chain = push_payloads((NONCE,))
    assert pull_payloads(first, bytes((chain[0], 0x80)) + chain[2:]) == (NONCE,)


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 0xFFFF])
def test_a_payload_length_that_lies_is_refused(length: int) -> None:
    first, chain = push_payloads((NONCE,))
    with pytest.raises(PeerError) as caught:
        pull_payloads(first, chain[:2] + length.to_bytes(2, "big") + chain[4:])
    assert caught.value.code == "invalid-syntax"
    assert caught.value.notify == NotifyType.INVALID_SYNTAX


def test_bytes_behind_the_last_payload_are_refused() -> None:
    first, chain = push_payloads((NONCE,))
    with pytest.raises(PeerError, match="1 bytes too many"):
        pull_payloads(first, chain + b"\0")


def test_an_endless_chain_is_refused() -> None:
    vendor = push_payloads((VendorIdPayload(b""),))[1]
    chain = (bytes((PayloadType.VENDOR_ID,)) + vendor[1:]) * 1000
    with pytest.raises(PeerError, match="more than 256 payloads"):
        pull_payloads(PayloadType.VENDOR_ID, chain)


def test_an_encrypted_payload_ends_its_message_and_names_what_is_inside() -> None:
    sealed = SkPayload(PayloadType.AUTH, bytes(40))
    read = pull_message(message(sealed, exchange=ExchangeType.IKE_AUTH))
    assert read.sealed == sealed
    fragment = SkfPayload(0, 2, 3, bytes(40))
    assert pull_message(message(VendorIdPayload(b"x"), fragment)).sealed == fragment
    assert pull_message(message(NONCE)).sealed is None
    with pytest.raises(LocalError):
        push_payloads((sealed, NONCE))


@pytest.mark.parametrize("payload", [SkPayload(0, bytes(16)), SkfPayload(0, 1, 1, bytes(16))])
def test_nothing_is_encrypted_twice(payload: Payload) -> None:
    first, chain = push_payloads((payload,))
    with pytest.raises(PeerError, match="inside an encrypted payload"):
        pull_payloads(first, chain)


@pytest.mark.parametrize(("number", "total"), [(0, 0), (0, 1), (2, 1)])
def test_a_fragment_outside_its_total_is_refused(number: int, total: int) -> None:
    with pytest.raises(PeerError, match="fragment"):
        pull_message(message(SkfPayload(0, number, total, b"x")))


def test_an_empty_chain_is_an_empty_message() -> None:
    assert push_payloads(()) == (0, b"")
    assert pull_payloads(0, b"") == ()


def test_payloads_are_found_by_class_kind_and_notify() -> None:
    id_i, id_r = IdPayload(PayloadType.ID_I, 2, b"a"), IdPayload(PayloadType.ID_R, 2, b"b")
    cookie = NotifyPayload(NotifyType.COOKIE, b"1")
    failed = NotifyPayload(NotifyType.TS_UNACCEPTABLE, protocol=ProtocolId.ESP, spi=b"1234")
    read = pull_message(message(id_i, id_r, cookie, failed))
    assert read.one(IdPayload, PayloadType.ID_R) == id_r
    assert read.one(KePayload) is None
    assert read.all(NotifyPayload) == (cookie, failed)
    assert read.notify(NotifyType.COOKIE) == cookie
    assert read.notify(NotifyType.REKEY_SA) is None
    assert read.error == failed
    assert read.opened((NONCE,)).payloads == (NONCE,)


def test_a_payload_that_belongs_once_may_not_come_twice() -> None:
    read: Message = pull_message(message(NONCE, NONCE))
    with pytest.raises(PeerError, match="2 Nonce payloads where one belongs"):
        read.one(NoncePayload)


def test_no_secret_shows_in_a_repr() -> None:
    read = pull_message(message(SkPayload(0, b"sealed-secret-bytes")))
    assert "sealed-secret" not in repr(read)
