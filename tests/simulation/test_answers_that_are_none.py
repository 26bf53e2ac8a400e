"""An answer that makes no sense is reported; what was to be rekeyed is rekeyed later, what was to go goes."""

from __future__ import annotations

import pytest
from support.peers import A, B, Path, Peer, World, both, psk_pair

from ike.wire.codec import push_payloads
from ike.wire.constants import HeaderFlag
from ike.wire.header import Header, pull_header, push_header
from ike.wire.payloads import NoncePayload


def nonsense(b: Peer, message_id: int, exchange: int) -> bytes:
    """What answers no request of ours, with b's keys."""
    sa = next(iter(b.endpoint._core.by_id.values()))
    assert sa.envelope_out is not None
    header = Header(sa.spi_i, sa.spi_r, exchange, HeaderFlag.RESPONSE, message_id)
    return sa.envelope_out.seal(push_header(header), *push_payloads([NoncePayload(bytes(32))]))


def refused_with_nonsense(world: World, a: Peer, b: Peer) -> None:
    """b's answer to a's request under way never made sense."""
    deaf = {"on": True}
    world.wire.edit = lambda data, path: None if deaf["on"] and path.remote == B else data
    world.run(0.1)
    sa = next(iter(a.endpoint._core.by_id.values()))
    request = sa.window.request
    assert request is not None
    exchange = pull_header(request.datagrams[0]).exchange
    world.inject(nonsense(b, request.message_id, exchange), Path(A, sa.path.local_port, B, sa.path.remote_port))
    world.run(0.1)
    deaf["on"] = False
    # b has heard nothing of that request, and waits for its number.
    next(iter(b.endpoint._core.by_id.values())).window.next_incoming += 1


@pytest.mark.parametrize("what", ["child", "ike"])
def test_a_rekeying_is_tried_again(what: str) -> None:
    world = psk_pair()
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    before = set(a.installed), a.established()
    if what == "child":
        a.endpoint.rekey_child(next(iter(a.installed)), world.now)
    else:
        a.endpoint.rekey_ike(a.established()[0], world.now)
    refused_with_nonsense(world, a, b)
    assert a.failure.code == "invalid-syntax"
    assert (set(a.installed), a.established()) == before
    world.run(60)
    after = set(a.installed), a.established()
    assert after[what != "child"] != before[what != "child"]
    assert set(b.installed)
    assert len(a.failures) == 1


def test_what_was_deleted_is_gone() -> None:
    world = psk_pair()
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    a.endpoint.terminate_child(next(iter(a.installed)), world.now)
    refused_with_nonsense(world, a, b)
    assert a.failure.code == "invalid-syntax"
    assert not a.installed
    assert a.established()
