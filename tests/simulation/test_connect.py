"""Two endpoints set up an IKE SA and a CHILD_SA over wires good and bad."""

from __future__ import annotations

from support.peers import assert_mirrored, both, psk_pair

from ike.events import ChildSaEstablished, IkeSaEstablished


def test_connect_with_a_shared_key() -> None:
    world = psk_pair()
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    assert a.failures == b.failures == []
    assert len(a.of(IkeSaEstablished)) == len(b.of(IkeSaEstablished)) == 1
    assert len(a.of(ChildSaEstablished)) == 1
    assert len(world.wire.log) == 4
    assert_mirrored(a, b)
