"""Who gets a ticket of session resumption, and what becomes of it (RFC 5723 section 4).

The client asks with IKE_AUTH, or later; the gateway puts the IKE SA's state into a ticket. Where the IKE SA dies
against everybody's will, its ticket waits for the next attempt: :mod:`.ike_session_resume`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..config import Connection
from ..crypto.secret import Secret
from ..wire.constants import ExchangeType, NotifyType, PayloadType
from ..wire.identity import Identity
from ..wire.message import Message
from ..wire.payloads import NotifyPayload, Payload, Transform
from ..wire.selectors import Address
from . import tickets
from .features import Feature
from .proof import UNPROVEN
from .state import State
from .task import Asking, Purpose, Task, Turn

if TYPE_CHECKING:
    from .core import Core
    from .ike_sa import IkeSa

SHORTEST = 60.0
"""A ticket that would be good for fewer seconds is not worth it."""
LONGEST = 7 * 86_400.0
"""No ticket is kept for longer, whatever its gateway says."""
MOST_HELD = 4096
RESUMABLE = frozenset({"dead"})
"""How an IKE SA must end for its ticket to be used: nobody wanted it to (RFC 5723 section 4.3)."""


@dataclass(slots=True)
class Held:
    """A ticket of the peer's, and what has to be known beside it to use it.

    ``witness`` is what :func:`.tickets.witness` said when it came: we would not trust every peer as we did then.
    """

    opaque: bytes = field(repr=False)
    expires: float
    renew_at: float | None
    connection: Connection
    witness: bytes = field(repr=False)
    remote: Address
    remote_auth: str
    authenticated_at: float
    local_id: Identity
    remote_id: Identity
    suite: tuple[Transform, ...]
    ppk: bool
    sk_d: Secret


# A ticket is asked for, made and kept.


class AskTicket(Task):
    """Ask for a ticket later than with IKE_AUTH: it did not fit there, it grows old, or the IKE SA was rekeyed."""

    __slots__ = ()
    purpose = Purpose.INFORM

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """TICKET_REQUEST (RFC 5723 section 4.1)."""
        if sa.state is not State.ESTABLISHED:
            return None
        return ExchangeType.INFORMATIONAL, wish(sa)

    def answered(self, sa: IkeSa, turn: Turn) -> None:
        """Keep it."""
        keep(sa, turn.message, turn.now)


def wish(sa: IkeSa) -> list[Payload]:
    """TICKET_REQUEST, where the connection is to be resumed."""
    return [NotifyPayload(NotifyType.TICKET_REQUEST)] if sa.settings.session_resumption else []


def grant(sa: IkeSa, message: Message, now: float, *, beside: Sequence[Payload] = ()) -> list[Payload]:
    """A ticket for the peer that asks for one, once its IKE SA is up; ``beside`` is what goes with it already.

    TICKET_ACK puts it off where certificates fill the message and it cannot be cut, TICKET_NACK says that there will be
    none (RFC 5723 section 4.2): nobody was proven to be anybody, or has to prove it anew soon.
    """
    if not sa.settings.session_resumption or message.notify(NotifyType.TICKET_REQUEST) is None:
        return []
    if sa.proof is None or sa.keys is None or sa.local_id is None or sa.remote_id is None:
        return [NotifyPayload(NotifyType.TICKET_NACK)]
    remote_auth, at = sa.proof
    lifetime = _lifetime(sa.settings, at, now)
    unsure = remote_auth == UNPROVEN or remote_auth.lower().startswith("eap")
    if unsure or lifetime < SHORTEST or not tickets.can_be_witnessed(sa.settings):
        return [NotifyPayload(NotifyType.TICKET_NACK)]
    if not sa.sends_fragments and any(payload.TYPE == PayloadType.CERT for payload in beside):
        return [NotifyPayload(NotifyType.TICKET_ACK)]
    session = tickets.Session(
        connection=sa.settings.name,
        witness=tickets.witness(sa.core, sa.settings, sa.local_id, sa.remote_id),
        remote_auth=remote_auth,
        authenticated_at=at,
        spi_i=sa.spi_i,
        spi_r=sa.spi_r,
        local_id=sa.local_id,
        remote_id=sa.remote_id,
        suite=sa.suite,
        ppk=Feature.PPK in sa.features,
        sk_d=sa.keys.sk_d,
    )
    ticket = sa.core.tickets.seal(session, lifetime, now)
    return [NotifyPayload(NotifyType.TICKET_LT_OPAQUE, int(lifetime).to_bytes(4, "big") + ticket)]


def _lifetime(connection: Connection, authenticated_at: float, now: float) -> float:
    """A ticket does not outlive the proof that it stands for (RFC 5723 section 6.2)."""
    if not connection.reauth_time:
        return tickets.LIFETIME
    return min(tickets.LIFETIME, authenticated_at + connection.reauth_time - now)


def keep(sa: IkeSa, message: Message, now: float) -> None:
    """The peer's answer to our wish: a ticket, or that it comes later if we ask again."""
    if not sa.settings.session_resumption or sa.keys is None or sa.proof is None:
        return
    if message.notify(NotifyType.TICKET_ACK) is not None and sa.ticket is None:
        sa.tasks.append(AskTicket())
    notify = message.notify(NotifyType.TICKET_LT_OPAQUE)
    if notify is None or not 4 < len(notify.data) <= 4 + tickets.MAX_TICKET:
        return
    if sa.local_id is None or sa.remote_id is None:
        raise RuntimeError("an IKE SA is established without identities")
    lifetime = min(float(int.from_bytes(notify.data[:4], "big")), LONGEST)
    if sa.settings.reauth_time:
        lifetime = min(lifetime, sa.proof[1] + sa.settings.reauth_time - now)
    forget(sa.core, (sa.settings.name, sa.path.remote))
    sa.ticket = Held(
        opaque=notify.data[4:],
        expires=now + lifetime,
        renew_at=now + max(lifetime / 2, SHORTEST),
        connection=sa.settings,
        witness=tickets.witness(sa.core, sa.settings, sa.local_id, sa.remote_id),
        remote=sa.path.remote,
        remote_auth=sa.proof[0],
        authenticated_at=sa.proof[1],
        local_id=sa.local_id,
        remote_id=sa.remote_id,
        suite=sa.suite,
        ppk=Feature.PPK in sa.features,
        sk_d=Secret(sa.keys.sk_d),
    )


