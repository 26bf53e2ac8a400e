"""Readers of single values: text in, typed value out, :class:`BadValueError` with what to write instead.

Units and spellings are those that strongSwan reads, so that a file means the same to both.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ike.errors import IkeError
from ike.wire.identity import Identity

from .problems import did_you_mean

SECOND_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
BYTE_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

MARK_UNIQUE = 0xFFFFFFFF
"""``%unique`` in place of a mark or an interface id: one of its own for each CHILD_SA."""
MARK_UNIQUE_DIR = 0xFFFFFFFE
"""``%unique-dir``: one of its own for each CHILD_SA and direction."""
MARK_SAME = MARK_UNIQUE
"""``%same`` in ``set_mark_in`` and ``set_mark_out``: the value of ``mark_in`` or ``mark_out``."""
TFC_MTU = -1
"""``tfc_padding = mtu``: pad to the path MTU."""

_UNSIGNED = re.compile(r"0|[1-9][0-9]*|0[xX][0-9a-fA-F]+")
_UNIT = re.compile(r"([0-9][0-9a-fA-FxX]*?) *([a-zA-Z]?)")


class BadValueError(ValueError):
    """A text that is none of the values a key takes."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


@dataclass(frozen=True, slots=True)
class Kind:
    """What a key takes. ``secret`` values never appear in a message; ``blob`` ones are files, or bytes of VICI."""

    label: str
    read: Callable[[str], Any]
    secret: bool = False
    blob: bool = False


def unsigned(bits: int) -> Callable[[str], int]:
    """Decimal, or hexadecimal with ``0x``, that fits into ``bits`` bits."""

    def read(text: str) -> int:
        if not _UNSIGNED.fullmatch(text):
            octal = text.startswith("0") and text.isdigit()
            hint = "without the leading zero, which stands for octal" if octal else "a number such as 100 or 0x64"
            raise BadValueError(f"'{text}' is no number", hint)
        value = int(text, 0)
        if value >> bits:
            raise BadValueError(f"'{text}' is too large", f"at most {(1 << bits) - 1}")
        return value

    return read


def with_unit(units: Mapping[str, int], example: str) -> Callable[[str], int]:
    """A number and one of ``units``."""

    def read(text: str) -> int:
        match = _UNIT.fullmatch(text)
        if match is None or match[2].lower() not in units or not _UNSIGNED.fullmatch(match[1]):
            names = ", ".join(unit for unit in units if unit)
            raise BadValueError(f"'{text}' is not {example}", f"a number with one of the units {names}")
        value = int(match[1], 0) * units[match[2].lower()]
        if value >> 63:
            raise BadValueError(f"'{text}' is too large", "at most 2^63 - 1")
        return value

    return read


def boolean(text: str) -> bool:
    """``yes`` or ``no``, in the four spellings of each."""
    known = {
        "yes": True,
        "true": True,
        "enabled": True,
        "1": True,
        "no": False,
        "false": False,
        "disabled": False,
        "0": False,
    }
    value = known.get(text.lower())
    if value is None:
        raise BadValueError(f"'{text}' is neither yes nor no", did_you_mean(text, ("yes", "no")) or "yes or no")
    return value


def one_of(*words: str, **others: str) -> Kind:
    """One of ``words``; ``others`` are further spellings of one of them."""
    spellings = {word: word for word in words} | others

    def read(text: str) -> str:
        value = spellings.get(text.lower())
        if value is None:
            hint = did_you_mean(text, words) or "one of " + ", ".join(words)
            raise BadValueError(f"'{text}' is not known here", hint)
        return value

    return Kind(" \\| ".join(f"`{word}`" for word in words), read)


def start_action(text: str) -> str:
    """``none``, ``start``, ``trap``, or the two together in either order."""
    words = {"route": "trap", "restart": "start", "clear": "none"}
    parts = sorted(words.get(part.strip().lower(), part.strip().lower()) for part in text.split("|"))
    joined = "trap|start" if parts == ["start", "trap"] else parts[0] if len(parts) == 1 else ""
    known = ("none", "start", "trap", "trap|start")
    if joined not in known:
        raise BadValueError(f"'{text}' is not known here", did_you_mean(text, known) or "one of " + ", ".join(known))
    return joined


def offload(text: str) -> str:
    """Where an SA goes: strongSwan's words, and a device or a data plane by name."""
    head, colon, device = text.partition(":")
    words = ("no", "yes", "auto", "crypto", "packet", "kernel", "userspace")
    if head.lower() not in words or (colon and (head.lower() not in ("crypto", "packet") or not device)):
        hint = (
            did_you_mean(head, words) or "no, yes, auto, crypto, packet, crypto:eth0, packet:eth0, kernel or userspace"
        )
        raise BadValueError(f"'{text}' is not known here", hint)
    return head.lower() + colon + device


def per_cpu(text: str) -> int:
    """How many CHILD_SAs share a pair of selectors; -1 stands for one a worker."""
    if text.lower() == "encap":
        raise BadValueError("'encap' is refused: packets reach their worker by SPI, not by UDP port", "write yes")
    return unsigned(16)(text) if text[:1].isdigit() else -int(boolean(text))


def dscp(text: str) -> int:
    """Six binary digits."""
    if not re.fullmatch("[01]{1,6}", text):
        raise BadValueError(f"'{text}' is not six binary digits", "e.g. 101110 for expedited forwarding")
    return int(text, 2)


