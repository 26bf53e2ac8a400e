"""IKE_SESSION_RESUME: an IKE SA comes back without a key exchange and without credentials (RFC 5723).

1. The client presents its ticket, with a fresh nonce; keys are made of the old SK_d and both nonces.
2. IKE_AUTH shows that both know SK_d, and sets up the first CHILD_SA.

A gateway that does not take the ticket says so, and a full handshake follows at once. How the client came by it stands
in :mod:`.resumption`, what is in it in :mod:`.tickets`.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

from ..auth.octets import auth_octets
from ..config import Connection, Fragmentation
from ..crypto.keys import IkeKeys, prf_of
from ..crypto.prf import prf
from ..errors import PeerError
from ..records import Failure, Refused
from ..wire.constants import AuthMethod, ExchangeType, NotifyType, PayloadType
from ..wire.identity import Identity
from ..wire.message import Message
from ..wire.payloads import AuthPayload, IdPayload, NoncePayload, NotifyPayload, Payload
from ..wire.selectors import Address
from . import agreements, first_child, mobike, nat, redirect, tickets, uniqueness
from .features import Feature
from .ike_sa_init import MAX_RESTARTS, NONCE_LENGTH, Connect, note_abilities
from .prose import notify_name
from .resumption import Held, grant, keep, wish
from .select import by_addresses
from .state import State
from .task import Asking, Purpose, Task, Turn

if TYPE_CHECKING:
    from .core import Core
    from .ike_sa import IkeSa

PATIENCE = 2
"""So often a ticket is presented again before a full handshake is tried: what is there now may know no tickets."""


# The ticket is presented.


def opening(core: Core, connection: Connection, remote: Address, now: float) -> Task:
    """How to open an IKE SA: with the ticket that is there for this peer, which is used up by it, or in full."""
    held = core.held.pop((connection.name, remote), None)
    if held is None:
        return Connect()
    if held.expires <= now or held.connection != connection or not connection.session_resumption:
        held.sk_d.wipe()
        return Connect()
    if not compare_digest(tickets.witness(core, connection, held.local_id, held.remote_id), held.witness):
        held.sk_d.wipe()
        return Connect()
    return Resume(held)


class Resume(Task):
    """Ask the gateway to take its ticket."""

    __slots__ = ("held",)
    purpose = Purpose.RESUME

    def __init__(self, held: Held) -> None:
        super().__init__()
        self.held = held

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """Ni, the ticket, and what IKE_SA_INIT would say about NATs and fragments; a cookie goes first."""
        setup = sa.in_setup
        setup.nonce_i = setup.nonce_i or sa.core.random(NONCE_LENGTH)
        payloads: list[Payload] = [NotifyPayload(NotifyType.COOKIE, setup.cookie)] if setup.cookie else []
        payloads += [
            NoncePayload(setup.nonce_i),
            NotifyPayload(NotifyType.TICKET_OPAQUE, self.held.opaque),
            *nat.announce(sa.spi_i, sa.spi_r, sa.path, pretend=sa.settings.encap),
        ]
        if sa.settings.fragmentation is not Fragmentation.NO:
            payloads.append(NotifyPayload(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED))
        payloads += redirect.announce(sa)
        sa.enter(State.RESUME_SENT)
        return ExchangeType.IKE_SESSION_RESUME, payloads


def answer(sa: IkeSa, turn: Turn) -> list[Payload]:
    """The gateway opens its ticket, holds it against the configuration of now, and answers with Nr."""
    message, setup, core = turn.message, sa.in_setup, sa.core
    nonce, notify = message.one(NoncePayload), message.notify(NotifyType.TICKET_OPAQUE)
    if nonce is None or notify is None:
        raise PeerError("invalid-syntax", "IKE_SESSION_RESUME without Ni or ticket", notify=NotifyType.INVALID_SYNTAX)
    session, serial = core.tickets.open(notify.data, turn.now)
    connection = core.connection(session.connection)
    if connection is None or not connection.session_resumption or not by_addresses([connection], sa.path):
        raise tickets.refused(f"connection {session.connection!r} is not there for this peer any more")
    now_true = tickets.witness(core, connection, session.local_id, session.remote_id)
    if not compare_digest(now_true, session.witness):
        raise tickets.refused(f"connection {session.connection!r} or its credentials changed since")
    setup.nonce_i, setup.nonce_r = nonce.data, core.random(NONCE_LENGTH)
    setup.first_request = message.raw
    setup.session, setup.serial = session, serial
    setup.deadline = turn.now + core.timing.half_open_timeout
    sa.connection = connection
    sa.local_id, sa.remote_id = session.local_id, session.remote_id
    note_abilities(sa, message, connection)
    _take_keys(sa, session)
    payloads: list[Payload] = [
        NoncePayload(setup.nonce_r),
        *nat.announce(sa.spi_i, sa.spi_r, sa.path, pretend=connection.encap),
    ]
    if Feature.FRAGMENTATION in sa.features:
        payloads.append(NotifyPayload(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED))
    if connection.childless != "never":
        payloads.append(NotifyPayload(NotifyType.CHILDLESS_IKEV2_SUPPORTED))
    return payloads


def _take_keys(sa: IkeSa, before: tickets.Session | Held) -> None:
    setup = sa.in_setup
    sa.use_keys(IkeKeys.resume(before.suite, before.sk_d, setup.nonce_i, setup.nonce_r, sa.spi_i, sa.spi_r))
    before.sk_d.wipe()
    if before.ppk:
        sa.features |= Feature.PPK


def retry_with_cookie(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """Show that we receive what is sent to our address; the nonce stays (RFC 5723 section 4.3.2)."""
    cookie, setup = turn.message.notify(NotifyType.COOKIE), sa.in_setup
    if cookie is None or not 1 <= len(cookie.data) <= 64 or cookie.data == setup.cookie:
        raise PeerError("bad-cookie", "a cookie has 1 to 64 bytes, and is asked for once (RFC 7296 section 2.6)")
    setup.restarts += 1
    if setup.restarts > MAX_RESTARTS:
        raise PeerError("init-restarts", f"the gateway asked {MAX_RESTARTS} times for another cookie")
    setup.cookie = cookie.data
    sa.window.retry()
    sa.tasks.insert(0, Resume(_held(turn)))
    return ()


def take_refusal(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """The gateway does not take the ticket, or somebody says so: a full handshake is right in either case."""
    _held(turn).sk_d.wipe()
    _in_full(sa)
    return ()


def fall_back(sa: IkeSa) -> bool:
    """Nobody answers: once :data:`PATIENCE` is over, try without the ticket, which may be good for another time."""
    request = sa.window.request
    if request is None or not isinstance(request.task, Resume):
        return False
    if request.tries < min(PATIENCE, sa.core.timing.retransmit_tries):
        return False
    held = request.task.held
    sa.core.held[held.connection.name, held.remote] = held
    _in_full(sa)
    return True


def _in_full(sa: IkeSa) -> None:
    setup = sa.in_setup
    setup.nonce_i = setup.cookie = b""
    setup.restarts = 0
    setup.suspicion = setup.deadline = None
    # Another exchange under the same message id, as for a cookie (RFC 7296 section 2.6).
    sa.window.retry()
    sa.tasks.insert(0, Connect())
    sa.enter(State.INIT_SENT)


def take_answer(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """Nr: the keys are there, and IKE_AUTH shows that the other side has them too."""
    message, setup, held = turn.message, sa.in_setup, _held(turn)
    nonce = message.one(NoncePayload)
    if nonce is None or not any(message.header.spi_r):
        raise PeerError("invalid-syntax", "an IKE_SESSION_RESUME response without nonce or SPI")
    setup.nonce_r = nonce.data
    setup.first_response = message.raw
    sa.spi_r = message.header.spi_r
    sa.local_id, sa.remote_id = held.local_id, held.remote_id
    note_abilities(sa, message, sa.settings)
    _take_keys(sa, held)
    may_move = sa.settings.mobike and Feature.NAT_TRAVERSAL in sa.features
    if sa.nat_local or sa.nat_remote or sa.udp_encap or may_move:
        sa.path = nat.floated(sa.path)
    setup.suspicion = setup.deadline = None
    sa.tasks.insert(0, AuthenticateResumed(held))
    sa.enter(State.AUTH_SENT)
    return ()


def _held(turn: Turn) -> Held:
    if not isinstance(turn.task, Resume | AuthenticateResumed):
        raise RuntimeError("the exchange was asked by another task")
    return turn.task.held


# Both show that they know SK_d.


class AuthenticateResumed(Task):
    """IKE_AUTH after IKE_SESSION_RESUME: the identities are those of the ticket."""

    __slots__ = ("asked", "held")
    purpose = Purpose.RESUME

    def __init__(self, held: Held) -> None:
        super().__init__()
        self.held = held
        self.asked: first_child.Asked | None = None

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """IDi, IDr, AUTH, SA, TSi, TSr, and the wish for the next ticket."""
        sa.enter(State.AUTH_SENT)
        idi = self.held.local_id.to_payload(PayloadType.ID_I)
        idr = self.held.remote_id.to_payload(PayloadType.ID_R)
        payloads = [idi, *uniqueness.announce(sa), idr, _auth(sa, idi, initiators=True)]
        self.asked, child = first_child.ask(sa, now)
        return ExchangeType.IKE_AUTH, [*payloads, *agreements.announce(sa, now), *wish(sa), *child]


def _auth(sa: IkeSa, identity: IdPayload, *, initiators: bool) -> AuthPayload:
    """AUTH = prf(SK_px, octets), over the messages and nonces of IKE_SESSION_RESUME (RFC 5723 section 5.1)."""
    setup, number = sa.in_setup, prf_of(sa.suite)
    if sa.keys is None:
        raise RuntimeError("there are no keys yet")
    if initiators:
        sk_p = sa.keys.sk_pi
        octets = auth_octets(number, setup.first_request, setup.nonce_r, sk_p, identity)
    else:
        sk_p = sa.keys.sk_pr
        octets = auth_octets(number, setup.first_response, setup.nonce_i, sk_p, identity)
    return AuthPayload(AuthMethod.SHARED_KEY, prf(number, sk_p, octets))


def _verify(sa: IkeSa, message: Message, kind: PayloadType, expected: Identity | None) -> None:
    identity, auth = message.one(IdPayload, kind), message.one(AuthPayload)
    if identity is None or auth is None:
        raise PeerError("invalid-syntax", "IKE_AUTH without identity or AUTH", notify=NotifyType.INVALID_SYNTAX)
    ours = _auth(sa, identity, initiators=not sa.initiator)
    same = auth.method == ours.method and compare_digest(auth.data, ours.data)
    if not same or Identity.from_payload(identity) != expected:
        raise Refused(
            Failure(
                code="resumption-mismatch",
                summary=f"{sa.path.remote} presented a ticket and does not prove to be {expected}, whose it is",
                hint="nothing where it comes once: the next attempt is a full handshake",
                offered=(str(Identity.from_payload(identity)),),
                allowed=(str(expected),),
                mismatch="AUTH" if not same else "identity",
                keys=("session_resumption",),
            ),
            NotifyType.AUTHENTICATION_FAILED,
        )


def answer_auth(sa: IkeSa, turn: Turn) -> list[Payload]:
    """The gateway: the ticket is its holder's and used up; what is left of the old IKE SA goes without a word."""
    message, setup, now = turn.message, sa.in_setup, turn.now
    session = setup.session
    if session is None:
        raise RuntimeError("no ticket was taken")
    _verify(sa, message, PayloadType.ID_I, session.remote_id)
    if not sa.core.tickets.spend(setup.serial):
        raise Refused(
            Failure(
                code="ticket-used",
                summary=f"{session.remote_id} resumed twice with one ticket",
                hint="nothing where it comes once: the next attempt is a full handshake",
                keys=("session_resumption",),
            ),
            NotifyType.AUTHENTICATION_FAILED,
        )
    old = next((sa.core.by_spi[spi] for spi in (session.spi_i, session.spi_r) if spi in sa.core.by_spi), None)
    if old is not None and (old.spi_i, old.spi_r) == (session.spi_i, session.spi_r):
        old.die("resumed", now)
        old.go_on(now)
    uniqueness.check(sa, message, now)
    first_child.check_childless(sa, message)
    idr = session.local_id.to_payload(PayloadType.ID_R)
    auth = _auth(sa, idr, initiators=False)
    nonces = (setup.nonce_i, setup.nonce_r)
    mobike.check_no_nats(message, sa.path)
    _established(sa, session.remote_auth, session.authenticated_at, now)
    agreements.agree(sa, message, now)
    return [
        idr,
        auth,
        *agreements.announce(sa, now, answering=message),
        *grant(sa, message, now),
        *first_child.answer(sa, message, nonces, now),
    ]


