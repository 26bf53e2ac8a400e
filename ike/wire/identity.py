"""Identities: what a peer says it is (RFC 7296 section 3.5), read, printed and matched as strongSwan does."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network, summarize_address_range
from typing import TYPE_CHECKING, ClassVar

from .constants import IdType, PayloadType
from .names import count_wildcards, name_attributes, parse_name, print_name
from .payloads import IdPayload
from .selectors import Address

if TYPE_CHECKING:
    from cryptography.x509 import Name

ANY_TYPE = 0
IPV4_SUBNET, IPV6_SUBNET, IPV4_RANGE, IPV6_RANGE = 4, 6, 7, 8
"""IKEv1's identity types: in IKEv2 they never travel, but as a pattern they match addresses."""
_RANGES = frozenset((IPV4_SUBNET, IPV6_SUBNET, IPV4_RANGE, IPV6_RANGE))

MATCH_NONE = 0
MATCH_ANY = 1
MATCH_MAX_WILDCARDS = 2
MATCH_ONE_WILDCARD = 19
MATCH_PERFECT = 20

_ANY_WORDS = frozenset(("", "%any", "%any4", "%any6", "*", "0.0.0.0", "::", "0::0"))
_PREFIXES = {
    "ipv4": IdType.IPV4_ADDR,
    "ipv6": IdType.IPV6_ADDR,
    "fqdn": IdType.FQDN,
    "dns": IdType.FQDN,
    "rfc822": IdType.RFC822_ADDR,
    "email": IdType.RFC822_ADDR,
    "userfqdn": IdType.RFC822_ADDR,
    "asn1dn": IdType.DER_ASN1_DN,
    "asn1gn": IdType.DER_ASN1_GN,
    "keyid": IdType.KEY_ID,
}
_NETWORK_PREFIXES = frozenset(("ipv4net", "ipv6net", "ipv4range", "ipv6range"))
_STRINGS = frozenset((IdType.FQDN, IdType.RFC822_ADDR))


@dataclass(frozen=True, slots=True)
class Identity:
    """A type of RFC 7296 section 3.5 and its data. Type 0 without data is ``%any``: a pattern, never sent."""

    id_type: int
    data: bytes

    ANY: ClassVar[Identity]

    @classmethod
    def parse(cls, text: str) -> Identity:
        """An identity as a person writes it; any text is one, a malformed name at worst a KEY_ID.

        An address is one, ``CN=x, O=y`` a distinguished name, ``user@host`` an e-mail address, ``@host`` a domain name,
        ``@@user@host`` an e-mail address, ``@#0a1b`` a KEY_ID, ``%any`` matches all; ``fqdn:``, ``email:``, ``ipv4:``,
        ``ipv6:``, ``keyid:``, ``asn1dn:`` and their like force the type, with ``#`` and hex for the raw data. Anything
        else is a domain name.
        """
        text = text.strip()
        if text in _ANY_WORDS:
            return cls.ANY
        forced = _parse_prefixed(text)
        if forced is not None:
            return forced
        if "=" in text:
            name = parse_name(text)
            return cls(IdType.KEY_ID, text.encode()) if name is None else cls(IdType.DER_ASN1_DN, name)
        if text.startswith("@"):
            return _parse_at(text)
        if "@" in text:
            return cls(IdType.RFC822_ADDR, text.encode())
        numeric = _parse_numeric(text)
        if numeric is not None:
            return numeric
        return cls(IdType.KEY_ID if ":" in text else IdType.FQDN, text.encode())

    @classmethod
    def from_payload(cls, payload: IdPayload) -> Identity:
        """What an ID payload says."""
        return cls(payload.id_type, payload.data)

    def to_payload(self, kind: PayloadType) -> IdPayload:
        """The payload that says it; ``kind`` is ``ID_I`` or ``ID_R``."""
        return IdPayload(kind, self.id_type, self.data)

    @classmethod
    def of_address(cls, address: Address) -> Identity:
        """An address as identity."""
        return cls(IdType.IPV4_ADDR if address.version == 4 else IdType.IPV6_ADDR, address.packed)

    @classmethod
    def of_name(cls, name: Name) -> Identity:
        """A certificate's subject or issuer as identity."""
        return cls(IdType.DER_ASN1_DN, name.public_bytes())

    @property
    def is_any(self) -> bool:
        """Whether it matches every identity."""
        return self.id_type == ANY_TYPE

    @property
    def has_wildcards(self) -> bool:
        """Whether it is a pattern, so that nobody can be it."""
        if self.id_type == IdType.DER_ASN1_DN:
            return any(attribute.is_wildcard for attribute in name_attributes(self.data) or ())
        return self.is_any or self.id_type in _RANGES or self._star is not None

    @property
    def address(self) -> Address | None:
        """The address that it is, if it is one."""
        if self.id_type == IdType.IPV4_ADDR and len(self.data) == 4:
            return IPv4Address(self.data)
        if self.id_type == IdType.IPV6_ADDR and len(self.data) == 16:
            return IPv6Address(self.data)
        return None

    def matches(self, pattern: Identity) -> bool:
        """Whether a peer of this identity is one that ``pattern`` allows."""
        return self.match_score(pattern) > MATCH_NONE

    def match_score(self, pattern: Identity) -> int:
        """How well: 20 exactly, 19 and less with wildcards (the fewer the better), 1 for ``%any``, 0 not at all."""
        if pattern.is_any:
            return MATCH_ANY
        if pattern.id_type in _RANGES:
            return MATCH_PERFECT if self == pattern else self._match_range(pattern)
        if self.id_type != pattern.id_type:
            return MATCH_NONE
        if self.id_type == IdType.DER_ASN1_DN:
            wildcards = count_wildcards(self.data, pattern.data)
            if wildcards is None:
                return MATCH_NONE
            return MATCH_PERFECT if not wildcards else max(MATCH_MAX_WILDCARDS, MATCH_ONE_WILDCARD - (wildcards - 1))
        if self.id_type in _STRINGS:
            if self.data.lower() == pattern.data.lower():
                return MATCH_PERFECT
            suffix = pattern._star
            return MATCH_ONE_WILDCARD if suffix is not None and self.data.lower().endswith(suffix) else MATCH_NONE
        return MATCH_PERFECT if self.data == pattern.data else MATCH_NONE

    @property
    def _star(self) -> bytes | None:
        """What follows the star of ``*.example.org``, in lower case."""
        if self.id_type in _STRINGS and self.data.startswith(b"*"):
            return self.data[1:].lower()
        return None

    def _match_range(self, pattern: Identity) -> int:
        address, bounds = self.address, pattern._bounds()
        if address is None or bounds is None or bounds[0].version != address.version:
            return MATCH_NONE
        inside = int(bounds[0]) <= int(address) <= int(bounds[1])
        return MATCH_MAX_WILDCARDS if inside else MATCH_NONE

    def _bounds(self) -> tuple[Address, Address] | None:
        """First and last address of a subnet or range."""
        size = 4 if self.id_type in (IPV4_SUBNET, IPV4_RANGE) else 16
        if len(self.data) != 2 * size:
            return None
        first, second = ip_address(self.data[:size]), ip_address(self.data[size:])
        if self.id_type in (IPV4_SUBNET, IPV6_SUBNET):
            hosts = (1 << 8 * size) - 1 - int(second)
            second = ip_address((int(first) | hosts).to_bytes(size, "big"))
        return first, second

    def __str__(self) -> str:
        if self.is_any:
            return "%any"
        if self.id_type == IdType.NULL:
            return "ID_NULL"
        address = self.address
        if address is not None:
            return str(address)
        if self.id_type == IdType.DER_ASN1_DN:
            return print_name(self.data) or f"(invalid ID_DER_ASN1_DN: {self.data.hex()})"
        if self.id_type in _STRINGS:
            return _printable(self.data)
        if self.id_type in _RANGES:
            return self._print_range()
        if self.id_type == IdType.KEY_ID:
            text = _printable(self.data)
            return text if self.data and text.encode() == self.data else self.data.hex(":")
        return f"(unknown ID type {self.id_type}: {self.data.hex()})"

    def _print_range(self) -> str:
        bounds = self._bounds()
        if bounds is None:
            return f"(invalid ID type {self.id_type}: {self.data.hex()})"
        if self.id_type in (IPV4_RANGE, IPV6_RANGE):
            return f"{bounds[0]}-{bounds[1]}"
        return ", ".join(str(network) for network in summarize_address_range(*bounds))


