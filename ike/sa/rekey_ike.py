"""CREATE_CHILD_SA for the IKE SA itself: fresh keys and ids, the same CHILD_SAs (RFC 7296 sections 1.3.2, 2.18)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..crypto import proposal as proposals
from ..crypto.kex import KeyExchange, respond
from ..crypto.keys import IkeKeys
from ..crypto.proposal import Mismatch, Selection
from ..crypto.secret import Secret
from ..errors import LocalError, PeerError
from ..events import IkeSaRekeyed
from ..records import Failure, Refused
from ..wire.constants import ExchangeType, NotifyType, ProtocolId
from ..wire.message import Message
from ..wire.payloads import DeletePayload, KePayload, NoncePayload, NotifyPayload, Payload, Proposal, SaPayload
from . import agreements, followup_ke, mobike, resumption, upkeep
from .create_child_sa import MAX_RETRIES, TRY_LATER, other_method, put_off, wait_for_successor
from .ike_sa_init import NONCE_LENGTH, specs_of
from .prose import notify_name
from .state import State
from .task import Asking, Purpose, Task, Turn

if TYPE_CHECKING:
    from .ike_sa import IkeSa


@dataclass(frozen=True, slots=True)
class Agreed:
    """What CREATE_CHILD_SA settled: suite, secret of its key exchange, nonces and SPIs, the initiator's first."""

    selection: Selection
    shared: Secret
    nonces: tuple[bytes, bytes]
    spis: tuple[bytes, bytes]

    def successor(self, sa: IkeSa, secrets: Sequence[Secret], now: float, *, initiator: bool) -> IkeSa:
        """The new IKE SA; ``secrets`` are those of the further key exchanges."""
        if sa.keys is None:
            raise RuntimeError("there are no keys to derive from")
        keys = sa.keys.rekey(self.selection.suite, self.shared, *self.nonces, *self.spis, secrets)
        return _successor(sa, keys, *self.spis, now, initiator=initiator)


class RekeyIke(Task):
    """Put a fresh IKE SA in the place of this one."""

    __slots__ = ("agreed", "exchange", "method", "nonce", "offers", "pursuit", "retries", "rival", "spi")
    purpose = Purpose.REKEY_IKE

    def __init__(self) -> None:
        super().__init__()
        self.spi = b""
        self.nonce = b""
        self.method: int | None = None
        self.exchange: KeyExchange | None = None
        self.offers: tuple[Proposal, ...] = ()
        self.retries = 0
        self.agreed: Agreed | None = None
        self.pursuit: followup_ke.Pursuit | None = None
        """Set while further key exchanges are left to do."""
        self.rival: tuple[IkeSa, bytes] | None = None
        """What the peer made of this IKE SA at the same time, and the lower nonce of its exchange."""

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """SA with our new SPI, Ni, KE; or the next of its further key exchanges."""
        if sa.state is not State.ESTABLISHED:
            return None
        if self.pursuit is not None:
            return self.pursuit.ask(sa)
        if sa.is_being_replaced:
            wait_for_successor(self, sa, now)
            return None
        specs = specs_of(sa.settings)
        self.method = self.method or next((m for spec in specs for m in spec.ke_methods), None)
        if self.method is None:
            raise LocalError("no-key-exchange", f"connections.{sa.settings.name}.proposals names no key exchange")
        self.spi = sa.core.ike_spi()
        self.nonce = sa.core.random(NONCE_LENGTH)
        self.exchange = KeyExchange.start(self.method, sa.core.random)
        self.offers = proposals.to_wire(specs, self.spi)
        return ExchangeType.CREATE_CHILD_SA, [
            SaPayload(self.offers),
            NoncePayload(self.nonce),
            KePayload(self.method, self.exchange.public),
        ]

    def refused(self, sa: IkeSa, now: float) -> None:
        """It goes on as it is, and is rekeyed later. A rival that was waiting for the outcome is of no use any more."""
        if sa.state is State.ESTABLISHED:
            sa.rekey_at = now + 2 * sa.core.timing.retry_interval * (1 + sa.core.fraction())
        if self.rival is not None and self.rival[0].state is State.ESTABLISHED and not self.rival[0].announced:
            self.rival[0].die("deleted", now)
            self.rival[0].go_on(now)


def _peer_spi(proposal: Proposal) -> bytes:
    if len(proposal.spi) != 8 or not any(proposal.spi):
        raise PeerError("bad-spi", "an IKE SA is rekeyed with an SPI of 8 bytes", notify=NotifyType.INVALID_SYNTAX)
    return proposal.spi


