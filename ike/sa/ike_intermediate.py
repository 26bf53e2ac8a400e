"""IKE_INTERMEDIATE: further key exchanges before anybody shows who they are (RFC 9242, RFC 9370 section 2.2.2).

Each exchange is sealed with the keys of the one before it, its response included; AUTH covers all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..crypto.kex import KeyExchange, respond
from ..crypto.keys import prf_of
from ..crypto.secret import Secret
from ..errors import PeerError
from ..records import Failure
from ..wire.constants import ExchangeType, NotifyType
from ..wire.payloads import KePayload, Payload
from .prose import notify_name
from .state import State
from .task import Asking, Purpose, Task, Turn

if TYPE_CHECKING:
    from .ike_sa import IkeSa


class MixKey(Task):
    """One more key exchange: the next one that was agreed on in IKE_SA_INIT."""

    __slots__ = ("exchange",)
    purpose = Purpose.CONNECT

    def __init__(self) -> None:
        super().__init__()
        self.exchange: KeyExchange | None = None

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """KE alone."""
        self.exchange = KeyExchange.start(sa.in_setup.methods_left[0], sa.core.random)
        return ExchangeType.IKE_INTERMEDIATE, [KePayload(self.exchange.method, self.exchange.public)]


def note(sa: IkeSa, head: bytes, plaintext: bytes, *, outbound: bool) -> None:
    """Every message of these exchanges, as it is sealed or opened: AUTH is to cover it (RFC 9242 section 3.3)."""
    if sa.setup is None or sa.keys is None:
        return
    initiators = sa.initiator is outbound
    sk_p = sa.keys.sk_pi if initiators else sa.keys.sk_pr
    sa.setup.int_auth.take(prf_of(sa.suite), sk_p, head, plaintext, initiators=initiators)


def use_next_keys(sa: IkeSa) -> None:
    """The exchange is over: its secret is part of all keys from now on."""
    setup, before = sa.in_setup, sa.keys
    if setup.next_keys is not None:
        sa.use_keys(setup.next_keys)
        setup.next_keys = None
        if before is not None:
            before.wipe()


def _mix(sa: IkeSa, shared: Secret) -> None:
    setup = sa.in_setup
    if sa.keys is None:
        raise RuntimeError("there are no keys to mix a secret into")
    setup.next_keys = sa.keys.mix(shared, setup.nonce_i, setup.nonce_r, sa.spi_i, sa.spi_r)
    shared.wipe()
    setup.methods_left = setup.methods_left[1:]


# The responder.


def answer(sa: IkeSa, turn: Turn) -> list[Payload]:
    """Our half of the exchange. The answer is still sealed with the keys before it."""
    setup, ke = sa.in_setup, turn.message.one(KePayload)
    if ke is None or ke.method != setup.methods_left[0]:
        raise PeerError(
            "invalid-syntax",
            f"IKE_INTERMEDIATE without KE of method {setup.methods_left[0]}, which was agreed on",
            notify=NotifyType.INVALID_SYNTAX,
        )
    public, shared = respond(ke.method, ke.data, sa.core.random)
    _mix(sa, shared)
    if not setup.methods_left:
        sa.enter(State.INIT_ANSWERED)
    return [KePayload(ke.method, public)]


# The initiator.


def take_answer(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """Mix the secret in; then the next one, or IKE_AUTH."""
    task, ke = turn.task, turn.message.one(KePayload)
    if not isinstance(task, MixKey) or task.exchange is None:
        raise RuntimeError("IKE_INTERMEDIATE was asked by another task")
    if ke is None or ke.method != task.exchange.method:
        raise PeerError("invalid-syntax", "the responder's KE payload is not of the method that it was asked for")
    _mix(sa, task.exchange.finish(ke.data))
    use_next_keys(sa)
    ask_on(sa)
    return ()


def ask_on(sa: IkeSa) -> None:
    """What comes once there are keys: the key exchanges that are left, then IKE_AUTH."""
    from .ike_auth import Authenticate

    if sa.in_setup.methods_left:
        sa.enter(State.MIXING)
        sa.tasks.insert(0, MixKey())
    else:
        sa.enter(State.AUTH_SENT)
        sa.tasks.insert(0, Authenticate())


def take_refusal(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """The responder cannot go on, for a reason that only its log tells."""
    error = turn.message.error
    number = error.notify if error is not None else 0
    name = notify_name(number)
    failure = Failure(
        code="intermediate-refused",
        summary=f"the peer refuses a further key exchange with {name}",
        hint="the peer's log says why",
        mismatch=name,
        keys=("proposals",),
        fields={"notify": name},
    )
    sa.failed(failure, ExchangeType.IKE_INTERMEDIATE)
    sa.die(failure.code, turn.now)
    return ()
