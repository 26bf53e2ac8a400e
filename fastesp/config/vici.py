"""What ``swanctl --load-all`` and other VICI clients send, through the very schema that a file goes through.

Each function takes the decoded message of one command (``bytes`` values, lists, nested sections) and answers typed
values; it raises :class:`ConfigurationError` whose problems carry VICI key paths in place of file, line and column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from ike.config import Connection
from ike.credentials import PrivateKey
from ike.crypto.revocation import UNREADABLE
from ike.crypto.secret import Secret
from ike.wire.identity import Identity

from . import build, semantics
from .credentials import FileCredentials, certificates_of, crl_of, private_key_of, public_key_of
from .others import authorities, pools
from .problems import Place, Problem, Problems, did_you_mean
from .reading import Values, read
from .schema import AUTHORITY, CONNECTION, POOL, SectionRule
from .settings import Authority, CertificateFile, Pool, Shared
from .tree import from_vici
from .values import BadValueError, identity, text_or_bytes

Message = Mapping[str, object]

CERTIFICATE_TYPES = ("X509", "X509_CRL", "X509_AC", "OCSP_RESPONSE", "PUBKEY")
FLAG_DIRECTORIES = {"NONE": "x509", "CA": "x509ca", "AA": "x509aa", "OCSP": "x509ocsp"}
SECRET_KINDS = {"ike": "ike", "eap": "eap", "xauth": "eap", "ntlm": "ntlm", "ppk": "ppk"}


@dataclass(frozen=True, slots=True)
class Loaded:
    """The connections of a ``load-conn``, the certificates that came with them, and what is worth a log line."""

    connections: tuple[Connection, ...]
    certificates: tuple[CertificateFile, ...]
    warnings: tuple[Problem, ...]


def load_connections(message: Message) -> Loaded:
    """``load-conn``: connections by name."""
    problems = Problems()
    values = _read(message, CONNECTION, problems)
    files = FileCredentials(Path("/"), problems)
    made = build.connections(values, files, problems)
    semantics.check_shape(made, values, problems)
    return Loaded(made, tuple(files.certificates), problems.done())


def load_pools(message: Message) -> tuple[Pool, ...]:
    """``load-pool``: pools by name."""
    problems = Problems()
    found = pools(_read(message, POOL, problems), problems)
    problems.done()
    return found


def load_authorities(message: Message) -> tuple[Authority, ...]:
    """``load-authority``: authorities by name, ``cacert`` as PEM or DER."""
    problems = Problems()
    found = authorities(_read(message, AUTHORITY, problems), FileCredentials(Path("/"), problems), problems)
    problems.done()
    return found


def load_shared(message: Message) -> Shared:
    """``load-shared``: ``type``, ``data``, ``owners`` and, since it may be replaced by name, ``id``."""
    problems = Problems()
    _only(message, ("id", "type", "data", "owners"), problems)
    kind = SECRET_KINDS.get(_text(message, "type", problems).lower(), "")
    if not kind:
        word = _text(message, "type", problems)
        problems.add(Place("type"), f"'{word}' is no type of shared secret", did_you_mean(word, SECRET_KINDS))
    data = _data(message, "data", problems)
    owners: list[Identity] = []
    for number, owner in enumerate(_list(message, "owners", problems)):
        try:
            owners.append(identity(text_or_bytes(owner)))
        except BadValueError as error:
            problems.add(Place(f"owners[{number}]"), error.message, error.hint)
    problems.done()
    return Shared(_text(message, "id", problems, required=False), kind, Secret(data), tuple(owners), "vici")


def load_key(message: Message) -> PrivateKey:
    """``load-key``: ``type`` (``rsa``, ``ecdsa``, ``any`` ...) and ``data``; the data decides what it is."""
    problems = Problems()
    _only(message, ("type", "data"), problems)
    data = _data(message, "data", problems)
    key: PrivateKey | None = None
    if data:
        try:
            key = private_key_of(data)
        except TypeError:
            problems.add(Place("data"), "the private key is encrypted", "decrypt it before it is sent")
        except UNREADABLE:
            problems.add(
                Place("data"), "no private key that IKEv2 signs with", "RSA, ECDSA, Ed25519 or Ed448, in PEM or DER"
            )
    problems.done()
    assert key is not None
    return key


def load_certificate(message: Message) -> CertificateFile | x509.CertificateRevocationList | bytes:
    """``load-cert``: a certificate (its ``flag`` stands for a directory), a CRL, or a raw public key (as SPKI, DER)."""
    problems = Problems()
    _only(message, ("type", "flag", "data"), problems)
    kind = _text(message, "type", problems).upper()
    flag = _text(message, "flag", problems, required=False).upper() or "NONE"
    data = _data(message, "data", problems)
    if kind not in CERTIFICATE_TYPES:
        problems.add(Place("type"), f"'{kind}' is no type of certificate", did_you_mean(kind, CERTIFICATE_TYPES))
    elif kind in ("X509_AC", "OCSP_RESPONSE"):
        problems.add(
            Place("type"), f"{kind} is refused: neither attribute certificates nor loose OCSP responses are evaluated"
        )
    if flag not in FLAG_DIRECTORIES:
        problems.add(Place("flag"), f"'{flag}' is no flag", did_you_mean(flag, FLAG_DIRECTORIES))
    found: CertificateFile | x509.CertificateRevocationList | bytes | None = None
    if not problems.failed:
        try:
            if kind == "PUBKEY":
                found = public_key_of(data)
            elif kind == "X509_CRL":
                found = crl_of(data)
            else:
                found = CertificateFile("vici", FLAG_DIRECTORIES[flag], certificates_of(data)[0])
        except (*UNREADABLE, IndexError):
            problems.add(Place("data"), f"the data is no {kind}", "PEM or DER is read")
    problems.done()
    assert found is not None
    return found


# The message's own keys.


def _read(message: Message, rule: SectionRule, problems: Problems) -> Values:
    """Sections by name, each as ``rule`` has it."""
    try:
        tree = from_vici(message)
    except ValueError as error:
        problems.add(Place("message"), str(error))
        problems.done()
        raise
    return read(tree, SectionRule(sections={"*": rule}), problems)


def _only(message: Message, known: Sequence[str], problems: Problems) -> None:
    for key in message:
        if key not in known:
            problems.add(Place(key), f"unknown key '{key}'", did_you_mean(key, known))


def _text(message: Message, key: str, problems: Problems, *, required: bool = True) -> str:
    value = message.get(key, b"")
    if not isinstance(value, bytes | str) or (required and not value):
        problems.add(Place(key), f"'{key}' is missing" if not value else f"'{key}' is no single value")
        return ""
    try:
        return text_or_bytes(value)
    except BadValueError as error:
        problems.add(Place(key), error.message, error.hint)
        return ""


def _data(message: Message, key: str, problems: Problems) -> bytes:
    value = message.get(key, b"")
    if isinstance(value, str):
        value = value.encode()
    if not isinstance(value, bytes) or not value:
        problems.add(Place(key), f"'{key}' is missing" if not value else f"'{key}' is no single value")
        return b""
    return value


def _list(message: Message, key: str, problems: Problems) -> list[str | bytes]:
    value = message.get(key, [])
    if isinstance(value, bytes | str):
        return [value]
    if not isinstance(value, Sequence) or not all(isinstance(item, bytes | str) for item in value):
        problems.add(Place(key), f"'{key}' is no list")
        return []
    return list(value)
