"""The CHILD_SA that comes along with IKE_AUTH; its failure leaves the IKE SA alone (RFC 7296 section 1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config import Child
from ..errors import LocalError, PeerError
from ..records import Failure, Refused, failure_of
from ..wire.constants import ExchangeType, NotifyType
from ..wire.message import Message
from ..wire.payloads import NotifyPayload, Payload, SaPayload
from . import child as children
from . import resources
from .create_child_sa import CreateChild
from .features import Feature
from .informational import DeleteSpi

if TYPE_CHECKING:
    from .ike_sa import IkeSa
    from .setup import Packet

Asked = tuple[Child, children.Offer]
"""What the initiator asked for."""
Nonces = tuple[bytes, bytes]

REFUSALS = frozenset(
    {
        NotifyType.NO_PROPOSAL_CHOSEN,
        NotifyType.SINGLE_PAIR_REQUIRED,
        NotifyType.NO_ADDITIONAL_SAS,
        NotifyType.INTERNAL_ADDRESS_FAILURE,
        NotifyType.FAILED_CP_REQUIRED,
        NotifyType.TS_UNACCEPTABLE,
        NotifyType.INVALID_SELECTORS,
    }
)
"""Errors in an answer that are about the CHILD_SA alone (RFC 7296 section 1.2)."""


# The initiator.


def ask(sa: IkeSa, now: float) -> tuple[Asked | None, list[Payload]]:
    """SA, TSi and TSr of the first that is wanted; those that wait beside it get exchanges of their own."""
    setup, connection = sa.in_setup, sa.settings
    config: Child | None = None
    packet: Packet | None = None
    childless = Feature.CHILDLESS in sa.features
    if setup.wanted and not (childless and connection.childless in ("prefer", "force")):
        config, packet = setup.wanted.pop(0)
    elif not childless:
        if connection.childless == "force" or not setup.wanted:
            raise LocalError(
                "not-childless",
                "the peer does not set up an IKE SA without CHILD_SA (RFC 6023)",
                hint=f"name a child of connection {connection.name!r} to bring up",
            )
        config, packet = setup.wanted.pop(0)
    sa.tasks += [CreateChild(config, wanted_packet) for config, wanted_packet in setup.wanted]
    setup.wanted.clear()
    if config is None:
        return None, []
    made, payloads = children.offer(sa, config, packet, with_ke=False)
    return (config, made), [*payloads, *resources.announce(config, 0)]


def take(sa: IkeSa, message: Message, asked: Asked, nonces: Nonces, now: float) -> None:
    """It is up, or there is a record of why it is not."""
    config, made = asked
    error = message.error
    if error is not None or message.one(SaPayload) is None:
        number = error.notify if error is not None else 0
        sa.failed(children.refusal_of(config, made, number, "IKE_AUTH; the IKE SA is up"), ExchangeType.IKE_AUTH)
        return
    try:
        draft = children.confirm(sa, made, message)
    except PeerError as problem:
        # The peer believes that it is up.
        sa.failed(failure_of(problem), ExchangeType.IKE_AUTH)
        sa.tasks.append(DeleteSpi(made.proposals[0].protocol, made.spi))
        return
    spi_out = int.from_bytes(draft.selection.proposal.spi, "big")
    child = children.install(sa, draft, made.spi, spi_out, nonces, None, now)
    sa.use_outbound(child)
    resources.ask_for_more(sa, child)


# The responder.


def check_childless(sa: IkeSa, request: Message) -> None:
    """Whether the peer may go without (RFC 6023 section 3)."""
    if request.one(SaPayload) is None and sa.settings.childless == "never":
        raise Refused(
            Failure(
                code="childless",
                summary=f"{sa.remote_id} wants an IKE SA without CHILD_SA, which childless = never forbids",
                hint="set childless = allow, or name a child on the peer",
                keys=("childless",),
            ),
            NotifyType.INVALID_SYNTAX,
        )


def answer(sa: IkeSa, request: Message, nonces: Nonces, now: float) -> list[Payload]:
    """What the initiator asked for, or the notify that refuses it."""
    if request.one(SaPayload) is None:
        return []
    try:
        draft = children.choose(sa, request, with_ke=False)
    except PeerError as error:
        sa.failed(failure_of(error), ExchangeType.IKE_AUTH)
        return [NotifyPayload(error.notify or NotifyType.NO_PROPOSAL_CHOSEN, error.notify_data)]
    spi = sa.core.child_spi(draft.selection.proposal.protocol, 0)
    spi_out = int.from_bytes(draft.selection.proposal.spi, "big")
    child = children.install(sa, draft, spi, spi_out, nonces, None, now)
    sa.use_outbound(child)
    return children.answer_payloads(draft, spi)