Identity.ANY = Identity(ANY_TYPE, b"")


def _printable(data: bytes) -> str:
    """Text of unauthenticated bytes that is safe to log: what does not print becomes a question mark."""
    return "".join(c if c.isprintable() else "?" for c in data.decode("utf-8", "replace").replace("\ufffd", "?"))


def _parse_prefixed(text: str) -> Identity | None:
    """``fqdn:moon`` and the like; ``None`` where no known prefix stands in front, or its data does not fit it."""
    prefix, colon, rest = text.partition(":")
    prefix = prefix.lower()
    if not colon:
        return None
    if prefix in _NETWORK_PREFIXES:
        return _parse_numeric(rest)
    if prefix.startswith("{") and prefix.endswith("}") and prefix[1:-1].isascii() and prefix[1:-1].isdigit():
        number = int(prefix[1:-1])
        return Identity(number, _raw(rest)) if number < 256 else None
    kind = _PREFIXES.get(prefix)
    if kind is None:
        return None
    if not rest.startswith("#"):
        if kind == IdType.DER_ASN1_DN:
            name = parse_name(rest)
            return None if name is None else Identity(kind, name)
        if kind in (IdType.IPV4_ADDR, IdType.IPV6_ADDR):
            numeric = _parse_numeric(rest)
            return numeric if numeric is not None and numeric.id_type == kind else None
    return Identity(kind, _raw(rest))


def _parse_at(text: str) -> Identity:
    if text.startswith("@#"):
        try:
            return Identity(IdType.KEY_ID, bytes.fromhex(text[2:].replace(":", "")))
        except ValueError:
            return Identity(IdType.FQDN, text[1:].encode())
    if text.startswith("@@"):
        return Identity(IdType.RFC822_ADDR, text[2:].encode())
    return Identity(IdType.FQDN, text[1:].encode())


def _parse_numeric(text: str) -> Identity | None:
    """An address, a subnet or a range."""
    try:
        if "/" in text:
            network = ip_network(text, strict=False)
            data = network.network_address.packed + network.netmask.packed
            return Identity(IPV4_SUBNET if network.version == 4 else IPV6_SUBNET, data)
        if "-" in text:
            first, last = (ip_address(part.strip()) for part in text.split("-", 1))
            if first.version != last.version or int(first) > int(last):
                return None
            return Identity(IPV4_RANGE if first.version == 4 else IPV6_RANGE, first.packed + last.packed)
        return Identity.of_address(ip_address(text))
    except ValueError:
        return None


def _raw(text: str) -> bytes:
    """The data after a prefix: hex behind ``#``, else the characters."""
    if text.startswith("#"):
        try:
            return bytes.fromhex(text[1:].replace(":", ""))
        except ValueError:
            return text.encode()
    return text.encode()
