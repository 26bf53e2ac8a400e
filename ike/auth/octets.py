"""The octets that an AUTH payload covers (RFC 7296 section 2.15)."""

from __future__ import annotations

from ..crypto.prf import prf
from ..crypto.secret import Secret
from ..wire.payloads import IdPayload


def auth_octets(
    prf_number: int, message: bytes, peer_nonce: bytes, sk_p: Secret, identity: IdPayload, int_auth: bytes = b""
) -> bytes:
    """``RealMessage | NonceData | MACedID``, and IntAuth where IKE_INTERMEDIATE took place (RFC 9242 section 3.3.2).

    All of the side that authenticates itself: ``message`` is its own IKE_SA_INIT message as it was on the wire (without
    the non-ESP marker; the last one, where cookies or INVALID_KE_PAYLOAD led to several), ``sk_p`` its SK_pi or SK_pr,
    ``identity`` its IDi or IDr. ``peer_nonce`` is the nonce of the other side.
    """
    return message + peer_nonce + prf(prf_number, sk_p, identity.body()) + int_auth
