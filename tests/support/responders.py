"""What CAs publish, in memory: CRLs and OCSP answers at URIs, as a peer's look-ups ask for them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID
from support.certificates import Issued, digest

from ike.events import LookupWanted

DAY = datetime.timedelta(days=1)
Page = bytes | None | Callable[[bytes], bytes]
"""What is there; ``None``: nothing. A function answers an OCSP request."""


def crl_at(*uris: str) -> tuple[x509.ExtensionType, bool]:
    """A certificate's word of where its CRL is."""
    names = [x509.UniformResourceIdentifier(uri) for uri in uris]
    return x509.CRLDistributionPoints([x509.DistributionPoint(names, None, None, None)]), False


def ocsp_at(*uris: str) -> tuple[x509.ExtensionType, bool]:
    """A certificate's word of where its OCSP responder is."""
    kind = AuthorityInformationAccessOID.OCSP
    return x509.AuthorityInformationAccess(
        [x509.AccessDescription(kind, x509.UniformResourceIdentifier(uri)) for uri in uris]
    ), False


def ocsp_answer(
    request: bytes,
    about: Issued,
    issuer: Issued,
    now: datetime.datetime,
    *,
    signer: Issued | None = None,
    revoked: bool = False,
    unknown: bool = False,
    this: datetime.datetime | None = None,
    following: datetime.datetime | None = None,
    nonce: bytes | None = b"",
) -> bytes:
    """A response about ``about``, signed by ``signer`` or the CA. ``nonce``: the request's; ``None``: none."""
    asked = ocsp.load_der_ocsp_request(request)
    signer = signer or issuer
    status = ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=about.certificate,
        issuer=issuer.certificate,
        algorithm=asked.hash_algorithm,
        cert_status=ocsp.OCSPCertStatus.UNKNOWN if unknown else status,
        this_update=this or now - DAY,
        next_update=following if following is not None else now + DAY,
        revocation_time=now - DAY if revoked else None,
        revocation_reason=x509.ReasonFlags.key_compromise if revoked else None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, signer.certificate)
    if signer is not issuer:
        builder = builder.certificates([signer.certificate])
    if nonce is not None:
        theirs = asked.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
        builder = builder.add_extension(x509.OCSPNonce(nonce or theirs), critical=False)
    return builder.sign(signer.key, digest(signer.key)).public_bytes(Encoding.DER)


def found_at(pages: Mapping[str, Page], wanted: LookupWanted) -> tuple[bytes | None, str]:
    """What a look-up finds among ``pages``, and why nothing."""
    page = pages.get(wanted.uri)
    if page is None:
        return None, "HTTP status 404"
    return (page(wanted.body) if callable(page) else page), ""


def der(*certificates: x509.Certificate | x509.CertificateRevocationList) -> Sequence[bytes]:
    """Each in DER."""
    return [certificate.public_bytes(Encoding.DER) for certificate in certificates]
