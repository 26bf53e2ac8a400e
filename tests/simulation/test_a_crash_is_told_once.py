"""The proof of a crash travels in the clear: who repeats it has nobody told of it again."""

from __future__ import annotations

from support.peers import A, B, Peer, both, psk_pair

from ike.events import Path


def test_a_repeated_proof_of_a_crash_makes_no_further_record() -> None:
    world = psk_pair(1)
    for number, peer in enumerate(both(world)):
        world.peers[peer.address] = Peer(
            peer.address, peer.connections, peer.credentials, number, token_secret=bytes((number,)) * 32
        )
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    world.peers[B] = Peer(B, b.connections, b.credentials, 9, token_secret=bytes((1,)) * 32)
    a.endpoint.check_liveness(a.established()[0], world.now)
    world.run(0.1)
    proof, path = next((data, path) for _, data, path in reversed(world.wire.log) if path.local == B)
    for _ in range(10):
        world.inject(proof, Path(A, path.remote_port, B, path.local_port))
    world.run(0.1)
    assert [record.code for record in a.failures] == ["peer-restarted"]
