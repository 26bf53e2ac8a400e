"""VICI packets and messages, with the PyPI ``vici`` package as second opinion."""

from __future__ import annotations

import pytest
import vici.protocol

from fastesp.gateway.vici.codec import (
    MAX_DEPTH,
    MAX_PACKET,
    Packet,
    PacketType,
    ViciError,
    pull_message,
    pull_packet,
    push_message,
    push_packet,
    text,
)

TREE = {"key1": b"value1", "section1": {"sub-section": {"key2": b"value2"}, "list1": [b"item1", b"item2"]}}
ENCODED = (
    b"\x03\x04key1\x00\x06value1"
    b"\x01\x08section1\x01\x0bsub-section\x03\x04key2\x00\x06value2\x02"
    b"\x04\x05list1\x05\x00\x05item1\x05\x00\x05item2\x06\x02"
)


def test_the_example_of_the_protocols_description_is_encoded_so() -> None:
    assert push_message(TREE) == ENCODED
    assert pull_message(ENCODED) == TREE


def test_the_vici_package_agrees() -> None:
    assert vici.protocol.Message.serialize(TREE) == ENCODED
    assert vici.protocol.Message.deserialize(vici.protocol.FiniteStream(push_message(TREE))) == TREE


def test_values_of_python_become_text() -> None:
    assert pull_message(push_message({"a": 7, "b": True, "c": False, "d": "x", "e": ("y", 1), "f": {}, "g": []})) == {
        "a": b"7",
        "b": b"yes",
        "c": b"no",
        "d": b"x",
        "e": [b"y", b"1"],
        "f": {},
        "g": [],
    }


def test_order_is_kept() -> None:
    names = [f"key{number}" for number in (3, 1, 2)]
    assert list(pull_message(push_message(dict.fromkeys(names, "x")))) == names


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x00", "element type 0"),
        (b"\x07", "element type 7"),
        (b"\x02", "never started"),
        (b"\x05\x00\x00", "element type 5"),
        (b"\x06", "element type 6"),
        (b"\x01", "a name is missing"),
        (b"\x01\x05abc", "cut off"),
        (b"\x01\x01a", "never end"),
        (b"\x03\x01a", "a value is missing"),
        (b"\x03\x01a\x00", "a value is missing"),
        (b"\x03\x01a\x00\x02x", "cut off"),
        (b"\x04\x01a", "never ends"),
        (b"\x04\x01a\x05\x00\x01x", "never ends"),
        (b"\x04\x01a\x04\x01b\x06\x06", "inside a list"),
        (b"\x04\x01a\x03\x01b\x00\x00\x06", "inside a list"),
        (b"\x03\x01a\x00\x00\x03\x01a\x00\x00", "there twice"),
        (b"\x01\x01a\x02\x01\x01a\x02", "there twice"),
        (b"\x03\x01\xff\x00\x00", "is not text"),
        (b"\x01\x01a" * 40 + b"\x02" * 40, "deeper than"),
    ],
)
def test_a_malformed_message_is_refused_with_the_reason(data: bytes, why: str) -> None:
    with pytest.raises(ViciError, match=why):
        pull_message(data)


def test_a_message_as_deep_as_allowed_is_taken() -> None:
    assert pull_message(b"\x01\x01a" * MAX_DEPTH + b"\x02" * MAX_DEPTH)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"a" * 256: "x"}, ValueError),
        ({"a": "x" * 65536}, ValueError),
        ({"a": ["x" * 65536]}, ValueError),
        ({"a": None}, TypeError),
        ({"a": [[b"x"]]}, TypeError),
        ({"a": 1.5}, TypeError),
    ],
)
def test_what_vici_cannot_carry_is_the_callers_error(message: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        push_message(message)


def test_packets_have_a_length_a_type_and_a_name_where_the_type_has_one() -> None:
    assert push_packet(Packet(PacketType.CMD_REQUEST, "version")) == b"\0\0\0\x09\0\x07version"
    assert push_packet(Packet(PacketType.EVENT_CONFIRM)) == b"\0\0\0\x01\x05"
    assert pull_packet(b"\x07\x03logabc") == Packet(PacketType.EVENT, "log", b"abc")
    assert pull_packet(b"\x01abc") == Packet(PacketType.CMD_RESPONSE, "", b"abc")


@pytest.mark.parametrize("data", [b"", b"\x08", b"\xff", b"\x00", b"\x00\x05abc", b"\x03\x02\xff\xff"])
def test_a_malformed_packet_is_refused(data: bytes) -> None:
    with pytest.raises(ViciError):
        pull_packet(data)


def test_a_packet_beyond_the_limit_is_not_sent() -> None:
    with pytest.raises(ValueError, match="VICI carries"):
        push_packet(Packet(PacketType.CMD_RESPONSE, "", bytes(MAX_PACKET)))


def test_a_value_reads_as_text_whatever_it_holds() -> None:
    assert text(b"yes") == "yes"
    assert text(b"\xff") == "\ufffd"
    assert text(None, "no") == "no"
    assert text([b"yes"]) == ""
