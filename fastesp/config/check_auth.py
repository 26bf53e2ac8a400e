"""Checks of authentication: whether the secrets, certificates and keys are there that the rounds will ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from ike.config import AddressTemplate, AuthRound, Connection
from ike.credentials import public_key_bytes
from ike.crypto.x509 import certificate_has, certificate_identities, certificate_matches
from ike.wire.constants import IdType
from ike.wire.identity import Identity

from .credentials import FileCredentials
from .problems import Place, Problems, did_you_mean
from .reading import Values
from .rounds import round_sections
from .settings import Shared

SMALL_RSA = 2048
SOON_DAYS = 14


def rounds_of(connection: Connection, values: Values, side: str) -> Iterator[tuple[AuthRound, Values]]:
    """Each round of a side with the section it was made of; the connection's own where no section was written."""
    rounds = connection.local if side == "local" else connection.remote
    sections = round_sections(values, side) or [Values(side, values.at)]
    yield from zip(rounds, sections, strict=True)


# Preshared keys.


def check_ppk(connection: Connection, values: Values, shared: Sequence[Shared], problems: Problems) -> None:
    """A PPK that is named must be there: for a pattern, one that it may mean."""
    wanted = connection.ppk_id
    keys = [secret for secret in shared if secret.kind == "ppk"]
    if wanted is not None and not any(_names(wanted, secret) for secret in keys):
        hint = "add to secrets: ppk-1 { id = ... secret = ... }"
        problems.add(values.place("ppk_id"), f"there is no ppk secret for '{wanted}'", hint, code="config-no-secret")


def _names(wanted: Identity, secret: Shared) -> bool:
    return not secret.owners or any(wanted.matches(owner) or owner.matches(wanted) for owner in secret.owners)


def check_preshared(connection: Connection, values: Values, shared: Sequence[Shared], problems: Problems) -> None:
    """A round with ``auth = psk`` needs a secret that belongs to one of the two identities, or to everybody."""
    keys = [secret for secret in shared if secret.kind == "ike"]
    for side in ("local", "remote"):
        for number, (found, section) in enumerate(rounds_of(connection, values, side)):
            local, remote = _own_identity(connection, number), _peer_identity(connection, number)
            if found.auth != "psk" or any(_serves(secret, local, remote) for secret in keys):
                continue
            names = " and ".join(f"'{one}'" for one in (local, remote) if one is not None and not one.is_any)
            owners = [str(owner) for secret in keys for owner in secret.owners]
            near = next((hint for one in (remote, local) if one and (hint := did_you_mean(str(one), owners))), "")
            hint = f"add to secrets: ike-1 {{ id-1 = {remote or '...'} secret = ... }}"
            message = "there is no ike secret" + (f" for {names}" if names else "")
            problems.add(section.place("auth"), message, near or hint, code="config-no-secret")
            return


def _serves(secret: Shared, local: Identity | None, remote: Identity | None) -> bool:
    if not secret.owners or local is None or remote is None:
        return True
    return any(
        a.matches(b) or b.matches(a) for owner in secret.owners for one in (local, remote) for a, b in [(owner, one)]
    )


def _own_identity(connection: Connection, number: int) -> Identity | None:
    """Ours in a round, counted from 0; in one that we do not have, it is still that of our last."""
    return connection.local[min(number, len(connection.local) - 1)].id or _single(connection.local_addrs)


def _peer_identity(connection: Connection, number: int) -> Identity | None:
    identity = connection.remote[min(number, len(connection.remote) - 1)].id
    return identity if identity is not None else _single(connection.remote_addrs)


def _single(entries: Sequence[AddressTemplate]) -> Identity | None:
    """The identity of a side that names none: its address, where there is one only."""
    found = [entry.address for entry in entries if entry.address is not None and entry.last is None]
    return Identity.of_address(found[0]) if len(found) == len(entries) == 1 and found[0] is not None else None


# Our certificates.


def check_own_certificates(connection: Connection, values: Values, files: FileCredentials, problems: Problems) -> None:
    """A local round with ``auth = pubkey`` needs a certificate with its identity, and the private key of it."""
    keys = {public_key_bytes(entry.key) for entry in files.keys}
    for found, section in rounds_of(connection, values, "local"):
        if found.auth != "pubkey":
            continue
        if found.certs:
            items = section.items("certs")
            for number, certificate in enumerate(found.certs):
                at = items[number].at if len(items) == len(found.certs) else section.place("certs")
                _check_own(certificate, found.id, at, section, keys, problems)
        elif found.pubkeys:
            if not any(key in keys for key in found.pubkeys):
                message = "no private key belongs to the public key"
                problems.add(section.place("pubkeys"), message, "put it into private", code="config-no-key")
        elif "certs" not in section and "pubkeys" not in section and not any(True for _ in section.below("cert")):
            _check_unnamed(found.id, section, files, keys, problems)


