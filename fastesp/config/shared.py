"""``secrets``: preshared keys and passwords, with the identities that they belong to."""

from __future__ import annotations

import stat
from pathlib import Path

from ike.credentials import CredentialStore
from ike.crypto.secret import Secret

from .problems import Place, Problems
from .reading import Values
from .schema import NO_EAP
from .settings import Shared

NT_HASH_LENGTH = 16
SHORT_KEY = 16
"""Bytes below which a preshared key is called short: RFC 7296 section 2.15 wants it as strong as the other keys."""
SHORT_PPK = 32
"""256 bits of entropy for 128-bit security against a quantum computer (RFC 8784 section 6)."""

_KINDS = {"ike": "ike", "eap": "eap", "xauth": "eap", "ntlm": "ntlm", "ppk": "ppk"}


def shared_secrets(secrets: Values, problems: Problems) -> tuple[Shared, ...]:
    """The shared secrets of the file, in the order of writing."""
    found = []
    for section in secrets.sections.values():
        kind = next((value for prefix, value in _KINDS.items() if section.name.lower().startswith(prefix)), None)
        if kind is None:
            continue
        if not section.items("secret"):
            if "secret" not in section:
                problems.add(
                    section.at, f"'{section.name}' has no 'secret'", "add: secret = ...", code="config-missing"
                )
            continue
        item = section.items("secret")[0]
        owners = tuple(item.value for key in section.keys if key.startswith("id") for item in section.items(key))
        if kind in ("eap", "ntlm"):
            problems.inform(section.at, f"no connection asks for '{section.name}': {NO_EAP}")
        _check_length(kind, len(item.value), section, problems)
        found.append(Shared(section.name, kind, Secret(item.value), owners, section.place("secret").short))
    _check_twins(found, secrets, problems)
    return tuple(found)


def _check_length(kind: str, length: int, section: Values, problems: Problems) -> None:
    at = section.place("secret")
    if kind == "ntlm" and length != NT_HASH_LENGTH:
        problems.add(at, f"an NT hash has {NT_HASH_LENGTH} bytes, not {length}", "MD4(UTF-16LE(password)), as 0x or 0s")
    elif kind == "ike" and length < SHORT_KEY:
        hint = "take 32 random bytes: openssl rand -base64 32, behind 0s"
        problems.warn(at, f"a preshared key of {length} bytes can be guessed offline", hint, code="config-weak")
    elif kind == "ppk" and length < SHORT_PPK:
        hint = "take 32 random bytes or more"
        problems.warn(
            at, f"a post-quantum preshared key of {length} bytes is short (RFC 8784)", hint, code="config-weak"
        )


def _check_twins(found: list[Shared], secrets: Values, problems: Problems) -> None:
    """Two different secrets for the very same identities: only one of them is ever used."""
    seen: dict[tuple[str, frozenset[object]], Shared] = {}
    for shared in found:
        key = (shared.kind, frozenset(shared.owners))
        first = seen.setdefault(key, shared)
        if first is not shared and first.secret != shared.secret:
            section = secrets.sections[shared.name]
            message = f"'{shared.name}' is for the same identities as '{first.name}'"
            problems.warn(section.at, message, "one of them is never used: remove it", code="config-duplicate")


def check_modes(secrets: Values, problems: Problems) -> None:
    """Warn once for each file that everybody may read and that holds a secret."""
    for section in secrets.sections.values():
        for key in section.keys:
            if not key.startswith("secret"):
                continue
            at = section.place(key)
            try:
                readable = bool(at.line) and bool(Path(at.file).stat().st_mode & stat.S_IROTH)
            except OSError:
                readable = False
            if readable:
                problems.warn(
                    Place(at.file),
                    "everybody may read the secrets in this file",
                    f"chmod 640 {at.file}",
                    code="config-readable",
                )


def fill(store: CredentialStore, shared: tuple[Shared, ...]) -> None:
    """Hand the preshared keys to the store that the endpoint asks."""
    for secret in shared:
        if secret.kind == "ike":
            store.add_shared_key(bytes(secret.secret), secret.owners, secret.where)
        elif secret.kind == "ppk":
            store.add_ppk(bytes(secret.secret), secret.owners, secret.where)
