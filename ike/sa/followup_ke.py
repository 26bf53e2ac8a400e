"""IKE_FOLLOWUP_KE: the key exchanges that CREATE_CHILD_SA has no room for (RFC 9370 section 2.2.4).

A chain hangs together by a link: the responder's last answer has an opaque value that comes back with the next request.
Nothing is set up before its last exchange. Where both sides rekey the same SA at once and further exchanges are due,
each puts the other off: nobody has done any of the work yet, and the first to try again is alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..crypto.kex import KeyExchange, respond
from ..crypto.secret import Secret
from ..errors import PeerError
from ..wire.constants import ExchangeType, NotifyType
from ..wire.message import Message
from ..wire.payloads import KePayload, NotifyPayload, Payload
from .task import Asking, Purpose, Turn

if TYPE_CHECKING:
    from .ike_sa import IkeSa

LINK_LENGTH = 16
MOST_CHAINS = 4
"""Chains that a peer may have open on one IKE SA."""
LIFE = 60.0
"""Seconds that a chain waits for its next request (RFC 9370 section 2.2.4 leaves it to us)."""


class Pursuit:
    """Our side of a chain that we began."""

    __slots__ = ("_exchange", "_link", "_methods", "secrets")

    def __init__(self, methods: tuple[int, ...], message: Message) -> None:
        """``message`` is the response to CREATE_CHILD_SA. Raises :class:`PeerError` where nothing links to it."""
        self._methods = methods
        self._link = _link_of(message)
        self._exchange: KeyExchange | None = None
        self.secrets: list[Secret] = []
        """One for each exchange that is done."""

    def ask(self, sa: IkeSa) -> Asking:
        """KE and the link."""
        self._exchange = KeyExchange.start(self._methods[0], sa.core.random)
        return ExchangeType.IKE_FOLLOWUP_KE, [
            KePayload(self._exchange.method, self._exchange.public),
            NotifyPayload(NotifyType.ADDITIONAL_KEY_EXCHANGE, self._link),
        ]

    def take(self, message: Message) -> bool:
        """One more secret; whether it was the last. Raises :class:`PeerError`."""
        ke = message.one(KePayload)
        if ke is None or self._exchange is None or ke.method != self._exchange.method:
            raise PeerError("invalid-syntax", "the peer's KE payload is not of the method that it was asked for")
        self.secrets.append(self._exchange.finish(ke.data))
        self._exchange = None
        self._methods = self._methods[1:]
        if self._methods:
            self._link = _link_of(message)
        return not self._methods


def _link_of(message: Message) -> bytes:
    link = message.notify(NotifyType.ADDITIONAL_KEY_EXCHANGE)
    if link is None:
        raise PeerError("invalid-syntax", "nothing links the key exchanges that are left to the peer's answer")
    return link.data


class Chain:
    """One that the peer began: what is left to do, and what then comes of it."""

    __slots__ = ("conclude", "deadline", "give_up", "methods", "purpose", "secrets")

    def __init__(
        self,
        purpose: Purpose,
        methods: tuple[int, ...],
        conclude: Callable[[Sequence[Secret], float], None],
        give_up: Callable[[float], None],
    ) -> None:
        self.purpose = purpose
        self.methods = methods
        self.conclude = conclude
        self.give_up = give_up
        self.secrets: list[Secret] = []
        self.deadline = 0.0


# The responder.


def begin(sa: IkeSa, chain: Chain, now: float) -> NotifyPayload:
    """Remember what was agreed on. Raises :class:`PeerError` where too much is open already."""
    if len(sa.followups) >= MOST_CHAINS:
        raise not_now()
    return _wait(sa, chain, now)


def not_now() -> PeerError:
    """TEMPORARY_FAILURE (RFC 7296 section 2.25)."""
    return PeerError(
        "temporary-failure", "something else is under way that must end first", notify=NotifyType.TEMPORARY_FAILURE
    )


def _wait(sa: IkeSa, chain: Chain, now: float) -> NotifyPayload:
    link = sa.core.random(LINK_LENGTH)
    chain.deadline = now + LIFE
    sa.followups[link] = chain
    return NotifyPayload(NotifyType.ADDITIONAL_KEY_EXCHANGE, link)


def answer(sa: IkeSa, turn: Turn) -> list[Payload]:
    """The next exchange of a chain; with the last one, what it was for comes about."""
    message, now = turn.message, turn.now
    link, ke = message.notify(NotifyType.ADDITIONAL_KEY_EXCHANGE), message.one(KePayload)
    chain = sa.followups.pop(link.data, None) if link is not None else None
    if chain is None:
        return lost(sa, turn)
    try:
        if ke is None or ke.method != chain.methods[0]:
            raise PeerError(
                "invalid-syntax",
                f"IKE_FOLLOWUP_KE without KE of method {chain.methods[0]}, which was agreed on",
                notify=NotifyType.INVALID_SYNTAX,
            )
        public, shared = respond(ke.method, ke.data, sa.core.random)
        chain.secrets.append(shared)
        chain.methods = chain.methods[1:]
        payloads: list[Payload] = [KePayload(ke.method, public)]
        if chain.methods:
            payloads.append(_wait(sa, chain, now))
        else:
            chain.conclude(chain.secrets, now)
    except PeerError:
        chain.give_up(now)
        raise
    return payloads


def lost(sa: IkeSa, turn: Turn) -> list[Payload]:
    """We know of no such chain, or no longer (RFC 9370 section 2.2.4)."""
    return [NotifyPayload(NotifyType.STATE_NOT_FOUND)]


def expire(sa: IkeSa, now: float) -> None:
    """Give up what the peer does not go on with."""
    for link, chain in list(sa.followups.items()):
        if chain.deadline <= now:
            del sa.followups[link]
            chain.give_up(now)


def give_up_all(sa: IkeSa, now: float) -> None:
    """The IKE SA is replaced by another one: nothing that was begun on it comes to an end."""
    chains = list(sa.followups.values())
    sa.followups.clear()
    for chain in chains:
        chain.give_up(now)
