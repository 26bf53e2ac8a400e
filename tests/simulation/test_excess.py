"""Messages that are well-formed and far too much: what they cost, keep and say is bounded, whoever sends them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from cryptography.x509 import Name, NameAttribute
from cryptography.x509.oid import NameOID
from support.certs import issue
from support.peers import A, B, Path, Peer, World, both, net, psk_pair

from ike.config import AddressTemplate, AuthRound, Fragmentation
from ike.crypto.proposal import default_ike
from ike.events import ExchangeLogged
from ike.timing import Timing
from ike.wire.constants import ExchangeType, HeaderFlag, IdType, NotifyType, PayloadType, ProtocolId
from ike.wire.header import Header, push_header
from ike.wire.identity import Identity
from ike.wire.message import pull_message, pull_payloads, push_message, push_payloads
from ike.wire.payloads import (
    CertRequestPayload,
    DeletePayload,
    KePayload,
    NoncePayload,
    NotifyPayload,
    Payload,
    Proposal,
    SaPayload,
    Transform,
    TsPayload,
)
from ike.wire.selectors import TrafficSelector

TO_B = Path(B, 500, A, 500)
TO_B_FLOATED = Path(B, 4500, A, 4500)
SUITE = (Transform(1, 20, 256), Transform(5, 0))


def request(peer: Peer, *payloads: Payload, exchange: ExchangeType = ExchangeType.CREATE_CHILD_SA) -> bytes:
    """The peer's next request, with its keys."""
    sa = next(iter(peer.endpoint._core.by_id.values()))
    flags = HeaderFlag.INITIATOR if sa.initiator else HeaderFlag(0)
    first, chain = push_payloads(payloads)
    assert sa.envelope_out is not None
    header = Header(sa.spi_i, sa.spi_r, exchange, flags, sa.window.next_outgoing)
    sa.window.next_outgoing += 1
    return sa.envelope_out.seal(push_header(header), first, chain)


def child(spi: int, local: Sequence[TrafficSelector], remote: Sequence[TrafficSelector]) -> list[Payload]:
    return [
        SaPayload((Proposal(1, ProtocolId.ESP, spi.to_bytes(4, "big"), SUITE),)),
        NoncePayload(bytes(32)),
        TsPayload(PayloadType.TS_I, tuple(local)),
        TsPayload(PayloadType.TS_R, tuple(remote)),
    ]


def last_answer(world: World, peer: Peer) -> list[Payload]:
    """What was last said to ``peer``."""
    sa = next(iter(peer.endpoint._core.by_id.values()))
    data = [data for _, data, path in world.wire.log if path.remote == peer.address][-1]
    message = pull_message(data)
    assert message.sealed is not None
    assert sa.envelope_in is not None
    return list(pull_payloads(message.sealed.first, sa.envelope_in.open(data, message.sealed)))


def up(**b: object) -> tuple[World, Peer, Peer]:
    world = psk_pair(b=b)
    a, far = both(world)
    world.initiate(a)
    world.run(1)
    assert a.established()
    return world, a, far


# Once authenticated.


def test_selectors_that_cross_are_narrowed_to_as_many_as_an_answer_holds_and_at_once() -> None:
    many = ",".join(f"10.20.{n}.0/24" for n in range(20))
    world, a, b = up(children=(net(many, "10.10.0.0/24"),), fragmentation=Fragmentation.NO)
    before = len(b.installed)
    whole = ip_network("10.20.0.0/16")
    crossing = [TrafficSelector(whole[0], whole[-1], 6, port, port) for port in range(1, 256)]
    began = time.process_time()
    world.inject(
        request(a, *child(0x5000, [TrafficSelector.of_network(ip_network("10.10.0.0/24"))], crossing)), TO_B_FLOATED
    )
    world.run(1)
    assert time.process_time() - began < 3
    assert len(b.installed) == before + 1
    (answered,) = (
        p.selectors for p in last_answer(world, a) if isinstance(p, TsPayload) and p.kind == PayloadType.TS_R
    )
    assert len(answered) == 255
    assert list(b.installed.values())[-1].local_ts == answered