def _check_own(
    certificate: x509.Certificate,
    identity: Identity | None,
    at: Place,
    section: Values,
    keys: set[bytes],
    problems: Problems,
) -> None:
    name = certificate.subject.rfc4514_string()
    if public_key_bytes(certificate) not in keys:
        message = f"no private key belongs to the certificate '{name}'"
        problems.add(at, message, "put it into private, rsa, ecdsa, pkcs8 or pkcs12", code="config-no-key")
    if identity is not None and not certificate_has(certificate, identity):
        names = ", ".join(str(one) for one in certificate_identities(certificate))
        message = f"the certificate does not name '{identity}': peers will refuse it"
        hint = f"it names {names}"
        severity = problems.warn if identity.id_type == IdType.KEY_ID else problems.add
        severity(section.place("id"), message, hint, code="config-cert-identity")
    _check_dates(certificate, at, problems)
    _check_strength(certificate, at, problems)


def _check_unnamed(
    identity: Identity | None, section: Values, files: FileCredentials, keys: set[bytes], problems: Problems
) -> None:
    """No ``certs``: the certificate is found by identity among those whose key we have."""
    own = [entry.certificate for entry in files.certificates if public_key_bytes(entry.certificate) in keys]
    if identity is None:
        message = "auth = pubkey, and neither 'certs' nor 'id' says with which certificate"
        problems.add(section.place("auth"), message, "add: certs = my-cert.pem", code="config-no-cert")
    elif not any(certificate_has(certificate, identity) for certificate in own):
        message = f"there is no certificate with a private key for '{identity}'"
        near = did_you_mean(
            str(identity), [str(one) for certificate in own for one in certificate_identities(certificate)]
        )
        problems.add(section.place("id"), message, near or "add: certs = my-cert.pem", code="config-no-cert")


# The peer's certificates.


def check_peer_certificates(
    connection: Connection, values: Values, files: FileCredentials, anchored: bool, problems: Problems
) -> None:
    """A remote round with ``auth = pubkey`` needs something to verify the peer with: a trust anchor, mostly."""
    keys = {public_key_bytes(entry.key) for entry in files.keys}
    others = [e for e in files.certificates if e.kind == "x509" and public_key_bytes(e.certificate) not in keys]
    for found, section in rounds_of(connection, values, "remote"):
        if found.auth != "pubkey":
            continue
        named = any(key in section for key in ("certs", "cacerts", "pubkeys")) or bool(section.sections)
        if not (named or anchored or others or files.pubkeys):
            message = "there is nothing to verify the peer's certificate with: x509ca is empty"
            problems.add(section.place("auth"), message, "put the CA's certificate into x509ca", code="config-no-ca")
        if (found.id is None or found.id.is_any) and not (named or found.ca_id):
            message = "no 'id': anybody with a certificate of a CA in x509ca may be this peer"
            problems.warn(
                section.place("id"), message, "add: id = ... with the peer's identity", code="config-any-peer"
            )
        _check_named(found, section, problems)


def _check_named(found: AuthRound, section: Values, problems: Problems) -> None:
    """Certificates that a remote round names: the peer's own, and CAs."""
    for certificate, at in _with_places(found.certs, section, "certs"):
        _check_dates(certificate, at, problems)
        if found.id is not None and not certificate_matches(certificate, found.id):
            names = ", ".join(str(one) for one in certificate_identities(certificate))
            message = f"the peer's certificate does not name '{found.id}'"
            problems.add(section.place("id"), message, f"it names {names}", code="config-cert-identity")
    for certificate, at in _with_places(found.cacerts, section, "cacerts"):
        _check_dates(certificate, at, problems)
        if not is_ca(certificate):
            message = f"'{certificate.subject.rfc4514_string()}' is no CA certificate"
            problems.add(at, message, "name it under certs", code="config-no-ca")


def _with_places(
    certificates: Sequence[x509.Certificate], section: Values, key: str
) -> Iterator[tuple[x509.Certificate, Place]]:
    items = section.items(key)
    for number, certificate in enumerate(certificates):
        yield certificate, items[number].at if len(items) == len(certificates) else section.place(key)


# Certificates.


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether a certificate may sign others; version 1 certificates cannot say, and are believed."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return certificate.version is x509.Version.v1
    except ValueError:
        return False


def _check_dates(certificate: x509.Certificate, at: Place, problems: Problems) -> None:
    name, now = certificate.subject.rfc4514_string(), datetime.now(UTC)
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        problems.warn(at, f"the certificate '{name}' expired on {end:%Y-%m-%d}", "renew it", code="config-cert-expired")
    elif now < start:
        message = f"the certificate '{name}' is valid from {start:%Y-%m-%d %H:%M} UTC only"
        problems.warn(at, message, "check the clock", code="config-cert-expired")
    elif (end - now).days < SOON_DAYS:
        problems.inform(at, f"the certificate '{name}' expires on {end:%Y-%m-%d}", "renew it in time")


def _check_strength(certificate: x509.Certificate, at: Place, problems: Problems) -> None:
    key = certificate.public_key()
    if isinstance(key, RSAPublicKey) and key.key_size < SMALL_RSA:
        message = f"an RSA key of {key.key_size} bits is too small"
        problems.warn(at, message, "3072 bits, ECDSA or Ed25519", code="config-weak")
    digest = certificate.signature_hash_algorithm
    if digest is not None and digest.name in ("md5", "sha1"):
        message = f"the certificate is signed with {digest.name.upper()}, which can be forged"
        problems.warn(at, message, "have it issued anew with SHA-256", code="config-weak")
