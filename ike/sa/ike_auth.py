"""IKE_AUTH: both sides show who they are, and the first CHILD_SA comes along (RFC 7296 section 1.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..config import Child, Connection, Unique
from ..errors import LocalError, PeerError
from ..records import Failure, Refused, failure_of, place
from ..wire.constants import CertEncoding, ExchangeType, NotifyType, PayloadType
from ..wire.identity import Identity
from ..wire.message import Message
from ..wire.payloads import AuthPayload, CertRequestPayload, IdPayload, NotifyPayload, Payload, SaPayload
from . import child as children
from . import mobike, proof, resources
from .features import Feature
from .select import by_identities, local_identity
from .task import Asking, Purpose, Task, Turn

if TYPE_CHECKING:
    from .ike_sa import IkeSa, Packet


def authorities_for(sa: IkeSa, connections: Sequence[Connection]) -> tuple[bytes, ...]:
    """Hashes for a CERTREQ to a peer that may belong to any of these."""
    return proof.authority_hashes(sa, connections)


class Authenticate(Task):
    """Show who we are and ask for the first CHILD_SA."""

    __slots__ = ("config", "made")
    purpose = Purpose.CONNECT

    def __init__(self) -> None:
        super().__init__()
        self.config: Child | None = None
        self.made: children.Offer | None = None

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """IDi, CERT, CERTREQ, IDr, AUTH, SA, TSi, TSr."""
        connection = sa.settings
        sa.local_id = local_identity(connection, sa.path)
        expected = proof.first_round(connection.remote).id
        # The secret is looked up for whom we expect; who answers is checked against it then.
        sa.remote_id = expected if expected is not None else Identity.of_address(sa.path.remote)
        named = expected is not None and not expected.has_wildcards
        idi = sa.local_id.to_payload(PayloadType.ID_I)
        certs, auth = proof.prove(sa, connection, idi)
        payloads: list[Payload] = [idi, *certs]
        known = proof.first_round(connection.local).auth != "null"
        if known and connection.unique is not Unique.NEVER and not sa.core.others_between(sa):
            payloads.append(NotifyPayload(NotifyType.INITIAL_CONTACT))
        hashes = authorities_for(sa, [connection])
        if hashes:
            payloads.append(CertRequestPayload(CertEncoding.X509_SIGNATURE, hashes))
        if named and expected is not None:
            payloads.append(expected.to_payload(PayloadType.ID_R))
        payloads.append(auth)
        payloads += mobike.announce(sa)
        payloads += self._first_child(sa, now)
        return ExchangeType.IKE_AUTH, payloads

    def _first_child(self, sa: IkeSa, now: float) -> list[Payload]:
        from .create_child_sa import CreateChild

        setup, connection = sa.in_setup, sa.settings
        packet: Packet | None = None
        childless = Feature.CHILDLESS in sa.features
        if setup.wanted and not (childless and connection.childless in ("prefer", "force")):
            self.config, packet = setup.wanted.pop(0)
        elif not childless:
            if connection.childless == "force" or not setup.wanted:
                raise LocalError(
                    "not-childless",
                    "the peer does not set up an IKE SA without CHILD_SA (RFC 6023)",
                    hint=f"name a child of connection {connection.name!r} to bring up",
                )
            self.config, packet = setup.wanted.pop(0)
        sa.tasks += [CreateChild(config, wanted_packet) for config, wanted_packet in setup.wanted]
        setup.wanted.clear()
        if self.config is None:
            return []
        self.made, payloads = children.offer(sa, self.config, packet, with_ke=False)
        return [*payloads, *resources.announce(self.config, 0)]


# The responder.


def refuse_eap(sa: IkeSa, turn: Turn) -> list[Payload]:
    """No AUTH in the first message asks for EAP (RFC 7296 section 2.16), which no connection of this peer allows."""
    identity = turn.message.one(IdPayload, PayloadType.ID_I)
    if identity is not None:
        sa.remote_id = Identity.from_payload(identity)
    setup = sa.in_setup
    raise Refused(
        Failure(
            code="auth-method",
            summary=f"{sa.remote_id} wants to authenticate itself with EAP, which no connection for it allows",
            hint="make auth of our remote section that of the peer's local section",
            offered=("eap",),
            allowed=tuple(proof.first_round(c.remote).auth for c in setup.candidates),
            mismatch="auth",
            tried=tuple(setup.lost),
            keys=("remote.auth",),
        ),
        NotifyType.AUTHENTICATION_FAILED,
    )


def answer(sa: IkeSa, turn: Turn) -> list[Payload]:
    """Find the connection, verify, show who we are, set up the CHILD_SA or say why not."""
    message, setup, now = turn.message, sa.in_setup, turn.now
    idi, auth = message.one(IdPayload, PayloadType.ID_I), message.one(AuthPayload)
    if idi is None or auth is None:
        raise PeerError("invalid-syntax", "IKE_AUTH without IDi or AUTH", notify=NotifyType.INVALID_SYNTAX)
    sa.remote_id = Identity.from_payload(idi)
    connection = _connection_for(sa, message, proof.method_of(auth))
    sa.connection = connection
    sa.local_id = local_identity(connection, sa.path)
    request = message.one(CertRequestPayload)
    setup.authorities_asked = request.authorities if request is not None else None
    remote_auth = proof.verify(sa, connection, message)
    if remote_auth != proof.UNPROVEN:
        # Else anybody could end somebody's IKE SAs (RFC 7619 section 2.3).
        _check_unique(sa, message, now)
    idr = sa.local_id.to_payload(PayloadType.ID_R)
    certs, our_auth = proof.prove(sa, connection, idr)
    nonces = (setup.nonce_i, setup.nonce_r)
    if message.one(SaPayload) is None and connection.childless == "never":
        raise Refused(
            Failure(
                code="childless",
                summary=f"{sa.remote_id} wants an IKE SA without CHILD_SA, which childless = never forbids",
                hint="set childless = allow, or name a child on the peer",
                keys=("childless",),
            ),
            NotifyType.INVALID_SYNTAX,
        )
    mobike.check_no_nats(message, sa.path)
    sa.established(remote_auth, now)
    mobike.agree(sa, message)
    return [idr, *certs, our_auth, *mobike.announce(sa, answering=message), *_answer_child(sa, message, nonces, now)]


def _connection_for(sa: IkeSa, message: Message, method: str) -> Connection:
    """The candidate for these identities and this way of authentication. Raises :class:`Refused`."""
    setup = sa.in_setup
    idr = message.one(IdPayload, PayloadType.ID_R)
    wanted = Identity.from_payload(idr) if idr is not None else None
    if sa.remote_id is None:
        raise RuntimeError("the peer has no identity yet")
    found, lost, keys = by_identities(setup.candidates, sa.path, sa.remote_id, wanted, method)
    setup.lost += lost
    if found:
        return found[0]
    # Where one connection only stood to choose, the record can name the line.
    if len(setup.candidates) == 1:
        sa.connection = setup.candidates[0]
    key = keys[0] if keys else "remote.id"
    said = f"IDi {sa.remote_id}" + (f", IDr {wanted}" if wanted is not None else "") + f", auth {method}"
    allowed = tuple(
        f"{c.name}: local.id = {local_identity(c, sa.path)}, remote.id = {proof.first_round(c.remote).id or '%any'},"
        f" remote.auth = {proof.first_round(c.remote).auth}"
        for c in setup.candidates
    )
    raise Refused(
        Failure(
            code="auth-method" if key == "remote.auth" else "no-connection-for-identity",
            summary=f"no connection is for {said}",
            hint=f"make {key} what the peer sends, or correct the peer's id",
            offered=(said,),
            allowed=allowed,
            mismatch=lost[0].why if lost else key,
            tried=tuple(setup.lost),
            where=place(setup.candidates[0], (key,)),
        ),
        NotifyType.AUTHENTICATION_FAILED,
    )


def _check_unique(sa: IkeSa, message: Message, now: float) -> None:
    """``unique`` and INITIAL_CONTACT (RFC 7296 section 2.4): what becomes of this peer's earlier IKE SAs."""
    unique = sa.settings.unique
    others = sa.core.others_between(sa)
    if unique is Unique.NEVER or not others:
        return
    if message.notify(NotifyType.INITIAL_CONTACT) is not None:
        # The peer says that it knows of no other: there is nobody left to tell. It said so of the time before this IKE
        # SA began: one that came up since, because both opened at once, it knows by now.
        started_at = sa.in_setup.started_at
        for other in (o for o in others if o.established_at is None or o.established_at < started_at):
            other.die("initial-contact", now)
            other.go_on(now)
    elif unique is Unique.KEEP:
        raise Refused(
            Failure(
                code="duplicate-peer",
                summary=f"{sa.remote_id} has an IKE SA already, and unique = keep lets it keep that one",
                hint="close the other IKE SA, or set unique = replace",
                mismatch=f"IKE SA {others[0].ike_id} with {others[0].path.remote}",
                keys=("unique",),
            ),
            NotifyType.AUTHENTICATION_FAILED,
        )
    elif unique is Unique.REPLACE:
        for other in others:
            other.terminate(now)


