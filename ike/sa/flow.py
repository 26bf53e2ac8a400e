"""A message's way through an IKE SA.

In: 1. its place in the sequence, 2. opened, 3. matched with a row of the table, 4. handled, 5. answered or, for a
response, the window opened again. Out: 1. the next wish whose time has come, 2. its payloads, 3. sealed and cut,
4. kept by the window until it is answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import IkeError, LocalError, PeerError, SilentDrop
from ..events import ExchangeLogged, Path
from ..records import Failure, Refused, failure_of
from ..wire.constants import OPENING_EXCHANGES, ExchangeType, HeaderFlag, NotifyType, PayloadType
from ..wire.header import Header, pull_header, push_header
from ..wire.message import Message, pull_message, pull_payloads, push_message, push_payloads
from ..wire.payloads import NotifyPayload, Payload, SkfPayload, SkPayload
from . import hold, ike_intermediate, mobike, prose, quick_crash, rekey_ike
from .fragments import Reassembly, datagram_room, seal
from .lookups import Awaiting
from .state import State
from .table import Kind, Row, find, rows_for
from .task import Purpose, Task, Turn
from .window import Request, Standing, fingerprint

if TYPE_CHECKING:
    from .ike_sa import IkeSa

QUIET = frozenset({"temporary-failure", "try-other-method", "child-sa-not-found", "ts-max-queue", "ticket-refused"})
"""Refusals that are part of the protocol's normal life: no record."""


# In.


def receive(sa: IkeSa, header: Header, data: bytes, path: Path, now: float) -> None:
    """A datagram with our SPI. Raises :class:`SilentDrop` for what nobody vouches for."""
    if hold.is_held(sa):
        raise SilentDrop("lookup-under-way", "the message before it waits for something that is looked up")
    if header.from_initiator == sa.initiator:
        raise SilentDrop("reflected", "a message with our own role in it")
    if quick_crash.hear(sa, header, data, now):
        return
    if header.is_response:
        _receive_response(sa, header, data, path, now)
    else:
        _receive_request(sa, header, data, path, now)


def _receive_request(sa: IkeSa, header: Header, data: bytes, path: Path, now: float) -> None:
    standing = sa.window.standing(header.message_id)
    if standing is Standing.REPEATED:
        again = sa.window.answer_again(header.message_id, fingerprint(data))
        if not again and _is_cut_anew(sa, header, data):
            again = sa.window.kept_answer(header.message_id)
        if not again:
            raise SilentDrop("repeated-message-id", "a request that differs from the one with the same message id")
        sa.core.send(again, path)
        return
    if standing is not Standing.NEXT:
        raise SilentDrop("old-message-id" if standing is Standing.OLD else "message-id-ahead", "not the next request")
    if (header.spi_i, header.spi_r) != (sa.spi_i, sa.spi_r):
        raise SilentDrop("wrong-spi", "one SPI of the pair is not this IKE SA's")
    # Nobody vouches for what opens an IKE SA: one that is there neither answers it nor counts it in its window.
    opens = header.exchange in OPENING_EXCHANGES
    if opens or (sa.state.is_setting_up and not rows_for(sa.state, Kind.REQUEST, header.exchange)):
        raise SilentDrop("unexpected-exchange", f"exchange {header.exchange} while {sa.state.value}")
    try:
        message = open_message(sa, header, data)
    except PeerError as error:
        _refuse(sa, header, error, _mark(sa, header, data), path, now)
        return
    if message is not None:
        open_with(sa, message, data, path, now)


def _is_cut_anew(sa: IkeSa, header: Header, data: bytes) -> bool:
    """Whether the peer sends an answered request in other pieces, as it may while it gets no answer.

    The first piece asks for the answer, if it is authentic (RFC 7383 section 2.6.1).
    """
    if header.exchange in OPENING_EXCHANGES or sa.envelope_in is None:
        return False
    try:
        sealed = pull_message(data).sealed
        if sealed is None or (isinstance(sealed, SkfPayload) and sealed.number != 1):
            return False
        sa.envelope_in.open(data, sealed)
    except (PeerError, SilentDrop):
        return False
    return True


def open_with(sa: IkeSa, message: Message, data: bytes, path: Path, now: float) -> None:
    """A request whose payloads can be read: the one that opens an IKE SA, or any later one."""
    mark = _mark(sa, message.header, data)
    _heard(sa, message, path, now)
    if sa.predecessor is not None:
        rekey_ike.claim(sa, message, now)
    _handle_request(sa, message, mark, path, now)


