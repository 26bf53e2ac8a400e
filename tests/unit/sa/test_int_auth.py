"""What AUTH covers of IKE_INTERMEDIATE is the same, whether a message came whole or in fragments (RFC 9242)."""

from __future__ import annotations

import hashlib
import hmac
import struct

import pytest

from ike.auth.intermediate import IntAuth, covered_octets
from ike.crypto.secret import Secret
from ike.errors import SilentDrop
from ike.wire.constants import ExchangeType, HeaderFlag, PayloadType, Prf
from ike.wire.header import Header, push_header

SPIS = (b"i" * 8, b"r" * 8)
KEY_I, KEY_R = Secret(b"\1" * 32), Secret(b"\2" * 32)


def head(first: int, kind: PayloadType, length: int, reserved: int = 0) -> bytes:
    header = push_header(Header(*SPIS, ExchangeType.IKE_INTERMEDIATE, HeaderFlag.INITIATOR, 1, kind, length))
    numbers = struct.pack(">HH", 1, 3) if kind == PayloadType.SKF else b""
    return header + struct.pack(">BBH", first, reserved, length - 28) + numbers


def test_lengths_count_neither_iv_nor_padding_nor_icv() -> None:
    plain = b"p" * 40
    covered = covered_octets(head(34, PayloadType.SK, 500), plain)
    assert len(covered) == 28 + 4 + 40
    assert covered[24:28] == (72).to_bytes(4, "big")
    assert covered[28:32] == bytes((34, 0, 0, 44))
    assert covered[32:] == plain
    assert covered[:24] == head(34, PayloadType.SK, 500)[:24]


def test_a_message_in_fragments_is_covered_as_if_it_had_come_whole() -> None:
    whole = covered_octets(head(34, PayloadType.SK, 2000, 5), b"p" * 1900)
    assert covered_octets(head(34, PayloadType.SKF, 600, 5), b"p" * 1900) == whole


def test_what_stands_unencrypted_before_it_is_covered() -> None:
    before = struct.pack(">BBH", PayloadType.SK, 0, 12) + b"vendorid"
    header = push_header(
        Header(*SPIS, ExchangeType.IKE_INTERMEDIATE, HeaderFlag.INITIATOR, 1, PayloadType.VENDOR_ID, 90)
    )
    covered = covered_octets(header + before + struct.pack(">BBH", 34, 0, 50), b"pp")
    assert covered[28:40] == before
    assert covered[24:28] == (28 + 12 + 4 + 2).to_bytes(4, "big")


def test_each_side_has_a_chain_of_its_own_and_the_id_of_ike_auth_ends_it() -> None:
    chain = IntAuth()
    assert chain.octets() == b""
    expected = {True: b"", False: b""}
    for number, (key, initiators) in enumerate(((KEY_I, True), (KEY_R, False), (KEY_I, True), (KEY_R, False))):
        part, plain = head(34, PayloadType.SK, 100), bytes((number,)) * 20
        chain.take(Prf.HMAC_SHA2_256, key, part, plain, initiators=initiators)
        data = expected[initiators] + covered_octets(part, plain)
        expected[initiators] = hmac.digest(bytes(key), data, hashlib.sha256)
    assert chain.octets() == expected[True] + expected[False] + (3).to_bytes(4, "big")


def test_more_than_a_payload_may_hold_is_dropped() -> None:
    with pytest.raises(SilentDrop):
        IntAuth().take(Prf.HMAC_SHA2_256, KEY_I, head(34, PayloadType.SK, 100), bytes(0xFFFF), initiators=True)
