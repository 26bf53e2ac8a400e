"""Distinguished names: text as strongSwan writes it, DER, and comparison RDN by RDN (RFC 5280 section 4.1.2.4).

Names come from certificates and ID payloads of peers nobody has authenticated yet, so reading them is checked like
any other codec; what is no name at all reads as ``None``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

SEQUENCE, SET, OBJECT_ID = 0x30, 0x31, 0x06
UTF8_STRING, PRINTABLE_STRING, TELETEX_STRING, IA5_STRING = 0x0C, 0x13, 0x14, 0x16
UNIVERSAL_STRING, BMP_STRING = 0x1C, 0x1E

ENCODINGS = {
    UTF8_STRING: "utf-8",
    PRINTABLE_STRING: "ascii",
    TELETEX_STRING: "latin-1",
    IA5_STRING: "ascii",
    UNIVERSAL_STRING: "utf-32-be",
    BMP_STRING: "utf-16-be",
}
PRINTABLE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?")
MAX_ATTRIBUTES = 64
SHORT_NAME, LONG_NAME = 512, 4096
"""Bytes of names that are remembered once read: most are short."""

KEYWORDS: dict[str, str] = {
    "CN": "2.5.4.3",
    "SN": "2.5.4.4",
    "serialNumber": "2.5.4.5",
    "C": "2.5.4.6",
    "L": "2.5.4.7",
    "ST": "2.5.4.8",
    "STREET": "2.5.4.9",
    "O": "2.5.4.10",
    "OU": "2.5.4.11",
    "T": "2.5.4.12",
    "D": "2.5.4.13",
    "postalAddress": "2.5.4.16",
    "postalCode": "2.5.4.17",
    "N": "2.5.4.41",
    "G": "2.5.4.42",
    "I": "2.5.4.43",
    "ID": "2.5.4.45",
    "dnQualifier": "2.5.4.46",
    "dmdName": "2.5.4.54",
    "pseudonym": "2.5.4.65",
    "E": "1.2.840.113549.1.9.1",
    "unstructuredName": "1.2.840.113549.1.9.2",
    "unstructuredAddress": "1.2.840.113549.1.9.8",
    "DC": "0.9.2342.19200300.100.1.25",
    "UID": "0.9.2342.19200300.100.1.1",
    "employeeNumber": "2.16.840.1.113730.3.1.3",
    "ND": "0.2.262.1.10.7.20",
    "TCGID": "1.3.6.1.4.1.1201.1.1.2.2.75",
}
"""What strongSwan prints and reads (SN is the surname); letter case does not count. Dotted numbers are read too."""

ALIASES = {
    "EMAIL": "E",
    "EMAILADDRESS": "E",
    "EN": "employeeNumber",
    "UN": "unstructuredName",
    "UA": "unstructuredAddress",
}

_BY_KEYWORD = {keyword.upper(): oid for keyword, oid in KEYWORDS.items()}
_BY_KEYWORD.update({alias: KEYWORDS[keyword] for alias, keyword in ALIASES.items()})
_BY_OID = {oid: keyword for keyword, oid in KEYWORDS.items()}
_IA5_ONLY = frozenset((KEYWORDS["E"], KEYWORDS["unstructuredName"]))


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a name. ``tag`` is the string's ASN.1 type, ``value`` its content as encoded."""

    oid: str
    tag: int
    value: bytes

    @property
    def text(self) -> str | None:
        """The value as characters; ``None`` where it is no string, or does not hold what its type promises."""
        encoding = ENCODINGS.get(self.tag)
        if encoding is None:
            return None
        try:
            return self.value.decode(encoding)
        except UnicodeDecodeError:
            return None

    @property
    def is_wildcard(self) -> bool:
        """Whether any value matches in a pattern."""
        return self.text == "*"

    def same_value(self, other: Attribute) -> bool:
        """Whether both hold the same characters: string type, letter case and repeated spaces do not count."""
        if self.oid != other.oid:
            return False
        ours, theirs = self.text, other.text
        if ours is None or theirs is None:
            return (self.tag, self.value) == (other.tag, other.value)
        return " ".join(ours.split()).casefold() == " ".join(theirs.split()).casefold()

    def __str__(self) -> str:
        text = self.text
        return f"{_BY_OID.get(self.oid, self.oid)}={_escape(text) if text is not None else '#' + self.value.hex()}"


class _Element(NamedTuple):
    """One DER element; ``end`` is where the next begins."""

    tag: int
    value: bytes
    end: int


def parse_name(text: str) -> bytes | None:
    """DER of a name written ``C=CH, O=x, CN=y`` or ``/C=CH/O=x/CN=y``; ``None`` where it is neither.

    Backslash and double quotes protect a separator; the value ``*`` is a wildcard.
    """
    separator = "/" if text.lstrip().startswith("/") else ","
    relative: list[bytes] = []
    for part in _split(text.strip().removeprefix("/") if separator == "/" else text, separator):
        keyword, equals, value = part.partition("=")
        keyword = keyword.strip()
        oid = _BY_KEYWORD.get(keyword.upper()) or (keyword if _is_oid(keyword) else None)
        if not equals or oid is None:
            return None
        attribute = _encode_attribute(oid, value.strip(" \t"))
        if attribute is None:
            return None
        relative.append(_der(SET, attribute))
    return _der(SEQUENCE, b"".join(relative)) if 0 < len(relative) <= MAX_ATTRIBUTES else None


def name_attributes(der: bytes) -> tuple[Attribute, ...] | None:
    """The attributes of a DER name, in order; ``None`` where it is malformed."""
    if len(der) <= SHORT_NAME:
        return _of_short_name(der)
    return _of_long_name(der) if len(der) <= LONG_NAME else _attributes(der)


