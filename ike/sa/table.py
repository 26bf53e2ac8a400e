"""Which message is legal when, and what it leads to: all of it, as one table.

A row reads: in this state, as this side of the IKE SA, a request (or a response to a wish of ours) of this exchange,
with at least these payloads and at most those, is handled so and leads there. Rows are tried in order; what matches
none is refused with INVALID_SYNTAX if it is an authenticated request, and dropped otherwise. The state diagram of the
documentation is drawn from here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from ..wire.constants import OPENING_EXCHANGES
from ..wire.constants import ExchangeType as X
from ..wire.constants import NotifyType as N
from ..wire.constants import PayloadType as P
from ..wire.message import Message
from ..wire.payloads import NotifyPayload, Payload, UnknownPayload
from . import (
    create_child_sa,
    followup_ke,
    ike_auth,
    ike_intermediate,
    ike_sa_init,
    ike_session_resume,
    informational,
    redirect,
    rekey_ike,
)
from .state import Role, State
from .task import Purpose, Turn

Handler = Callable[..., Sequence[Payload]]
Kinds = frozenset[P]


class Kind(Enum):
    """Which half of an exchange a row is about."""

    REQUEST = auto()
    RESPONSE = auto()


@dataclass(frozen=True, slots=True)
class Row:
    """See the module. ``outer`` and ``inner`` are (required, optional): around and inside of the SK payload.

    ``notify``: all of these notifies are there. ``refusal``: an error notify is there. ``purpose``: what the request is
    for; for a response, what our request was for. ``then``: the states it may lead to, the usual one first.
    """

    story: str
    state: State
    role: Role
    kind: Kind
    exchange: X
    outer: tuple[Kinds, Kinds]
    inner: tuple[Kinds, Kinds]
    handler: Handler
    then: tuple[State, ...]
    purpose: Purpose
    notify: frozenset[N] = frozenset()
    refusal: bool = False

    def matches(self, kinds: set[int], notifies: set[int], purpose: Purpose | None) -> bool:
        """Whether a message with these payloads is one of this row's. ``kinds`` leaves notifies and vendor ids out."""
        required, optional = self.outer if self.exchange in OPENING_EXCHANGES else self.inner
        if self.kind is Kind.RESPONSE and purpose is not self.purpose:
            return False
        if not (required <= kinds and self.notify <= notifies):
            return False
        if self.refusal:
            return any(0 < n < N.INITIAL_CONTACT for n in notifies)
        return kinds <= required | optional


def _of(*kinds: P) -> Kinds:
    return frozenset(kinds)


NONE: tuple[Kinds, Kinds] = (frozenset(), frozenset())
SEALED: tuple[Kinds, Kinds] = (_of(P.SK), frozenset())
CHILD = _of(P.SA, P.TS_I, P.TS_R)
NEW_CHILD = (_of(P.SA, P.NONCE, P.TS_I, P.TS_R), _of(P.KE, P.CP))
OPEN, SENT, ANSWERED, MIXING = State.NEW, State.INIT_SENT, State.INIT_ANSWERED, State.MIXING
RESUME, RESUMING = State.RESUME_SENT, State.RESUME_ANSWERED
AUTH, AUTHING = State.AUTH_SENT, State.AUTH_ANSWERED
UP, REPLACED, CLOSING, DEAD = State.ESTABLISHED, State.REKEYED, State.DELETING, State.DEAD
I, R, ANY = Role.INITIATOR, Role.RESPONDER, Role.EITHER  # noqa: E741 - the RFC's own letters

