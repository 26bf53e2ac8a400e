"""A request that comes again in other pieces than before: its answer was lost, and is sent again (RFC 7383 2.6.1)."""

from __future__ import annotations

from support.peers import B, Path, Peer, World, both, psk_pair

from ike.sa import fragments
from ike.wire.codec import push_payloads
from ike.wire.constants import ExchangeType, HeaderFlag
from ike.wire.header import Header, push_header
from ike.wire.payloads import Payload, VendorIdPayload

LONG: list[Payload] = [VendorIdPayload(bytes(2000))]


def up() -> tuple[World, Peer, Peer, Path]:
    world = psk_pair()
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    path = next(iter(a.endpoint._core.by_id.values())).path
    return world, a, b, Path(B, path.remote_port, path.local, path.local_port)


def sealed(peer: Peer, room: int | None, message_id: int = 2) -> tuple[bytes, ...]:
    """One and the same INFORMATIONAL of ``peer``, in datagrams of at most ``room`` bytes."""
    sa = next(iter(peer.endpoint._core.by_id.values()))
    first, chain = push_payloads(LONG)
    assert sa.envelope_out is not None
    header = push_header(Header(sa.spi_i, sa.spi_r, ExchangeType.INFORMATIONAL, HeaderFlag.INITIATOR, message_id))
    return fragments.seal(sa.envelope_out, header, first, chain, room)


def answers(world: World, datagrams: tuple[bytes, ...], path: Path) -> int:
    """How many go out for these."""
    before = len(world.wire.log)
    for data in datagrams:
        world.inject(data, path)
    world.run(0.5)
    return len(world.wire.log) - before


def test_a_request_in_smaller_pieces_gets_the_answer_that_was_lost_once() -> None:
    world, a, b, path = up()
    assert answers(world, sealed(a, None), path) == 1
    assert answers(world, sealed(a, 1200), path) == 1
    assert answers(world, sealed(a, 500), path) == 1
    assert answers(world, sealed(a, 500)[1:], path) == 0
    assert b.failures == []


def test_what_is_not_authentic_gets_none() -> None:
    world, a, b, path = up()
    assert answers(world, sealed(a, None), path) == 1
    first = sealed(a, 500)[0]
    assert answers(world, (first[:-1] + bytes((first[-1] ^ 1,)),), path) == 0
    assert b.endpoint.drops == {"repeated-message-id": 1}


def test_what_was_answered_long_ago_gets_none() -> None:
    world, a, _, path = up()
    assert answers(world, sealed(a, None), path) == 1
    assert answers(world, sealed(a, None, 3), path) == 1
    assert answers(world, sealed(a, 500), path) == 0
