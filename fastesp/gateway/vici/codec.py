"""VICI's bytes: packets and the messages inside them, as strongSwan's public description of the protocol gives them.

A message is a tree: sections (``dict``), values (``bytes``) and lists of values, each with a name of at most 255 bytes.
Order is kept. Numbers travel as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

MAX_PACKET = 512 * 1024
"""Bytes of one packet: strongSwan's limit, which its clients hold us to as well."""

MAX_DEPTH = 32
"""Sections within sections; a connection has four."""

MAX_NAME = 255
MAX_VALUE = 65535

Value = bytes | list[bytes] | dict[str, "Value"]
Message = dict[str, Value]


class PacketType(IntEnum):
    """The first byte of every packet."""

    CMD_REQUEST = 0
    CMD_RESPONSE = 1
    CMD_UNKNOWN = 2
    EVENT_REGISTER = 3
    EVENT_UNREGISTER = 4
    EVENT_CONFIRM = 5
    EVENT_UNKNOWN = 6
    EVENT = 7


NAMED = frozenset((PacketType.CMD_REQUEST, PacketType.EVENT_REGISTER, PacketType.EVENT_UNREGISTER, PacketType.EVENT))


class ElementType(IntEnum):
    """The first byte of every element of a message."""

    SECTION_START = 1
    SECTION_END = 2
    KEY_VALUE = 3
    LIST_START = 4
    LIST_ITEM = 5
    LIST_END = 6


class ViciError(Exception):
    """The bytes are no VICI packet: the message says what is wrong and where."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet, less its length. ``name`` is empty where the type has none."""

    type: PacketType
    name: str = ""
    message: bytes = b""


def pull_packet(data: bytes) -> Packet:
    """A packet from the bytes that its length announced; raises :class:`ViciError`."""
    if not data:
        raise ViciError("an empty packet")
    try:
        kind = PacketType(data[0])
    except ValueError:
        raise ViciError(f"packet type {data[0]} does not exist") from None
    if kind not in NAMED:
        return Packet(kind, "", data[1:])
    name, start = _pull_name(data, 1)
    return Packet(kind, name, data[start:])


def push_packet(packet: Packet) -> bytes:
    """A packet with its length in front; raises :class:`ValueError` where it is too large."""
    body = bytes((packet.type,))
    if packet.type in NAMED:
        body += _push_name(packet.name)
    size = len(body) + len(packet.message)
    if size > MAX_PACKET:
        raise ValueError(f"a packet of {size} bytes; VICI carries {MAX_PACKET}")
    return size.to_bytes(4, "big") + body + packet.message


def pull_message(data: bytes) -> Message:
    """The tree that ``data`` encodes; raises :class:`ViciError` for anything that is not exactly one."""
    root: Message = {}
    open_sections: list[Message] = [root]
    position = 0
    while position < len(data):
        kind = data[position]
        section = open_sections[-1]
        if kind == ElementType.SECTION_START:
            name, position = _pull_key(data, position + 1, section)
            if len(open_sections) > MAX_DEPTH:
                raise ViciError(f"sections deeper than {MAX_DEPTH} at offset {position}")
            inner: Message = {}
            section[name] = inner
            open_sections.append(inner)
        elif kind == ElementType.SECTION_END:
            if len(open_sections) == 1:
                raise ViciError(f"a section ends at offset {position} that never started")
            open_sections.pop()
            position += 1
        elif kind == ElementType.KEY_VALUE:
            name, position = _pull_key(data, position + 1, section)
            section[name], position = _pull_value(data, position)
        elif kind == ElementType.LIST_START:
            name, position = _pull_key(data, position + 1, section)
            section[name], position = _pull_list(data, position)
        else:
            raise ViciError(f"element type {kind} at offset {position} does not belong there")
    if len(open_sections) > 1:
        raise ViciError(f"{len(open_sections) - 1} sections never end")
    return root


def push_message(message: Mapping[str, object]) -> bytes:
    """The bytes of a tree of mappings, lists or tuples, and values: ``bytes``, text, integers, truths as yes and no.

    Raises :class:`ValueError` for a name or value that is too long, :class:`TypeError` for what VICI cannot carry.
    """
    out = bytearray()
    _push_section(out, message, 0)
    return bytes(out)


def text(value: object, default: str = "") -> str:
    """A value as text: what is no UTF-8 is replaced, what is no value at all gives ``default``."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else default


def _pull_name(data: bytes, start: int) -> tuple[str, int]:
    if start >= len(data):
        raise ViciError(f"a name is missing at offset {start}")
    end = start + 1 + data[start]
    if end > len(data):
        raise ViciError(f"the name at offset {start} is cut off")
    try:
        return data[start + 1 : end].decode(), end
    except UnicodeDecodeError:
        raise ViciError(f"the name at offset {start} is not text") from None


def _pull_key(data: bytes, start: int, section: Message) -> tuple[str, int]:
    """A name that its section does not have yet."""
    name, end = _pull_name(data, start)
    if name in section:
        raise ViciError(f"the key at offset {start} is there twice")
    return name, end


def _pull_value(data: bytes, start: int) -> tuple[bytes, int]:
    if start + 2 > len(data):
        raise ViciError(f"a value is missing at offset {start}")
    end = start + 2 + int.from_bytes(data[start : start + 2], "big")
    if end > len(data):
        raise ViciError(f"the value at offset {start} is cut off")
    return data[start + 2 : end], end


def _pull_list(data: bytes, start: int) -> tuple[list[bytes], int]:
    items: list[bytes] = []
    position = start
    while position < len(data):
        if data[position] == ElementType.LIST_END:
            return items, position + 1
        if data[position] != ElementType.LIST_ITEM:
            raise ViciError(f"element type {data[position]} at offset {position} inside a list")
        item, position = _pull_value(data, position + 1)
        items.append(item)
    raise ViciError(f"the list at offset {start} never ends")


def _push_section(out: bytearray, section: Mapping[str, object], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"sections deeper than {MAX_DEPTH}")
    for name, value in section.items():
        if isinstance(value, Mapping):
            out.append(ElementType.SECTION_START)
            out += _push_name(name)
            _push_section(out, value, depth + 1)
            out.append(ElementType.SECTION_END)
        elif isinstance(value, list | tuple):
            out.append(ElementType.LIST_START)
            out += _push_name(name)
            for item in value:
                out.append(ElementType.LIST_ITEM)
                out += _push_value(name, item)
            out.append(ElementType.LIST_END)
        else:
            out.append(ElementType.KEY_VALUE)
            out += _push_name(name)
            out += _push_value(name, value)


def _push_name(name: str) -> bytes:
    encoded = name.encode()
    if len(encoded) > MAX_NAME:
        raise ValueError(f"a name of {len(encoded)} bytes; VICI carries {MAX_NAME}")
    return bytes((len(encoded),)) + encoded


def _push_value(name: str, value: object) -> bytes:
    if isinstance(value, bool):
        encoded = b"yes" if value else b"no"
    elif isinstance(value, bytes | bytearray | memoryview):
        encoded = bytes(value)
    elif isinstance(value, str):
        encoded = value.encode()
    elif isinstance(value, int):
        encoded = b"%d" % value
    else:
        raise TypeError(f"{name}: VICI carries no {type(value).__name__}")
    if len(encoded) > MAX_VALUE:
        raise ValueError(f"{name}: a value of {len(encoded)} bytes; VICI carries {MAX_VALUE}")
    return len(encoded).to_bytes(2, "big") + encoded
