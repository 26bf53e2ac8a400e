"""IKE_SA_INIT: a suite, two nonces, one shared secret; nobody has shown who they are (RFC 7296 section 1.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..config import Connection, Fragmentation
from ..crypto import proposal as proposals
from ..crypto.kex import KeyExchange, respond
from ..crypto.keys import IkeKeys
from ..crypto.proposal import Mismatch, ProposalSpec, default_ike
from ..crypto.secret import Secret
from ..errors import LocalError, PeerError
from ..events import AttemptLost, Path
from ..records import MOST_TRIED, Failure, Refused, note_lost, place
from ..wire.constants import ExchangeType, NotifyType, SignatureHash
from ..wire.message import Message
from ..wire.payloads import KePayload, NoncePayload, NotifyPayload, Payload, SaPayload, Transform
from . import certificates, hash_and_url, nat, ppk, proof, redirect, rounds
from .features import Feature
from .ike_intermediate import ask_on
from .prose import notify_name
from .select import by_addresses, by_proposals
from .state import State
from .task import Asking, Purpose, Task, Turn

if TYPE_CHECKING:
    from .ike_sa import IkeSa

NONCE_LENGTH = 32
MAX_RESTARTS = 5
"""A cookie, a wish for another method, and their like; then it is a game (RFC 7296 section 2.6.1)."""
HASHES = (SignatureHash.SHA2_256, SignatureHash.SHA2_384, SignatureHash.SHA2_512, SignatureHash.IDENTITY)
"""Hashes that we verify signatures with (RFC 7427 section 4)."""


class Connect(Task):
    """Open an IKE SA."""

    __slots__ = ()
    purpose = Purpose.CONNECT

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """SA, KE, Ni and what we can do; a cookie goes first (RFC 7296 section 2.6)."""
        setup = sa.in_setup
        specs = specs_of(sa.settings)
        if setup.method is None:
            setup.method = next(iter(specs[0].ke_methods), None)
        if setup.method is None:
            raise LocalError("no-key-exchange", f"connections.{sa.settings.name}.proposals names no key exchange")
        if setup.exchange is None or setup.exchange.method != setup.method:
            setup.exchange = KeyExchange.start(setup.method, sa.core.random)
        setup.nonce_i = setup.nonce_i or sa.core.random(NONCE_LENGTH)
        setup.offers = proposals.to_wire(specs)
        payloads: list[Payload] = [NotifyPayload(NotifyType.COOKIE, setup.cookie)] if setup.cookie else []
        payloads += [
            SaPayload(setup.offers),
            KePayload(setup.method, setup.exchange.public),
            NoncePayload(setup.nonce_i),
            *nat.announce(sa.spi_i, sa.spi_r, sa.path, pretend=sa.settings.encap),
            *_abilities(sa.settings),
        ]
        payloads += ppk.announce(sa)
        if any(spec.has_additional_ke for spec in specs):
            payloads.append(NotifyPayload(NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED))
        payloads += redirect.announce(sa)
        sa.enter(State.INIT_SENT)
        return ExchangeType.IKE_SA_INIT, payloads


def specs_of(connection: Connection) -> tuple[ProposalSpec, ...]:
    """Its IKE proposals; strongSwan's ``default`` where it names none."""
    return connection.proposals or default_ike()


def _abilities(connection: Connection) -> list[Payload]:
    hashes = b"".join(h.to_bytes(2, "big") for h in HASHES)
    payloads: list[Payload] = [NotifyPayload(NotifyType.SIGNATURE_HASH_ALGORITHMS, hashes)]
    if connection.fragmentation is not Fragmentation.NO:
        payloads.insert(0, NotifyPayload(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED))
    return payloads


# The responder.


def answer(sa: IkeSa, turn: Turn) -> list[Payload]:
    """Choose a suite and send our half. Everything that loses here is kept for the record of a later failure."""
    message, setup, core = turn.message, sa.in_setup, sa.core
    offered, ke, nonce = message.one(SaPayload), message.one(KePayload), message.one(NoncePayload)
    if offered is None or ke is None or nonce is None:
        raise PeerError("invalid-syntax", "IKE_SA_INIT without SA, KE or nonce", notify=NotifyType.INVALID_SYNTAX)
    everybody = core.connections()
    near = by_addresses(everybody, sa.path)
    if not near:
        raise Refused(_nobody_for(everybody, sa.path), NotifyType.NO_PROPOSAL_CHOSEN)
    selection, candidates, setup.lost, mismatch = by_proposals(near, offered.proposals)
    if len(near) == 1:
        sa.connection = near[0]
    if selection is None:
        raise Refused(_no_suite(near[0], mismatch, setup.lost), NotifyType.NO_PROPOSAL_CHOSEN)
    setup.candidates = tuple(candidates)
    first = setup.candidates[0]
    if ke.method != selection.ke_method:
        wanted = selection.ke_method or 0
        raise PeerError(
            "try-other-method",
            f"the key exchange is method {ke.method}, the suite that fits wants {wanted}",
            notify=NotifyType.INVALID_KE_PAYLOAD,
            notify_data=wanted.to_bytes(2, "big"),
        )
    setup.methods_left = selection.additional_ke_methods
    if setup.methods_left and message.notify(NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED) is None:
        raise Refused(_no_intermediate(first), NotifyType.NO_PROPOSAL_CHOSEN)
    public, shared = respond(ke.method, ke.data, core.random)
    setup.nonce_i, setup.nonce_r = nonce.data, core.random(NONCE_LENGTH)
    setup.first_request = message.raw
    note_abilities(sa, message, first)
    if len(setup.candidates) == 1:
        sa.connection = first
    take_keys(sa, selection.suite, shared)
    payloads: list[Payload] = [
        SaPayload((selection.answer(b""),)),
        KePayload(ke.method, public),
        NoncePayload(setup.nonce_r),
        *nat.announce(sa.spi_i, sa.spi_r, sa.path, pretend=first.encap),
        *_answered_abilities(sa, first),
        *ppk.answer(sa, message),
    ]
    setup.deadline = turn.now + core.timing.half_open_timeout
    if setup.methods_left:
        payloads.append(NotifyPayload(NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED))
        sa.enter(State.MIXING)
    return payloads


