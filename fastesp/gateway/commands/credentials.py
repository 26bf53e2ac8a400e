"""Keys, secrets and certificates over VICI. They go in; out come certificates and names of keys, never a secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import BasicConstraints, Certificate, CertificateRevocationList, ExtensionNotFound

from fastesp.config import ConfigurationError
from fastesp.config.vici import load_certificate
from fastesp.config.vici import load_key as load_private_key
from fastesp.config.vici import load_shared as load_secret
from ike.errors import IkeError
from ike.sa.lookups import Kind
from ike.wire.identity import Identity

from ..vici.codec import MAX_VALUE
from ..vici.server import RefusedError, Request
from .arguments import required, word
from .load import refuse
from .views import subject_of

if TYPE_CHECKING:
    from ..gateway import Gateway

DONE: Mapping[str, object] = {"success": True}

CERTIFICATE_TYPES = {
    # What a client may call it -> (type, flag), old and new spelling.
    "x509": ("X509", ""),
    "x509ca": ("X509", "CA"),
    "x509aa": ("X509", "AA"),
    "x509ocsp": ("X509", "OCSP"),
    "x509ac": ("X509_AC", "NONE"),
    "x509_ac": ("X509_AC", "NONE"),
    "x509crl": ("X509_CRL", "NONE"),
    "x509_crl": ("X509_CRL", "NONE"),
    "ocsp_response": ("OCSP_RESPONSE", "NONE"),
    "pubkey": ("PUBKEY", "NONE"),
    "any": ("ANY", "ANY"),
}

FETCHED = {
    "ANY": tuple(Kind),
    "X509": (Kind.CERTIFICATE, Kind.BUNDLE),
    "X509_CRL": (Kind.CRL,),
    "OCSP_RESPONSE": (Kind.OCSP,),
}
"""Type of certificate -> what of it is looked up and kept."""


def is_authority(certificate: Certificate) -> bool:
    """Whether the basic constraints say CA (RFC 5280 section 4.2.1.9)."""
    try:
        return certificate.extensions.get_extension_for_class(BasicConstraints).value.ca
    except (ExtensionNotFound, ValueError):
        return False


def _kind(message: Mapping[str, object]) -> tuple[str, str]:
    given = required(message, "type", "certificate type missing")
    if given.lower() not in CERTIFICATE_TYPES:
        raise RefusedError(f"invalid certificate type '{given}'", outcome="failed")
    kind, flag = CERTIFICATE_TYPES[given.lower()]
    return kind, flag or word(message, "flag").upper() or "NONE"


async def load_cert(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """A certificate, a revocation list or a raw public key, PEM or DER."""
    kind, flag = _kind(request.message)
    try:
        found = load_certificate({**request.message, "type": kind, "flag": flag})
    except ConfigurationError as error:
        refuse(error)
    if isinstance(found, CertificateRevocationList):
        gateway.vault.load_crl(found)
    elif isinstance(found, bytes):
        gateway.vault.load_public_key(found)
    elif flag == "CA" and not is_authority(found.certificate):
        raise RefusedError("ca certificate lacks CA basic constraint, rejected", code="cert-no-ca", outcome="failed")
    else:
        gateway.vault.load_certificate(found.certificate, authority=flag == "CA")
        gateway.logbook.say("CFG", 1, f"loaded certificate '{subject_of(found.certificate)}'")
    return DONE


async def load_key(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """A private key, PEM or DER, not encrypted; the answer names it."""
    try:
        name = gateway.vault.load_key(load_private_key(request.message))
    except ConfigurationError as error:
        refuse(error)
    gateway.logbook.say("CFG", 1, f"loaded private key {name}")
    return {**DONE, "id": name}


async def unload_key(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Forget a private key by its id."""
    name = required(request.message, "id", "key id missing")
    if not gateway.vault.unload_key(name):
        raise RefusedError("key not found", code="no-such-key", outcome="not-found")
    return DONE