def _attributes(der: bytes) -> tuple[Attribute, ...] | None:
    outer = _pull(der, 0)
    if outer is None or outer.tag != SEQUENCE or outer.end != len(der):
        return None
    found: list[Attribute] = []
    for relative in _elements(outer.value):
        if relative is None or relative.tag != SET:
            return None
        for pair in _elements(relative.value):
            attribute = None if pair is None or pair.tag != SEQUENCE else _pull_attribute(pair.value)
            if attribute is None or len(found) == MAX_ATTRIBUTES:
                return None
            found.append(attribute)
    return tuple(found)


# A peer's name is held against that of each connection. What strangers make us remember is bounded by the sizes.
_of_short_name = lru_cache(maxsize=8192)(_attributes)
_of_long_name = lru_cache(maxsize=64)(_attributes)


def print_name(der: bytes) -> str | None:
    """A DER name as strongSwan prints it; ``None`` where it is malformed."""
    attributes = name_attributes(der)
    return None if attributes is None else ", ".join(str(attribute) for attribute in attributes)


def count_wildcards(name: bytes, pattern: bytes) -> int | None:
    """How many wildcards ``pattern`` needs to match ``name``, RDN by RDN in order; ``None`` where it does not match."""
    ours, theirs = name_attributes(name), name_attributes(pattern)
    if ours is None or theirs is None or len(ours) != len(theirs):
        return 0 if name == pattern else None
    wildcards = 0
    for have, want in zip(ours, theirs, strict=True):
        if have.oid == want.oid and want.is_wildcard:
            wildcards += 0 if have.is_wildcard else 1
        elif not have.same_value(want):
            return None
    return wildcards


def _pull_attribute(content: bytes) -> Attribute | None:
    oid = _pull(content, 0)
    if oid is None or oid.tag != OBJECT_ID:
        return None
    value = _pull(content, oid.end)
    dotted = _decode_oid(oid.value)
    if value is None or value.end != len(content) or dotted is None:
        return None
    return Attribute(dotted, value.tag, value.value)


def _encode_attribute(oid: str, value: str) -> bytes | None:
    """A SEQUENCE of type and value, with the narrowest string type that holds the value."""
    encoded_oid = _encode_oid(oid)
    if encoded_oid is None:
        return None
    plain = _unescape(value)
    if oid in _IA5_ONLY and plain.isascii():
        tag = IA5_STRING
    else:
        tag = PRINTABLE_STRING if all(character in PRINTABLE for character in plain) else UTF8_STRING
    try:
        content = plain.encode(ENCODINGS[tag])
    except UnicodeEncodeError:
        return None
    return _der(SEQUENCE, _der(OBJECT_ID, encoded_oid) + _der(tag, content))


def _split(text: str, separator: str) -> list[str]:
    """The parts between separators that neither a backslash nor quotes protect; empty ones are left out."""
    parts: list[str] = [""]
    quoted = escaped = False
    for character in text:
        if not escaped and not quoted and character == separator:
            parts.append("")
            continue
        if character == '"' and not escaped:
            quoted = not quoted
        escaped = character == "\\" and not escaped
        parts[-1] += character
    return [part for part in parts if part.strip()]


def _unescape(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    out: list[str] = []
    escaped = False
    for character in value:
        if character == "\\" and not escaped:
            escaped = True
            continue
        out.append(character)
        escaped = False
    return "".join(out)


def _escape(text: str) -> str:
    """So that no value passes for another attribute; what no terminal should see becomes a question mark."""
    return "".join("\\" + c if c in ',\\"' else c if c.isprintable() else "?" for c in text)


def _is_oid(text: str) -> bool:
    arcs = text.split(".")
    return len(arcs) > 1 and all(arc.isascii() and arc.isdigit() and len(arc) < 16 for arc in arcs)


def _encode_oid(oid: str) -> bytes | None:
    arcs = [int(arc) for arc in oid.split(".")]
    if arcs[0] > 2 or (arcs[0] < 2 and arcs[1] > 39):
        return None
    out = bytearray()
    for arc in (arcs[0] * 40 + arcs[1], *arcs[2:]):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        out += bytes(reversed(groups))
    return bytes(out)


def _decode_oid(content: bytes) -> str | None:
    if not content or content[-1] & 0x80 or len(content) > 64:
        return None
    arcs: list[int] = []
    arc = 0
    for byte in content:
        arc = arc << 7 | byte & 0x7F
        if not byte & 0x80:
            arcs.append(arc)
            arc = 0
    top = min(arcs[0] // 40, 2)
    return ".".join(str(a) for a in (top, arcs[0] - 40 * top, *arcs[1:]))


def _der(tag: int, content: bytes) -> bytes:
    """One DER element."""
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _pull(data: bytes, start: int) -> _Element | None:
    """The DER element at ``start``; ``None`` where there is no whole one."""
    if len(data) - start < 2:
        return None
    tag, length, position = data[start], data[start + 1], start + 2
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 3 or len(data) - position < size:
            return None
        length = int.from_bytes(data[position : position + size], "big")
        position += size
    if length > len(data) - position:
        return None
    return _Element(tag, data[position : position + length], position + length)


def _elements(data: bytes) -> list[_Element | None]:
    """The elements that ``data`` is made of; the last is ``None`` where something else follows."""
    found: list[_Element | None] = []
    position = 0
    while position < len(data):
        element = _pull(data, position)
        found.append(element)
        if element is None:
            break
        position = element.end
    return found