def _successor(sa: IkeSa, keys: IkeKeys, spi_i: bytes, spi_r: bytes, now: float, *, initiator: bool) -> IkeSa:
    """The new IKE SA, ready for messages; its message ids start at zero (RFC 7296 section 2.18)."""
    from .ike_sa import IkeSa as Make

    new = Make(sa.core, sa.path, initiator=initiator, spi_i=spi_i, spi_r=spi_r)
    new.connection = sa.connection
    new.local_id, new.remote_id = sa.local_id, sa.remote_id
    new.features = sa.features
    new.nat_local, new.nat_remote = sa.nat_local, sa.nat_remote
    new.roaming = sa.roaming
    new.announced = False
    new.use_keys(keys)
    new.keep_only_sk_d()
    new.enter(State.ESTABLISHED)
    new.established_at = new.last_inbound = now
    new.gone_at = now + sa.core.timing.delete_timeout * 6
    sa.core.register(new)
    new.go_on(now)
    return new


def adopt(sa: IkeSa, new: IkeSa, now: float) -> None:
    """``new`` goes on where ``sa`` ends: its CHILD_SAs and whatever was wanted of it move over."""
    followup_ke.give_up_all(sa, now)
    new.gone_at = None
    new.announced = True
    new.predecessor = None
    agreements.carry_over(sa, new)
    upkeep.start_timers(new, now)
    for child in sa.children.values():
        new.add_child(child)
    new.tasks += [task for task in sa.tasks if not isinstance(task, RekeyIke)]
    mobike.carry_over(sa, new)
    resumption.hand_over(sa, new)
    sa.children = {}
    sa.successor = new
    sa.tasks = []
    rekey_at, sa.rekey_at, sa.expires_at = sa.rekey_at, None, None
    sa.core.unidentify(sa)
    sa.core.identify(new)
    sa.enter(State.REKEYED)
    sa.gone_at = now + sa.core.timing.delete_timeout
    sa.core.emit(IkeSaRekeyed(sa.ike_id, new.ike_id, rekey_at))
    new.go_on(now)


def keeper(sa: IkeSa) -> IkeSa:
    """Who has the CHILD_SAs of ``sa``: itself, or what it was rekeyed into, once or again."""
    while sa.successor is not None:
        sa = sa.successor
    return sa


def claim(new: IkeSa, message: Message, now: float) -> None:
    """A request on a replacement that waits for the outcome of ours: the peer knows the outcome, and this one stays.

    Unless it is a DELETE: then it is ours that stays, and its answer is still on its way.
    """
    old, new.predecessor = new.predecessor, None
    closes = any(delete.protocol == ProtocolId.IKE for delete in message.all(DeletePayload))
    if old is not None and not closes and old.state is State.ESTABLISHED:
        adopt(old, new, now)
        old.go_on(now)


# The peer's request.


def answer(sa: IkeSa, turn: Turn) -> list[Payload]:
    """Make the new IKE SA; whether it takes over at once depends on whether we asked for one too."""
    if sa.is_changing_children:
        # RFC 7296 section 2.25.2.
        return put_off(sa, turn)
    message = turn.message
    offered, nonce, ke = message.one(SaPayload), message.one(NoncePayload), message.one(KePayload)
    if offered is None or nonce is None or ke is None or sa.keys is None:
        raise PeerError("invalid-syntax", "IKE rekey without SA, nonce or KE", notify=NotifyType.INVALID_SYNTAX)
    ours = sa.rekey_under_way()
    if ours is not None and ours.rival is not None:
        return put_off(sa, turn)
    found = proposals.select(offered.proposals, specs_of(sa.settings), protocol=ProtocolId.IKE, with_ke=True)
    if isinstance(found, Mismatch):
        raise Refused(_no_suite(found), NotifyType.NO_PROPOSAL_CHOSEN)
    spi_i = _peer_spi(found.proposal)
    if ke.method != found.ke_method:
        raise other_method(found.ke_method or 0, ke.method)
    if found.additional_ke_methods and (ours is not None or sa.is_being_replaced):
        return put_off(sa, turn)
    public, shared = respond(ke.method, ke.data, sa.core.random)
    nonce_r, spi_r = sa.core.random(NONCE_LENGTH), sa.core.ike_spi()
    agreed = Agreed(found, shared, (nonce.data, nonce_r), (spi_i, spi_r))
    payloads: list[Payload] = [
        SaPayload((found.answer(spi_r),)),
        NoncePayload(nonce_r),
        KePayload(ke.method, public),
    ]
    if found.additional_ke_methods:
        return [*payloads, _begin(sa, agreed, turn.now)]
    new = agreed.successor(sa, (), turn.now, initiator=False)
    if ours is not None:
        ours.rival = (new, min(agreed.nonces))
        new.predecessor = sa
    else:
        adopt(sa, new, turn.now)
    return payloads


def _begin(sa: IkeSa, agreed: Agreed, now: float) -> NotifyPayload:
    """Further key exchanges come first. What we want for our CHILD_SAs waits; what is under way by then wins."""

    def conclude(secrets: Sequence[Secret], now: float) -> None:
        if sa.is_changing_children or sa.rekey_under_way() is not None:
            raise followup_ke.not_now()
        adopt(sa, agreed.successor(sa, secrets, now, initiator=False), now)

    chain = followup_ke.Chain(Purpose.REKEY_IKE, agreed.selection.additional_ke_methods, conclude, lambda _: None)
    return followup_ke.begin(sa, chain, now)