def interface_id(text: str) -> int:
    """An XFRM interface id, ``%unique`` or ``%unique-dir``."""
    special = {"%unique": MARK_UNIQUE, "%unique-dir": MARK_UNIQUE_DIR}
    if text.startswith("%"):
        if text not in special:
            raise BadValueError(f"'{text}' is not known here", did_you_mean(text, special))
        return special[text]
    return unsigned(32)(text)


def mark(*special: str) -> Callable[[str], tuple[int, int]]:
    """``value[/mask]`` or one of the ``special`` words as the value; the mask is all ones where it is left out."""
    words = {"%unique": MARK_UNIQUE, "%unique-dir": MARK_UNIQUE_DIR, "%same": MARK_SAME}

    def read(text: str) -> tuple[int, int]:
        head, slash, tail = text.partition("/")
        mask = unsigned(32)(tail) if slash else 0xFFFFFFFF
        if head.startswith("%"):
            if head not in special:
                raise BadValueError(f"'{head}' is not known here", did_you_mean(head, special))
            return words[head], mask
        return unsigned(32)(head) & mask, mask

    return read


def tfc(text: str) -> int:
    """A packet size in bytes, or ``mtu``."""
    return TFC_MTU if text.lower() == "mtu" else unsigned(16)(text)


def port(text: str) -> int:
    """A UDP port."""
    value = unsigned(16)(text)
    if not value:
        raise BadValueError("'0' is no port", "500, or a port of your own")
    return value


def identity(text: str) -> Identity:
    """An IKE identity, its type taken from its form (see :meth:`ike.wire.identity.Identity.parse`)."""
    try:
        return Identity.parse(text)
    except (ValueError, IkeError) as error:
        hint = getattr(error, "hint", "") or 'an address, a name, an e-mail address or a DN such as "C=CH, CN=site-a"'
        raise BadValueError(f"'{text}' is no identity: {error}", hint) from None


def oid(text: str) -> str:
    """A dotted object identifier."""
    if not re.fullmatch(r"[0-2](\.(0|[1-9][0-9]*))+", text):
        raise BadValueError(f"'{text}' is no object identifier", "dotted numbers such as 1.3.6.1.4.1.1")
    return text


def plain(text: str) -> str:
    """Any text without control characters."""
    if not text.isprintable():
        raise BadValueError("control characters in the value", "remove them")
    return text


def uri(*schemes: str) -> Callable[[str], str]:
    """A URI of one of ``schemes``."""

    def read(text: str) -> str:
        if text.partition("://")[0].lower() not in schemes or not text.isprintable() or " " in text:
            raise BadValueError(f"'{text}' is no {' or '.join(schemes)} URI", f"e.g. {schemes[0]}://pki.example.org/ca")
        return text

    return read


def secret_bytes(text: str) -> bytes:
    """A secret: hexadecimal behind ``0x``, Base64 behind ``0s``, else the text itself. Messages never repeat it."""
    head, rest = text[:2].lower(), text[2:]
    try:
        if head == "0x":
            # As strongSwan reads it: a group of an odd number of digits lacks a zero in front.
            value = b"".join(bytes.fromhex("0" * (len(group) % 2) + group) for group in rest.split(":"))
        elif head == "0s":
            value = base64.b64decode(rest.rstrip("=") + "=" * (-len(rest.rstrip("=")) % 4), validate=True)
        else:
            value = text.encode()
    except (ValueError, binascii.Error):
        name = "hexadecimal (it begins with 0x)" if head == "0x" else "Base64 (it begins with 0s)"
        raise BadValueError(
            f"the secret is not valid {name}", "mend it; a text that begins so is written as 0x or 0s too"
        ) from None
    if not value:
        raise BadValueError("the secret is empty", "write the secret behind '='")
    return value


def text_or_bytes(item: str | bytes) -> str:
    """The text of an item: VICI sends UTF-8."""
    if isinstance(item, str):
        return item
    try:
        return item.decode()
    except UnicodeDecodeError:
        raise BadValueError("the value is not UTF-8", "send text") from None


TIME = Kind("time", with_unit(SECOND_UNITS, "a time such as 30s, 5m, 1h or 1d"))
BYTES = Kind("bytes", with_unit(BYTE_UNITS, "a size such as 500M or 1G"))
COUNT = Kind("count", unsigned(63))
NUMBER = Kind("number", unsigned(32))
BOOLEAN = Kind("`yes` \\| `no`", boolean)
PORT = Kind("port", port)
TEXT = Kind("text", plain)
IDENTITY = Kind("identity", identity)
SECRET = Kind("secret", secret_bytes, secret=True)
PASSPHRASE = Kind("secret", str.encode, secret=True)
DSCP = Kind("six binary digits", dscp)
INTERFACE_ID = Kind("number, `%unique` or `%unique-dir`", interface_id)
MARK = Kind("mark[/mask]", mark("%unique", "%unique-dir"))
SET_MARK = Kind("mark[/mask]", mark("%same"))
TFC = Kind("bytes or `mtu`", tfc)
START_ACTION = Kind("`none` \\| `start` \\| `trap` \\| `trap\\|start`", start_action)
OFFLOAD = Kind("`no` \\| `yes` \\| `auto` \\| `crypto[:dev]` \\| `packet[:dev]` \\| `kernel` \\| `userspace`", offload)
PER_CPU = Kind("`yes` \\| `no` \\| number", per_cpu)
OID = Kind("object identifier", oid)
CRL_URI = Kind("URI", uri("http", "https", "ldap", "file"))
HTTP_URI = Kind("URI", uri("http", "https"))