def _handle_request(sa: IkeSa, message: Message, mark: bytes, path: Path, now: float) -> None:
    header = message.header
    try:
        row = find(rows_for(sa.state, Kind.REQUEST, header.exchange), sa.role, message, None)
        if row is None:
            raise _misplaced(message)
        answer = row.handler(sa, Turn(message, path, now))
    except Awaiting as awaiting:
        hold.keep(sa, awaiting, lambda then: _handle_request(sa, message, mark, path, then), now)
        return
    except PeerError as error:
        _refuse(sa, header, error, mark, path, now)
        return
    except LocalError as error:
        _give_up(sa, header, error, mark, path, now)
        return
    respond(sa, header, answer, mark, path)
    if sa.setup is not None and sa.setup.next_keys is not None:
        ike_intermediate.use_next_keys(sa)
    _enter(sa, row)
    if sa.end:
        sa.die(sa.end, now)


def _receive_response(sa: IkeSa, header: Header, data: bytes, path: Path, now: float) -> None:
    request = sa.window.awaits(header.message_id)
    if request is None:
        raise SilentDrop("unexpected-response", "a response to nothing that is under way")
    asked = pull_header(request.datagrams[0]).exchange
    if header.exchange != asked or not rows_for(sa.state, Kind.RESPONSE, header.exchange):
        raise SilentDrop("unexpected-exchange", f"a response of exchange {header.exchange} while {sa.state.value}")
    protected = header.exchange not in OPENING_EXCHANGES
    if header.spi_i != sa.spi_i or (protected and header.spi_r != sa.spi_r):
        raise SilentDrop("wrong-spi", "one SPI of the pair is not this IKE SA's")
    try:
        message = open_message(sa, header, data)
        if message is None:
            return
        _heard(sa, message, path, now)
    except IkeError as error:
        _answer_is_bad(sa, error, header, request, now)
        return
    _handle_response(sa, message, request, path, now)


def _handle_response(sa: IkeSa, message: Message, request: Request[Task], path: Path, now: float) -> None:
    header = message.header
    try:
        row = find(rows_for(sa.state, Kind.RESPONSE, header.exchange), sa.role, message, request.task.purpose)
        if row is None:
            raise _misplaced(message)
        row.handler(sa, Turn(message, path, now, request.task))
    except Awaiting as awaiting:
        hold.keep(sa, awaiting, lambda then: _handle_response(sa, message, request, path, then), now)
        return
    except IkeError as error:
        _answer_is_bad(sa, error, header, request, now)
        return
    sa.window.settle(request)
    _enter(sa, row)


def _enter(sa: IkeSa, row: Row) -> None:
    """Follow the row, unless its handler chose another of the row's states already."""
    if sa.state is row.state and row.state not in row.then[1:]:
        sa.enter(row.then[0])
    elif sa.state not in row.then and sa.state is not State.DEAD:
        raise RuntimeError(f"{row.story!r} does not lead to {sa.state.value}")


def open_message(sa: IkeSa, header: Header, data: bytes) -> Message | None:
    """A message with its payloads readable; ``None`` while fragments are missing.

    Raises :class:`SilentDrop` for what nobody vouches for.
    """
    if header.exchange in OPENING_EXCHANGES:
        message = pull_message(data)
        if message.sealed is not None:
            raise SilentDrop("unexpected-exchange", f"an encrypted {prose.exchange_name(header.exchange)}")
        return message
    try:
        outer = pull_message(data)
    except PeerError as error:
        # What stands outside of SK is not authenticated: nobody may be told (RFC 7296 section 2.21).
        raise SilentDrop("malformed", str(error)) from error
    sealed = outer.sealed
    if sealed is None or sa.envelope_in is None:
        raise SilentDrop("unprotected", f"{prose.exchange_name(header.exchange)} without an encrypted payload")
    if isinstance(sealed, SkPayload):
        plaintext: bytes | None = sa.envelope_in.open(data, sealed)
        first, head = sealed.first, data[: -len(sealed.body)]
    else:
        plaintext, first, head = _collect(sa, header, data, sealed)
    if plaintext is None:
        return None
    if header.exchange == ExchangeType.IKE_INTERMEDIATE:
        ike_intermediate.note(sa, head, plaintext, outbound=False)
    return outer.opened(pull_payloads(first, plaintext))