def _no_suite(mismatch: Mismatch) -> Failure:
    return Failure(
        code="no-proposal-chosen",
        summary=f"no IKE proposal in common: {mismatch}",
        hint="name one and the same suite in proposals on both sides",
        offered=mismatch.offered,
        allowed=mismatch.allowed,
        mismatch=str(mismatch),
        keys=("proposals",),
    )


# Answers to ours.


def take_answer(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """The new IKE SA is there; of two, the one whose exchange had the lowest nonce goes, by whom made it."""
    task, message, now = turn.task, turn.message, turn.now
    chosen, nonce, ke = message.one(SaPayload), message.one(NoncePayload), message.one(KePayload)
    if not isinstance(task, RekeyIke) or task.exchange is None or sa.keys is None:
        raise RuntimeError("CREATE_CHILD_SA was asked by another task")
    if chosen is None or nonce is None or ke is None:
        raise PeerError("invalid-syntax", "an IKE rekey response without SA, nonce or KE")
    selection = proposals.confirm(chosen.proposals, task.offers)
    spi_r = _peer_spi(selection.proposal)
    if selection.ke_method != ke.method or ke.method != task.method:
        raise PeerError("invalid-syntax", "the peer's KE payload is not of the method that it chose")
    shared = task.exchange.finish(ke.data)
    agreed = Agreed(selection, shared, (task.nonce, nonce.data), (task.spi, spi_r))
    if selection.additional_ke_methods:
        task.pursuit = followup_ke.Pursuit(selection.additional_ke_methods, message)
        task.agreed = agreed
        sa.tasks.insert(0, task)
    else:
        _settle(sa, task, agreed, (), now)
    return ()


def take_further_key(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """One more key exchange is done; after the last one the new IKE SA is there."""
    task = turn.task
    if not isinstance(task, RekeyIke) or task.pursuit is None or task.agreed is None:
        raise RuntimeError("IKE_FOLLOWUP_KE was asked by another task")
    if task.pursuit.take(turn.message):
        _settle(sa, task, task.agreed, task.pursuit.secrets, turn.now)
    else:
        sa.tasks.insert(0, task)
    return ()


def _settle(sa: IkeSa, task: RekeyIke, agreed: Agreed, secrets: Sequence[Secret], now: float) -> None:
    from .informational import DeleteIke

    new = agreed.successor(sa, secrets, now, initiator=True)
    rival = task.rival
    if rival is not None and min(agreed.nonces) < rival[1] and rival[0].state is State.ESTABLISHED:
        # RFC 7296 section 2.8.2: ours goes, and the winner deletes the old IKE SA.
        adopt(sa, rival[0], now)
        new.terminate(now)
        return
    if rival is not None:
        # The peer deletes it, if it ever learns that it is there.
        rival[0].gone_at = now + sa.core.timing.delete_timeout
        rival[0].go_on(now)
    adopt(sa, new, now)
    sa.gone_at = None
    sa.tasks.append(DeleteIke("rekeyed"))


def take_refusal(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """Try otherwise, try later; the IKE SA goes on until its hard limit."""
    task, error, now = turn.task, turn.message.error, turn.now
    if not isinstance(task, RekeyIke) or error is None:
        raise RuntimeError("CREATE_CHILD_SA was asked by another task")
    task.pursuit = task.agreed = None
    if task.rival is not None and task.rival[0].state is State.ESTABLISHED:
        # Only the peer's attempt succeeded: it takes over, and the peer deletes this one.
        adopt(sa, task.rival[0], now)
        return ()
    timing = sa.core.timing
    wanted = int.from_bytes(error.data, "big")
    offered = [m for spec in specs_of(sa.settings) for m in spec.ke_methods]
    can_retry = task.retries < MAX_RETRIES
    task.retries += 1
    if error.notify == NotifyType.INVALID_KE_PAYLOAD and can_retry and wanted in offered and wanted != task.method:
        task.method = wanted
        sa.tasks.insert(0, task)
    elif error.notify in TRY_LATER and can_retry:
        task.not_before = now + timing.retry_interval * (1 + sa.core.fraction())
        sa.tasks.append(task)
    else:
        sa.failed(_refused(sa, error), ExchangeType.CREATE_CHILD_SA)
        sa.rekey_at = now + 2 * timing.retry_interval * (1 + sa.core.fraction())
    return ()


def _refused(sa: IkeSa, error: NotifyPayload) -> Failure:
    name = notify_name(error.notify)
    return Failure(
        code="rekey-refused",
        summary=f"the peer refuses to rekey the IKE SA with {name}",
        hint="name one and the same suite in proposals on both sides; the peer's log says more",
        allowed=tuple(str(spec) for spec in specs_of(sa.settings)),
        mismatch=name,
        keys=("proposals",),
        fields={"notify": name},
    )