SETTING_UP = (
    Row(
        "A peer opens: choose a suite, answer with our half of the key exchange.",
        OPEN, R, Kind.REQUEST, X.IKE_SA_INIT,
        (_of(P.SA, P.KE, P.NONCE), frozenset()), NONE,
        ike_sa_init.answer, (ANSWERED, MIXING), Purpose.CONNECT,
    ),
    Row(
        "The responder wants its cookie back before it keeps state: send the same request with it.",
        SENT, I, Kind.RESPONSE, X.IKE_SA_INIT,
        NONE, NONE,
        ike_sa_init.retry_with_cookie, (SENT,), Purpose.CONNECT, notify=frozenset({N.COOKIE}),
    ),
    Row(
        "The responder chose another key exchange method: ask again with that one.",
        SENT, I, Kind.RESPONSE, X.IKE_SA_INIT,
        NONE, NONE,
        ike_sa_init.retry_with_method, (SENT,), Purpose.CONNECT, notify=frozenset({N.INVALID_KE_PAYLOAD}),
    ),
    *(
        Row(
            "The gateway sends us on to another one before anything else.",
            state, I, Kind.RESPONSE, exchange,
            NONE, NONE,
            redirect.take_first, (DEAD,), purpose, notify=frozenset({N.REDIRECT}),
        )
        for state, exchange, purpose in (
            (SENT, X.IKE_SA_INIT, Purpose.CONNECT),
            (RESUME, X.IKE_SESSION_RESUME, Purpose.RESUME),
        )
    ),
    Row(
        "The responder chose a suite: derive the keys and show who we are.",
        SENT, I, Kind.RESPONSE, X.IKE_SA_INIT,
        (_of(P.SA, P.KE, P.NONCE), _of(P.CERTREQ)), NONE,
        ike_sa_init.take_answer, (AUTH, MIXING), Purpose.CONNECT,
    ),
    Row(
        "Somebody says that the responder refuses; nothing vouches for it.",
        SENT, I, Kind.RESPONSE, X.IKE_SA_INIT,
        NONE, NONE,
        ike_sa_init.take_refusal, (DEAD, SENT), Purpose.CONNECT, refusal=True,
    ),
    Row(
        "A further key exchange of those agreed on: its secret goes into all keys.",
        MIXING, R, Kind.REQUEST, X.IKE_INTERMEDIATE,
        SEALED, (_of(P.KE), frozenset()),
        ike_intermediate.answer, (ANSWERED, MIXING), Purpose.CONNECT,
    ),
    Row(
        "A further key exchange is done: the next one, or show who we are.",
        MIXING, I, Kind.RESPONSE, X.IKE_INTERMEDIATE,
        SEALED, (_of(P.KE), frozenset()),
        ike_intermediate.take_answer, (AUTH, MIXING), Purpose.CONNECT,
    ),
    Row(
        "The responder cannot do the further key exchange.",
        MIXING, I, Kind.RESPONSE, X.IKE_INTERMEDIATE,
        SEALED, NONE,
        ike_intermediate.take_refusal, (DEAD,), Purpose.CONNECT, refusal=True,
    ),
    Row(
        "The initiator shows who it is: verify, show who we are, and set up the first CHILD_SA once that is all.",
        ANSWERED, R, Kind.REQUEST, X.IKE_AUTH,
        SEALED, (_of(P.ID_I, P.AUTH), CHILD | _of(P.ID_R, P.CERT, P.CERTREQ, P.CP)),
        ike_auth.answer, (UP, AUTHING), Purpose.CONNECT,
    ),
    Row(
        "The initiator shows who it is once more: verify, and go on.",
        AUTHING, R, Kind.REQUEST, X.IKE_AUTH,
        SEALED, (_of(P.ID_I, P.AUTH), _of(P.ID_R, P.CERT, P.CERTREQ)),
        ike_auth.answer_round, (UP, AUTHING), Purpose.CONNECT,
    ),
    *(
        Row(
            "The initiator leaves its proof out: it wants EAP.",
            state, R, Kind.REQUEST, X.IKE_AUTH,
            SEALED, (_of(P.ID_I), CHILD | _of(P.ID_R, P.CERT, P.CERTREQ, P.CP)),
            ike_auth.refuse_eap, (DEAD,), Purpose.CONNECT,
        )
        for state in (ANSWERED, AUTHING)
    ),
    Row(
        "The initiator is done and waits: show who we are once more.",
        AUTHING, R, Kind.REQUEST, X.IKE_AUTH,
        SEALED, NONE,
        ike_auth.answer_waiting, (UP, AUTHING), Purpose.CONNECT,
    ),
    Row(
        "The responder shows who it is: verify, and go on; then the first CHILD_SA is up, or was refused alone.",
        AUTH, I, Kind.RESPONSE, X.IKE_AUTH,
        SEALED, (_of(P.ID_R, P.AUTH), CHILD | _of(P.CERT, P.CP)),
        ike_auth.take_answer, (UP, AUTH), Purpose.CONNECT,
    ),
    Row(
        "The responder does not accept us, or after all rounds only the CHILD_SA.",
        AUTH, I, Kind.RESPONSE, X.IKE_AUTH,
        SEALED, NONE,
        ike_auth.take_refusal, (DEAD, UP), Purpose.CONNECT, refusal=True,
    ),
    Row(
        "The responder is done and took our round: go on; then the first CHILD_SA is up.",
        AUTH, I, Kind.RESPONSE, X.IKE_AUTH,
        SEALED, (frozenset(), CHILD | _of(P.CP)),
        ike_auth.take_silence, (UP, AUTH), Purpose.CONNECT,
    ),
)  # fmt: skip

