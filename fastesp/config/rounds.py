"""``local`` and ``remote`` sections: how each side proves who it is."""

from __future__ import annotations

import re
from typing import Protocol

from cryptography.x509 import Certificate

from ike.config import AuthRound

from .problems import Place, Problems, did_you_mean
from .reading import Item, Values
from .schema import IKEV1, NO_EAP

MOST_ROUNDS = 8
"""Each costs both sides an exchange and a signature before anything passes."""
_KEY_TYPE = re.compile(r"(?:ike:)?(pubkey|rsa|rsa/pss|ecdsa|ed25519|ed448)")
_HASHES = ("sha1", "sha224", "sha256", "sha384", "sha512", "identity")
_WORDS = ("pubkey", "psk", "null", "rsa", "ecdsa", "ed25519", "ed448", "eap", "xauth", "ike:pubkey")


class CertificateSource(Protocol):
    """Turns what ``certs``, ``cacerts`` and ``pubkeys`` hold into certificates and keys."""

    def certificate(self, item: Item, kind: str) -> Certificate | None:
        """The certificate an item names or is; a problem is noted where there is none."""
        ...

    def public_key(self, item: Item) -> bytes | None:
        """The SubjectPublicKeyInfo (DER) of a raw public key."""
        ...


def auth_rounds(connection: Values, side: str, source: CertificateSource, problems: Problems) -> tuple[AuthRound, ...]:
    """The rounds of one side (``local`` or ``remote``), sorted by ``round``, else in the order of writing.

    A side without a section authenticates as strongSwan's does: with a certificate, as anybody.
    """
    sections = round_sections(connection, side)
    if len(sections) > MOST_ROUNDS:
        hint = "keep those that the peer has too"
        problems.add(sections[MOST_ROUNDS].at, f"more than {MOST_ROUNDS} {side} rounds", hint, code="config-value")
    return tuple(_round(section, side, source, problems) for section in sections) or (AuthRound(),)


def round_sections(connection: Values, side: str) -> list[Values]:
    """The sections of one side in the order of their rounds."""
    return sorted(connection.below(side), key=lambda section: section.get("round", 0))


def _round(section: Values, side: str, source: CertificateSource, problems: Problems) -> AuthRound:
    auth, detail = _method(section, problems)
    certs = [*section.items("certs")]
    cacerts = [*section.items("cacerts")]
    for below in section.below("cert"):
        certs += below.items("file")
    for below in section.below("cacert"):
        cacerts += below.items("file")
    chosen = tuple(found for item in certs if (found := source.certificate(item, "x509")) is not None)
    anchors = tuple(found for item in cacerts if (found := source.certificate(item, "x509ca")) is not None)
    keys = tuple(key for item in section.items("pubkeys") if (key := source.public_key(item)) is not None)
    of_certificates = ("certs", "cacerts", "pubkeys", "ca_id", "cert_policy", "revocation")
    if auth not in ("", "pubkey"):
        _unused(section, auth, of_certificates, problems)
    if side == "remote" and chosen and anchors:
        hint = "certs alone decides: remove cacerts"
        problems.warn(section.place("cacerts"), "'certs' already names the only certificates accepted", hint)
    return AuthRound(
        auth=auth,
        auth_detail=detail,
        id=section.get("id"),
        certs=chosen,
        cacerts=anchors,
        ca_id=section.get("ca_id"),
        cert_policy=section.all("cert_policy"),
        revocation=section.get("revocation", "relaxed"),
        pubkeys=keys,
        round=section.get("round", 0),
        section=section.name,
    )


def _unused(section: Values, auth: str, keys: tuple[str, ...], problems: Problems) -> None:
    for key in keys:
        if key in section:
            hint = "remove the line, or write auth = pubkey"
            problems.warn(section.place(key), f"'{key}' has no effect with auth = {auth}", hint)


def _method(section: Values, problems: Problems) -> tuple[str, str]:
    """``auth`` in its two parts: the method (empty where it is none), and the constraints on signatures as written."""
    items = section.items("auth")
    if not items:
        return "pubkey", ""
    text, at = items[0].text.strip(), items[0].at
    word = text.lower()
    if word in ("psk", "null"):
        if word == "null":
            hint = "fit for opportunistic encryption only"
            problems.warn(at, "auth = null proves nothing about this side (RFC 7619)", hint, code="config-weak")
        return word, ""
    if word.startswith("xauth"):
        problems.add(at, f"auth = {text} is refused: {IKEV1}", "use psk, pubkey or eap", code="config-refused")
    elif re.fullmatch(r"eap(-[a-z0-9-]+)?(:.*)?", word):
        problems.add(at, f"auth = {text} is refused: {NO_EAP}", "use psk or pubkey", code="config-refused")
    elif _KEY_TYPE.match(word):
        _constraints(word, at, problems)
        return "pubkey", "" if word == "pubkey" else text
    else:
        hint = did_you_mean(text, _WORDS) or "psk, pubkey, or pubkey with constraints such as rsa-3072-sha256"
        problems.add(at, f"auth: '{text}' is not known", hint, code="config-value")
    return "", ""


def _constraints(text: str, at: Place, problems: Problems) -> None:
    """``rsa-2048-sha256-ecdsa-256``: a key type, then sizes and hashes for it, and so on."""
    offset, sized = 0, False
    for token in text.split("-"):
        here = Place(at.file, at.line, at.column + offset if at.line else 0)
        offset += len(token) + 1
        kind = _KEY_TYPE.fullmatch(token)
        if kind:
            sized = kind[1] in ("rsa", "rsa/pss", "ecdsa")
        elif token.isdigit():
            if not sized:
                problems.add(
                    here, f"auth: no size belongs to '{token}'", "sizes follow rsa or ecdsa", code="config-value"
                )
        elif token == "bliss":
            problems.add(
                here, "auth: BLISS keys are refused: the scheme was withdrawn", "use ed25519", code="config-refused"
            )
        elif token not in _HASHES:
            hint = did_you_mean(token, (*_HASHES, "pubkey", "rsa", "ecdsa")) or "e.g. sha256"
            problems.add(here, f"auth: '{token}' is neither a key type nor a hash", hint, code="config-value")
        elif token == "sha1":
            hint = "sha256 or better"
            problems.warn(
                here, "auth: signatures with SHA-1 can be forged (RFC 8247 section 3.2)", hint, code="config-weak"
            )