def _established(sa: IkeSa, remote_auth: str, authenticated_at: float, now: float) -> None:
    """The IKE SA is up; ``reauth_time`` counts from when the peer last proved itself (RFC 5723 section 6.2)."""
    if sa.settings.reauth_time:
        sa.reauth_at = authenticated_at + sa.settings.reauth_time
    sa.established(remote_auth, now)
    sa.proof = (remote_auth, authenticated_at)


def take_auth_answer(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """The client: the gateway has SK_d too, so it is the one that it was; then as after any IKE_AUTH."""
    message, task, setup, now = turn.message, turn.task, sa.in_setup, turn.now
    if not isinstance(task, AuthenticateResumed):
        raise RuntimeError("IKE_AUTH was asked by another task")
    _verify(sa, message, PayloadType.ID_R, task.held.remote_id)
    nonces = (setup.nonce_i, setup.nonce_r)
    _established(sa, task.held.remote_auth, task.held.authenticated_at, now)
    agreements.agree(sa, message, now)
    keep(sa, message, now)
    asked = task.asked[0].name if task.asked is not None else None
    if not redirect.taken_with_auth(sa, message, asked, now) and task.asked is not None:
        first_child.take(sa, message, task.asked, nonces, now)
    return ()


def take_auth_refusal(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """The gateway took the ticket and refuses what came after: the ticket is gone, and the next attempt is in full."""
    error = turn.message.error
    number = error.notify if error is not None else 0
    name = notify_name(number)
    refusal = Failure(
        code="resumption-refused",
        summary=f"the peer took our ticket and refuses IKE_AUTH with {name}",
        hint="try again: the next attempt is a full handshake; the peer's log says more",
        mismatch=name,
        keys=("session_resumption",),
    )
    sa.failed(refusal, ExchangeType.IKE_AUTH)
    sa.die(refusal.code, turn.now)
    return ()