RESUMPTION = (
    Row(
        "A peer presents its ticket: open it, answer with a nonce.",
        OPEN, R, Kind.REQUEST, X.IKE_SESSION_RESUME,
        (_of(P.NONCE), frozenset()), NONE,
        ike_session_resume.answer, (RESUMING,), Purpose.RESUME, notify=frozenset({N.TICKET_OPAQUE}),
    ),
    Row(
        "The gateway wants its cookie back before it opens the ticket.",
        RESUME, I, Kind.RESPONSE, X.IKE_SESSION_RESUME,
        NONE, NONE,
        ike_session_resume.retry_with_cookie, (RESUME,), Purpose.RESUME, notify=frozenset({N.COOKIE}),
    ),
    Row(
        "The gateway does not take the ticket: set up in full.",
        RESUME, I, Kind.RESPONSE, X.IKE_SESSION_RESUME,
        NONE, NONE,
        ike_session_resume.take_refusal, (SENT,), Purpose.RESUME, notify=frozenset({N.TICKET_NACK}),
    ),
    Row(
        "The gateway takes the ticket: derive the keys and show that we know the old ones.",
        RESUME, I, Kind.RESPONSE, X.IKE_SESSION_RESUME,
        (_of(P.NONCE), frozenset()), NONE,
        ike_session_resume.take_answer, (AUTH,), Purpose.RESUME,
    ),
    Row(
        "Somebody says that the gateway cannot resume: set up in full.",
        RESUME, I, Kind.RESPONSE, X.IKE_SESSION_RESUME,
        NONE, NONE,
        ike_session_resume.take_refusal, (SENT,), Purpose.RESUME, refusal=True,
    ),
    Row(
        "The ticket is its holder's: use it up, show that we know the old keys, and set up the first CHILD_SA.",
        RESUMING, R, Kind.REQUEST, X.IKE_AUTH,
        SEALED, (_of(P.ID_I, P.AUTH), CHILD | _of(P.ID_R, P.CP)),
        ike_session_resume.answer_auth, (UP,), Purpose.RESUME,
    ),
    Row(
        "The gateway is the one that it was: the IKE SA is back.",
        AUTH, I, Kind.RESPONSE, X.IKE_AUTH,
        SEALED, (_of(P.ID_R, P.AUTH), CHILD | _of(P.CP)),
        ike_session_resume.take_auth_answer, (UP,), Purpose.RESUME,
    ),
    Row(
        "The gateway does not accept that the ticket is ours.",
        AUTH, I, Kind.RESPONSE, X.IKE_AUTH,
        SEALED, NONE,
        ike_session_resume.take_auth_refusal, (DEAD,), Purpose.RESUME, refusal=True,
    ),
)  # fmt: skip

