"""AES-GMAC in AH, from the proposal to packets: what two peers in memory agree on protects what their engines send."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.engines import batch_of, outcome, udp
from support.peers import Peer, both, net, psk_pair

from fastesp.dataplane.base import ChildSa, PolicyAction
from fastesp.engine import Engine
from fastesp.engine.batch import FLAG_OUTER
from fastesp.gateway.ability import Ability
from fastesp.gateway.translate import child_sa
from ike.config import Child
from ike.crypto.proposal import ProposalSpec
from ike.events import ChildSaEstablished
from ike.wire.constants import Integ, ProtocolId, TransformType

TRANSFORMS = {128: Integ.AES_128_GMAC, 192: Integ.AES_192_GMAC, 256: Integ.AES_256_GMAC}
A_NET, B_NET = "10.10.0.0/24", "10.20.0.0/24"


def ah(*texts: str) -> dict[str, object]:
    specs = tuple(ProposalSpec.parse(text, ProtocolId.AH) for text in texts)
    return {"esp_proposals": (), "ah_proposals": specs}


def agreed(ours: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[tuple[Peer, Child], tuple[Peer, Child]]:
    """Two peers that have made a CHILD_SA of these proposals, if any agrees."""
    near, far = replace(net(A_NET, B_NET), **ah(*ours)), replace(net(B_NET, A_NET), **ah(*theirs))  # type: ignore[arg-type]
    world = psk_pair(a={"children": (near,)}, b={"children": (far,)})
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    return (a, near), (b, far)


def installed(peer: Peer, child: Child) -> ChildSa:
    (event,) = peer.of(ChildSaEstablished)
    return child_sa(event, child, 1)


def engine_of(sa: ChildSa) -> Engine:
    """With both halves of an SA, as the data plane installs them."""
    engine = Engine(max_sas=4, max_policies=4, flows=16)
    both_ways = {"protocol": sa.protocol, "mode": sa.mode, "local": sa.path.local, "remote": sa.path.remote}
    into, out = sa.inbound, sa.outbound
    assert into.integrity_key is not None
    assert out.integrity_key is not None
    engine.install_inbound(
        into.spi,
        into.suite,
        into.encryption_key,
        into.integrity_key,
        selectors=sa.selectors,
        esn=sa.esn,
        replay_window=64,
        **both_ways,
    )
    slot = engine.install_outbound(
        out.spi, out.suite, out.encryption_key, out.integrity_key, epoch=1, esn=sa.esn, **both_ways
    )
    engine.add_policy(sa.selectors, PolicyAction.PROTECT, sa=slot)
    return engine


@pytest.mark.parametrize("esn", [False, True])
@pytest.mark.parametrize("bits", [128, 192, 256])
def test_both_ends_have_the_same_keys_with_their_salt_and_packets_pass(bits: int, esn: bool) -> None:
    (a, near), (b, far) = agreed(*[(f"aes{bits}gmac" + ("-esn" if esn else ""),)] * 2)
    sa, mirror = installed(a, near), installed(b, far)
    for half in (sa.inbound, sa.outbound, mirror.inbound, mirror.outbound):
        assert half.suite.integrity == f"aes-{bits}-gmac"
        assert len(half.encryption_key) == 0
        assert half.integrity_key is not None
        assert len(half.integrity_key) == bits // 8 + 4
    assert sa.esn is mirror.esn is esn
    assert bytes(sa.inbound.integrity_key) == bytes(mirror.outbound.integrity_key)  # type: ignore[arg-type]
    assert bytes(sa.inbound.integrity_key) != bytes(sa.outbound.integrity_key)  # type: ignore[arg-type]
    ends = (engine_of(sa), "10.10.0.5", "10.20.0.9"), (engine_of(mirror), "10.20.0.9", "10.10.0.5")
    for (sender, source, destination), (receiver, _, _) in (ends, ends[::-1]):
        packets = [udp(size, source=source, destination=destination) for size in (0, 1, 100)]
        batch = batch_of(*packets)
        assert sender.encapsulate(batch, 1) == len(packets)
        arrived = batch_of(*(batch.data(at) for at in range(batch.count)), flags=FLAG_OUTER)
        receiver.decapsulate(arrived, 1)
        assert outcome(arrived) == packets


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_on_the_wire_it_is_an_integrity_transform_without_a_key_length(bits: int) -> None:
    """RFC 4543 section 5.3: each key length has its own identifier in AH."""
    (a, _), _ = agreed((f"aes{bits}gmac",), (f"aes{bits}gmac",))
    (event,) = a.of(ChildSaEstablished)
    (chosen,) = (transform for transform in event.suite if transform.type == TransformType.INTEG)
    assert (chosen.id, chosen.key_length) == (TRANSFORMS[bits], None)
    assert not [transform for transform in event.suite if transform.type == TransformType.ENCR]


def test_key_lengths_are_different_algorithms_and_the_common_one_is_taken() -> None:
    (a, near), (b, far) = agreed(("aes256gmac", "aes128gmac-sha256"), ("sha512-aes128gmac",))
    assert installed(a, near).inbound.suite.integrity == installed(b, far).inbound.suite.integrity == "aes-128-gmac"
    (a, _), (b, _) = agreed(("aes256gmac",), ("aes128gmac",))
    assert not a.of(ChildSaEstablished) + b.of(ChildSaEstablished)


def test_a_data_plane_that_does_not_do_it_in_ah_neither_offers_nor_takes_it() -> None:
    kernel = Ability(frozenset({"esp", "ah", "tunnel", "aes-gmac", "hmac-sha2-256"}))
    (spec,) = ah("aes256gmac-sha256")["ah_proposals"]  # type: ignore[misc, attr-defined]
    gmac, sha, _ = spec.transforms
    assert not kernel.can(gmac, ProtocolId.AH)
    assert kernel.can(sha, ProtocolId.AH)
    assert replace(kernel, names=kernel.names | {"aes-256-gmac"}).can(gmac, ProtocolId.AH)
