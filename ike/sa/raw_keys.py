"""Raw public keys in IKE_AUTH: the peer knows the key already, so no certificate has to vouch for it (RFC 7670)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..auth.pubkey import Proof, verify_raw_key
from ..config import AuthRound
from ..credentials import PrivateKey, public_key_bytes
from ..crypto.signature_policy import SignaturePolicy
from ..errors import LocalError, PeerError
from ..wire.constants import CertEncoding, NotifyType
from ..wire.payloads import AuthPayload, CertPayload, CertRequestPayload, Payload

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from .ike_sa import IkeSa


def asking(sections: Sequence[AuthRound]) -> list[Payload]:
    """CERTREQ, which names no authority, where one of these sections names keys (section 3)."""
    wanted = any(section.pubkeys for section in sections)
    return [CertRequestPayload(CertEncoding.RAW_PUBLIC_KEY, ())] if wanted else []


def own(sa: IkeSa, section: AuthRound) -> tuple[list[Payload], PrivateKey]:
    """The key to sign with, and the CERT payload that holds its public half. Raises :class:`LocalError`."""
    for public in section.pubkeys:
        key = sa.core.credentials.private_key_for(public)
        if key is not None:
            return [CertPayload(CertEncoding.RAW_PUBLIC_KEY, public)], key
    raise LocalError(
        "no-private-key",
        f"there is no private key for the raw public key of connection {sa.settings.name!r}",
        hint="put it into private, or name another key in local.pubkeys",
    )


def verify(
    sa: IkeSa,
    section: AuthRound,
    payloads: Sequence[CertPayload],
    chain: Sequence[Certificate],
    auth: AuthPayload,
    octets: bytes,
    policy: SignaturePolicy,
) -> Proof:
    """Return only if one of the section's keys signed: the one that the peer shows, else any, which is how strongSwan
    does it. A certificate of such a key shows it too. Raises :class:`PeerError`.
    """
    hashes = sa.in_setup.peer_hashes or None
    shown = [p.data for p in payloads if p.encoding == CertEncoding.RAW_PUBLIC_KEY][:1]
    shown = shown or [public_key_bytes(certificate) for certificate in chain[:1]] or list(section.pubkeys)
    refused: PeerError | None = None
    for key in shown:
        try:
            return verify_raw_key(auth, octets, key, section.pubkeys, policy, peer_hashes=hashes)
        except PeerError as error:
            refused = error
    raise refused or PeerError(
        "key-untrusted", "no raw public key is configured for the peer", notify=NotifyType.AUTHENTICATION_FAILED
    )
