"""``fastesp pki``: a certification authority of one's own, and certificates for gateways and people.

Files lie as swanctl wants them: certificates in ``x509``, authorities in ``x509ca``, keys in ``private``. The
authority's key stays in the authority's directory.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
from ipaddress import ip_address
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from rich.text import Text

from .exits import CommandError, Exit
from .output import Output
from .verb import verb

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

KINDS = ("ecdsa-256", "ecdsa-384", "ecdsa-521", "ed25519", "rsa-2048", "rsa-3072", "rsa-4096")
CURVES: dict[str, ec.EllipticCurve] = {"256": ec.SECP256R1(), "384": ec.SECP384R1(), "521": ec.SECP521R1()}
WORDS = {
    NameOID.EMAIL_ADDRESS: "E",
    NameOID.SURNAME: "SN",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.GIVEN_NAME: "G",
    NameOID.TITLE: "T",
}
"""Words of swanctl.conf that RFC 4514 does not have."""

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
    subject, key = _name(name), _make_key(kind)
    now = datetime.datetime.now(datetime.UTC)
    builder = _builder(subject, subject, key, now, now + datetime.timedelta(days=days))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(_usage(ca=True), critical=True)
    certificate = _sign(builder, key)
    _write(where / CA_KEY, _key_pem(key), private=True)
    _write(where / CA_CERT, certificate.public_bytes(serialization.Encoding.PEM))
    _tell(out, certificate, {"certificate": where / CA_CERT, "key": where / CA_KEY})
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
    issuer, issuer_key = _read_authority(authority)
    subject, key = _name(name), _make_key(kind)
    now = datetime.datetime.now(datetime.UTC)
    end = min(now + datetime.timedelta(days=days), issuer.not_valid_after_utc)
    builder = _builder(subject, issuer.subject, key, now, end)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(ca=False), critical=True)
    server_client = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    builder = builder.add_extension(server_client, critical=False)
    spki = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(spki)
    builder = builder.add_extension(identifier, critical=False)
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName([_san(a) for a in alternatives]), critical=False)
    certificate = _sign(builder, issuer_key)
    stem = stem or _stem(subject)
    files = {
        "certificate": where / "x509" / f"{stem}.pem",
        "key": where / "private" / f"{stem}.pem",
        "authority": where / "x509ca" / f"{_stem(issuer.subject)}.pem",
    }
    _write(files["key"], _key_pem(key), private=True)
    _write(files["certificate"], certificate.public_bytes(serialization.Encoding.PEM))
    _write(files["authority"], issuer.public_bytes(serialization.Encoding.PEM), replace=True)
    _tell(out, certificate, files)
    out.say(f'  in swanctl.conf: certs = {files["certificate"].name}, id = "{_print(subject)}"')


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
    """``O=example, CN=site-a`` in the order it is written (RFC 4514 writes it the other way round)."""
    joined = ",".join(part.strip() for part in re.split(r"(?<!\\),", text))
    try:
        reverse = x509.Name.from_rfc4514_string(
            joined if "=" in joined else f"CN={joined}", {word: oid for oid, word in WORDS.items()}
        )
    except ValueError as error:
        raise CommandError(
            Exit.USAGE, f"{text!r} is no name: {error}", hint="write it like 'O=example, CN=site-a'"
        ) from None
    return x509.Name(list(reversed(reverse.rdns)))


def _print(name: x509.Name) -> str:
    return ", ".join(rdn.rfc4514_string(WORDS) for rdn in name.rdns)


def _stem(name: x509.Name) -> str:
    """A file name from the common name."""
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    text = str(common[-1].value) if common else _print(name)
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in text).strip(".-") or "certificate"


def _san(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        pass
    try:
        return x509.RFC822Name(text) if "@" in text else x509.DNSName(text)
    except ValueError as error:
        raise CommandError(Exit.USAGE, f"{text!r} is no host name, e-mail or IP address: {error}") from None


def _make_key(kind: str) -> Key:
    algorithm, _, bits = kind.partition("-")
    if algorithm == "rsa":
        return rsa.generate_private_key(65537, int(bits))
    if algorithm == "ecdsa":
        return ec.generate_private_key(CURVES[bits])
    return ed25519.Ed25519PrivateKey.generate()


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, now: datetime.datetime, end: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _sign(builder: x509.CertificateBuilder, key: Key) -> x509.Certificate:
    """With the hash that fits the key (RFC 8032 keys bring their own)."""
    if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        return builder.sign(key, None)
    strong = isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size > 256
    return builder.sign(key, hashes.SHA384() if strong else hashes.SHA256())


def _read_authority(directory: Path) -> tuple[x509.Certificate, Key]:
    try:
        certificate = x509.load_pem_x509_certificate((directory / CA_CERT).read_bytes())
        key = serialization.load_pem_private_key((directory / CA_KEY).read_bytes(), None)
    except OSError as error:
        raise CommandError(
            Exit.NO_SUCH_OBJECT,
            f"no authority in {directory}: {error.strerror}: {error.filename}",
            hint=f"make one: fastesp pki ca --name 'CN=my CA' --out {directory}",
        ) from None
    except (ValueError, TypeError):
        raise CommandError(Exit.FAILED, f"{directory} holds no authority that can be read") from None
    if not isinstance(key, Key) or key.public_key() != certificate.public_key():
        raise CommandError(Exit.FAILED, f"{directory / CA_KEY} is not the key of {directory / CA_CERT}")
    return certificate, key


def _key_pem(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


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
        "subject": _print(certificate.subject),
        "issuer": _print(certificate.issuer),
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
