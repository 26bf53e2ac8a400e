"""A public-key infrastructure for an afternoon: certificates that are good, expired, revoked or from elsewhere."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from fastesp.pki import Certified, Extensions, certify, make_key, parse_name, revoke

__all__ = ["Authority", "Certified", "SwanctlDirectory", "published"]

DAY = datetime.timedelta(days=1)


class Authority:
    """A certification authority, self-signed or under another one. ``Authority("lab CA").issue("CN=site-a")``.

    ``path_length`` and ``extensions`` are those of its own certificate.
    """

    def __init__(
        self,
        name: str,
        *,
        kind: str = "ecdsa-256",
        under: Authority | None = None,
        path_length: int | None = None,
        extensions: Extensions = (),
    ) -> None:
        self.certified: Certified = certify(
            parse_name(f"CN={name}"),
            make_key(kind),
            under.certified if under is not None else None,
            *_span(-1, 3650),
            authority=True,
            path_length=path_length,
            extensions=extensions,
        )

    @property
    def certificate(self) -> x509.Certificate:
        """The authority's own."""
        return self.certified.certificate

    @property
    def pem(self) -> bytes:
        """The authority's certificate."""
        return self.certified.pem

    def issue(
        self,
        subject: str,
        *,
        kind: str = "ecdsa-256",
        names: Sequence[str] = (),
        starts: float = -1,
        days: float = 365,
        extensions: Extensions = (),
    ) -> Certified:
        """A certificate for ``subject`` (``CN=site-a``), with ``names`` (DNS, e-mail or IP) as subjectAltName.

        Valid from ``starts`` days from now, for ``days`` days: ``starts=-10, days=5`` has expired.
        """
        key, span = make_key(kind), _span(starts, days)
        return certify(parse_name(subject), key, self.certified, *span, names=names, extensions=extensions)

    def crl(self, *revoked: Certified, starts: float = -1, days: float = 7) -> bytes:
        """Its revocation list, DER. ``starts=-10, days=5`` is out of date."""
        certificates = [certified.certificate for certified in revoked]
        return revoke(self.certified, certificates, *_span(starts, days)).public_bytes(Encoding.DER)

    def responder(self) -> Certified:
        """Who may answer OCSP in its place (RFC 6960 section 4.2.2.2)."""
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING])
        return self.issue("CN=OCSP", extensions=[(purpose, False), (x509.OCSPNoCheck(), False)])


def published(*, crl: str = "", ocsp: str = "") -> Extensions:
    """What a certificate says of where its status can be looked up."""
    found: list[tuple[x509.ExtensionType, bool]] = []
    if crl:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl)], None, None, None)
        found.append((x509.CRLDistributionPoints([point]), False))
    if ocsp:
        place = x509.UniformResourceIdentifier(ocsp)
        description = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, place)
        found.append((x509.AuthorityInformationAccess([description]), False))
    return found


def _span(starts: float, days: float) -> tuple[datetime.datetime, datetime.datetime]:
    begin = datetime.datetime.now(datetime.UTC) + starts * DAY
    return begin, begin + days * DAY


class SwanctlDirectory:
    """A directory laid out as swanctl.conf(5) has it: ``swanctl.conf``, ``x509``, ``x509ca``, ``private``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.x509, self.x509ca, self.private = (path / part for part in ("x509", "x509ca", "private"))
        for part in (self.x509, self.x509ca, self.private):
            part.mkdir(parents=True, exist_ok=True)
        self.private.chmod(0o700)

    @property
    def file(self) -> Path:
        """The configuration itself."""
        return self.path / "swanctl.conf"

    def configure(self, text: str) -> None:
        """Write ``swanctl.conf``; it may hold secrets, so nobody else reads it."""
        self.file.touch(mode=0o600)
        self.file.write_text(text)

    def own(self, certified: Certified, file: str = "my-cert.pem") -> None:
        """A certificate of this side, with its key and the chain that leads up from it."""
        (self.x509 / file).write_bytes(certified.pem)
        key_file = self.private / file.replace("cert", "key")
        key_file.touch(mode=0o600)
        key_file.write_bytes(certified.key_pem)
        for number, link in enumerate(certified.chain):
            (self.x509ca / f"chain-{number}.pem").write_bytes(link.public_bytes(Encoding.PEM))

    def trust(self, authority: Authority, file: str = "ca.pem") -> None:
        """An authority that this side trusts."""
        (self.x509ca / file).write_bytes(authority.pem)