def renew(sa: IkeSa, now: float) -> None:
    """Ask for a fresh ticket before the one at hand is too old."""
    if sa.ticket is not None and sa.ticket.renew_at is not None and sa.ticket.renew_at <= now:
        sa.ticket.renew_at = None
        sa.tasks.append(AskTicket())


def hand_over(sa: IkeSa, new: IkeSa) -> None:
    """A rekeyed IKE SA gets a ticket of its own; until then that of the old one is as good."""
    new.proof, new.ticket, sa.ticket = sa.proof, sa.ticket, None
    if new.ticket is not None:
        new.ticket.renew_at = None
        new.tasks.append(AskTicket())


# The IKE SA ends.


def put_by(sa: IkeSa, reason: str, now: float) -> None:
    """Keep its ticket for the next attempt, if it died against everybody's will; else it is worth nothing."""
    ticket, sa.ticket = sa.ticket, None
    if ticket is None:
        return
    held = sa.core.held
    for key in [key for key, other in held.items() if other.expires <= now]:
        forget(sa.core, key)
    if reason in RESUMABLE and ticket.expires > now and len(held) < MOST_HELD:
        held[ticket.connection.name, ticket.remote] = ticket
    else:
        forget(sa.core, (ticket.connection.name, ticket.remote))
        ticket.sk_d.wipe()


def forget(core: Core, key: tuple[str, Address]) -> None:
    """The ticket that is held for a connection and a gateway goes."""
    held = core.held.pop(key, None)
    if held is not None:
        held.sk_d.wipe()