CHILDREN = (
    Row(
        "The peer wants to replace a CHILD_SA.",
        UP, ANY, Kind.REQUEST, X.CREATE_CHILD_SA,
        SEALED, NEW_CHILD,
        create_child_sa.answer_rekey, (UP,), Purpose.REKEY_CHILD, notify=frozenset({N.REKEY_SA}),
    ),
    Row(
        "The peer wants one more CHILD_SA.",
        UP, ANY, Kind.REQUEST, X.CREATE_CHILD_SA,
        SEALED, NEW_CHILD,
        create_child_sa.answer_new, (UP,), Purpose.NEW_CHILD,
    ),
    Row(
        "The peer wants to replace the IKE SA.",
        UP, ANY, Kind.REQUEST, X.CREATE_CHILD_SA,
        SEALED, (_of(P.SA, P.NONCE, P.KE), frozenset()),
        rekey_ike.answer, (UP, REPLACED), Purpose.REKEY_IKE,
    ),
    Row(
        "Our new CHILD_SA is up.",
        UP, ANY, Kind.RESPONSE, X.CREATE_CHILD_SA,
        SEALED, NEW_CHILD,
        create_child_sa.take_answer, (UP,), Purpose.NEW_CHILD,
    ),
    Row(
        "The replacement of our CHILD_SA is up: send on it, delete the old one.",
        UP, ANY, Kind.RESPONSE, X.CREATE_CHILD_SA,
        SEALED, NEW_CHILD,
        create_child_sa.take_answer, (UP,), Purpose.REKEY_CHILD,
    ),
    Row(
        "The peer refuses a CHILD_SA, or asks for another key exchange method.",
        UP, ANY, Kind.RESPONSE, X.CREATE_CHILD_SA,
        SEALED, NONE,
        create_child_sa.take_refusal, (UP,), Purpose.NEW_CHILD, refusal=True,
    ),
    Row(
        "The peer refuses to replace a CHILD_SA, or asks for another key exchange method.",
        UP, ANY, Kind.RESPONSE, X.CREATE_CHILD_SA,
        SEALED, NONE,
        create_child_sa.take_refusal, (UP,), Purpose.REKEY_CHILD, refusal=True,
    ),
    Row(
        "The IKE SA is replaced: its CHILD_SAs move over.",
        UP, ANY, Kind.RESPONSE, X.CREATE_CHILD_SA,
        SEALED, (_of(P.SA, P.NONCE, P.KE), frozenset()),
        rekey_ike.take_answer, (UP, REPLACED), Purpose.REKEY_IKE,
    ),
    Row(
        "The peer refuses to replace the IKE SA, or asks for another key exchange method.",
        UP, ANY, Kind.RESPONSE, X.CREATE_CHILD_SA,
        SEALED, NONE,
        rekey_ike.take_refusal, (UP, REPLACED), Purpose.REKEY_IKE, refusal=True,
    ),
    *(
        Row(
            "Too late for anything new: this IKE SA is about to go.",
            state, ANY, Kind.REQUEST, X.CREATE_CHILD_SA,
            SEALED, (frozenset(), _of(P.SA, P.NONCE, P.KE, P.TS_I, P.TS_R, P.CP)),
            create_child_sa.put_off, (state,), Purpose.NEW_CHILD,
        )
        for state in (REPLACED, CLOSING)
    ),
    *(
        Row(
            "An answer that came too late to matter.",
            REPLACED, ANY, Kind.RESPONSE, X.CREATE_CHILD_SA,
            SEALED, (frozenset(), _of(P.SA, P.NONCE, P.KE, P.TS_I, P.TS_R, P.CP)),
            create_child_sa.take_too_late, (REPLACED,), purpose,
        )
        for purpose in (Purpose.NEW_CHILD, Purpose.REKEY_CHILD, Purpose.REKEY_IKE)
    ),
)  # fmt: skip

FURTHER_KEYS = (
    Row(
        "The peer goes on with key exchanges that CREATE_CHILD_SA began; the last one brings about what it was for.",
        UP, ANY, Kind.REQUEST, X.IKE_FOLLOWUP_KE,
        SEALED, (_of(P.KE), frozenset()),
        followup_ke.answer, (UP, REPLACED), Purpose.FOLLOW_UP, notify=frozenset({N.ADDITIONAL_KEY_EXCHANGE}),
    ),
    *(
        Row(
            "Too late to go on with anything: this IKE SA is about to go.",
            state, ANY, Kind.REQUEST, X.IKE_FOLLOWUP_KE,
            SEALED, (_of(P.KE), frozenset()),
            followup_ke.lost, (state,), Purpose.FOLLOW_UP,
        )
        for state in (REPLACED, CLOSING)
    ),
    *(
        Row(
            "A further key exchange is done: the next one, or the CHILD_SA is up.",
            UP, ANY, Kind.RESPONSE, X.IKE_FOLLOWUP_KE,
            SEALED, (_of(P.KE), frozenset()),
            create_child_sa.take_further_key, (UP,), purpose,
        )
        for purpose in (Purpose.NEW_CHILD, Purpose.REKEY_CHILD)
    ),
    *(
        Row(
            "The peer cannot go on with the key exchanges of a CHILD_SA.",
            UP, ANY, Kind.RESPONSE, X.IKE_FOLLOWUP_KE,
            SEALED, NONE,
            create_child_sa.take_refusal, (UP,), purpose, refusal=True,
        )
        for purpose in (Purpose.NEW_CHILD, Purpose.REKEY_CHILD)
    ),
    Row(
        "A further key exchange is done: the next one, or the IKE SA is replaced.",
        UP, ANY, Kind.RESPONSE, X.IKE_FOLLOWUP_KE,
        SEALED, (_of(P.KE), frozenset()),
        rekey_ike.take_further_key, (UP, REPLACED), Purpose.REKEY_IKE,
    ),
    Row(
        "The peer cannot go on with the key exchanges of the IKE SA.",
        UP, ANY, Kind.RESPONSE, X.IKE_FOLLOWUP_KE,
        SEALED, NONE,
        rekey_ike.take_refusal, (UP, REPLACED), Purpose.REKEY_IKE, refusal=True,
    ),
    *(
        Row(
            "A further key exchange that came too late to matter.",
            REPLACED, ANY, Kind.RESPONSE, X.IKE_FOLLOWUP_KE,
            SEALED, (frozenset(), _of(P.KE)),
            create_child_sa.take_too_late, (REPLACED,), purpose,
        )
        for purpose in (Purpose.NEW_CHILD, Purpose.REKEY_CHILD, Purpose.REKEY_IKE)
    ),
)  # fmt: skip

