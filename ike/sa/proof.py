"""Who somebody is: making and checking AUTH and what goes with it (RFC 7296 section 2.15)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..auth.octets import auth_octets
from ..auth.psk import shared_key_auth, verify_shared_key
from ..config import AuthRound, Connection
from ..crypto.keys import IkeKeys, prf_of
from ..crypto.secret import Secret
from ..errors import LocalError, PeerError
from ..records import Failure, Refused
from ..wire.constants import AuthMethod, CertEncoding, NotifyType, PayloadType
from ..wire.message import Message
from ..wire.payloads import AuthPayload, CertRequestPayload, IdPayload, Payload
from . import certificates, hash_and_url, raw_keys
from .rounds import of_side
from .select import method_allowed, secret_place

if TYPE_CHECKING:
    from .ike_sa import IkeSa


UNPROVEN = "null"
"""How a peer showed who it is that showed nothing."""


def method_of(auth: AuthPayload) -> str:
    """The word of swanctl.conf's ``auth`` for a peer's AUTH payload."""
    if auth.method == AuthMethod.SHARED_KEY:
        return "psk"
    return "null" if auth.method == AuthMethod.NULL else "pubkey"


def uses_certificates(round_: AuthRound) -> bool:
    """Whether a side proves itself with a key of its own."""
    return method_allowed(round_, "pubkey")


def _octets(sa: IkeSa, identity: IdPayload, keys: IkeKeys, *, initiators: bool) -> bytes:
    """What the AUTH payload of one side covers; ``initiators`` says whose."""
    setup = sa.in_setup
    number, int_auth = prf_of(sa.suite), setup.int_auth.octets()
    if initiators:
        return auth_octets(number, setup.first_request, setup.nonce_r, keys.sk_pi, identity, int_auth)
    return auth_octets(number, setup.first_response, setup.nonce_i, keys.sk_pr, identity, int_auth)


def prove(sa: IkeSa, round_: AuthRound, identity: IdPayload, keys: IkeKeys) -> tuple[list[Payload], AuthPayload]:
    """Our certificates and our AUTH payload of one round. Raises :class:`LocalError` where a secret or key is missing.

    ``keys`` are those of the IKE SA, or what a PPK makes of them.
    """
    octets = _octets(sa, identity, keys, initiators=sa.initiator)
    if uses_certificates(round_):
        return certificates.sign(sa, round_, octets)
    number = prf_of(sa.suite)
    if round_.auth == "null":
        return [], shared_key_auth(number, keys.sk_pi if sa.initiator else keys.sk_pr, octets, AuthMethod.NULL)
    if round_.auth != "psk":
        raise LocalError("auth-method-unknown", f"connections.{sa.settings.name}.local: auth = {round_.auth}")
    if sa.local_id is None or sa.remote_id is None:
        raise RuntimeError("a shared key is looked up by identities")
    secret = sa.core.credentials.shared_key(sa.local_id, sa.remote_id)
    if secret is None:
        raise LocalError(
            "no-shared-key",
            f"there is no shared key for {sa.local_id} and {sa.remote_id}",
            hint=f"add a secrets.ike section with id = {sa.remote_id}",
        )
    return [], shared_key_auth(number, secret, octets)


def verify(sa: IkeSa, round_: AuthRound, message: Message, auth: AuthPayload, keys: IkeKeys) -> str:
    """Check that the peer is who it says in this round; returns how it showed it (``remote_auth`` of the event).

    ``auth`` and ``keys`` say which proof is checked: with a PPK there may be two. Raises :class:`PeerError`, whose
    record is complete.
    """
    identity = message.one(IdPayload, PayloadType.ID_R if sa.initiator else PayloadType.ID_I)
    if identity is None:
        raise PeerError("invalid-syntax", "AUTH without an identity", notify=NotifyType.INVALID_SYNTAX)
    method = method_of(auth)
    if not method_allowed(round_, method):
        raise Refused(
            Failure(
                code="auth-method",
                summary=f"{sa.remote_id} authenticates itself with {method}, the connection wants {round_.auth}",
                hint="make auth of our remote section that of the peer's local section",
                offered=(method,),
                allowed=(round_.auth,),
                mismatch="auth",
                keys=("remote.auth",),
            ),
            NotifyType.AUTHENTICATION_FAILED,
        )
    octets = _octets(sa, identity, keys, initiators=not sa.initiator)
    if method == "psk":
        _verify_psk(sa, auth, octets)
        return "pre-shared key"
    if method == "null":
        _verify_null(sa, auth, octets, keys.sk_pr if sa.initiator else keys.sk_pi)
        return UNPROVEN
    return certificates.verify(sa, round_, message, auth, octets)


def _verify_null(sa: IkeSa, auth: AuthPayload, octets: bytes, sk_p: Secret) -> None:
    """Nobody is proven to be anybody, but who opened the IKE SA is who goes on with it (RFC 7619 section 2.1)."""
    try:
        verify_shared_key(prf_of(sa.suite), sk_p, octets, auth, AuthMethod.NULL)
    except PeerError:
        raise Refused(
            Failure(
                code="auth-null-mismatch",
                summary=f"the AUTH payload of {sa.remote_id}, which proves nothing else, is not over this IKE SA",
                hint="messages were changed on their way, or the peer computes NULL authentication otherwise",
                offered=("null",),
                allowed=("null",),
                mismatch="AUTH",
                keys=("remote.auth",),
            ),
            NotifyType.AUTHENTICATION_FAILED,
        ) from None


def _verify_psk(sa: IkeSa, auth: AuthPayload, octets: bytes) -> None:
    local, remote = sa.local_id, sa.remote_id
    if local is None or remote is None:
        raise RuntimeError("a shared key is looked up by identities")
    place = secret_place(sa.core.credentials, local, remote)
    secret = sa.core.credentials.shared_key(local, remote)
    if secret is None:
        raise Refused(
            Failure(
                code="no-shared-key",
                summary=f"there is no shared key for {local} and {remote}",
                hint=f"add a secrets.ike section with id = {remote}",
                offered=("psk",),
                mismatch="no secret names the two identities",
                where=place,
            ),
            NotifyType.AUTHENTICATION_FAILED,
        )
    try:
        verify_shared_key(prf_of(sa.suite), secret, octets, auth)
    except PeerError:
        raise Refused(
            Failure(
                code="auth-psk-mismatch",
                summary=f"the shared key of {remote} is not the one that we have for it",
                hint=f"give both sides one and the same secret for {local} and {remote}",
                offered=("psk",),
                allowed=("psk",),
                mismatch="the secrets differ",
                where=place,
            ),
            NotifyType.AUTHENTICATION_FAILED,
        ) from None


def requests(sa: IkeSa, connections: Sequence[Connection]) -> list[Payload]:
    """CERTREQ for peers of these connections, one an encoding that would serve (RFC 7296 section 3.7, RFC 7670)."""
    sections = [section for c in connections if c.send_certreq for section in of_side(c.remote)]
    sections = [section for section in sections if uses_certificates(section)]
    raw = raw_keys.asking(sections)
    hashes = certificates.authority_hashes(
        sa, [section for section in sections if section.certs or not section.pubkeys]
    )
    if not hashes:
        return raw
    return [CertRequestPayload(CertEncoding.X509_SIGNATURE, hashes), *hash_and_url.announce(sa), *raw]
