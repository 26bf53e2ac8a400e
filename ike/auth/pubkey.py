"""AUTH payloads made with a private key, and the certificate behind the peer's (RFC 7296 section 2.15, RFC 7427)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from ..crypto.revocation import UNREADABLE
from ..crypto.signature import PrivateKey, Scheme, sign, verify
from ..crypto.signature_policy import ANY_SIGNATURE, PublicKey, SignaturePolicy
from ..crypto.x509 import SPKI_TYPES, Trust, Verified
from ..errors import PeerError
from ..wire.constants import CertEncoding, NotifyType
from ..wire.identity import Identity
from ..wire.payloads import AuthPayload, CertPayload

_MOST_CERTIFICATES = 32


@dataclass(frozen=True, slots=True)
class Proof:
    """What a peer that signed has proven: with which key, how, and the certificate path (``None`` for a raw key)."""

    scheme: Scheme
    public_key: PublicKey
    verified: Verified | None = None


def pubkey_auth(
    private_key: PrivateKey,
    octets: bytes,
    peer_hashes: Collection[int] | None,
    policy: SignaturePolicy = ANY_SIGNATURE,
    *,
    pss: bool = False,
) -> AuthPayload:
    """Our AUTH payload over ``octets`` (:func:`ike.auth.octets.auth_octets`); see :func:`ike.crypto.signature.sign`."""
    return sign(private_key, octets, peer_hashes, policy, pss=pss)


def read_certificates(payloads: Sequence[CertPayload]) -> tuple[x509.Certificate, ...]:
    """The X.509 certificates of CERT payloads, in order: the first is the one that signs (RFC 7296 section 3.6).

    Payloads of other encodings are passed over. Raises :class:`PeerError` ``cert-malformed`` for what is no
    certificate, and ``cert-too-many`` beyond 32.
    """
    ours = [payload for payload in payloads if payload.encoding == CertEncoding.X509_SIGNATURE]
    if len(ours) > _MOST_CERTIFICATES:
        raise _refuse("cert-too-many", f"the peer sent {len(ours)} certificates, at most {_MOST_CERTIFICATES} are read")
    found: list[x509.Certificate] = []
    for number, payload in enumerate(ours, 1):
        try:
            found.append(x509.load_der_x509_certificate(payload.data))
        except UNREADABLE:
            raise _refuse("cert-malformed", f"certificate {number} of {len(ours)} from the peer is malformed") from None
    return tuple(found)


def verify_pubkey(
    auth: AuthPayload,
    octets: bytes,
    chain: Sequence[x509.Certificate],
    identity: Identity,
    trust: Trust,
    *,
    peer_hashes: Collection[int] | None = None,
    authorities: Sequence[x509.Certificate] = (),
    authority: Identity | None = None,
    policies: Sequence[str] = (),
) -> Proof:
    """Return only if ``identity`` signed ``octets`` with the key of a certificate that ``trust`` accepts.

    ``authorities``, ``authority`` and ``policies`` are swanctl.conf's ``cacerts``, ``ca_id`` and ``cert_policy``: a CA
    of the path must be one of the first, one must have the second as its subject, and all of the third must hold.
    Raises :class:`PeerError` with the exact reason.
    """
    verified = trust.validate(chain, identity)
    scheme = verify(verified.public_key, auth, octets, trust.policy, peer_hashes=peer_hashes)
    above = verified.path[1:]
    if authorities and not any(certificate in authorities for certificate in above):
        names = ", ".join(f"'{Identity.of_name(certificate.subject)}'" for certificate in authorities)
        raise _refuse("cert-authority", f"the peer's certificate was not issued below {names}, as cacerts demands")
    if authority is not None and not any(Identity.of_name(c.subject).matches(authority) for c in above):
        raise _refuse("cert-authority", f"the peer's certificate was not issued below '{authority}', as ca_id demands")
    missing = [policy for policy in policies if policy not in verified.policies]
    if missing:
        raise _refuse("cert-policy", f"the peer's certificate lacks the policy {missing[0]}, which cert_policy demands")
    return Proof(scheme, verified.public_key, verified)


def verify_raw_key(
    auth: AuthPayload,
    octets: bytes,
    presented: bytes,
    trusted: Collection[bytes],
    policy: SignaturePolicy = ANY_SIGNATURE,
    *,
    peer_hashes: Collection[int] | None = None,
) -> Proof:
    """Return only if ``octets`` are signed with a raw key (RFC 7670) that is configured.

    ``presented`` is the peer's CERT payload, ``trusted`` the configured keys, both DER SubjectPublicKeyInfo. Raises
    :class:`PeerError` ``key-untrusted`` for a key that is not configured.
    """
    if presented not in trusted:
        raise _refuse("key-untrusted", "the peer's raw public key is none of those configured for it")
    try:
        key = load_der_public_key(presented)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, SPKI_TYPES):
        raise _refuse("key-untrusted", "the peer's raw public key is of a kind that cannot sign here")
    return Proof(verify(key, auth, octets, policy, peer_hashes=peer_hashes), key)


def _refuse(code: str, message: str) -> PeerError:
    return PeerError(code, message, notify=NotifyType.AUTHENTICATION_FAILED)
