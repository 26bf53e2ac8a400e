"""IKE_AUTH: both sides show who they are, and the first CHILD_SA comes along (RFC 7296 section 1.2).

Most often one exchange does. Where a side has several rounds (RFC 4739), each exchange carries a round of whoever has
one left; what the first request asks for beside authentication is answered with the last response. A method of more
than one message (EAP, section 2.16) takes its exchanges within its round: what it needs is that neither side's round
is counted before its AUTH is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..config import AuthRound, Connection, Unique
from ..errors import PeerError
from ..records import Failure, Refused
from ..wire.constants import ExchangeType, NotifyType, PayloadType
from ..wire.identity import Identity
from ..wire.message import Message
from ..wire.payloads import AuthPayload, IdPayload, NotifyPayload, Payload
from . import (
    agreements,
    candidates,
    certificates,
    first_child,
    hash_and_url,
    mobike,
    ppk,
    proof,
    redirect,
    resumption,
    rounds,
    uniqueness,
)
from .prose import notify_name
from .select import identity_of
from .state import State
from .task import Asking, Purpose, Task, Turn

if TYPE_CHECKING:
    from .ike_sa import IkeSa


class Authenticate(Task):
    """Show who we are and ask for the first CHILD_SA; asked again until both sides are done."""

    __slots__ = ("asked",)
    purpose = Purpose.CONNECT

    def __init__(self) -> None:
        super().__init__()
        self.asked: first_child.Asked | None = None

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """IDi, CERT, CERTREQ, IDr, AUTH, SA, TSi, TSr; then our next round alone, or nothing while the peer goes on."""
        progress = sa.in_setup.rounds
        named = _expect(sa)
        if progress.ours:
            return ExchangeType.IKE_AUTH, show(sa, named) if rounds.our_next(sa) is not None else []
        payloads = show(sa, [*uniqueness.announce(sa), *proof.requests(sa, [sa.settings]), *named])
        payloads += [*agreements.announce(sa, now), *resumption.wish(sa)]
        payloads += rounds.announce(sa, answering=True)
        self.asked, child = first_child.ask(sa, now)
        return ExchangeType.IKE_AUTH, payloads + child


def _expect(sa: IkeSa) -> list[Payload]:
    """IDr: who the responder shall be in its next round. Secrets are looked up for it; who answers is checked then."""
    section = rounds.their_next(sa, sa.settings)
    expected = section.id if section is not None and sa.in_setup.rounds.theirs_follow else None
    if expected is not None:
        sa.remote_id = expected
    elif sa.remote_id is None:
        sa.remote_id = Identity.of_address(sa.path.remote)
    return [expected.to_payload(PayloadType.ID_R)] if expected is not None and not expected.has_wildcards else []


# Both.


def show(sa: IkeSa, asking: Sequence[Payload] = ()) -> list[Payload]:
    """Our next round: who we are, what the initiator asks for, the proof, and whether another round follows."""
    section = rounds.our_next(sa)
    if section is None:
        raise RuntimeError("there is nothing left to show")
    with rounds.named(sa.in_setup.rounds.ours, rounds.of_side(sa.settings.local)):
        sa.local_id = identity_of(section, sa.path)
        identity = sa.local_id.to_payload(PayloadType.ID_I if sa.initiator else PayloadType.ID_R)
        certs, auth, notifies = _prove(sa, section, identity)
    return [identity, *certs, *asking, auth, *notifies, *rounds.shown(sa)]


def _prove(sa: IkeSa, section: AuthRound, identity: IdPayload) -> tuple[list[Payload], AuthPayload, list[Payload]]:
    """CERT, AUTH and what goes with a PPK, which is for the first round: the initiator names it, and has a second proof
    without it unless it is required; the responder says that it was used.
    """
    first, keys = not sa.in_setup.rounds.ours, sa.keys
    if keys is None:
        raise RuntimeError("there are no keys yet")
    mixed = ppk.begin(sa) if first and sa.initiator else None
    certs, auth = proof.prove(sa, section, identity, mixed or keys)
    if mixed is None:
        return certs, auth, ppk.accept(sa) if first and not sa.initiator else []
    notifies = [ppk.identity(sa)]
    if not sa.settings.ppk_required:
        without = proof.prove(sa, section, identity, keys)[1]
        notifies.append(NotifyPayload(NotifyType.NO_PPK_AUTH, without.data))
    return certs, auth, notifies


def _check(sa: IkeSa, section: AuthRound, message: Message, auth: AuthPayload) -> None:
    """The proof in the peer's round, and whether another one follows. Raises :class:`PeerError`."""
    setup = sa.in_setup
    keys = setup.mixed_keys or sa.keys
    if keys is None:
        raise RuntimeError("there are no keys yet")
    try:
        how = proof.verify(sa, section, message, auth, keys)
    except PeerError as error:
        explained = ppk.explained(sa, section, message, error)
        if explained is None:
            raise
        raise explained from error
    ppk.adopt(sa)
    rounds.proven(sa, how, message)