@pytest.mark.parametrize("first", [True, False])
def test_selectors_of_ours_that_fit_no_message_are_a_record_and_no_ike_sa_that_stays_for_ever(first: bool) -> None:
    many = ",".join(f"10.10.{n // 256}.{n % 256}/32" for n in range(300))
    children = (net("10.10.0.0/24", "10.20.0.0/24"), net(many, "10.20.0.0/24", name="many"))
    world = psk_pair(a={"children": children})
    a, b = both(world)
    if not first:
        world.initiate(a)
        world.run(1)
    world.initiate(a, child="many")
    world.run(60)
    assert a.failure.code == "too-many-selectors"
    assert "children.many.local_ts has 300 selectors" in a.failure.summary
    assert bool(a.established()) is not first
    world.initiate(a)
    world.run(1)
    assert a.established()
    assert b.installed


def test_thousands_of_spis_to_delete_are_looked_up_at_once() -> None:
    world, a, b = up()
    for number in range(500):
        world.inject(request(a, *child(0x8000 + number, LOCAL, REMOTE)), TO_B_FLOATED)
        world.run(0.05)
    assert len(b.installed) == 501
    several = [DeletePayload(ProtocolId.ESP, tuple(bytes((n & 255,)) for n in range(4096)))] * 14
    real = DeletePayload(ProtocolId.ESP, tuple((0x8000 + n).to_bytes(4, "big") for n in range(500)))
    began = time.process_time()
    world.inject(request(a, *several, real, exchange=ExchangeType.INFORMATIONAL), TO_B_FLOATED)
    world.run(1)
    assert time.process_time() - began < 0.3
    assert len(b.installed) == 1


LOCAL = [TrafficSelector.of_network(ip_network("10.10.0.0/24"))]
REMOTE = [TrafficSelector.of_network(ip_network("10.20.0.0/24"))]


@pytest.mark.parametrize("spi", [b"", b"\0\0\0\0", b"\0\0\0\xff", b"12345678"])
def test_an_spi_that_is_none_makes_no_child(spi: bytes) -> None:
    world, a, b = up()
    before = dict(b.installed)
    first, *others = child(0x5000, LOCAL, REMOTE)
    assert isinstance(first, SaPayload)
    bad = SaPayload((replace(first.proposals[0], spi=spi),))
    world.inject(request(a, bad, *others), TO_B_FLOATED)
    world.run(1)
    assert b.installed == before
    assert b.failure.code == "bad-spi"
    assert [p.notify for p in last_answer(world, a) if isinstance(p, NotifyPayload)] == [NotifyType.INVALID_SYNTAX]


def test_a_peer_that_replaces_and_never_deletes_comes_to_an_end() -> None:
    world = psk_pair(timing=Timing(max_children=3))
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    spi = next(iter(b.installed.values())).outbound.spi
    for number in range(0x6000, 0x6010):
        rekey = NotifyPayload(NotifyType.REKEY_SA, b"", ProtocolId.ESP, spi.to_bytes(4, "big"))
        world.inject(request(a, rekey, *child(number, LOCAL, REMOTE)), TO_B_FLOATED)
        world.run(0.1)
        spi = list(b.installed.values())[-1].outbound.spi
    assert len(b.installed) == 6
    assert b.failures == []


# Before anybody is authenticated.


def opening(*proposals: Proposal) -> bytes:
    return push_message(
        spi_i=b"12345678",
        spi_r=bytes(8),
        exchange=ExchangeType.IKE_SA_INIT,
        flags=HeaderFlag.INITIATOR,
        message_id=0,
        payloads=[SaPayload(proposals), KePayload(31, b"\x09" + bytes(31)), NoncePayload(bytes(32))],
    )


def crowd(count: int, **more: object) -> tuple[World, Peer]:
    """B alone, with so many connections that anybody may use."""
    world = psk_pair()
    del world.peers[A]
    b = world.peers[B]
    one = replace(b.connections[0], proposals=default_ike(), **more)  # type: ignore[arg-type]
    b.connections[:] = [replace(one, name=f"site-{n}") for n in range(count)]
    return world, b


NEARLY = (
    *(Transform(1, 12, bits) for bits in (128, 192, 256)),
    *(Transform(2, number) for number in (2, 5, 6, 7)),
    *(Transform(4, number) for number in (14, 15, 16, 19, 20, 21, 31)),
    *(Transform(3, 1000 + number) for number in range(46)),
)
"""It comes far before it turns out that there is no integrity algorithm in common."""