INFORMING = (
    Row(
        "The peer tells, asks or deletes something; a replacement that waited for the outcome of ours may take over.",
        UP, ANY, Kind.REQUEST, X.INFORMATIONAL,
        SEALED, (frozenset(), _of(P.DELETE, P.CP)),
        informational.answer, (UP, REPLACED, DEAD), Purpose.INFORM,
    ),
    *(
        Row(
            "The peer tells, asks or deletes something.",
            state, ANY, Kind.REQUEST, X.INFORMATIONAL,
            SEALED, (frozenset(), _of(P.DELETE, P.CP)),
            informational.answer, (state, DEAD), Purpose.INFORM,
        )
        for state in (REPLACED, CLOSING)
    ),
    *(
        Row(
            "The peer has heard us: it is alive.",
            state, ANY, Kind.RESPONSE, X.INFORMATIONAL,
            SEALED, (frozenset(), _of(P.DELETE, P.CP)),
            informational.take_answer, (state,), Purpose.INFORM,
        )
        for state in (UP, REPLACED)
    ),
    *(
        Row(
            "The peer's halves of what we deleted are gone too.",
            state, ANY, Kind.RESPONSE, X.INFORMATIONAL,
            SEALED, (frozenset(), _of(P.DELETE, P.CP)),
            informational.take_child_deleted, (state,), Purpose.DELETE_CHILD,
        )
        for state in (UP, REPLACED)
    ),
    Row(
        "The peer has closed its side of the IKE SA.",
        CLOSING, ANY, Kind.RESPONSE, X.INFORMATIONAL,
        SEALED, (frozenset(), _of(P.DELETE, P.CP)),
        informational.take_ike_deleted, (DEAD,), Purpose.DELETE_IKE,
    ),
)  # fmt: skip

TABLE: tuple[Row, ...] = (*SETTING_UP, *RESUMPTION, *CHILDREN, *FURTHER_KEYS, *INFORMING)

_BY_PLACE: dict[tuple[State, Kind, int], tuple[Row, ...]] = {}
for _row in TABLE:
    _place = (_row.state, _row.kind, int(_row.exchange))
    _BY_PLACE[_place] = (*_BY_PLACE.get(_place, ()), _row)

_ANYWHERE = frozenset({P.NOTIFY, P.VENDOR_ID})


def rows_for(state: State, kind: Kind, exchange: int) -> tuple[Row, ...]:
    """The rows of an exchange in a state; none: such a message has no place there at all."""
    return _BY_PLACE.get((state, kind, exchange), ())


def find(rows: tuple[Row, ...], role: Role, message: Message, purpose: Purpose | None) -> Row | None:
    """The row that an opened message belongs to."""
    kinds: set[int] = set()
    notifies: set[int] = set()
    for payload in message.payloads:
        if isinstance(payload, NotifyPayload):
            notifies.add(payload.notify)
        elif not isinstance(payload, UnknownPayload) and payload.TYPE not in _ANYWHERE:
            kinds.add(payload.TYPE)
    for row in rows:
        if row.role in (role, Role.EITHER) and row.matches(kinds, notifies, purpose):
            return row
    return None


__all__ = ["TABLE", "Kind", "Row", "Turn", "find", "rows_for"]