# The responder.


def refuse_eap(sa: IkeSa, turn: Turn) -> list[Payload]:
    """No AUTH with an IDi asks for EAP (RFC 7296 section 2.16), which no connection of this peer allows."""
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
            allowed=tuple(section.auth for c in setup.candidates for section in rounds.of_side(c.remote)),
            mismatch="auth",
            tried=tuple(setup.lost),
            keys=("remote.auth",),
        ),
        NotifyType.AUTHENTICATION_FAILED,
    )


def answer(sa: IkeSa, turn: Turn) -> list[Payload]:
    """The initiator's first round: find the connection, verify, show who we are, set up the CHILD_SA or say why not."""
    message, setup = turn.message, sa.in_setup
    setup.rounds.request = message
    rounds.note_announcement(sa, message)
    certificates.note_requests(sa, message)
    hash_and_url.note(sa, message)
    _hear(sa, message)
    mobike.check_no_nats(message, sa.path)
    return _reply(sa, turn.now)


def answer_round(sa: IkeSa, turn: Turn) -> list[Payload]:
    """Its next round."""
    _hear(sa, turn.message)
    return _reply(sa, turn.now)


def answer_waiting(sa: IkeSa, turn: Turn) -> list[Payload]:
    """It is done, and waits for our next round."""
    if sa.in_setup.rounds.theirs_follow:
        raise PeerError("invalid-syntax", "no IDi and AUTH, which were announced", notify=NotifyType.INVALID_SYNTAX)
    return _reply(sa, turn.now)


def _hear(sa: IkeSa, message: Message) -> None:
    """Who the initiator is in its next round, and whether that is true."""
    idi, auth = message.one(IdPayload, PayloadType.ID_I), message.one(AuthPayload)
    progress = sa.in_setup.rounds
    if idi is None or auth is None or not progress.theirs_follow:
        raise PeerError("invalid-syntax", "IKE_AUTH without IDi or AUTH", notify=NotifyType.INVALID_SYNTAX)
    sa.remote_id = Identity.from_payload(idi)
    connection = candidates.choose(sa, message, proof.method_of(auth))
    sa.connection = connection
    ours, section = rounds.our_next(sa), rounds.their_next(sa, connection)
    if section is None:
        raise RuntimeError("a connection without such a round is no candidate")
    if ours is not None:
        sa.local_id = identity_of(ours, sa.path)
    with rounds.named(progress.theirs, rounds.of_side(connection.remote)):
        _check(sa, section, message, auth if progress.theirs else ppk.choose(sa, message, auth))


def _reply(sa: IkeSa, now: float) -> list[Payload]:
    """Our next round, if there is one; once both sides are done, what the first request asked for beside that."""
    setup = sa.in_setup
    payloads = show(sa) if rounds.our_next(sa) is not None else []
    if not rounds.is_over(sa):
        sa.enter(State.AUTH_ANSWERED)
        return payloads
    request, proven, nonces = setup.rounds.request, setup.rounds.proven, (setup.nonce_i, setup.nonce_r)
    if request is None:
        raise RuntimeError("an initiator has been authenticated that asked nothing")
    first_child.check_childless(sa, request)
    if proven[-1] != proof.UNPROVEN:
        # Else anybody could end somebody's IKE SAs (RFC 7619 section 2.3).
        uniqueness.check(sa, request, now)
    sa.established(", then ".join(proven), now)
    agreements.agree(sa, request, now)
    payloads += agreements.announce(sa, now, answering=request)
    payloads += resumption.grant(sa, request, now, beside=payloads)
    return [*payloads, *first_child.answer(sa, request, nonces, now)]


