"""Quick crash detection (RFC 6290): who lost an IKE SA proves it, and nobody else can."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.peers import A, B, Peer, World, assert_mirrored, assert_usable, both, psk_pair

from ike.events import ChildSaDeleted, IkeSaDeleted, Path
from ike.sa.quick_crash import BUDGET, MOST_SOURCES, TOKEN_LENGTH, Allowance, CrashTokens
from ike.timing import Timing
from ike.wire.constants import ExchangeType, HeaderFlag, NotifyType, ProtocolId
from ike.wire.header import pull_header
from ike.wire.message import pull_message, push_message
from ike.wire.payloads import NotifyPayload

SECRETS = {A: b"a" * 32, B: b"b" * 32}


def with_tokens(world: World, *, a: bool = True, b: bool = True) -> World:
    """Both sides keep a secret, or one of them."""
    for peer, wanted in zip(both(world), (a, b), strict=True):
        world.peers[peer.address] = born(peer, 5, wanted=wanted)
    return world


def born(peer: Peer, seed: int, *, wanted: bool = True) -> Peer:
    """The same peer without any memory but that of its disk."""
    secret = SECRETS[peer.address] if wanted else None
    fresh = Peer(peer.address, peer.connections, peer.credentials, seed + int(peer.address), token_secret=secret)
    fresh._spi = peer._spi
    return fresh


def up(**more: bool) -> World:
    world = with_tokens(psk_pair(), **more)
    world.initiate(world.peers[A])
    world.run(1)
    assert_mirrored(*both(world))
    return world


def crash(world: World, peer: Peer) -> None:
    world.peers[peer.address] = born(peer, 99)


@pytest.mark.parametrize("victim", [A, B])
def test_a_peer_that_crashed_is_found_out_with_the_next_message(victim: object) -> None:
    world = up()
    survivor = world.peers[B if victim == A else A]
    crash(world, world.peers[victim])  # type: ignore[index]
    survivor.endpoint.check_liveness(survivor.established()[0], world.now)
    world.run(0.1)
    assert survivor.endpoint.ike_sas() == []
    assert survivor.failure.code == "peer-restarted"
    assert [e.reason for e in survivor.of(ChildSaDeleted)] == ["dead"]
    assert [e.reason for e in survivor.of(IkeSaDeleted)] == ["dead"]
    world.initiate(survivor, to=victim)  # type: ignore[arg-type]
    world.run(1)
    assert_mirrored(*both(world))
    assert_usable(*both(world))


def test_a_packet_that_nobody_knows_makes_the_sender_look() -> None:
    world = up()
    a, b = both(world)
    spi = next(iter(a.installed.values())).outbound.spi
    world.run(30)
    crash(world, b)
    world.peers[B].endpoint.unknown_spi(spi, ProtocolId.ESP, Path(B, 0, A, 0), world.now)
    world.run(0.1)
    assert a.endpoint.ike_sas() == []
    assert a.failure.code == "peer-restarted"


def test_a_hint_about_a_child_that_is_there_costs_one_look_in_a_while() -> None:
    world = up()
    a, b = both(world)
    spi = next(iter(a.installed.values())).outbound.spi
    world.run(30)
    before = len(b.lines)
    for _ in range(50):
        # Somebody sends them in the peer's name.
        data = push_message(
            spi_i=b"x" * 8,
            spi_r=bytes(8),
            exchange=ExchangeType.INFORMATIONAL,
            flags=HeaderFlag.INITIATOR,
            message_id=0,
            payloads=[NotifyPayload(NotifyType.INVALID_SPI, spi.to_bytes(4, "big"), ProtocolId.ESP)],
        )
        world.inject(data, Path(A, 500, B, 500))
        world.run(0.2)
    assert_mirrored(*both(world))
    assert 1 <= len([line for line in b.lines[before:] if line.startswith("received INFORMATIONAL")]) <= 3


@pytest.mark.parametrize("side", ["a", "b"])
def test_without_a_secret_on_either_side_nothing_is_said_and_nothing_is_believed(side: str) -> None:
    world = up(**{side: False})
    survivor, victim = both(world) if side == "b" else both(world)[::-1]
    crash_free = born(victim, 99, wanted=False)
    world.peers[victim.address] = crash_free
    survivor.endpoint.check_liveness(survivor.established()[0], world.now)
    world.run(3)
    assert len(survivor.endpoint.ike_sas()) == 1
    assert crash_free.endpoint.drops["unknown-ike-spi"] == 1


def test_a_token_that_is_not_the_peers_ends_nothing() -> None:
    world = up()
    a, b = both(world)
    info = a.endpoint.ike_sas()[0]
    right = CrashTokens(SECRETS[B]).of(info.spi_i, info.spi_r)
    wrong = [b"", right[:-1], right + b"x", bytes(16), CrashTokens(SECRETS[A]).of(info.spi_i, info.spi_r)]
    for token in wrong:
        for invalid in ([NotifyPayload(NotifyType.INVALID_IKE_SPI)], []):
            world.inject(unprotected(info, [*invalid, crash_notify(token)]), Path(A, 500, B, 500))
    # The right one, without the notify that it is to prove, or in a request, or behind many others.
    world.inject(unprotected(info, [crash_notify(right)]), Path(A, 500, B, 500))
    invalid_spi = NotifyPayload(NotifyType.INVALID_IKE_SPI)
    world.inject(unprotected(info, [invalid_spi, crash_notify(right)], HeaderFlag(0)), Path(A, 500, B, 500))
    many = [crash_notify(bytes(16))] * 10
    world.inject(unprotected(info, [invalid_spi, *many, crash_notify(right)]), Path(A, 500, B, 500))
    world.run(1)
    assert a.failures == []
    assert a.endpoint.drops["crash-token"] == len(wrong) + 1
    assert_mirrored(a, b)
    world.inject(unprotected(info, [invalid_spi, crash_notify(bytes(16)), crash_notify(right)]), Path(A, 500, B, 500))
    world.run(1)
    assert a.endpoint.ike_sas() == []


def crash_notify(token: bytes) -> NotifyPayload:
    return NotifyPayload(NotifyType.QUICK_CRASH_DETECTION, token, ProtocolId.IKE)


def unprotected(info: object, payloads: list, flags: HeaderFlag = HeaderFlag.RESPONSE) -> bytes:
    return push_message(
        spi_i=info.spi_i,  # type: ignore[attr-defined]
        spi_r=info.spi_r,  # type: ignore[attr-defined]
        exchange=ExchangeType.INFORMATIONAL,
        flags=flags,
        message_id=2,
        payloads=payloads,
    )


def test_no_token_is_told_for_an_ike_sa_that_is_there() -> None:
    world = up()
    a, _ = both(world)
    info = a.endpoint.ike_sas()[0]
    world.wire.log.clear()
    for flags in (HeaderFlag.INITIATOR, HeaderFlag(0)):
        body = b"\0\0\0\x20" + bytes(28)
        data = unprotected(info, [], flags)[:16] + bytes((46,)) + unprotected(info, [], flags)[17:24]
        world.inject(data + (28 + len(body)).to_bytes(4, "big") + body, Path(B, 500, A, 500))
    world.run(1)
    assert world.wire.log == []


def test_an_answer_to_an_unknown_spi_is_short_rare_and_never_answered() -> None:
    world = up()
    a, b = both(world)
    crash(world, b)
    a.endpoint.check_liveness(a.established()[0], world.now)
    asked = a.endpoint.datagrams_to_send(world.now)[0][0]
    fresh = world.peers[B]
    for _ in range(100):
        fresh.endpoint.receive_datagram(asked, Path(B, 500, A, 500), world.now)
    ((told, path),) = fresh.endpoint.datagrams_to_send(world.now)
    assert path.remote == A
    assert len(told) == 60 <= len(asked) + 3
    header = pull_header(told)
    assert header.is_response
    assert (header.spi_i, header.spi_r, header.message_id) == tuple(
        getattr(pull_header(asked), name) for name in ("spi_i", "spi_r", "message_id")
    )
    assert pull_message(told).notify(NotifyType.INVALID_IKE_SPI) is not None
    # A third gateway that gets it does not answer, so that no two ever talk for ever.
    other = born(fresh, 7)
    other.endpoint.receive_datagram(told, Path(B, 500, A, 500), world.now)
    assert other.endpoint.datagrams_to_send(world.now) == []


@pytest.mark.parametrize("rekeyer", [A, B])
def test_tokens_follow_a_rekeying_from_either_side(rekeyer: object) -> None:
    world = up()
    peer = world.peers[rekeyer]  # type: ignore[index]
    peer.endpoint.rekey_ike(peer.established()[0], world.now)
    world.run(2)
    for victim in (A, B):
        survivor = world.peers[B if victim == A else A]
        crash(world, world.peers[victim])
        survivor.endpoint.check_liveness(survivor.established()[0], world.now)
        world.run(0.2)
        assert survivor.failures[-1].code == "peer-restarted"
        world.initiate(survivor, to=victim)
        world.run(1)


def test_tokens_differ_by_ike_sa_and_by_secret_and_show_nothing_of_it() -> None:
    tokens = CrashTokens(SECRETS[A])
    made = {tokens.of(i.to_bytes(8, "big"), r.to_bytes(8, "big")) for i in range(1, 9) for r in range(1, 9)}
    assert len(made) == 64
    assert {len(token) for token in made} == {TOKEN_LENGTH}
    assert CrashTokens(SECRETS[B]).of(bytes(8), bytes(8)) != tokens.of(bytes(8), bytes(8))
    assert "aaaa" not in repr(tokens)


@given(st.lists(st.tuples(st.integers(0, 3000), st.floats(0, 0.1)), min_size=1, max_size=400))
def test_answers_stay_within_their_budget_whoever_asks(asked: list[tuple[int, float]]) -> None:
    allowance, now, told = Allowance(), 1000.0, 0
    for source, pause in asked:
        now += pause
        told += allowance.take(A + source, now)
    assert told <= BUDGET + (now - 1000.0) * BUDGET + 1
    assert len(allowance._heard) <= MOST_SOURCES


def test_peers_without_it_are_told_nothing_new_after_a_rekeying() -> None:
    world = up(b=False)
    a, _ = both(world)
    a.lines.clear()
    a.endpoint.rekey_ike(a.established()[0], world.now)
    world.run(2)
    assert [line.split(" [")[0] for line in a.lines if line.startswith("sent")] == [
        "sent CREATE_CHILD_SA request 2",
        "sent INFORMATIONAL request 3",
    ]
    assert Timing().window_size == 1
