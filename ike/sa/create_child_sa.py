"""CREATE_CHILD_SA for CHILD_SAs: one more, or one instead of another (RFC 7296 sections 1.3.1, 1.3.3, 2.8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..config import Child
from ..crypto.kex import KeyExchange, respond
from ..crypto.secret import Secret
from ..errors import PeerError
from ..events import ChildSaRekeyed
from ..wire.constants import ExchangeType, NotifyType
from ..wire.payloads import KePayload, NoncePayload, NotifyPayload, Payload, SaPayload
from . import child as children
from . import followup_ke, resources
from .child import ChildSa, ChildState
from .ike_sa_init import NONCE_LENGTH
from .task import Asking, Purpose, Task, Turn

if TYPE_CHECKING:
    from .ike_sa import IkeSa
    from .setup import Packet

TRY_LATER = (NotifyType.TEMPORARY_FAILURE, NotifyType.STATE_NOT_FOUND)
"""The second: what CREATE_CHILD_SA settled is lost, so it is asked for anew (RFC 9370 section 2.2.4)."""
MAX_RETRIES = 12
"""How often a wish is tried again after TEMPORARY_FAILURE or a wish for another method."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """What CREATE_CHILD_SA settled. ``shared`` is the secret of its own key exchange, if it had one."""

    draft: children.Draft
    spi: int
    nonces: tuple[bytes, bytes]
    shared: Secret | None

    @property
    def methods_left(self) -> tuple[int, ...]:
        """Key exchanges that IKE_FOLLOWUP_KE has still to do."""
        return self.draft.selection.additional_ke_methods

    def install(self, sa: IkeSa, old: ChildSa | None, secrets: Sequence[Secret], now: float) -> ChildSa:
        """``secrets`` are those of the further exchanges, ``old`` is what it replaces."""
        spi_out = int.from_bytes(self.draft.selection.proposal.spi, "big")
        replaces = old.child_id if old is not None else None
        return children.install(
            sa, self.draft, self.spi, spi_out, self.nonces, self.shared, now, replaces=replaces, additional=secrets
        )


class CreateChild(Task):
    """Bring up one more CHILD_SA."""

    __slots__ = ("agreed", "config", "deleted", "exchange", "made", "method", "nonce", "packet", "pursuit", "retries")
    purpose = Purpose.NEW_CHILD

    def __init__(self, config: Child, packet: Packet | None) -> None:
        super().__init__()
        self.config = config
        self.packet = packet
        self.made: children.Offer | None = None
        self.nonce = b""
        self.method: int | None = None
        self.exchange: KeyExchange | None = None
        self.retries = 0
        self.agreed: Agreed | None = None
        self.pursuit: followup_ke.Pursuit | None = None
        """Set while further key exchanges are left to do."""
        self.deleted: set[bytes] = set()
        """SPIs that the peer deleted while the answer was on its way: it may have overtaken the answer."""

    def __str__(self) -> str:
        return f"create CHILD_SA {self.config.name}"

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """SA, Ni, KE where a proposal has one (PFS), TSi, TSr; or the next of its further key exchanges."""
        if self.pursuit is not None:
            return self.pursuit.ask(sa)
        if sa.is_being_replaced:
            wait_for_successor(self, sa, now)
            return None
        self.made, payloads = self._offer(sa)
        self.nonce = sa.core.random(NONCE_LENGTH)
        if self.method is None:
            self.method = next((m for spec in self.config.proposals[:1] for m in spec.ke_methods), None)
        at = next(n for n, p in enumerate(payloads) if isinstance(p, SaPayload)) + 1
        fresh: list[Payload] = [NoncePayload(self.nonce)]
        if self.method is not None:
            self.exchange = KeyExchange.start(self.method, sa.core.random)
            fresh.append(KePayload(self.method, self.exchange.public))
        payloads[at:at] = fresh
        return ExchangeType.CREATE_CHILD_SA, payloads

    def _offer(self, sa: IkeSa) -> tuple[children.Offer, list[Payload]]:
        made, payloads = children.offer(sa, self.config, self.packet, with_ke=True)
        return made, [*payloads, *resources.announce(self.config, 0)]


class CreateAnother(CreateChild):
    """Bring up one more CHILD_SA with the selectors of one that is up (RFC 9611 section 3)."""

    __slots__ = ("like",)

    def __init__(self, like: ChildSa) -> None:
        super().__init__(like.config, None)
        self.like = like

    def __str__(self) -> str:
        return f"create another CHILD_SA {self.config.name}"

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """Nothing where there are enough of them by now, or none is left."""
        if self.pursuit is None and not resources.next_number(sa, self.like):
            return None
        return super().ask(sa, now)

    def _offer(self, sa: IkeSa) -> tuple[children.Offer, list[Payload]]:
        number = resources.next_number(sa, self.like)
        made, payloads = children.offer(sa, self.config, None, with_ke=True, like=self.like, resource=number)
        return made, [*payloads, *resources.announce(self.config, number)]


class RekeyChild(CreateChild):
    """Put a fresh CHILD_SA in the place of one."""

    __slots__ = ("old_id", "rival")
    purpose = Purpose.REKEY_CHILD

    def __init__(self, old: ChildSa) -> None:
        super().__init__(old.config, None)
        self.old_id = old.child_id
        self.rival: tuple[int, bytes] | None = None
        """What the peer made of the same CHILD_SA at the same time, and the lower nonce of its exchange."""

    def __str__(self) -> str:
        return f"rekey CHILD_SA {self.config.name}"

    @property
    def subject(self) -> int | None:
        """The old one."""
        return self.old_id

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """The same with REKEY_SA in front; nothing where it is gone or replaced already."""
        if self.pursuit is not None:
            return self.pursuit.ask(sa)
        old = sa.children.get(self.old_id)
        if old is None or old.state is not ChildState.REKEYING:
            return None
        asking = super().ask(sa, now)
        if asking is not None:
            asking[1].insert(0, NotifyPayload(NotifyType.REKEY_SA, b"", old.protocol, old.spi_in_bytes))
        return asking

    def _offer(self, sa: IkeSa) -> tuple[children.Offer, list[Payload]]:
        return children.offer(sa, self.config, None, with_ke=True, replaces=sa.children[self.old_id].spi_in)

    def refused(self, sa: IkeSa, now: float) -> None:
        """It stays what it was, and is rekeyed later."""
        old = sa.children.get(self.old_id)
        if old is not None and old.state is ChildState.REKEYING:
            old.state = ChildState.INSTALLED
            old.rekey_at = now + 2 * sa.core.timing.retry_interval * (1 + sa.core.fraction())


def wait_for_successor(task: Task, sa: IkeSa, now: float) -> None:
    """The peer is about to replace the IKE SA: anything asked for now would be put off (RFC 7296 section 2.25.2)."""
    task.not_before = now + sa.core.timing.retry_interval
    sa.tasks.append(task)


# The peer's requests.


def put_off(sa: IkeSa, turn: Turn) -> list[Payload]:
    """Not now (RFC 7296 section 2.25.2)."""
    return [NotifyPayload(NotifyType.TEMPORARY_FAILURE)]


def answer_new(sa: IkeSa, turn: Turn) -> list[Payload]:
    """One more CHILD_SA."""
    if sa.rekey_under_way() is not None:
        return put_off(sa, turn)
    if len(sa.children) >= sa.core.timing.max_children:
        return [NotifyPayload(NotifyType.NO_ADDITIONAL_SAS)]
    agreed, payloads = _agree(sa, turn, None)

    def conclude(secrets: Sequence[Secret], now: float) -> None:
        sa.use_outbound(agreed.install(sa, None, secrets, now))

    if not agreed.methods_left:
        conclude((), turn.now)
        return payloads
    chain = followup_ke.Chain(Purpose.NEW_CHILD, agreed.methods_left, conclude, give_up=lambda _: None)
    return [*payloads, followup_ke.begin(sa, chain, turn.now)]


def answer_rekey(sa: IkeSa, turn: Turn) -> list[Payload]:
    """A replacement. Traffic goes on on the old one until the peer deletes it: then it is ready for the new one."""
    if sa.rekey_under_way() is not None:
        return put_off(sa, turn)
    named = turn.message.notify(NotifyType.REKEY_SA)
    old = sa.child_by_outbound(named.spi, named.protocol) if named is not None else None
    if old is None and sa.is_changing_children:
        # It may be the one that we asked for and whose answer this request has overtaken.
        return put_off(sa, turn)
    if named is None or old is None:
        spi = named.spi if named is not None else b""
        protocol = named.protocol if named is not None else 0
        return [NotifyPayload(NotifyType.CHILD_SA_NOT_FOUND, b"", protocol, spi)]
    if old.state in (ChildState.DELETING, ChildState.REKEYED):
        # About to go, or replaced already (RFC 7296 section 2.25.1).
        return put_off(sa, turn)
    if len(sa.children) >= 2 * sa.core.timing.max_children:
        # Who replaces all of them at once deletes the old ones first.
        return [NotifyPayload(NotifyType.NO_ADDITIONAL_SAS)]
    agreed, payloads = _agree(sa, turn, old)
    if not agreed.methods_left:
        _put_in_place(sa, old, agreed, (), turn.now)
        return payloads
    if sa.child_rekey_under_way(old.child_id) is not None:
        return put_off(sa, turn)
    return [*payloads, _begin_rekey(sa, old, agreed, turn.now)]


def _put_in_place(sa: IkeSa, old: ChildSa, agreed: Agreed, secrets: Sequence[Secret], now: float) -> None:
    if old.child_id not in sa.children:
        # It was deleted while further key exchanges were under way.
        sa.use_outbound(agreed.install(sa, None, secrets, now))
        return
    ours = sa.child_rekey_under_way(old.child_id)
    new = agreed.install(sa, old, secrets, now)
    old.successor = new.child_id
    if ours is not None:
        ours.rival = (new.child_id, min(agreed.nonces))
        return
    if old.state is not ChildState.DELETING:
        old.state = ChildState.REKEYED
    sa.core.emit(ChildSaRekeyed(sa.ike_id, old.child_id, new.child_id))


def _begin_rekey(sa: IkeSa, old: ChildSa, agreed: Agreed, now: float) -> NotifyPayload:
    """The old one counts as replaced from now on, so that we do not rekey it too."""

    def conclude(secrets: Sequence[Secret], now: float) -> None:
        _put_in_place(sa, old, agreed, secrets, now)

    def give_up(now: float) -> None:
        if old.state is ChildState.REKEYED and old.successor is None:
            old.state = ChildState.INSTALLED
            if old.config.rekey_time:
                old.rekey_at = now + sa.core.timing.retry_interval

    chain = followup_ke.Chain(Purpose.REKEY_CHILD, agreed.methods_left, conclude, give_up)
    notify = followup_ke.begin(sa, chain, now)
    old.state = ChildState.REKEYED
    return notify


def _agree(sa: IkeSa, turn: Turn, old: ChildSa | None) -> tuple[Agreed, list[Payload]]:
    """What the new CHILD_SA is to be, and the response that says so."""
    message = turn.message
    nonce, ke = message.one(NoncePayload), message.one(KePayload)
    if nonce is None:
        raise PeerError("invalid-syntax", "CREATE_CHILD_SA without nonce", notify=NotifyType.INVALID_SYNTAX)
    draft = children.choose(sa, message, with_ke=True, only=old.config if old is not None else None)
    method = draft.selection.ke_method
    shared: Secret | None = None
    public: list[Payload] = []
    if method is not None:
        if ke is None or ke.method != method:
            raise other_method(method, ke.method if ke is not None else 0)
        value, shared = respond(method, ke.data, sa.core.random)
        public = [KePayload(method, value)]
    nonce_r = sa.core.random(NONCE_LENGTH)
    spi = sa.core.child_spi(draft.selection.proposal.protocol, old.spi_in if old is not None else 0)
    payloads = children.answer_payloads(draft, spi)
    at = next(n for n, p in enumerate(payloads) if isinstance(p, SaPayload)) + 1
    payloads[at:at] = [NoncePayload(nonce_r), *public]
    return Agreed(draft, spi, (nonce.data, nonce_r), shared), payloads


def other_method(wanted: int, came: int) -> PeerError:
    """INVALID_KE_PAYLOAD: ask again with that one (RFC 7296 section 1.3)."""
    return PeerError(
        "try-other-method",
        f"the key exchange is method {came}, the suite that fits wants {wanted}",
        notify=NotifyType.INVALID_KE_PAYLOAD,
        notify_data=wanted.to_bytes(2, "big"),
    )


# Answers to ours.


def take_answer(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """The new CHILD_SA is up; if it replaces one, decide which of possibly two replacements stays."""
    task, message = turn.task, turn.message
    if not isinstance(task, CreateChild) or task.made is None:
        raise RuntimeError("CREATE_CHILD_SA was asked by another task")
    try:
        draft = children.confirm(sa, task.made, message)
        nonce, ke = message.one(NoncePayload), message.one(KePayload)
        if nonce is None:
            raise PeerError("invalid-syntax", "CREATE_CHILD_SA without nonce")
        shared = _finish(task, draft.selection.ke_method, ke)
        agreed = Agreed(draft, task.made.spi, (task.nonce, nonce.data), shared)
        if agreed.methods_left:
            task.pursuit = followup_ke.Pursuit(agreed.methods_left, message)
    except PeerError:
        _disown(sa, task)
        raise
    if task.pursuit is None:
        _bring_up(sa, task, agreed, (), turn.now)
    else:
        task.agreed = agreed
        sa.tasks.insert(0, task)
    return ()


def take_further_key(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """One more key exchange is done; after the last one the new CHILD_SA is up."""
    task = turn.task
    if not isinstance(task, CreateChild) or task.pursuit is None or task.agreed is None:
        raise RuntimeError("IKE_FOLLOWUP_KE was asked by another task")
    try:
        complete = task.pursuit.take(turn.message)
    except PeerError:
        _disown(sa, task)
        raise
    if complete:
        _bring_up(sa, task, task.agreed, task.pursuit.secrets, turn.now)
    else:
        sa.tasks.insert(0, task)
    return ()


def _disown(sa: IkeSa, task: CreateChild) -> None:
    """The peer may believe that it is up."""
    from .informational import DeleteSpi

    if task.made is not None:
        sa.tasks.append(DeleteSpi(task.made.proposals[0].protocol, task.made.spi))


def _bring_up(sa: IkeSa, task: CreateChild, agreed: Agreed, secrets: Sequence[Secret], now: float) -> None:
    old = sa.children.get(task.old_id) if isinstance(task, RekeyChild) else None
    child = agreed.install(sa, old, secrets, now)
    if isinstance(task, RekeyChild):
        _settle_rekey(sa, task, child, min(agreed.nonces), now)
    else:
        sa.use_outbound(child)
        resources.ask_for_more(sa, child)
    if agreed.draft.selection.proposal.spi in task.deleted:
        sa.drop_child(child.child_id, "peer-deleted")


def _finish(task: CreateChild, method: int | None, ke: KePayload | None) -> Secret | None:
    if method is None:
        return None
    if ke is None or ke.method != method or task.exchange is None or task.exchange.method != method:
        raise PeerError("invalid-syntax", "the peer's KE payload is not of the method that it chose")
    return task.exchange.finish(ke.data)


def _settle_rekey(sa: IkeSa, task: RekeyChild, new: ChildSa, lower_nonce: bytes, now: float) -> None:
    """Of two replacements the one with the lowest nonce goes; who made it deletes it (RFC 7296 section 2.8.1)."""
    old = sa.children.get(task.old_id)
    if task.rival is not None and lower_nonce < task.rival[1]:
        # The winner deletes the old one, and traffic moves then; it may even have replaced its own again by now.
        if old is not None and old.state is ChildState.REKEYING:
            old.state = ChildState.REKEYED
            sa.core.emit(ChildSaRekeyed(sa.ike_id, old.child_id, task.rival[0]))
        sa.terminate_child(new.child_id, now, "rekeyed")
        return
    sa.use_outbound(new)
    if old is not None:
        old.successor = new.child_id
        sa.core.emit(ChildSaRekeyed(sa.ike_id, old.child_id, new.child_id))
        sa.terminate_child(old.child_id, now, "rekeyed")


def take_refusal(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """Try otherwise, try later, or give up."""
    task, error = turn.task, turn.message.error
    if not isinstance(task, CreateChild) or error is None:
        raise RuntimeError("CREATE_CHILD_SA was asked by another task")
    task.pursuit = task.agreed = None
    old = sa.children.get(task.old_id) if isinstance(task, RekeyChild) else None
    if isinstance(task, RekeyChild) and (old is None or old.successor is not None):
        # Meanwhile the peer deleted or replaced it.
        if old is not None and old.state is ChildState.REKEYING:
            _yield_to_rival(sa, task, old)
        return ()
    if isinstance(task, CreateAnother) and error.notify in resources.ENOUGH:
        return ()
    if error.notify == NotifyType.INVALID_KE_PAYLOAD and _other_method(task, error.data):
        sa.tasks.insert(0, task)
    elif error.notify in TRY_LATER and task.retries < MAX_RETRIES:
        task.retries += 1
        task.not_before = turn.now + sa.core.timing.retry_interval * (1 + sa.core.fraction())
        sa.tasks.append(task)
    elif error.notify == NotifyType.CHILD_SA_NOT_FOUND and old is not None:
        # The peer lost it: a fresh one keeps the tunnel up (RFC 7296 section 2.25).
        sa.drop_child(old.child_id, "peer-deleted")
        sa.tasks.append(CreateChild(task.config, None))
    else:
        sa.failed(
            children.refusal_of(task.config, task.made, error.notify, "CREATE_CHILD_SA"), ExchangeType.CREATE_CHILD_SA
        )
        task.refused(sa, turn.now)
    return ()


def _yield_to_rival(sa: IkeSa, task: RekeyChild, old: ChildSa) -> None:
    """Our attempt came to nothing, the peer's stands: the peer deletes the old one."""
    old.state = ChildState.REKEYED
    if task.rival is not None:
        sa.core.emit(ChildSaRekeyed(sa.ike_id, old.child_id, task.rival[0]))


def _other_method(task: CreateChild, data: bytes) -> bool:
    wanted = int.from_bytes(data, "big")
    offered = [m for spec in task.config.proposals for m in spec.ke_methods]
    if len(data) != 2 or wanted not in offered or wanted == task.method or task.retries >= MAX_RETRIES:
        return False
    task.retries += 1
    task.method = wanted
    return True


def take_too_late(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """The IKE SA was replaced meanwhile; what was asked for on it is void."""
    if turn.task is not None:
        turn.task.refused(sa, turn.now)
    return ()
