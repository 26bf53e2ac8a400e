"""Certificates and keys from swanctl's directories, in PEM and DER, encrypted or not.

The directories stand beside the configuration file: ``x509``, ``x509ca``, ``x509crl``, ``x509ocsp``, ``x509aa``,
``x509ac``, ``pubkey``, ``private``, ``rsa``, ``ecdsa``, ``pkcs8``, ``pkcs12``. A file that a section names and that
cannot be used is an error; one that merely lies in a directory is a warning, for it may be no concern of ours.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
    pkcs12,
)

from ike.credentials import CredentialStore, PrivateKey
from ike.crypto.revocation import UNREADABLE

from .problems import Place, Problems, did_you_mean
from .reading import Item, Values
from .settings import CertificateFile, KeyFile

MAX_FILE_SIZE = 64 * 1024 * 1024
"""A large CRL has tens of megabytes."""
MAX_FILES_PER_DIRECTORY = 10_000

CERTIFICATE_DIRECTORIES = ("x509", "x509ca", "x509ocsp", "x509aa")
KEY_DIRECTORIES = ("private", "rsa", "ecdsa", "pkcs8")
_KEY_KINDS = (RSAPrivateKey, EllipticCurvePrivateKey, Ed25519PrivateKey, Ed448PrivateKey)
_PEM = b"-----BEGIN "
_PEM_CERTIFICATES = (
    b"-----BEGIN CERTIFICATE-----",
    b"-----BEGIN X509 CERTIFICATE-----",
    b"-----BEGIN TRUSTED CERTIFICATE-----",
)


def certificates_of(data: bytes) -> list[x509.Certificate]:
    """The certificates of a file: one in DER, or any number in PEM. Raises ``ValueError`` where there is none."""
    if any(marker in data for marker in _PEM_CERTIFICATES):
        return x509.load_pem_x509_certificates(data)
    return [x509.load_der_x509_certificate(data)]


def crl_of(data: bytes) -> x509.CertificateRevocationList:
    """A revocation list in PEM or DER."""
    return x509.load_pem_x509_crl(data) if _PEM in data else x509.load_der_x509_crl(data)


def private_key_of(data: bytes, passphrase: bytes | None = None) -> PrivateKey:
    """A private key in PEM or DER: PKCS#8, PKCS#1 or SEC1.

    Raises ``TypeError`` where it is encrypted and ``passphrase`` is ``None``, ``ValueError`` where it is no such key.
    """
    load = load_pem_private_key if _PEM in data else load_der_private_key
    try:
        key = load(data, passphrase)
    except TypeError:
        if passphrase is None:
            raise
        key = load(data, None)
    if not isinstance(key, _KEY_KINDS):
        raise ValueError(f"{type(key).__name__.lstrip('_')} is no key that IKEv2 signs with")
    return key


def public_key_of(data: bytes) -> bytes:
    """SubjectPublicKeyInfo (DER) of a public key in PEM or DER, or of a certificate."""
    if any(marker in data for marker in _PEM_CERTIFICATES):
        return certificates_of(data)[0].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key = load_pem_public_key(data) if _PEM in data else load_der_public_key(data)
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True, slots=True)
class Passphrase:
    """A ``secrets`` section that opens a file: of ``kind`` (the directory) and name. ``at`` is its place."""

    kind: str
    file: str
    secret: bytes = field(repr=False)
    at: Place


@dataclass(slots=True)
class FileCredentials:
    """What the directories hold, and what the sections name; a :class:`fastesp.config.rounds.CertificateSource`."""

    directory: Path
    problems: Problems
    passphrases: list[Passphrase] = field(default_factory=list)
    certificates: list[CertificateFile] = field(default_factory=list)
    keys: list[KeyFile] = field(default_factory=list)
    pubkeys: list[bytes] = field(default_factory=list)
    crls: list[x509.CertificateRevocationList] = field(default_factory=list)
    _cache: dict[str, list[x509.Certificate] | None] = field(default_factory=dict)

    def scan(self) -> None:
        """Read all directories. Those that do not exist are empty."""
        for kind in CERTIFICATE_DIRECTORIES:
            for path, data in self._files(kind):
                self._add_certificates(path, kind, data)
        for path, data in self._files("x509crl"):
            try:
                self.crls.append(crl_of(data))
            except UNREADABLE as error:
                self._skip(path, f"is no revocation list: {_first_line(error)}")
        for path, data in self._files("pubkey"):
            try:
                self.pubkeys.append(public_key_of(data))
            except UNREADABLE as error:
                self._skip(path, f"is no public key: {_first_line(error)}")
        for path, _ in self._files("x509ac"):
            self._skip(path, "is not read: attribute certificates are not evaluated")
        for path, _ in self._files("bliss"):
            self._skip(path, "is not read: BLISS was withdrawn")
        for kind in KEY_DIRECTORIES:
            for path, data in self._files(kind):
                self._add_key(path, kind, data)
        for path, data in self._files("pkcs12"):
            self._add_container(path, data)
        self._check_passphrases()

    def store(self) -> CredentialStore:
        """What an endpoint asks; shared secrets are added by the caller."""
        store = CredentialStore(revocation=list(self.crls))
        for entry in self.certificates:
            (store.add_authority if entry.kind == "x509ca" else store.add_certificate)(entry.certificate)
        for key in self.keys:
            store.add_private_key(key.key)
        return store

    # What sections name.

    def certificate(self, item: Item, kind: str) -> x509.Certificate | None:
        """The certificate that ``item`` names (in ``kind``'s directory, or by absolute path), or that it is (VICI)."""
        if isinstance(item.value, bytes):
            found = self._parsed(item.value, item.at)
            path = str(item.at)
        else:
            path = str(self.directory / kind / item.text)
            if path not in self._cache:
                self._cache[path] = self._named(Path(path), item, kind)
            found = self._cache[path]
        for certificate in found or ():
            entry = CertificateFile(path, kind, certificate)
            # The first is the one that was named; a chain behind it only helps to build paths.
            if kind == "x509" and entry not in self.certificates:
                self.certificates.append(entry)
        return found[0] if found else None

    def public_key(self, item: Item) -> bytes | None:
        """The raw public key that ``item`` names in ``pubkey``, or that it is."""
        data = (
            item.value
            if isinstance(item.value, bytes)
            else self._read_named(self.directory / "pubkey" / item.text, item)
        )
        if data is None:
            return None
        try:
            return public_key_of(data)
        except UNREADABLE as error:
            self.problems.add(item.at, f"'{item.text}' is no public key: {_first_line(error)}", "PEM or DER is read")
            return None

    def _named(self, path: Path, item: Item, kind: str) -> list[x509.Certificate] | None:
        data = self._read_named(path, item)
        return None if data is None else self._parsed(data, item.at, f"'{item.text}' in {kind}")

    def _parsed(self, data: bytes, at: Place, name: str = "the value") -> list[x509.Certificate] | None:
        try:
            return certificates_of(data) or None
        except UNREADABLE as error:
            self.problems.add(at, f"{name} is no certificate: {_first_line(error)}", "X.509 in PEM or DER is read")
            return None

    def _read_named(self, path: Path, item: Item) -> bytes | None:
        try:
            if path.stat().st_size > MAX_FILE_SIZE:
                self.problems.add(item.at, f"'{path}' is larger than {MAX_FILE_SIZE >> 20} MiB", "name another file")
                return None
            return path.read_bytes()
        except OSError as error:
            near = did_you_mean(path.name, sorted(p.name for p in path.parent.glob("*"))[:1000])
            hint = near or f"put the file into {path.parent}"
            code = "config-file-missing"
            self.problems.add(item.at, f"cannot read '{path}': {error.strerror}", hint, code=code)
            return None

    # What directories hold.

    def _files(self, kind: str) -> Iterator[tuple[Path, bytes]]:
        """The regular files of a directory with their content, by name; hidden ones stay out."""
        try:
            with os.scandir(self.directory / kind) as entries:
                paths = sorted(Path(e.path) for e in entries if e.is_file() and not e.name.startswith("."))
        except OSError:
            return
        for path in paths[:MAX_FILES_PER_DIRECTORY]:
            try:
                if path.stat().st_size > MAX_FILE_SIZE:
                    self._skip(path, f"is larger than {MAX_FILE_SIZE >> 20} MiB")
                    continue
                yield path, path.read_bytes()
            except OSError as error:
                self._skip(path, f"cannot be read: {error.strerror}")

    def _skip(self, path: Path, why: str) -> None:
        self.problems.warn(Place(str(path)), f"the file {why}", "it is left out", code="config-file-skipped")

    def _add_certificates(self, path: Path, kind: str, data: bytes) -> None:
        try:
            found = certificates_of(data)
        except UNREADABLE as error:
            self._skip(path, f"is no certificate: {_first_line(error)}")
            return
        self.certificates += [CertificateFile(str(path), kind, certificate) for certificate in found]

    def _add_key(self, path: Path, kind: str, data: bytes) -> None:
        self._check_mode(path)
        matching = [
            entry for entry in self.passphrases if entry.kind == kind and entry.file.lower() == path.name.lower()
        ]
        try:
            self.keys.append(KeyFile(str(path), private_key_of(data)))
            return
        except TypeError:
            pass
        except UNREADABLE as error:
            self._skip(path, f"is no private key: {_first_line(error)}")
            return
        for entry in matching:
            try:
                self.keys.append(KeyFile(str(path), private_key_of(data, entry.secret)))
                return
            except UNREADABLE:
                continue
        if matching:
            message = f"the secret does not open '{path}'"
            self.problems.add(matching[0].at, message, "write the passphrase of that file", code="config-passphrase")
        else:
            hint = f"add to secrets: {kind}-1 {{ file = {path.name} ... secret = ... }}"
            self.problems.add(Place(str(path)), "the private key is encrypted", hint, code="config-passphrase")

    def _add_container(self, path: Path, data: bytes) -> None:
        self._check_mode(path)
        matching = [
            entry for entry in self.passphrases if entry.kind == "pkcs12" and entry.file.lower() == path.name.lower()
        ]
        for secret in [entry.secret for entry in matching] + [b"", None]:
            try:
                key, certificate, others = pkcs12.load_key_and_certificates(data, secret)
            except UNREADABLE:
                continue
            if isinstance(key, _KEY_KINDS):
                self.keys.append(KeyFile(str(path), key))
            found = ([certificate] if certificate is not None else []) + list(others)
            self.certificates += [CertificateFile(str(path), _kind_in_container(c), c) for c in found]
            return
        if matching:
            message = f"the secret does not open '{path}'"
            self.problems.add(matching[0].at, message, "write the passphrase of that file", code="config-passphrase")
        else:
            hint = f"add to secrets: pkcs12-1 {{ file = {path.name} ... secret = ... }}"
            self.problems.add(Place(str(path)), "the container cannot be opened", hint, code="config-passphrase")

    def _check_mode(self, path: Path) -> None:
        if path.stat().st_mode & stat.S_IROTH:
            self.problems.warn(
                Place(str(path)), "everybody may read this private key", f"chmod 600 {path}", code="config-readable"
            )

    def _check_passphrases(self) -> None:
        """A passphrase whose file is not there was likely misspelt."""
        for entry in self.passphrases:
            folder = self.directory / entry.kind
            names = sorted(path.name for path in folder.glob("*"))[:1000]
            if entry.file.lower() not in (name.lower() for name in names):
                hint = did_you_mean(entry.file, names) or f"put the file into {folder}"
                self.problems.warn(
                    entry.at, f"there is no '{entry.file}' in {folder}", hint, code="config-file-missing"
                )


def passphrases_of(secrets: Values, problems: Problems) -> list[Passphrase]:
    """The ``secrets`` sections that open files."""
    out = []
    for kind in ("private", "rsa", "ecdsa", "pkcs8", "pkcs12"):
        for section in secrets.below(kind):
            file = section.items("file")
            found = [key for key in section.keys if key.startswith("secret")]
            if not file or not found:
                missing = "secret" if file else "file"
                hint = "it names the file and gives its passphrase"
                problems.add(section.at, f"'{section.name}' has no '{missing}'", hint, code="config-missing")
                continue
            out += [Passphrase(kind, file[0].text, section.get(key, b""), section.place(key)) for key in found]
    return out


def _kind_in_container(certificate: x509.Certificate) -> str:
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, ValueError):
        return "x509"
    return "x509ca" if basic.ca else "x509"


def _first_line(error: BaseException) -> str:
    """A library's reason, short: it goes into a one-line message."""
    lines: Iterable[str] = str(error).splitlines()
    return next(iter(lines), type(error).__name__)[:160]