def _answered_abilities(sa: IkeSa, connection: Connection) -> list[Payload]:
    """What the initiator announced and we can do too; childless is ours to offer (RFC 6023 section 3)."""
    payloads: list[Payload] = [*rounds.announce(sa), *proof.requests(sa, sa.in_setup.candidates)]
    if Feature.FRAGMENTATION in sa.features:
        payloads.append(NotifyPayload(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED))
    if sa.in_setup.peer_hashes:
        ours = b"".join(h.to_bytes(2, "big") for h in HASHES)
        payloads.append(NotifyPayload(NotifyType.SIGNATURE_HASH_ALGORITHMS, ours))
    if connection.childless != "never":
        payloads.append(NotifyPayload(NotifyType.CHILDLESS_IKEV2_SUPPORTED))
    return payloads


def _nobody_for(everybody: Sequence[Connection], path: Path) -> Failure:
    tried: list[AttemptLost] = []
    why = f"local_addrs or remote_addrs do not fit {path.local}...{path.remote}"
    for connection in everybody[: MOST_TRIED + 1]:
        note_lost(tried, connection.name, why)
    return Failure(
        code="no-connection-for-address",
        summary=f"no connection is for a peer at {path.remote} that calls us {path.local}",
        hint=f"add {path.remote} to remote_addrs of the connection that is meant, and {path.local} to its local_addrs",
        offered=(f"{path.local}...{path.remote}",),
        mismatch="addresses",
        tried=tuple(tried),
    )


def _no_suite(closest: Connection, mismatch: Mismatch | None, lost: list[AttemptLost]) -> Failure:
    return Failure(
        code="no-proposal-chosen",
        summary=f"no IKE proposal in common: {mismatch}",
        hint="name one and the same suite in proposals on both sides",
        offered=mismatch.offered if mismatch is not None else (),
        allowed=mismatch.allowed if mismatch is not None else (),
        mismatch=str(mismatch),
        tried=tuple(lost),
        where=place(closest, ("proposals",)),
    )


def _no_intermediate(connection: Connection) -> Failure:
    return Failure(
        code="no-intermediate",
        summary="the peer offers further key exchanges but not the exchange in which they are done",
        hint="the peer breaks RFC 9370 section 2.2.1; leave ke1_ and its like out of proposals on both sides",
        mismatch=NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED.name,
        where=place(connection, ("proposals",)),
    )


# Both.


def take_keys(sa: IkeSa, suite: tuple[Transform, ...], shared: Secret) -> None:
    """From here on everything is encrypted (RFC 7296 section 2.14)."""
    setup = sa.in_setup
    sa.use_keys(IkeKeys.derive(suite, shared, setup.nonce_i, setup.nonce_r, sa.spi_i, sa.spi_r))
    shared.wipe()


def note_abilities(sa: IkeSa, message: Message, connection: Connection) -> None:
    """What the other side's first message says of NATs, and of what it can do."""
    setup = sa.in_setup
    # The request's hashes know no responder SPI yet: its header has what they were made with.
    found = nat.detect(sa.spi_i, message.header.spi_r, sa.path, message.all(NotifyPayload))
    if found is not None:
        sa.features |= Feature.NAT_TRAVERSAL
        sa.nat_local, sa.nat_remote = found
    for notify in message.all(NotifyPayload):
        if notify.notify == NotifyType.IKEV2_FRAGMENTATION_SUPPORTED:
            if connection.fragmentation is not Fragmentation.NO:
                sa.features |= Feature.FRAGMENTATION
        elif notify.notify == NotifyType.CHILDLESS_IKEV2_SUPPORTED:
            sa.features |= Feature.CHILDLESS
        elif notify.notify in (NotifyType.REDIRECT_SUPPORTED, NotifyType.REDIRECTED_FROM):
            sa.features |= Feature.REDIRECT
        elif notify.notify == NotifyType.SIGNATURE_HASH_ALGORITHMS:
            numbers = {int.from_bytes(notify.data[at : at + 2], "big") for at in range(0, len(notify.data) - 1, 2)}
            setup.peer_hashes = tuple(h for h in HASHES if h in numbers)