def _answer_child(sa: IkeSa, message: Message, nonces: tuple[bytes, bytes], now: float) -> list[Payload]:
    """The first CHILD_SA; its failure leaves the IKE SA alone (RFC 7296 section 1.2)."""
    offered = message.one(SaPayload)
    if offered is None:
        return []
    try:
        draft = children.choose(sa, message, with_ke=False)
    except PeerError as error:
        sa.failed(failure_of(error), ExchangeType.IKE_AUTH)
        return [NotifyPayload(error.notify or NotifyType.NO_PROPOSAL_CHOSEN, error.notify_data)]
    spi = sa.core.child_spi(draft.selection.proposal.protocol)
    spi_out = int.from_bytes(draft.selection.proposal.spi, "big")
    child = children.install(sa, draft, spi, spi_out, nonces, None, now)
    sa.use_outbound(child)
    return children.answer_payloads(draft, spi)


# The initiator.


def take_answer(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """Verify the responder; then the CHILD_SA, or the reason why there is none."""
    message, task, now = turn.message, turn.task, turn.now
    if not isinstance(task, Authenticate):
        raise RuntimeError("IKE_AUTH was asked by another task")
    connection, setup = sa.settings, sa.in_setup
    idr = message.one(IdPayload, PayloadType.ID_R)
    if idr is None:
        raise PeerError("invalid-syntax", "IKE_AUTH without IDr", notify=NotifyType.INVALID_SYNTAX)
    _check_identity(sa, connection, Identity.from_payload(idr))
    remote_auth = proof.verify(sa, connection, message)
    nonces = (setup.nonce_i, setup.nonce_r)
    if connection.unique is Unique.REPLACE and remote_auth != proof.UNPROVEN:
        for other in sa.core.others_between(sa):
            other.terminate(now)
    sa.established(remote_auth, now)
    mobike.agree(sa, message)
    if task.config is not None and task.made is not None:
        _take_child(sa, message, task.config, task.made, nonces, now)
    return ()


def _check_identity(sa: IkeSa, connection: Connection, identity: Identity) -> None:
    expected = proof.first_round(connection.remote).id
    sa.remote_id = identity
    if expected is None or identity.matches(expected):
        return
    raise Refused(
        Failure(
            code="peer-identity-mismatch",
            summary=f"the peer is {identity}, connection {connection.name!r} wants {expected}",
            hint="make remote.id what the peer's local.id is",
            offered=(str(identity),),
            allowed=(str(expected),),
            mismatch=f"remote.id is {expected}, the peer is {identity}",
            keys=("remote.id",),
        ),
        NotifyType.AUTHENTICATION_FAILED,
    )


def _take_child(
    sa: IkeSa, message: Message, config: Child, made: children.Offer, nonces: tuple[bytes, bytes], now: float
) -> None:
    from .informational import DeleteSpi

    error = message.error
    if error is not None or message.one(SaPayload) is None:
        number = error.notify if error is not None else 0
        sa.failed(children.refusal_of(config, made, number, "IKE_AUTH; the IKE SA is up"), ExchangeType.IKE_AUTH)
        return
    try:
        draft = children.confirm(made, message)
    except PeerError as problem:
        # The peer believes that it is up.
        sa.failed(failure_of(problem), ExchangeType.IKE_AUTH)
        sa.tasks.append(DeleteSpi(made.proposals[0].protocol, made.spi))
        return
    spi_out = int.from_bytes(draft.selection.proposal.spi, "big")
    child = children.install(sa, draft, made.spi, spi_out, nonces, None, now)
    sa.use_outbound(child)
    resources.ask_for_more(sa, child)


def take_refusal(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """The responder does not accept us, and does not say why (RFC 7296 section 2.21.2): look at its log."""
    error = turn.message.error
    number = error.notify if error is not None else 0
    if number == NotifyType.AUTHENTICATION_FAILED:
        refused = peer_refused_us(sa)
    else:
        try:
            name = NotifyType(number).name
        except ValueError:
            name = f"error {number}"
        refused = Failure(
            code="auth-refused",
            summary=f"the peer refuses IKE_AUTH with {name}",
            hint="the peer's log says why",
            mismatch=name,
            fields={"notify": name},
        )
    sa.failed(refused, ExchangeType.IKE_AUTH)
    sa.die(refused.code, turn.now)
    return ()


def peer_refused_us(sa: IkeSa) -> Failure:
    """AUTHENTICATION_FAILED: the peer knows what is wrong; we know where to look."""
    connection = sa.settings
    round_ = proof.first_round(connection.local)
    if proof.uses_certificates(round_):
        hint = "compare local.id with the peer's remote.id, and see that the peer trusts the CA of local.certs"
        keys: tuple[str, ...] = ("local.id", "local.certs", "local.auth")
        place = ""
    else:
        hint = "compare the secret and local.id with the peer's: its log says which of the two is wrong"
        keys = ("local.id",)
        local, remote = sa.local_id, sa.remote_id
        place = sa.core.credentials.shared_key_where(local, remote) if local is not None and remote is not None else ""
    return Failure(
        code="peer-auth-failed",
        summary=f"the peer does not accept us as {sa.local_id}",
        hint=hint,
        allowed=(f"local.id = {sa.local_id}, local.auth = {round_.auth}",),
        mismatch="the peer does not say what it missed",
        keys=keys,
        where=f"{place}: secret" if place else "",
    )