def _collect(sa: IkeSa, header: Header, data: bytes, piece: SkfPayload) -> tuple[bytes | None, int, bytes]:
    """One more fragment. There is one reassembly for each message that the window lets in, so they are few."""
    Reassembly.check(piece)
    place = (header.is_response, header.message_id)
    have = sa.reassemblies.get(place)
    if have is not None and have.is_past(piece):
        raise SilentDrop("fragment-repeated", "a fragment that is here already, or of an earlier cut")
    if sa.envelope_in is None:
        raise SilentDrop("unprotected", "a fragment before there are keys")
    plaintext = sa.envelope_in.open(data, piece)
    if have is None or piece.total > have.total:
        # More fragments than before: the peer found out that the path takes less (RFC 7383 section 2.6).
        have = sa.reassemblies[place] = Reassembly(piece.total)
    if piece.number == 1:
        have.fingerprint, have.head = fingerprint(data), data[: -len(piece.body)]
    whole = have.add(piece, plaintext, sa.core.timing.max_message)
    return whole, have.first, have.head


def _mark(sa: IkeSa, header: Header, data: bytes) -> bytes:
    """What a repetition of this request is known by: its first fragment, so that each repetition is answered once."""
    whole = sa.reassemblies.pop((False, header.message_id), None)
    return whole.fingerprint if whole is not None else fingerprint(data)


def _heard(sa: IkeSa, message: Message, path: Path, now: float) -> None:
    header = message.header
    sa.last_inbound = now
    if header.is_response:
        sa.reassemblies.pop((True, header.message_id), None)
    tell(sa, "received", header.exchange, header.message_id, message.payloads, response=header.is_response)
    if header.exchange in OPENING_EXCHANGES:
        return
    if not sa.state.is_setting_up:
        mobike.heard(sa, path, now, response=header.is_response)
        sa.seen_at(path)
    elif not header.is_response:
        # The peer may float to port 4500 with IKE_AUTH (RFC 7296 section 2.23).
        sa.path = path


def _misplaced(message: Message) -> PeerError:
    header = message.header
    inside = " ".join(prose.payload_name(p) for p in message.payloads)
    return PeerError(
        "invalid-syntax",
        f"{prose.exchange_name(header.exchange)} with payloads [ {inside} ] has no place now",
        notify=NotifyType.INVALID_SYNTAX,
    )


# What goes wrong.


def _refuse(sa: IkeSa, header: Header, error: PeerError, mark: bytes, path: Path, now: float) -> None:
    """Answer a request that we refuse. Before authentication that is the end of the IKE SA."""
    exchange = ExchangeType(header.exchange) if header.exchange in _EXCHANGES else ExchangeType.INFORMATIONAL
    if sa.state is State.NEW and error.notify == NotifyType.INVALID_SYNTAX and not isinstance(error, Refused):
        # Unauthenticated: INVALID_SYNTAX may not be said (RFC 7296 section 3.10.1).
        sa.abort(now)
        raise SilentDrop("malformed", str(error))
    if error.notify is not None:
        respond(sa, header, [NotifyPayload(error.notify, error.notify_data)], mark, path)
    if error.code not in QUIET:
        sa.failed(failure_of(error), exchange)
    if sa.state is State.NEW:
        # Anybody may have sent it, from any address: nothing but the answer stays.
        sa.core.remember_refusal(mark, sa.window.answer_again(header.message_id, mark))
        sa.abort(now)
    elif sa.state.is_setting_up:
        sa.die(error.code, now)


def _give_up(sa: IkeSa, header: Header, error: LocalError, mark: bytes, path: Path, now: float) -> None:
    """Our own configuration fails a peer's request: the peer learns as little as it may, the operator all."""
    notify = NotifyType.AUTHENTICATION_FAILED if sa.state.is_setting_up else NotifyType.NO_ADDITIONAL_SAS
    refusal = Refused(failure_of(error), notify)
    _refuse(sa, header, refusal, mark, path, now)


def _answer_is_bad(sa: IkeSa, error: IkeError, header: Header, request: Request[Task], now: float) -> None:
    """A response that makes no sense, or proves the wrong peer."""
    if isinstance(error, SilentDrop):
        raise error
    if header.exchange in OPENING_EXCHANGES and sa.setup is not None and isinstance(error, PeerError):
        # Nothing vouches for it: a better answer may still come (RFC 7296 section 2.21.1).
        sa.setup.suspicion = sa.setup.suspicion or failure_of(error)
        raise SilentDrop(error.code, str(error))
    sa.window.settle(request)
    sa.reassemblies.pop((True, header.message_id), None)
    exchange = ExchangeType(header.exchange)
    sa.failed(failure_of(error), exchange)
    if sa.state is State.AUTH_SENT:
        sa.reject_peer(error.code, now)
    elif sa.state.is_setting_up:
        sa.die(error.code, now)
    else:
        request.task.refused(sa, now)
        if sa.state is State.DELETING:
            sa.die("deleted", now)


