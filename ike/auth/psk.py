"""AUTH payloads made with a shared key (RFC 7296 section 2.15): PSK, the MSK of EAP (section 2.16), NULL (RFC 7619)."""

from __future__ import annotations

import hmac

from ..crypto.prf import prf
from ..crypto.secret import Secret
from ..errors import LocalError, PeerError
from ..wire.constants import AuthMethod, NotifyType
from ..wire.payloads import AuthPayload

_KEY_PAD = b"Key Pad for IKEv2"


def shared_key_auth(
    prf_number: int, secret: Secret, octets: bytes, method: AuthMethod = AuthMethod.SHARED_KEY
) -> AuthPayload:
    """The AUTH payload over ``octets`` (see :func:`ike.auth.octets.auth_octets`).

    ``secret`` is the PSK; the MSK of an EAP method; SK_pi or SK_pr where EAP makes no key, and for method NULL.
    Raises :class:`LocalError` ``empty-secret``: an empty key authenticates nobody.
    """
    return AuthPayload(method, _mac(prf_number, secret, octets))


def verify_shared_key(
    prf_number: int,
    secret: Secret,
    octets: bytes,
    auth: AuthPayload,
    method: AuthMethod = AuthMethod.SHARED_KEY,
) -> None:
    """Return only if ``auth`` is the peer's AUTH payload over ``octets`` under ``secret``.

    Raises :class:`PeerError` ``auth-method`` for another method than ours, ``psk-mismatch`` where the keys differ.
    """
    if auth.method != method:
        raise PeerError(
            "auth-method",
            f"the peer authenticated itself by {_method_name(auth.method)}, we ask for {_method_name(method)}",
            notify=NotifyType.AUTHENTICATION_FAILED,
            hint="compare 'auth' of our remote section with the peer's local one",
            fields={"offered": _method_name(auth.method), "allowed": _method_name(method)},
        )
    if not hmac.compare_digest(auth.data, _mac(prf_number, secret, octets)):
        raise PeerError(
            "psk-mismatch",
            "the peer's AUTH payload does not verify with our shared key",
            notify=NotifyType.AUTHENTICATION_FAILED,
            hint="both sides need the same secret for this pair of identities",
        )


def _mac(prf_number: int, secret: Secret, octets: bytes) -> bytes:
    if len(secret) == 0:
        raise LocalError("empty-secret", "the shared key is empty", hint="give the secret a value")
    return prf(prf_number, prf(prf_number, secret, _KEY_PAD), octets)


def _method_name(method: int) -> str:
    try:
        return AuthMethod(method).name
    except ValueError:
        return str(method)
