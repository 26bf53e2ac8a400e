"""INFORMATIONAL: is anybody there, delete this, and what went wrong (RFC 7296 section 1.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..wire.constants import ExchangeType, NotifyType, ProtocolId
from ..wire.payloads import DeletePayload, NotifyPayload, Payload
from . import agreements, mobike, redirect, rekey_ike, resumption
from .child import ChildSa, ChildState
from .state import State
from .task import Asking, Purpose, Task, Turn

if TYPE_CHECKING:
    from .ike_sa import IkeSa


MOST_REMEMBERED = 64


class Liveness(Task):
    """An empty request: who answers is alive (RFC 7296 section 2.4)."""

    __slots__ = ()
    purpose = Purpose.INFORM

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """Nothing in it; from behind a NAT, where we believe to be."""
        return ExchangeType.INFORMATIONAL, mobike.mapping_notifies(sa)

    def answered(self, sa: IkeSa, turn: Turn) -> None:
        """It also tells whether the NAT before us gave us another place."""
        mobike.check_mapping(sa, turn)


class DeleteChild(Task):
    """Delete a CHILD_SA at both ends."""

    __slots__ = ("child_id", "reason")
    purpose = Purpose.DELETE_CHILD

    def __init__(self, child_id: int, reason: str) -> None:
        super().__init__()
        self.child_id = child_id
        self.reason = reason

    @property
    def subject(self) -> int | None:
        """It."""
        return self.child_id

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """Our inbound SPI (RFC 7296 section 3.11); nothing where the peer was faster."""
        child = sa.children.get(self.child_id)
        if child is None:
            return None
        return ExchangeType.INFORMATIONAL, [DeletePayload(child.protocol, (child.spi_in_bytes,))]

    def refused(self, sa: IkeSa, now: float) -> None:
        """Where the IKE SA was rekeyed meanwhile, its successor asks again; else our half goes, whatever came."""
        holder = rekey_ike.keeper(sa)
        if holder is sa:
            sa.drop_child(self.child_id, self.reason)
        elif self.child_id in holder.children:
            holder.want(self, now)


class DeleteSpi(Task):
    """Delete a CHILD_SA that only the peer believes in: its answer to our offer was none that we can take."""

    __slots__ = ("protocol", "spi")
    purpose = Purpose.DELETE_CHILD

    def __init__(self, protocol: int, spi: int) -> None:
        super().__init__()
        self.protocol = protocol
        self.spi = spi

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """The SPI that we offered."""
        return ExchangeType.INFORMATIONAL, [DeletePayload(self.protocol, (self.spi.to_bytes(4, "big"),))]


class DeleteIke(Task):
    """Delete the IKE SA and everything on it; or, with a notify, say why it is not taken up."""

    __slots__ = ("notify", "reason")
    purpose = Purpose.DELETE_IKE

    def __init__(self, reason: str, notify: NotifyPayload | None = None) -> None:
        super().__init__()
        self.reason = reason
        self.notify = notify

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """A DELETE without SPIs (RFC 7296 section 3.11)."""
        sa.enter(State.DELETING)
        return ExchangeType.INFORMATIONAL, [self.notify or DeletePayload(ProtocolId.IKE)]


# The peer's requests.


def answer(sa: IkeSa, turn: Turn) -> list[Payload]:
    """Do what it deletes, hear what it tells; what we do not know is passed over (RFC 7296 section 3.10.1)."""
    message, now = turn.message, turn.now
    deletes = message.all(DeletePayload)
    if any(delete.protocol == ProtocolId.IKE for delete in deletes):
        reason = "rekeyed" if sa.state is State.REKEYED else "peer-deleted"
        sa.close_after_answer(reason, now)
        return []
    if message.notify(NotifyType.AUTHENTICATION_FAILED) is not None and sa.state is State.ESTABLISHED:
        from .ike_auth import peer_refused_us

        sa.failed(peer_refused_us(sa), ExchangeType.INFORMATIONAL)
        sa.close_after_answer("peer-auth-failed", now)
        return []
    answers = [*mobike.answer(sa, turn), *agreements.answer(sa, turn), *resumption.grant(sa, message, now)]
    redirect.take_later(sa, message, now)
    return [*_deleted(sa, deletes, now), *answers]


def _deleted(sa: IkeSa, deletes: Sequence[DeletePayload], now: float) -> list[Payload]:
    """Our halves of what the peer deletes go; that we name them is the answer (RFC 7296 section 1.4.1).

    A rekeying of the IKE SA that overtook the request has taken them along (RFC 7296 sections 2.3 and 2.8).
    """
    holder = rekey_ike.keeper(sa)
    gone: dict[int, list[bytes]] = {}
    named = {(child.protocol, child.spi_out.to_bytes(4, "big")): child for child in holder.children.values()}
    for delete in deletes:
        for spi in delete.spis:
            child = named.pop((delete.protocol, spi), None)
            if child is None:
                _remember(sa, spi)
                continue
            if child.state is not ChildState.DELETING:
                # Where both delete it at once, neither names its half in the answer (RFC 7296 section 1.4.1).
                gone.setdefault(child.protocol, []).append(child.spi_in_bytes)
            peer_deleted(holder, child)
    if holder is not sa:
        holder.go_on(now)
    return [DeletePayload(protocol, tuple(spis)) for protocol, spis in gone.items()]


def _remember(sa: IkeSa, spi: bytes) -> None:
    """A DELETE may overtake the answer that would tell what it is about."""
    from .create_child_sa import CreateChild

    for task in sa.window.tasks():
        if isinstance(task, CreateChild) and len(task.deleted) < MOST_REMEMBERED:
            task.deleted.add(spi)


def peer_deleted(sa: IkeSa, child: ChildSa) -> None:
    """The peer closed a CHILD_SA, perhaps because it was replaced."""
    sa.drop_child(child.child_id, "rekeyed" if child.successor in sa.children else "peer-deleted")


# Answers to ours.


def take_answer(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """That it came is all that counts, unless who asked wants more of it."""
    if turn.task is not None:
        turn.task.answered(sa, turn)
    return ()


def take_child_deleted(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """Whatever the answer says, our half goes."""
    if isinstance(turn.task, DeleteChild):
        holder = rekey_ike.keeper(sa)
        holder.drop_child(turn.task.child_id, turn.task.reason)
        if holder is not sa:
            holder.go_on(turn.now)
    return ()


def take_ike_deleted(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """The end."""
    reason = turn.task.reason if isinstance(turn.task, DeleteIke) else "deleted"
    sa.die(reason, turn.now)
    return ()