# The initiator.


def take_answer(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """The responder's next round: verify; then our next one, or the CHILD_SA, or the reason why there is none."""
    message, connection, progress = turn.message, sa.settings, sa.in_setup.rounds
    idr, auth = message.one(IdPayload, PayloadType.ID_R), message.one(AuthPayload)
    section = rounds.their_next(sa, connection)
    if idr is None or auth is None or section is None or not progress.theirs_follow:
        raise PeerError("invalid-syntax", "IDr and AUTH where none belong", notify=NotifyType.INVALID_SYNTAX)
    with rounds.named(progress.theirs, rounds.of_side(connection.remote)):
        _check_identity(sa, connection, section, Identity.from_payload(idr))
        if not progress.theirs:
            ppk.conclude(sa, message)
        _check(sa, section, message, auth)
    return _go_on(sa, turn)


def take_silence(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """The responder, which is done, takes our round."""
    if sa.in_setup.rounds.theirs_follow:
        raise PeerError("invalid-syntax", "IKE_AUTH without IDr or AUTH", notify=NotifyType.INVALID_SYNTAX)
    return _go_on(sa, turn)


def _go_on(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """Ask on until both sides are authenticated; then the rest of the answer counts."""
    task, setup, now = turn.task, sa.in_setup, turn.now
    if not isinstance(task, Authenticate):
        raise RuntimeError("IKE_AUTH was asked by another task")
    if not rounds.is_over(sa):
        sa.tasks.insert(0, task)
        return ()
    proven, nonces = setup.rounds.proven, (setup.nonce_i, setup.nonce_r)
    if sa.settings.unique is Unique.REPLACE and proven[-1] != proof.UNPROVEN:
        uniqueness.replace_others(sa, now)
    sa.established(", then ".join(proven), now)
    agreements.agree(sa, turn.message, now)
    resumption.keep(sa, turn.message, now)
    asked = task.asked[0].name if task.asked is not None else None
    if not redirect.taken_with_auth(sa, turn.message, asked, now) and task.asked is not None:
        first_child.take(sa, turn.message, task.asked, nonces, now)
    return ()


def _check_identity(sa: IkeSa, connection: Connection, section: AuthRound, identity: Identity) -> None:
    expected = section.id
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


def take_refusal(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """The responder does not accept us, and does not say why (RFC 7296 section 2.21.2): look at its log.

    After several rounds its last answer may hold nothing but the refusal of the CHILD_SA.
    """
    error = turn.message.error
    number = error.notify if error is not None else 0
    if rounds.is_over(sa) and number in first_child.REFUSALS:
        return _go_on(sa, turn)
    if number == NotifyType.AUTHENTICATION_FAILED:
        refused = peer_refused_us(sa)
    else:
        name = notify_name(number)
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
    sections = rounds.of_side(sa.settings.local)
    number = sa.setup.rounds.ours if sa.setup is not None else len(sections)
    section = sections[max(number, 1) - 1]
    summary, where = f"the peer does not accept us as {sa.local_id}", ""
    if len(sections) > 1:
        summary = f"round {max(number, 1)} of {len(sections)}: {summary}"
    if proof.uses_certificates(section):
        hint = "compare local.id with the peer's remote.id, and see that the peer trusts the CA of local.certs"
        keys: tuple[str, ...] = ("local.id", "local.certs", "local.auth")
    else:
        hint = "compare the secret and local.id with the peer's: its log says which of the two is wrong"
        keys = ("local.id",)
        local, remote = sa.local_id, sa.remote_id
        where = sa.core.credentials.shared_key_where(local, remote) if local is not None and remote is not None else ""
    if number < len(sections):
        hint += "; it does not announce RFC 4739, so that it was shown one round alone"
    if sa.settings.ppk_id is not None:
        hint += f". The post-quantum preshared key {sa.settings.ppk_id} may be another one there, too"
    return Failure(
        code="peer-auth-failed",
        summary=summary,
        hint=hint,
        allowed=(f"local.id = {sa.local_id}, local.auth = {section.auth}",),
        mismatch="the peer does not say what it missed",
        keys=tuple(rounds.key_of(section, key) for key in keys) if len(sections) > 1 else keys,
        where=f"{where}: secret" if where else "",
    )
