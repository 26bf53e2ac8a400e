"""Transport mode: between two hosts, and through NATs before either or both of them (RFC 7296 section 2.23.1)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from support.peers import ESP, A, B, Peer, World, both, esp, psk_pair

from ike.config import Child, Mode, TsTemplate
from ike.events import ChildSaEstablished, ChildSaRekeyed, Path
from ike.sa.transport import Translation
from ike.wire.constants import PayloadType
from ike.wire.message import pull_message, pull_payloads
from ike.wire.payloads import TsPayload
from ike.wire.selectors import TrafficSelector

A_PUBLIC, B_PUBLIC = IPv4Address("192.0.2.10"), IPv4Address("192.0.2.20")


def hosts(name: str = "hosts", *, protocol: int = 0, port: int | None = None, **more: object) -> Child:
    """Between the two ends themselves; ``port`` is that of b."""
    first, last = (port, port) if port is not None else (0, 65535)
    near = TsTemplate(None, dynamic=True, protocol=protocol)
    far = TsTemplate(None, dynamic=True, protocol=protocol, start_port=first, end_port=last)
    child = Child(name, (near,), (far,), esp(ESP), mode=Mode.TRANSPORT)
    return replace(child, **more)  # type: ignore[arg-type]


def swapped(child: Child) -> Child:
    return replace(child, local_ts=child.remote_ts, remote_ts=child.local_ts)


def translated(before_a: bool, before_b: bool) -> dict[str, object]:
    """NATs: a's address and ports are changed on the way; b is reached by a public address."""

    def translate(seen: Path) -> Path:
        if seen.local in (B, B_PUBLIC):
            source, port = (A_PUBLIC, seen.remote_port + 10_000) if before_a else (seen.remote, seen.remote_port)
            return Path(B, seen.local_port, source, port)
        source = B_PUBLIC if before_b else seen.remote
        return Path(A, seen.local_port - 10_000 if before_a else seen.local_port, source, seen.remote_port)

    return {"translate": translate}


def connected(child: Child, *, before_a: bool = False, before_b: bool = False) -> tuple[World, Peer, Peer]:
    world = psk_pair(a={"children": (child,)}, b={"children": (swapped(child),)}, **translated(before_a, before_b))
    a, b = both(world)
    # Whoever asks knows the public address.
    a.endpoint.initiate("site", child.name, world.now, local=A, remote=B_PUBLIC if before_b else B)
    world.run(1)
    return world, a, b


def host(address: IPv4Address, protocol: int = 0, port: int | None = None) -> tuple[TrafficSelector, ...]:
    first, last = (port, port) if port is not None else (0, 65535)
    return (TrafficSelector(address, address, protocol, first, last),)


def sees(peer: Peer) -> tuple[tuple[TrafficSelector, ...], tuple[TrafficSelector, ...], Path]:
    """What the one CHILD_SA covers on a side, and where it leads."""
    (made,) = peer.installed.values()
    assert made.mode is Mode.TRANSPORT
    return made.local_ts, made.remote_ts, made.path


def assert_same_keys(a: Peer, b: Peer) -> None:
    (ours,), (theirs,) = a.installed.values(), b.installed.values()
    assert (ours.inbound.spi, ours.outbound.spi) == (theirs.outbound.spi, theirs.inbound.spi)
    assert bytes(ours.outbound.encryption_key) == bytes(theirs.inbound.encryption_key)
    assert bytes(ours.inbound.encryption_key) == bytes(theirs.outbound.encryption_key)


@pytest.mark.parametrize("before_b", [False, True])
@pytest.mark.parametrize("before_a", [False, True])
def test_each_side_has_the_addresses_that_its_packets_carry(before_a: bool, before_b: bool) -> None:
    _, a, b = connected(hosts(), before_a=before_a, before_b=before_b)
    assert a.failures == b.failures == []
    assert_same_keys(a, b)
    b_for_a, a_for_b = (B_PUBLIC if before_b else B), (A_PUBLIC if before_a else A)
    local, remote, path = sees(a)
    assert (local, remote) == (host(A), host(b_for_a))
    assert (path.local, path.remote) == (A, b_for_a)
    local, remote, path = sees(b)
    assert (local, remote) == (host(B), host(a_for_b))
    assert (path.local, path.remote) == (B, a_for_b)
    for peer in (a, b):
        (made,) = peer.installed.values()
        assert made.udp_encap is (before_a or before_b)


@pytest.mark.parametrize("before_b", [False, True])
@pytest.mark.parametrize("side", [0, 1])
def test_either_side_may_rekey_it(side: int, before_b: bool) -> None:
    world, a, b = connected(hosts(), before_a=True, before_b=before_b)
    peer = (a, b)[side]
    peer.endpoint.rekey_child(next(iter(peer.installed)), world.now)
    world.run(1)
    assert len(a.of(ChildSaRekeyed)) == len(b.of(ChildSaRekeyed)) == 1
    assert a.failures == b.failures == []
    assert_same_keys(a, b)
    assert sees(a)[:2] == (host(A), host(B_PUBLIC if before_b else B))
    assert sees(b)[:2] == (host(B), host(A_PUBLIC))


