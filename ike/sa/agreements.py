"""What both sides say with IKE_AUTH of the life of the IKE SA: other addresses, and when it has to be renewed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..wire.message import Message
from ..wire.payloads import Payload
from . import mobike, reauth

if TYPE_CHECKING:
    from .ike_sa import IkeSa


def announce(sa: IkeSa, now: float, *, answering: Message | None = None) -> list[Payload]:
    """Our notifies for the message that proves who we are; ``answering``: the initiator's, which is verified."""
    payloads = mobike.announce(sa, answering=answering)
    if answering is not None:
        payloads += reauth.announce(sa, now)
    return payloads


def agree(sa: IkeSa, message: Message, now: float) -> None:
    """The peer's. IKE_AUTH has just established the IKE SA."""
    mobike.agree(sa, message)
    reauth.obey(sa, message, now)
