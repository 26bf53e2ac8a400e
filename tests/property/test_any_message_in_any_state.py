"""Any message a peer with the right keys can send, in every state that the table knows: one row takes it, or none does.

What is sent is put together of payloads that make sense by themselves. The endpoint never raises, answers an
authenticated request exactly once, goes only where the row leads, and nothing of it is left in the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.peers import IKE, A, B, Peer, World, both, ike, psk_pair

from ike.config import AuthRound
from ike.events import Path
from ike.sa.diagram import UNASKED
from ike.sa.ike_sa import IkeSa
from ike.sa.state import State
from ike.sa.table import TABLE, Kind, Row, find, rows_for
from ike.timing import Timing
from ike.wire.constants import OPENING_EXCHANGES, ExchangeType, HeaderFlag, NotifyType, PayloadType
from ike.wire.header import Header, push_header
from ike.wire.identity import Identity
from ike.wire.message import Message, pull_message, pull_payloads, push_message, push_payloads
from ike.wire.payloads import (
    AuthPayload,
    CertPayload,
    CertRequestPayload,
    CpAttribute,
    CpPayload,
    DeletePayload,
    EapPayload,
    IdPayload,
    KePayload,
    NoncePayload,
    NotifyPayload,
    Payload,
    Proposal,
    SaPayload,
    Transform,
    TsPayload,
    UnknownPayload,
    VendorIdPayload,
)
from ike.wire.selectors import TrafficSelector

HYBRID = {"proposals": ike(f"{IKE}-ke1_mlkem768")}
QUICK = Timing(retransmit_tries=2)


@dataclass
class Scene:
    """A victim in a state, and who shares its keys."""

    world: World
    victim: Peer
    sa: IkeSa
    other: IkeSa | None


def oldest(peer: Peer) -> IkeSa:
    return next(iter(peer.endpoint._core.by_id.values()))


def scene_of(world: World, victim: int, state: State) -> Scene:
    """The victim's IKE SA in that state, and the other end's half of it where there is one yet."""
    here, there = both(world)[victim], both(world)[1 - victim]
    sa = next(sa for sa in here.endpoint._core.by_id.values() if sa.state is state)
    other = next((o for o in there.endpoint._core.by_id.values() if o.spi_i == sa.spi_i), None)
    return Scene(world, here, sa, other)


def begun(seconds: float, more: dict | None = None, *, b: dict | None = None) -> World:
    """So long after the first message: each way takes a hundredth of a second."""
    world = psk_pair(a=dict(more or {}), b=dict(more or {}) if b is None else b, timing=QUICK)
    world.initiate(both(world)[0])
    world.run(seconds)
    return world


def up(victim: int, command: Callable[[Peer, World], object] | None = None) -> World:
    """Established; the victim has just asked for something, unless it has not."""
    world = begun(1.0)
    if command is not None:
        command(both(world)[victim], world)
        world.run(0.005)
    return world


def replaced() -> World:
    """The peer has just replaced the victim's IKE SA, while a question of the victim's is under way."""
    world = begun(1.0)
    a, b = both(world)
    b.endpoint.check_liveness(oldest(b).ike_id, world.now)
    a.endpoint.rekey_ike(oldest(a).ike_id, world.now)
    world.run(0.015)
    return world


def dead() -> World:
    """The peer closed it; what is left answers repeated requests."""
    world = begun(1.0)
    a, _ = both(world)
    a.endpoint.terminate_ike(oldest(a).ike_id, world.now)
    world.run(0.015)
    return world


def resumed(seconds: float) -> World:
    """The initiator lost the IKE SA and has presented its ticket so long ago (RFC 5723)."""
    world = begun(1.0, {"session_resumption": True, "dpd_delay": 10.0}, b={"session_resumption": True})
    world.wire.loss = 1.0
    world.run(60)
    world.wire.loss = 0.0
    world.initiate(both(world)[0])
    world.run(seconds)
    return world


def in_rounds(seconds: float) -> World:
    """The initiator shows twice who it is (RFC 4739)."""
    twice = tuple(AuthRound(auth="psk", id=Identity.parse(name)) for name in ("site-a", "once-more"))
    return begun(seconds, {"local": twice}, b={"remote": twice})


def rekey_child(peer: Peer, world: World) -> None:
    peer.endpoint.rekey_child(next(iter(peer.installed)), world.now)


def delete_child(peer: Peer, world: World) -> None:
    peer.endpoint.terminate_child(next(iter(peer.installed)), world.now)


SCENES: dict[str, tuple[State, int, Callable[[], World]]] = {
    "asked to open": (State.INIT_SENT, 0, lambda: begun(0.005)),
    "opened": (State.INIT_ANSWERED, 1, lambda: begun(0.015)),
    "mixing, we lead": (State.MIXING, 0, lambda: begun(0.025, HYBRID)),
    "mixing, the peer leads": (State.MIXING, 1, lambda: begun(0.015, HYBRID)),
    "showed who we are": (State.AUTH_SENT, 0, lambda: begun(0.025)),
    "shown one of two": (State.AUTH_ANSWERED, 1, lambda: in_rounds(0.035)),
    "presented a ticket": (State.RESUME_SENT, 0, lambda: resumed(0.005)),
    "took a ticket": (State.RESUME_ANSWERED, 1, lambda: resumed(0.025)),
    "up": (State.ESTABLISHED, 1, lambda: up(1)),
    "up, a question is out": (
        State.ESTABLISHED,
        0,
        lambda: up(0, lambda p, w: p.endpoint.check_liveness(oldest(p).ike_id, w.now)),
    ),
    "up, a CHILD_SA is asked for": (State.ESTABLISHED, 0, lambda: up(0, lambda p, w: w.initiate(p))),
    "up, a CHILD_SA is rekeyed": (State.ESTABLISHED, 1, lambda: up(1, rekey_child)),
    "up, a CHILD_SA is deleted": (State.ESTABLISHED, 0, lambda: up(0, delete_child)),
    "up, the IKE SA is rekeyed": (
        State.ESTABLISHED,
        1,
        lambda: up(1, lambda p, w: p.endpoint.rekey_ike(oldest(p).ike_id, w.now)),
    ),
    "replaced": (State.REKEYED, 1, replaced),
    "closing": (State.DELETING, 0, lambda: up(0, lambda p, w: p.endpoint.terminate_ike(oldest(p).ike_id, w.now))),
    "dead": (State.DEAD, 1, dead),
}

# What may be in a message.

GCM, SHA384, X25519, NO_ESN = Transform(1, 20, 256), Transform(2, 6), Transform(4, 31), Transform(5, 0)
NET_A, NET_B = (TrafficSelector.of_network(ip_network(n)) for n in ("10.10.0.0/24", "10.20.0.0/24"))
BASE_POINT = b"\x09" + bytes(31)

payloads = st.sampled_from(
    (
        SaPayload((Proposal(1, 1, bytes(range(1, 9)), (GCM, SHA384, X25519)),)),
        SaPayload((Proposal(1, 3, b"\x00\x00\x20\x01", (GCM, NO_ESN)),)),
        SaPayload((Proposal(1, 3, b"\x00\x00\x00\x01", (Transform(1, 12, 128), Transform(3, 12), NO_ESN)),)),
        KePayload(31, BASE_POINT),
        KePayload(36, bytes(1184)),
        NoncePayload(bytes(32)),
        IdPayload(PayloadType.ID_I, 2, b"site-a"),
        IdPayload(PayloadType.ID_R, 2, b"site-b"),
        AuthPayload(2, bytes(48)),
        CertPayload(4, b"no certificate"),
        CertRequestPayload(4, (bytes(20),)),
        TsPayload(PayloadType.TS_I, (NET_A,)),
        TsPayload(PayloadType.TS_R, (NET_B,)),
        TsPayload(PayloadType.TS_I, (NET_B,)),
        TsPayload(PayloadType.TS_R, (NET_A,)),
        DeletePayload(1),
        DeletePayload(3, (b"\x00\x00\x10\x01",)),
        DeletePayload(2, (b"\xff\xff\xff\xff", b"\x00\x00\x10\x01")),
        CpPayload(1, (CpAttribute(1),)),
        EapPayload(b"\x03\x01\x00\x04"),
        VendorIdPayload(b"somebody"),
        UnknownPayload(200, False, b"unknown"),
    )
)
notifies = st.builds(
    NotifyPayload,
    st.sampled_from([int(n) for n in NotifyType]) | st.integers(0, 65535),
    st.binary(max_size=40),
    st.sampled_from((0, 1, 3)),
    st.sampled_from((b"", b"\x00\x00\x10\x01")),
)
contents = st.lists(payloads | notifies, max_size=7)


def of_row(row: Row) -> st.SearchStrategy[list[Payload]]:
    """A message that the row may take: what it requires, and more."""
    required = row.inner[0] if row.inner[0] else row.outer[0] - {PayloadType.SK}
    parts = [payloads.filter(lambda p, kind=kind: kind == p.TYPE) for kind in sorted(required)]
    parts += [st.builds(NotifyPayload, st.just(int(n)), st.binary(max_size=8)) for n in sorted(row.notify)]
    if row.refusal:
        parts.append(st.builds(NotifyPayload, st.sampled_from((7, 14, 17, 24, 35, 38, 43, 44, 47, 48, 9999))))
    more = st.lists(payloads | notifies, max_size=2)
    return st.tuples(*parts, more).map(lambda found: [*found[:-1], *found[-1]])


def kind_and_contents(state: State) -> st.SearchStrategy[tuple[Kind, int, list[Payload]]]:
    """Half of them near to a row of the state, half of them anything."""
    anything = st.tuples(
        st.sampled_from(Kind), st.sampled_from([int(x) for x in ExchangeType]) | st.integers(0, 255), contents
    )
    rows = [row for row in TABLE if row.state is state]
    near = [st.tuples(st.just(row.kind), st.just(int(row.exchange)), of_row(row)) for row in rows]
    return st.one_of(anything, *near) if near else anything


def message_for(scene: Scene, kind: Kind, exchange: int, inside: list[Payload]) -> bytes | None:
    """As who shares the keys would send it; ``None`` where nobody could."""
    sa = scene.sa
    flags = HeaderFlag(0) if sa.initiator else HeaderFlag.INITIATOR
    number = sa.window.next_incoming
    if kind is Kind.RESPONSE:
        flags |= HeaderFlag.RESPONSE
        number = sa.window.request.message_id if sa.window.request is not None else 0
    head = Header(sa.spi_i, sa.spi_r if any(sa.spi_r) else bytes(8), exchange, flags, number)
    if exchange in OPENING_EXCHANGES or scene.other is None or scene.other.envelope_out is None:
        spi_r = bytes(range(8)) if kind is Kind.RESPONSE and not any(sa.spi_r) else head.spi_r
        return push_message(
            spi_i=head.spi_i, spi_r=spi_r, exchange=exchange, flags=flags, message_id=number, payloads=inside
        )
    first, chain = push_payloads(inside)
    return scene.other.envelope_out.seal(push_header(head), first, chain)


def test_every_state_has_its_scenes() -> None:
    assert {state for state, _, _ in SCENES.values()} == set(State) - {State.NEW}


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(kind_and_contents(State.NEW), st.binary(min_size=8, max_size=8), st.booleans())
def test_any_first_message_is_answered_or_dropped_and_leaves_nothing(
    said: tuple[Kind, int, list[Payload]], spi: bytes, leads: bool
) -> None:
    kind, exchange, inside = said
    world = psk_pair(b={"session_resumption": True}, timing=QUICK)
    flags = HeaderFlag.INITIATOR if leads else HeaderFlag(0)
    flags |= HeaderFlag.RESPONSE if kind is Kind.RESPONSE else HeaderFlag(0)
    message = push_message(spi_i=spi, spi_r=bytes(8), exchange=exchange, flags=flags, message_id=0, payloads=inside)
    victim = both(world)[1]
    path = Path(B, 500, A, 500)
    for _ in range(2):
        victim.endpoint.receive_datagram(message, path, world.now)
    sent = victim.endpoint.datagrams_to_send(world.now)
    assert len(sent) <= 2
    assert len({data for data, _ in sent}) <= 1, "the same message gets the same answer"
    if kind is Kind.RESPONSE or not leads:
        assert sent == []
    _runs_out(victim, world.now)


@pytest.mark.parametrize("name", SCENES)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_message_in_any_state_is_taken_by_one_row_or_refused(name: str, data: st.DataObject) -> None:
    state, number, make = SCENES[name]
    scene = scene_of(make(), number, state)
    victim, sa = scene.victim, scene.sa
    kind, exchange, inside = data.draw(kind_and_contents(state))
    asked = sa.window.request
    message = message_for(scene, kind, exchange, inside)
    assert message is not None
    rows = rows_for(state, kind, exchange)
    sealed = pull_message(message).sealed is not None
    row = _row_for(sa, rows, message, inside, asked.task.purpose if asked is not None else None)
    victim.endpoint.datagrams_to_send(scene.world.now)

    victim.endpoint.receive_datagram(message, sa.path, scene.world.now)

    sent = victim.endpoint.datagrams_to_send(scene.world.now)
    answers = [d for d, _ in sent if d[19] & HeaderFlag.RESPONSE]
    allowed = {state, State.DEAD} | set(row.then if row is not None else ())
    # Steps of our own may follow at once: what was replaced is closed, and who did not prove itself is told.
    allowed |= {after for before, after, _ in UNASKED if before in allowed - {State.ESTABLISHED}}
    if kind is Kind.RESPONSE:
        assert answers == []
    assert sa.state in allowed
    if not state.is_setting_up and state is not State.DEAD and kind is Kind.REQUEST and sealed:
        assert len(answers) == 1
        said = _opened(scene, answers[0])
        if row is None:
            assert [n.notify for n in said if isinstance(n, NotifyPayload)] == [NotifyType.INVALID_SYNTAX] or _critical(
                said
            )
    if state is State.DEAD:
        assert sent == []
    _runs_out(victim, scene.world.now)


def _row_for(sa: IkeSa, rows: tuple[Row, ...], message: bytes, inside: list[Payload], purpose: object) -> Row | None:
    opened = Message(pull_message(message).header, tuple(inside))
    return find(rows, sa.role, opened, purpose)  # type: ignore[arg-type]


def _opened(scene: Scene, answer: bytes) -> list[Payload]:
    message = pull_message(answer)
    assert message.sealed is not None
    assert scene.other is not None
    assert scene.other.envelope_in is not None
    return list(pull_payloads(message.sealed.first, scene.other.envelope_in.open(answer, message.sealed)))


def _critical(said: list[Payload]) -> bool:
    return any(isinstance(n, NotifyPayload) and n.notify == NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD for n in said)


def _runs_out(victim: Peer, now: float) -> None:
    """With nobody there any more every timer comes to an end, and nothing raises on the way."""
    for _ in range(100):
        victim.drain()
        for info in victim.endpoint.ike_sas():
            if info.state in ("ESTABLISHED", "REKEYING"):
                victim.endpoint.terminate_ike(info.ike_id, now)
        alarm = victim.endpoint.next_timeout()
        if alarm is None:
            break
        now = max(now, alarm)
        victim.endpoint.handle_timeout(now)
        victim.endpoint.datagrams_to_send(now)
    assert victim.endpoint.next_timeout() is None
    assert victim.endpoint.ike_sas() == []
    assert victim.installed == {}