def test_a_nat_that_gives_another_address_is_followed_by_selectors_too() -> None:
    public = [A_PUBLIC]

    def translate(seen: Path) -> Path:
        if seen.local == B:
            return Path(B, seen.local_port, public[0], seen.remote_port + 10_000)
        return Path(A, seen.local_port - 10_000, seen.remote, seen.remote_port)

    sides = {"a": {"children": (hosts(),)}, "b": {"children": (swapped(hosts()),)}}
    world = psk_pair(**{name: {**side, "mobike": False} for name, side in sides.items()}, translate=translate)
    a, b = both(world)
    world.initiate(a, child="hosts")
    world.run(1)
    assert sees(b)[:2] == (host(B), host(A_PUBLIC))
    public[0] = IPv4Address("192.0.2.11")
    a.endpoint.check_liveness(a.established()[0], world.now)
    world.run(1)
    assert sees(b)[:2] == (host(B), host(public[0]))
    assert sees(a)[:2] == (host(A), host(B))
    assert_same_keys(a, b)
    assert len(b.of(ChildSaRekeyed)) == 1
    # Another port alone is followed without new keys.
    world.wire.translate = lambda seen: (
        replace(translate(seen), remote_port=12_345)
        if seen.local == B
        else Path(A, 4500, seen.remote, seen.remote_port)
    )
    a.endpoint.check_liveness(a.established()[0], world.now)
    world.run(1)
    assert len(b.of(ChildSaRekeyed)) == 1
    assert a.failures == b.failures == []


def test_protocols_and_ports_stay_when_addresses_are_put_in() -> None:
    _, a, b = connected(hosts(protocol=6, port=443), before_a=True, before_b=True)
    assert sees(a)[:2] == (host(A, 6), host(B_PUBLIC, 6, 443))
    assert sees(b)[:2] == (host(B, 6, 443), host(A_PUBLIC, 6))


def test_the_answer_names_the_addresses_that_were_asked_for() -> None:
    world, a, b = connected(hosts(), before_a=True, before_b=True)
    (sa,) = a.endpoint._core.by_id.values()
    response = next(d for _, d, path in reversed(world.wire.log) if path.local == B)
    message = pull_message(response)
    assert message.sealed is not None
    assert sa.envelope_in is not None
    inside = message.opened(pull_payloads(message.sealed.first, sa.envelope_in.open(response, message.sealed)))
    ours, theirs = (inside.one(TsPayload, kind) for kind in (PayloadType.TS_I, PayloadType.TS_R))
    assert ours is not None
    assert theirs is not None
    assert (ours.selectors, theirs.selectors) == (host(A), host(B_PUBLIC))
    assert b.failures == []


def test_a_peer_that_answers_with_what_it_sees_is_understood_too(monkeypatch: pytest.MonkeyPatch) -> None:
    # Such a one leaves the public address of the initiator in TSi.
    monkeypatch.setattr(Translation, "there", lambda _, local, remote: (local, remote))
    _, a, b = connected(hosts(), before_a=True)
    assert a.failures == b.failures == []
    assert sees(a)[:2] == (host(A), host(B))
    assert sees(b)[:2] == (host(B), host(A_PUBLIC))


def test_a_side_that_wants_a_tunnel_gets_no_transport_mode_and_says_why() -> None:
    child = hosts()
    tunnel = replace(swapped(child), mode=Mode.TUNNEL)
    world = psk_pair(a={"children": (child,)}, b={"children": (tunnel,)})
    a, b = both(world)
    world.initiate(a, child="hosts")
    world.run(1)
    for peer in (a, b):
        (made,) = peer.of(ChildSaEstablished)
        assert made.mode is Mode.TUNNEL


def test_behind_a_nat_a_tunnels_selectors_are_taken_as_they_are() -> None:
    child = replace(hosts(), mode=Mode.TUNNEL)
    _, a, b = connected(child, before_a=True)
    assert a.installed == b.installed == {}
    assert b.failure.code == a.failure.code == "ts-unacceptable"


def test_networks_are_not_translated() -> None:
    net = TrafficSelector(IPv4Address("10.0.0.0"), IPv4Address("10.0.0.255"))
    child = Child("hosts", (TsTemplate(net),), (TsTemplate(None, dynamic=True),), esp(ESP), mode=Mode.TRANSPORT)
    _, a, b = connected(child, before_a=True)
    assert sees(a)[:2] == ((net,), host(B))
    assert sees(b)[:2] == (host(B), (net,))