_EXCHANGES = frozenset(int(e) for e in ExchangeType)


# Out.


def ask_next(sa: IkeSa, now: float) -> None:
    """Send wishes whose time has come, in their order, as far as the window lets them go side by side."""
    while sa.tasks and sa.window.is_free and sa.state is not State.DEAD:
        task = next((t for t in sa.tasks if t.not_before <= now), None)
        if task is None or not all(task.goes_beside(other) for other in sa.window.tasks()):
            return
        sa.tasks.remove(task)
        try:
            asking = task.ask(sa, now)
            if asking is not None:
                request(sa, *asking, task, now)
        except LocalError as error:
            sa.failed(failure_of(error), _exchange_of(task))
            task.refused(sa, now)
            if sa.state.is_setting_up:
                sa.die(error.code, now)


def _exchange_of(task: Task) -> ExchangeType:
    if task.purpose in (Purpose.CONNECT, Purpose.RESUME):
        return ExchangeType.IKE_SA_INIT
    if task.purpose in (Purpose.NEW_CHILD, Purpose.REKEY_CHILD, Purpose.REKEY_IKE):
        return ExchangeType.CREATE_CHILD_SA
    return ExchangeType.INFORMATIONAL


def request(sa: IkeSa, exchange: ExchangeType, payloads: Sequence[Payload], task: Task, now: float) -> None:
    """Send a request; the window keeps it until it is answered."""
    message_id = sa.window.next_outgoing
    datagrams = _pack(sa, exchange, message_id, payloads, response=False)
    if exchange in OPENING_EXCHANGES:
        sa.in_setup.first_request = datagrams[0]
    sa.window.send(datagrams, task, now, sa.core.timing, sa.core.jitter())
    tell(sa, "sent", exchange, message_id, payloads, response=False)
    sa.core.send(datagrams, sa.path)


def respond(sa: IkeSa, header: Header, payloads: Sequence[Payload], mark: bytes, path: Path) -> None:
    """Send a response to where the request came from (RFC 7296 section 2.11), and keep it for a repetition."""
    exchange = header.exchange
    datagrams = _pack(sa, exchange, header.message_id, payloads, response=True)
    if exchange in OPENING_EXCHANGES and sa.setup is not None:
        sa.setup.first_response = datagrams[0]
    sa.window.answer(header.message_id, mark, datagrams)
    tell(sa, "sent", exchange, header.message_id, payloads, response=True)
    sa.core.send(datagrams, path)


def _pack(
    sa: IkeSa, exchange: int, message_id: int, payloads: Sequence[Payload], *, response: bool
) -> tuple[bytes, ...]:
    flags = HeaderFlag.RESPONSE if response else HeaderFlag(0)
    if sa.initiator:
        flags |= HeaderFlag.INITIATOR
    if exchange in OPENING_EXCHANGES:
        return (
            push_message(
                spi_i=sa.spi_i, spi_r=sa.spi_r, exchange=exchange, flags=flags, message_id=message_id, payloads=payloads
            ),
        )
    if sa.envelope_out is None:
        raise RuntimeError("there are no keys to seal with")
    header = push_header(Header(sa.spi_i, sa.spi_r, exchange, flags, message_id))
    first, chain = push_payloads(payloads)
    if exchange == ExchangeType.IKE_INTERMEDIATE:
        head = header[:16] + bytes((PayloadType.SK,)) + header[17:] + bytes((first, 0, 0, 0))
        ike_intermediate.note(sa, head, chain, outbound=True)
    room = datagram_room(sa.core.timing, sa.path.remote) if sa.sends_fragments else None
    return seal(sa.envelope_out, header, first, chain, room)


def tell(sa: IkeSa, verb: str, exchange: int, message_id: int, payloads: Sequence[Payload], *, response: bool) -> None:
    """Say what happened to those who watch."""
    if sa.core.tells:
        text = prose.line(verb, exchange, message_id, payloads, response=response)
        name = sa.connection.name if sa.connection is not None else ""
        is_stranger = sa.setup is not None and not sa.initiator
        level = sa.core.strangers.level(sa.last_inbound) if is_stranger else 1
        sa.core.emit(ExchangeLogged(sa.ike_id, level, text, name, exchange, verb == "received", response))


__all__ = ["Failure", "ask_next", "receive", "request", "respond", "tell"]
