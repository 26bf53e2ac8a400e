"""``fastesp pki``: a certification authority of one's own, and certificates for gateways and people.

Files lie as swanctl wants them: certificates in ``x509``, authorities in ``x509ca``, keys in ``private``. The
authority's key stays in the authority's directory.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from rich.text import Text

from fastesp.pki import KINDS, Certified, PrivateKey, alternative_name, certify, make_key, parse_name, print_name

from .exits import CommandError, Exit
from .output import Output
from .verb import verb

CLOCK_SKEW = datetime.timedelta(hours=1)
"""A fresh certificate is valid on a peer whose clock runs late."""

CA_CERT, CA_KEY = "ca-cert.pem", "ca-key.pem"
DIRECTORY = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group()
def pki() -> None:
    """Make a certification authority, and certificates for sites.

    \b
    fastesp pki ca --name "CN=example CA" --out ./ca
    fastesp pki issue --ca ./ca --name CN=site-a --out /etc/swanctl
    """


@pki.command()
@click.option("--name", required=True, help="The authority's name, such as 'O=example, CN=example CA'.")
@click.option("--out", "where", type=DIRECTORY, required=True, help="Directory for its certificate and key.")
@click.option("--type", "kind", type=click.Choice(KINDS), default="ecdsa-384", show_default=True, help="Kind of key.")
@click.option("--days", type=click.IntRange(1, 36500), default=3650, show_default=True, help="Validity.")
@verb(gateway=False)
def ca(out: Output, name: str, where: Path, kind: str, days: int) -> None:
    """Make a certification authority."""
    now = datetime.datetime.now(datetime.UTC)
    end = now + datetime.timedelta(days=days)
    made = certify(_name(name), make_key(kind), None, now - CLOCK_SKEW, end, authority=True)
    _write(where / CA_KEY, made.key_pem, private=True)
    _write(where / CA_CERT, made.pem)
    _tell(out, made.certificate, {"certificate": where / CA_CERT, "key": where / CA_KEY})
    out.say(f"  keep {where / CA_KEY} secret and off the gateways")


@pki.command()
@click.option("--ca", "authority", type=DIRECTORY, required=True, help="The authority's directory.")
@click.option("--name", required=True, help="Whom it is for, such as 'O=example, CN=site-a'.")
@click.option("--san", "alternatives", multiple=True, help="Another identity: a host name, e-mail or IP address.")
@click.option("--out", "where", type=DIRECTORY, required=True, help="A swanctl directory, such as /etc/swanctl.")
@click.option("--file", "stem", help="File name without ending; else taken from the name.")
@click.option("--type", "kind", type=click.Choice(KINDS), default="ecdsa-256", show_default=True, help="Kind of key.")
@click.option("--days", type=click.IntRange(1, 36500), default=825, show_default=True, help="Validity.")
@verb(gateway=False)
def issue(
    out: Output,
    authority: Path,
    name: str,
    alternatives: tuple[str, ...],
    where: Path,
    stem: str | None,
    kind: str,
    days: int,
) -> None:
    """Issue a certificate with a key of its own, into a swanctl directory."""
    issuer, subject = _read_authority(authority), _name(name)
    now = datetime.datetime.now(datetime.UTC)
    end = min(now + datetime.timedelta(days=days), issuer.certificate.not_valid_after_utc)
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    _check_names(alternatives)
    made = certify(
        subject,
        make_key(kind),
        issuer,
        now - CLOCK_SKEW,
        end,
        names=alternatives,
        extensions=[(purposes, False)],
    )
    stem = stem or _stem(subject)
    files = {
        "certificate": where / "x509" / f"{stem}.pem",
        "key": where / "private" / f"{stem}.pem",
        "authority": where / "x509ca" / f"{_stem(issuer.certificate.subject)}.pem",
    }
    _write(files["key"], made.key_pem, private=True)
    _write(files["certificate"], made.pem)
    _write(files["authority"], issuer.pem, replace=True)
    _tell(out, made.certificate, files)
    out.say(f'  in swanctl.conf: certs = {files["certificate"].name}, id = "{print_name(subject)}"')


@pki.command()
@click.argument("file", type=FILE)
@verb(gateway=False)
def show(out: Output, file: Path) -> None:
    """Say what a certificate FILE holds."""
    data = file.read_bytes()
    try:
        pem = b"-----BEGIN" in data
        certificate = x509.load_pem_x509_certificate(data) if pem else x509.load_der_x509_certificate(data)
    except ValueError:
        raise CommandError(Exit.FAILED, f"{file} holds no certificate that can be read") from None
    _tell(out, certificate, {"certificate": file})


def _name(text: str) -> x509.Name:
    try:
        return parse_name(text)
    except ValueError as error:
        raise CommandError(
            Exit.USAGE, f"{text!r} is no name: {error}", hint="write it like 'O=example, CN=site-a'"
        ) from None


def _check_names(texts: tuple[str, ...]) -> None:
    for text in texts:
        try:
            alternative_name(text)
        except ValueError as error:
            raise CommandError(Exit.USAGE, f"{text!r} is no host name, e-mail or IP address: {error}") from None


def _stem(name: x509.Name) -> str:
    """A file name from the common name."""
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    text = str(common[-1].value) if common else print_name(name)
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in text).strip(".-") or "certificate"


def _read_authority(directory: Path) -> Certified:
    try:
        certificate = x509.load_pem_x509_certificate((directory / CA_CERT).read_bytes())
        key = load_pem_private_key((directory / CA_KEY).read_bytes(), None)
    except OSError as error:
        raise CommandError(
            Exit.NO_SUCH_OBJECT,
            f"no authority in {directory}: {error.strerror}: {error.filename}",
            hint=f"make one: fastesp pki ca --name 'CN=my CA' --out {directory}",
        ) from None
    except (ValueError, TypeError):
        raise CommandError(Exit.FAILED, f"{directory} holds no authority that can be read") from None
    if not isinstance(key, PrivateKey) or key.public_key() != certificate.public_key():
        raise CommandError(Exit.FAILED, f"{directory / CA_KEY} is not the key of {directory / CA_CERT}")
    return Certified(certificate, key)


def _write(path: Path, data: bytes, *, private: bool = False, replace: bool = False) -> None:
    """A file that nobody else may read from its first byte on, if it is private; what is there is kept."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if replace else os.O_EXCL)
    try:
        path.parent.mkdir(mode=0o700 if private else 0o755, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, flags, 0o600 if private else 0o644), "wb") as file:
            file.write(data)
    except FileExistsError:
        raise CommandError(
            Exit.FAILED, f"{path} is there already", hint="move it away, or choose another --file or --out"
        ) from None
    except OSError as error:
        raise CommandError(Exit.FAILED, f"cannot write {path}: {error.strerror}") from None


def _tell(out: Output, certificate: x509.Certificate, files: dict[str, Path]) -> None:
    names = certificate.extensions
    alternatives: list[str] = []
    with contextlib.suppress(x509.ExtensionNotFound):
        alternatives = [str(n.value) for n in names.get_extension_for_class(x509.SubjectAlternativeName).value]
    view = {
        "subject": print_name(certificate.subject),
        "issuer": print_name(certificate.issuer),
        "alternatives": alternatives,
        "not_before": certificate.not_valid_before_utc.isoformat(),
        "not_after": certificate.not_valid_after_utc.isoformat(),
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
    }
    out.result("certificate", {**view, "files": {key: str(path) for key, path in files.items()}})
    out.say(Text(str(view["subject"]), style="bold"))
    for key, label in (("issuer", "issued by"), ("not_after", "valid until"), ("sha256", "SHA-256")):
        out.say(f"  {label:<12} {view[key]}")
    if alternatives:
        out.say(f"  {'also':<12} {', '.join(alternatives)}")
    for key, path in files.items():
        out.say(f"  {key:<12} {path}")