def test_an_offer_beyond_all_measure_is_dropped() -> None:
    world, b = crowd(1)
    world.inject(opening(*(Proposal(n, 1, b"", NEARLY) for n in range(1, 129))), TO_B)
    world.run(1)
    assert b.endpoint.drops == {"invalid-syntax": 1}
    assert b.failures == []


def test_an_offer_is_compared_once_for_all_connections_that_allow_the_same() -> None:
    world, b = crowd(2000)
    began = time.process_time()
    world.inject(opening(*(Proposal(n, 1, b"", NEARLY) for n in range(1, 17))), TO_B)
    world.run(1)
    assert time.process_time() - began < 1
    assert b.failure.code == "no-proposal-chosen"
    assert len(b.failure.tried) == 33
    assert b.failure.tried[-1].why == "and more lost likewise"


def test_authorities_are_named_once_however_many_connections_trust_them() -> None:
    anybody = (AuthRound(auth="pubkey", id=Identity.parse("*.example.org")),)
    world, b = crowd(2000, remote=anybody)
    for number in range(100):
        b.credentials.add_authority(issue(f"ca {number}", authority=True).certificate)
    began = time.process_time()
    world.inject(opening(Proposal(1, 1, b"", (Transform(1, 20, 256), Transform(2, 5), Transform(4, 31)))), TO_B)
    world.run(1)
    assert time.process_time() - began < 0.15
    request = pull_message(world.wire.log[-1][1]).one(CertRequestPayload)
    assert request is not None
    assert len(request.authorities) == 100


def test_a_record_about_an_address_that_thousands_of_connections_do_not_want_is_short() -> None:
    world, b = crowd(2000, remote_addrs=(AddressTemplate(address=ip_address("192.0.2.1")),))
    world.inject(opening(Proposal(1, 1, b"", NEARLY)), TO_B)
    world.run(1)
    assert b.failure.code == "no-connection-for-address"
    assert len(b.failure.tried) == 33
    assert sum(len(lost.why) for lost in b.failure.tried) < 8_192


def test_a_flood_of_openings_that_are_refused_fills_no_log() -> None:
    world, b = crowd(1)
    data = opening(Proposal(1, 1, b"", NEARLY))
    levels: Counter[int] = Counter()
    for number in range(1, 2001):
        b.endpoint.receive_datagram(number.to_bytes(8, "big") + data[8:], TO_B, world.now + number / 1000)
        while (event := b.endpoint.next_event()) is not None:
            if isinstance(event, ExchangeLogged):
                levels[event.level] += 1
    assert levels.total() == 4000
    assert levels[1] <= 1100


def test_what_a_stranger_calls_itself_fills_no_record() -> None:
    world = psk_pair(a={"local": (AuthRound(auth="psk", id=Identity(IdType.KEY_ID, b"\xff" * 4000)),)})
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    assert b.failure.code == "no-connection-for-identity"
    texts = [b.failure.summary, b.failure.remote_id, b.failure.mismatch, *b.failure.offered]
    texts += [lost.why for lost in b.failure.tried]
    assert max(map(len, texts)) < 1_100
    assert b.failure.remote_id.endswith("... (11999 characters)")


def test_a_long_name_is_read_once_however_many_connections_it_is_held_against() -> None:
    name = Name([NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"unit {number}") for number in range(60)])
    world = psk_pair(a={"local": (AuthRound(auth="psk", id=Identity.of_name(name)),)})
    a, b = both(world)
    for number in range(2000):
        peer = Identity.parse(f"C=CH, O=Example, CN=peer-{number}")
        b.connections.append(replace(b.connections[0], name=f"s{number}", remote=(AuthRound(auth="psk", id=peer),)))
    world.initiate(a)
    began = time.process_time()
    world.run(1)
    assert time.process_time() - began < 0.4
    assert b.failure.code == "no-connection-for-identity"


def test_an_identity_beyond_all_measure_is_malformed() -> None:
    world = psk_pair(a={"local": (AuthRound(auth="psk", id=Identity(IdType.KEY_ID, bytes(5000))),)})
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    assert b.failure.code == "invalid-syntax"
    assert not b.established()