# The initiator.


def _restart(sa: IkeSa) -> None:
    setup = sa.in_setup
    setup.restarts += 1
    if setup.restarts > MAX_RESTARTS:
        raise PeerError("init-restarts", f"the responder asked {MAX_RESTARTS} times for another IKE_SA_INIT")
    # The same message id, another message (RFC 7296 section 2.6).
    sa.window.retry()
    sa.tasks.insert(0, Connect())


def retry_with_cookie(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """Show that we receive what is sent to our address."""
    cookie = turn.message.notify(NotifyType.COOKIE)
    if cookie is None or not 1 <= len(cookie.data) <= 64:
        raise PeerError("bad-cookie", "a cookie has 1 to 64 bytes (RFC 7296 section 2.6)")
    if cookie.data == sa.in_setup.cookie:
        raise PeerError("bad-cookie", "the responder asks for the cookie that it got")
    _restart(sa)
    sa.in_setup.cookie = cookie.data
    return ()


def retry_with_method(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """Use the key exchange that the responder wants, if we offered it (RFC 7296 section 1.2)."""
    setup = sa.in_setup
    notify = turn.message.notify(NotifyType.INVALID_KE_PAYLOAD)
    if notify is None or len(notify.data) != 2:
        raise PeerError("invalid-syntax", "INVALID_KE_PAYLOAD without a method")
    wanted = int.from_bytes(notify.data, "big")
    offered = [m for spec in specs_of(sa.settings) for m in spec.ke_methods]
    if wanted not in offered or wanted == setup.method:
        raise Refused(
            Failure(
                code="invalid-ke-payload",
                summary=f"the peer wants key exchange method {wanted}, which was not offered",
                hint="name a key exchange in proposals that both sides have",
                offered=(str(wanted),),
                allowed=tuple(str(spec) for spec in specs_of(sa.settings)),
                mismatch="KE",
                keys=("proposals",),
            )
        )
    _restart(sa)
    setup.method = wanted
    return ()


def take_refusal(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """An error that nothing vouches for: remember it, wait a little for something better (RFC 7296 section 2.21.1)."""
    error = turn.message.error
    number = error.notify if error is not None else 0
    name = notify_name(number)
    if number == NotifyType.NO_PROPOSAL_CHOSEN:
        failure = Failure(
            code="no-proposal-chosen",
            summary="the peer accepts none of our IKE proposals, or has no connection for our addresses",
            hint="name one and the same suite in proposals on both sides; the peer's log says what it allows",
            allowed=tuple(str(spec) for spec in specs_of(sa.settings)),
            mismatch="the peer does not say what it allows",
            keys=("proposals",),
        )
    else:
        failure = Failure(
            code="init-refused",
            summary=f"the peer refuses IKE_SA_INIT with {name}",
            hint="the peer's log says why",
            mismatch=name,
            fields={"notify": name},
        )
    sa.suspect(failure, turn.now)
    raise Refused(failure)


def take_answer(sa: IkeSa, turn: Turn) -> tuple[Payload, ...]:
    """Keys, what the peer can do, whether a NAT is between us; then further key exchanges, or IKE_AUTH."""
    message, setup = turn.message, sa.in_setup
    chosen, ke, nonce = message.one(SaPayload), message.one(KePayload), message.one(NoncePayload)
    if chosen is None or ke is None or nonce is None or setup.exchange is None or not any(message.header.spi_r):
        raise PeerError("invalid-syntax", "an IKE_SA_INIT response without SA, KE, nonce or SPI")
    selection = proposals.confirm(chosen.proposals, setup.offers)
    if selection.ke_method != ke.method or ke.method != setup.method:
        raise PeerError("invalid-syntax", "the responder's KE payload is not of the method that it chose")
    setup.methods_left = selection.additional_ke_methods
    if setup.methods_left and message.notify(NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED) is None:
        raise Refused(_no_intermediate(sa.settings))
    ppk.agree(sa, message, turn.now)
    shared = setup.exchange.finish(ke.data)
    setup.exchange = None
    setup.nonce_r = nonce.data
    setup.first_response = message.raw
    sa.spi_r = message.header.spi_r
    certificates.note_requests(sa, message)
    hash_and_url.note(sa, message)
    note_abilities(sa, message, sa.settings)
    rounds.note_announcement(sa, message)
    take_keys(sa, selection.suite, shared)
    may_move = sa.settings.mobike and Feature.NAT_TRAVERSAL in sa.features
    if sa.nat_local or sa.nat_remote or sa.udp_encap or may_move:
        # Later there would be no exchange to do it with, so MOBIKE alone is reason enough (RFC 4555 section 3.3).
        sa.path = nat.floated(sa.path)
    setup.suspicion = None
    setup.deadline = None
    ask_on(sa)
    return ()