async def get_keys(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Ids of private keys that came over VICI."""
    del request
    return {"keys": gateway.vault.key_ids()}


async def load_token(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """A key on a smart card or in a TPM: refused, with the way out."""
    del gateway, request
    raise RefusedError(
        "keys on tokens are not used: this gateway opens no PKCS#11 module; export the key to a file in private/",
        code="token-refused",
        outcome="refused",
    )


async def load_shared(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """A secret and the identities it is for."""
    try:
        shared = load_secret(request.message)
    except ConfigurationError as error:
        refuse(error)
    gateway.vault.load_shared(shared)
    names = ", ".join(f"'{owner}'" for owner in shared.owners) or "'%any'"
    gateway.logbook.say("CFG", 1, f"loaded {shared.kind.upper()} shared key for: {names}")
    return DONE


async def unload_shared(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Forget a secret by its id; one that is not there is no mistake, as with strongSwan."""
    name = required(request.message, "id", "unique identifier missing")
    gateway.vault.unload_shared(name)
    return DONE


async def get_shared(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Ids of secrets that came over VICI."""
    del request
    return {"keys": gateway.vault.shared_ids()}


async def flush_certs(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Drop what was fetched and kept: revocation lists, OCSP answers, certificates by URL; ``type`` selects."""
    kind = _kind(request.message)[0] if word(request.message, "type") else "ANY"
    gateway.endpoint.forget_lookups(FETCHED.get(kind, ()))
    return DONE


async def clear_creds(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Forget all keys, secrets and certificates that came over VICI."""
    del request
    gateway.vault.clear()
    return DONE


async def list_certs(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Stream certificates and revocation lists as ``list-cert``, in DER."""
    message = request.message
    if word(message, "type") and word(message, "type").lower() not in CERTIFICATE_TYPES:
        return {}
    kind, flag = _kind(message) if word(message, "type") else ("ANY", "ANY")
    if kind == "X509" and not word(message, "flag") and word(message, "type").lower() == "x509":
        flag = "ANY"
    subject = word(message, "subject")
    if kind in ("ANY", "X509"):
        for found, view in _certificates(gateway):
            if (kind == "X509" and flag not in ("ANY", view["flag"])) or (subject and not _is_of(found, subject)):
                continue
            await request.stream("list-cert", view)
    if kind in ("ANY", "X509_CRL") and not subject:
        for crl in (*gateway.vault.crls(), *gateway.endpoint.fetched_crls()):
            data = crl.public_bytes(Encoding.DER)
            if len(data) <= MAX_VALUE:
                await request.stream("list-cert", {"type": "X509_CRL", "data": data})
                continue
            issuer = Identity.of_name(crl.issuer)
            text = f"the revocation list of '{issuer}' is in use and not listed: VICI carries no {len(data)} bytes"
            gateway.logbook.say("CFG", 1, text)
    return {}


def _certificates(gateway: Gateway) -> Iterator[tuple[Certificate, dict[str, object]]]:
    """End entities first, then CAs, as strongSwan lists them; each once."""
    seen: set[bytes] = set()
    everything = (*gateway.vault.certificates(), *gateway.vault.authorities())
    for authority in (False, True):
        for certificate in everything:
            data = certificate.public_bytes(Encoding.DER)
            if is_authority(certificate) is not authority or data in seen:
                continue
            seen.add(data)
            view: dict[str, object] = {"type": "X509", "flag": "CA" if authority else "NONE"}
            if gateway.vault.has_private_key(certificate):
                view["has_privkey"] = "yes"
            view["data"] = data
            yield certificate, view


def _is_of(certificate: Certificate, subject: str) -> bool:
    try:
        return Identity.of_name(certificate.subject).matches(Identity.parse(subject))
    except (IkeError, ValueError):
        return False


COMMANDS = {
    "load-cert": load_cert,
    "load-key": load_key,
    "unload-key": unload_key,
    "get-keys": get_keys,
    "load-token": load_token,
    "load-shared": load_shared,
    "unload-shared": unload_shared,
    "get-shared": get_shared,
    "flush-certs": flush_certs,
    "clear-creds": clear_creds,
    "list-certs": list_certs,
}
