"""What both sides say of the life of their IKE SA: other addresses, how much at once, tokens, when to renew it.

It is said with IKE_AUTH, and again where a rekeying has made it void.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..wire.constants import ExchangeType, NotifyType
from ..wire.message import Message
from ..wire.payloads import Payload
from . import mobike, quick_crash, reauth
from .task import Asking, Purpose, Task, Turn

if TYPE_CHECKING:
    from .ike_sa import IkeSa


def announce(sa: IkeSa, now: float, *, answering: Message | None = None) -> list[Payload]:
    """Our notifies for the message that proves who we are; ``answering``: the initiator's, which is verified."""
    payloads = [*mobike.announce(sa, answering=answering), *_renewed(sa)]
    if answering is not None:
        payloads += reauth.announce(sa, now)
    return payloads


def agree(sa: IkeSa, message: Message, now: float) -> None:
    """The peer's. IKE_AUTH has just established the IKE SA."""
    mobike.agree(sa, message)
    _take(sa, message)
    reauth.obey(sa, message, now)
    if not sa.initiator:
        reauth.give_way(sa, now)


def answer(sa: IkeSa, turn: Turn) -> list[Payload]:
    """The peer says it in a request of its own: so do we in the answer."""
    reauth.obey(sa, turn.message, turn.now)
    _take(sa, turn.message)
    said = (NotifyType.SET_WINDOW_SIZE, NotifyType.QUICK_CRASH_DETECTION)
    return _renewed(sa) if any(turn.message.notify(kind) is not None for kind in said) else []


class SayAgain(Task):
    """SPIs and ids are new ones: the window is one again, and the token of no use (RFC 7296 2.18, RFC 6290 4.3)."""

    __slots__ = ()
    purpose = Purpose.INFORM

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """How many requests we take at once, and our token."""
        return ExchangeType.INFORMATIONAL, _renewed(sa)

    def answered(self, sa: IkeSa, turn: Turn) -> None:
        """The peer's half of it."""
        _take(sa, turn.message)

    def __str__(self) -> str:
        return "agree anew after a rekeying"


def carry_over(old: IkeSa, new: IkeSa) -> None:
    """``new`` goes on in the place of ``old``; whoever asked for that says it again, if the peer cares for it."""
    reauth.carry_over(old, new)
    if new.initiator and (old.peer_token or old.window.peer_takes > 1):
        new.tasks.append(SayAgain())


def _renewed(sa: IkeSa) -> list[Payload]:
    return [*sa.window.announce(sa.core.timing), *quick_crash.announce(sa)]


def _take(sa: IkeSa, message: Message) -> None:
    sa.window.agree(message)
    quick_crash.agree(sa, message)
