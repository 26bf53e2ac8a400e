"""Peers and strangers that mean no good: each is dropped or answered as the RFC says, and nobody else is harmed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.peers import A, B, IPv4Address, Peer, World, assert_mirrored, both, ike, psk_pair

from ike.config import Unique
from ike.events import IkeSaDeleted, IkeSaEstablished, Path
from ike.timing import Timing
from ike.wire.constants import ExchangeType, HeaderFlag, Ke, NotifyType, PayloadType, ProtocolId
from ike.wire.header import Header, push_header
from ike.wire.message import pull_message, pull_payloads, push_message, push_payloads
from ike.wire.payloads import (
    DeletePayload,
    KePayload,
    NoncePayload,
    NotifyPayload,
    Payload,
    Proposal,
    SaPayload,
    Transform,
    TsPayload,
    VendorIdPayload,
)

TO_B = Path(B, 500, A, 500)
TO_B_FLOATED = Path(B, 4500, A, 4500)
INIT = ExchangeType.IKE_SA_INIT
GOOD = (Transform(1, 20, 256), Transform(2, 6), Transform(4, 31))


def init(*payloads: Payload, spi: bytes = b"12345678", message_id: int = 0, flags: int = 8) -> bytes:
    return push_message(
        spi_i=spi,
        spi_r=bytes(8),
        exchange=INIT,
        flags=HeaderFlag(flags),
        message_id=message_id,
        payloads=payloads,
    )


def opening(
    *,
    transforms: tuple[Transform, ...] = GOOD,
    method: int = 31,
    public: bytes = b"\x09" + bytes(31),
    nonce: bytes = bytes(32),
) -> list[Payload]:
    return [SaPayload((Proposal(1, 1, b"", transforms),)), KePayload(method, public), NoncePayload(nonce)]


def answers(world: World, to: IPv4Address = A) -> list[bytes]:
    return [data for _, data, path in world.wire.log if path.remote == to]


def idle(b_side: dict | None = None, timing: Timing | None = None) -> tuple[World, Peer]:
    world = psk_pair(b=b_side, timing=timing)
    del world.peers[A]
    return world, world.peers[B]


def up() -> tuple[World, Peer, Peer]:
    world = psk_pair()
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    return world, a, b


def sealed_by(
    peer: Peer,
    payloads: Sequence[Payload],
    *,
    exchange: int,
    message_id: int | None = None,
    first: int | None = None,
    chain: bytes | None = None,
) -> bytes:
    """A message that only ``peer``, whose keys are right, could have sent; its next request unless told otherwise."""
    sa = next(iter(peer.endpoint._core.by_id.values()))
    number = sa.window.next_outgoing if message_id is None else message_id
    flags = HeaderFlag.INITIATOR if sa.initiator else HeaderFlag(0)
    head = push_header(Header(sa.spi_i, sa.spi_r, exchange, flags, number))
    begin, inside = push_payloads(payloads)
    assert sa.envelope_out is not None
    return sa.envelope_out.seal(head, begin if first is None else first, inside if chain is None else chain)


def reply_to(a: Peer, world: World) -> list[Payload]:
    """What the last message to a says, opened with a's keys."""
    sa = next(iter(a.endpoint._core.by_id.values()))
    data = answers(world)[-1]
    message = pull_message(data)
    assert message.sealed is not None
    assert sa.envelope_in is not None
    return list(pull_payloads(message.sealed.first, sa.envelope_in.open(data, message.sealed)))


# Before authentication.


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_an_opening_without_one_of_its_payloads_is_dropped(missing: int) -> None:
    world, b = idle()
    payloads = opening()
    del payloads[missing]
    world.inject(init(*payloads), TO_B)
    world.run(60)
    assert answers(world) == []
    assert b.endpoint.drops == {"malformed": 1}
    assert b.endpoint.half_open == 0
    assert b.endpoint.next_timeout() is None
    assert b.failures == []


def test_a_proposal_without_key_exchange_is_refused() -> None:
    world, b = idle()
    world.inject(init(*opening(transforms=GOOD[:2])), TO_B)
    world.run(1)
    assert pull_message(answers(world)[0]).notify(NotifyType.NO_PROPOSAL_CHOSEN) is not None
    assert b.failure.code == "no-proposal-chosen"
    assert "key exchange" in b.failure.mismatch


@pytest.mark.parametrize(
    ("suite", "method", "public"),
    [
        ("aes256gcm16-prfsha384-x25519", Ke.X25519, bytes(32)),
        ("aes256gcm16-prfsha384-x25519", Ke.X25519, bytes(31)),
        ("aes256gcm16-prfsha384-modp2048", Ke.MODP_2048, bytes(256)),
        ("aes256gcm16-prfsha384-modp2048", Ke.MODP_2048, bytes(255) + b"\x01"),
        ("aes256gcm16-prfsha384-modp2048", Ke.MODP_2048, b"\xff" * 256),
        ("aes256gcm16-prfsha384-modp2048", Ke.MODP_2048, b"\x02"),
        ("aes256gcm16-prfsha384-ecp256", Ke.ECP_256, bytes(64)),
        ("aes256gcm16-prfsha384-ecp256", Ke.ECP_256, b"\x01" * 64),
    ],
)
def test_a_bad_public_value_gets_no_answer_and_no_state(suite: str, method: int, public: bytes) -> None:
    world, b = idle({"proposals": ike(suite)})
    transforms = (*GOOD[:2], Transform(4, method))
    world.inject(init(*opening(transforms=transforms, method=method, public=public)), TO_B)
    world.run(1)
    assert answers(world) == []
    assert b.endpoint.half_open == 0
    assert b.endpoint.ike_sas() == []


@pytest.mark.parametrize("method", [0, 1, 1024, 65535])
def test_an_unknown_key_exchange_is_answered_with_the_one_to_use(method: int) -> None:
    world, b = idle()
    world.inject(init(*opening(method=method)), TO_B)
    world.run(1)
    notify = pull_message(answers(world)[0]).notify(NotifyType.INVALID_KE_PAYLOAD)
    assert notify is not None
    assert notify.data == (31).to_bytes(2, "big")
    assert b.endpoint.half_open == 0
    assert b.failures == []


def test_an_unknown_transform_of_an_unknown_type_is_passed_over() -> None:
    world, _b = idle()
    odd = Proposal(1, 1, b"", (*GOOD, Transform(200, 1)))
    good = Proposal(2, 1, b"", (Transform(1, 9999), *GOOD))
    world.inject(init(SaPayload((odd, good)), *opening()[1:]), TO_B)
    world.run(1)
    chosen = pull_message(answers(world)[0]).one(SaPayload)
    assert chosen is not None
    assert chosen.proposals[0].number == 2


def test_a_critical_payload_that_nobody_knows_is_named_in_the_refusal() -> None:
    world, b = idle()
    data = bytearray(init(*opening()))
    first = data[16]
    data[16] = 200
    extra = bytes((first, 0x80, 0, 4))
    data[28:28] = extra
    data[24:28] = len(data).to_bytes(4, "big")
    world.inject(bytes(data), TO_B)
    world.run(1)
    notify = pull_message(answers(world)[0]).notify(NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD)
    assert notify is not None
    assert notify.data == bytes((200,))
    assert b.endpoint.half_open == 0


@pytest.mark.parametrize("major", [1, 3, 15])
def test_another_version_is_told_ours_and_reported_once(major: int) -> None:
    world, b = idle()
    data = bytearray(init(*opening()))
    data[17] = major << 4
    for _ in range(5):
        world.inject(bytes(data), TO_B)
    world.run(1)
    assert len(answers(world)) == 5
    notify = pull_message(answers(world)[0]).notify(NotifyType.INVALID_MAJOR_VERSION)
    assert notify is not None
    assert notify.data == b"\x02"
    assert b.failure.mismatch == "version"


def test_garbage_is_counted_and_changes_nothing() -> None:
    chance = random.Random(5)
    world, b = idle()
    base = init(*opening())
    for _ in range(3000):
        data = bytearray(base)
        for _ in range(chance.randrange(1, 6)):
            what = chance.randrange(3)
            if what == 0:
                data[chance.randrange(len(data))] = chance.randrange(256)
            elif what == 1:
                del data[chance.randrange(len(data)) :]
                data += b"\0"
            else:
                data[chance.randrange(len(data)) :] = chance.randbytes(chance.randrange(1, 60))
        if chance.random() < 0.8 and len(data) >= 28:
            data[24:28] = len(data).to_bytes(4, "big")
        world.inject(bytes(data), TO_B)
    world.run(1, steps=10_000)
    world.run(100)
    assert b.endpoint.ike_sas() == []
    assert b.endpoint.half_open == 0
    assert sum(b.endpoint.drops.values()) > 1000


def test_everything_but_an_opening_is_dropped_without_an_ike_sa() -> None:
    world, b = idle()
    for exchange in (35, 36, 37, 43, 77):
        world.inject(
            push_message(
                spi_i=b"a" * 8, spi_r=b"b" * 8, exchange=exchange, flags=HeaderFlag(8), message_id=1, payloads=[]
            ),
            TO_B,
        )
    world.inject(init(*opening(), flags=0x28), TO_B)
    world.inject(init(*opening(), message_id=1), TO_B)
    world.run(1)
    assert answers(world) == []
    assert b.endpoint.half_open == 0


# Floods.


def test_a_flood_from_one_source_needs_cookies_and_leaves_little_behind() -> None:
    world, b = idle(timing=Timing(cookie_threshold=30, cookie_threshold_ip=3))
    for number in range(1000):
        world.inject(init(*opening(), spi=number.to_bytes(8, "big") if number else b"\xff" * 8), TO_B)
    world.run(1)
    assert b.endpoint.half_open == 3
    assert b.endpoint.drops["cookie-demanded"] == 997
    world.run(31)
    assert b.endpoint.half_open == 0
    assert [f.code for f in b.failures] == ["half-open-timeout"] * 3


def test_an_honest_peer_comes_through_a_flood_from_elsewhere() -> None:
    world = psk_pair(timing=Timing(cookie_threshold=30))
    a, b = both(world)
    for number in range(1, 200):
        source = IPv4Address(0x0A000000 + number)
        world.inject(init(*opening(), spi=number.to_bytes(8, "big")), Path(B, 500, source, 500))
    world.run(0.5)
    assert b.endpoint.half_open == 30
    world.initiate(a)
    world.run(1)
    assert a.failures == []
    assert_mirrored(a, b)
    assert any("N(COOKIE)" in line for line in a.lines)


def test_two_thousand_tunnels_may_stand_behind_one_address() -> None:
    world = psk_pair()
    a, b = both(world)
    one = a.connections[0]
    a.connections[:] = [replace(one, name=f"site{number}", unique=Unique.NEVER) for number in range(2000)]
    for number in range(2000):
        world.initiate(a, f"site{number}")
    world.run(5, steps=100_000)
    assert a.failures == b.failures == []
    assert len(a.established()) == len(b.established()) == 2000
    assert b.endpoint.half_open == 0
    assert b.endpoint.drops["cookie-demanded"] > 1900


def test_a_cookie_that_comes_back_changed_is_answered_with_another() -> None:
    world, b = idle(timing=Timing(cookie_threshold=1))
    world.inject(init(*opening(), spi=b"firstone"), TO_B)
    world.inject(init(NotifyPayload(NotifyType.COOKIE, bytes(33)), *opening()), TO_B)
    world.run(1)
    assert b.endpoint.half_open == 1
    assert pull_message(answers(world)[1]).notify(NotifyType.COOKIE) is not None


def test_a_responder_that_always_wants_another_cookie_is_given_up() -> None:
    world = psk_pair()
    a, _ = both(world)
    del world.peers[B]
    world.initiate(a)
    for number in range(10):
        world.run(0.1)
        request = world.wire.log[-1][1]
        cookie = NotifyPayload(NotifyType.COOKIE, bytes((number + 1,)) * 8)
        world.inject(
            push_message(
                spi_i=request[:8],
                spi_r=bytes(8),
                exchange=INIT,
                flags=HeaderFlag.RESPONSE,
                message_id=0,
                payloads=[cookie],
            ),
            Path(A, 500, B, 500),
        )
    world.run(0.1)
    assert len({data for _, data, _ in world.wire.log}) == 6
    world.run(300)
    assert a.failure.code == "init-restarts"


# After authentication.


def test_a_replayed_datagram_of_any_kind_changes_nothing() -> None:
    world, a, b = up()
    a.endpoint.rekey_child(next(iter(a.installed)), world.now)
    world.run(1)
    a.endpoint.check_liveness(a.established()[0], world.now)
    world.run(1)
    before = (len(a.events), len(b.events))
    for _, data, path in list(world.wire.log):
        world.inject(data, Path(path.remote, path.remote_port, path.local, path.local_port))
    world.run(60)
    assert (len(a.events), len(b.events)) == before
    assert_mirrored(a, b)


def test_a_changed_bit_anywhere_is_noticed() -> None:
    world, a, b = up()
    good = sealed_by(a, [DeletePayload(ProtocolId.IKE)], exchange=ExchangeType.INFORMATIONAL)
    for at in range(len(good)):
        for bit in (0x01, 0x80):
            data = bytearray(good)
            data[at] ^= bit
            world.inject(bytes(data), TO_B_FLOATED)
    world.run(1)
    assert len(b.established()) == 1
    assert b.of(IkeSaDeleted) == []
    world.inject(good, TO_B_FLOATED)
    world.run(1)
    assert b.established() == []


def test_payloads_outside_of_sk_do_not_count() -> None:
    world, a, b = up()
    good = sealed_by(a, [], exchange=ExchangeType.INFORMATIONAL)
    plain = push_message(
        spi_i=good[:8],
        spi_r=good[8:16],
        exchange=ExchangeType.INFORMATIONAL,
        flags=HeaderFlag.INITIATOR,
        message_id=2,
        payloads=[DeletePayload(ProtocolId.IKE)],
    )
    world.inject(plain, TO_B_FLOATED)
    world.run(1)
    assert len(b.established()) == 1
    assert b.endpoint.drops == {"unprotected": 1}


def test_unknown_payloads_around_fragments_do_no_harm() -> None:
    world, a, b = up()
    sa = next(iter(a.endpoint._core.by_id.values()))
    assert sa.envelope_out is not None
    head = push_header(Header(sa.spi_i, sa.spi_r, ExchangeType.INFORMATIONAL, HeaderFlag.INITIATOR, 2))
    data = bytearray(sa.envelope_out.seal_fragment(head, PayloadType.NOTIFY, 1, 2, b"\0" * 40))
    # An unknown payload in front, and a fragment that does not verify any more.
    data[28:28] = bytes((PayloadType.SKF, 0, 0, 8, 1, 2, 3, 4))
    data[16] = 222
    data[24:28] = len(data).to_bytes(4, "big")
    world.inject(bytes(data), TO_B_FLOATED)
    for number, total in ((0, 0), (1, 0), (3, 2), (1, 65535)):
        broken = bytearray(sa.envelope_out.seal_fragment(head, PayloadType.NOTIFY, 1, 2, b"\0" * 40))
        broken[32:36] = number.to_bytes(2, "big") + total.to_bytes(2, "big")
        world.inject(bytes(broken), TO_B_FLOATED)
    world.run(1)
    assert len(b.established()) == 1
    a.endpoint.check_liveness(a.established()[0], world.now)
    world.run(1)
    assert len(a.established()) == len(b.established()) == 1
    assert "received INFORMATIONAL response 2 [ ]" in a.lines


def test_fragments_beyond_the_limit_are_dropped() -> None:
    world, a, b = up()
    sa = next(iter(a.endpoint._core.by_id.values()))
    assert sa.envelope_out is not None
    head = push_header(Header(sa.spi_i, sa.spi_r, ExchangeType.INFORMATIONAL, HeaderFlag.INITIATOR, 2))
    for number in range(1, 100):
        world.inject(sa.envelope_out.seal_fragment(head, 0, number, 128, bytes(1000)), TO_B_FLOATED)
    world.run(1)
    assert b.endpoint.drops["fragments-too-long"] > 10
    assert len(b.established()) == 1


@pytest.mark.parametrize(
    "payloads",
    [
        [NotifyPayload(NotifyType.REKEY_SA, b"", 0, b"")],
        [NotifyPayload(NotifyType.REKEY_SA, b"", 1, b"\0\0\0\x05")],
        [NotifyPayload(NotifyType.REKEY_SA, b"", 3, b"\0\0\0\x05")],
        [NotifyPayload(NotifyType.REKEY_SA, b"", 3, b"")],
        [NotifyPayload(NotifyType.REKEY_SA, b"", 255, b"12345678")],
    ],
)
def test_rekeying_what_does_not_exist_is_answered_so(payloads: list[Payload]) -> None:
    world, a, b = up()
    made = next(iter(a.installed.values()))
    rest: list[Payload] = [
        SaPayload((Proposal(1, 3, b"\0\0\x20\x01", (Transform(1, 20, 256), Transform(5, 0))),)),
        NoncePayload(bytes(32)),
        TsPayload(PayloadType.TS_I, made.local_ts),
        TsPayload(PayloadType.TS_R, made.remote_ts),
    ]
    world.inject(sealed_by(a, payloads + rest, exchange=ExchangeType.CREATE_CHILD_SA), TO_B_FLOATED)
    world.run(1)
    (answer,) = reply_to(a, world)
    assert isinstance(answer, NotifyPayload)
    assert answer.notify == NotifyType.CHILD_SA_NOT_FOUND
    assert len(b.installed) == 1
    assert len(b.established()) == 1


def test_the_same_child_is_not_replaced_twice() -> None:
    world, a, b = up()
    made = next(iter(a.installed.values()))
    for number in (2, 3):
        payloads: list[Payload] = [
            NotifyPayload(NotifyType.REKEY_SA, b"", 3, made.inbound.spi.to_bytes(4, "big")),
            SaPayload((Proposal(1, 3, b"\0\0\x20" + bytes((number,)), (Transform(1, 20, 256), Transform(5, 0))),)),
            NoncePayload(bytes(32)),
            TsPayload(PayloadType.TS_I, made.local_ts),
            TsPayload(PayloadType.TS_R, made.remote_ts),
        ]
        world.inject(sealed_by(a, payloads, exchange=ExchangeType.CREATE_CHILD_SA, message_id=number), TO_B_FLOATED)
        world.run(1)
    (answer,) = reply_to(a, world)
    assert isinstance(answer, NotifyPayload)
    assert answer.notify == NotifyType.TEMPORARY_FAILURE
    assert len(b.installed) == 2


@pytest.mark.parametrize(
    ("payloads", "code"),
    [
        ([NoncePayload(bytes(32))], "invalid-syntax"),
        ([SaPayload((Proposal(1, 3, b"\0\0\x20\x01", (Transform(1, 20, 256),)),))], "invalid-syntax"),
        (
            [SaPayload((Proposal(1, 1, b"\0\0\x20\x01", GOOD),)), NoncePayload(bytes(32)), KePayload(31, bytes(32))],
            "bad-spi",
        ),
        (
            [SaPayload((Proposal(1, 1, b"12345678", GOOD),)), NoncePayload(bytes(32)), KePayload(31, bytes(32))],
            "bad-key-exchange",
        ),
    ],
)
def test_a_malformed_rekey_gets_invalid_syntax_and_harms_nothing(payloads: list[Payload], code: str) -> None:
    world, a, b = up()
    world.inject(sealed_by(a, payloads, exchange=ExchangeType.CREATE_CHILD_SA), TO_B_FLOATED)
    world.run(1)
    (answer,) = reply_to(a, world)
    assert isinstance(answer, NotifyPayload)
    assert answer.notify == NotifyType.INVALID_SYNTAX
    assert b.failure.code == code
    assert len(b.established()) == 1
    assert len(b.installed) == 1


def test_malformed_traffic_selectors_get_invalid_syntax() -> None:
    world, a, b = up()
    for number, body in enumerate(
        (b"", b"\xff\0\0\0", b"\x01\0\0\0\x07\0\0\x04", b"\x01\0\0\0\x07\0\0\x10\0\0\xff\xff" + b"\xff" * 4 + bytes(4))
    ):
        chain = bytes((0, 0)) + (len(body) + 4).to_bytes(2, "big") + body
        data = sealed_by(
            a, [], exchange=ExchangeType.CREATE_CHILD_SA, message_id=2 + number, first=PayloadType.TS_I, chain=chain
        )
        world.inject(data, TO_B_FLOATED)
        world.run(1)
        (answer,) = reply_to(a, world)
        assert isinstance(answer, NotifyPayload)
        assert answer.notify == NotifyType.INVALID_SYNTAX
    assert len(b.established()) == 1


def test_an_ike_sa_that_is_not_authenticated_is_not_rekeyed() -> None:
    def edit(data: bytes, _: Path) -> bytes | None:
        return None if data[18] == ExchangeType.IKE_AUTH else data

    world = psk_pair(edit=edit)
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    payloads = [
        SaPayload((Proposal(1, 1, b"12345678", GOOD),)),
        NoncePayload(bytes(32)),
        KePayload(31, b"\x09" + bytes(31)),
    ]
    for message_id in (1, 2):
        world.inject(sealed_by(a, payloads, exchange=ExchangeType.CREATE_CHILD_SA, message_id=message_id), TO_B)
        world.inject(sealed_by(a, [DeletePayload(1)], exchange=ExchangeType.INFORMATIONAL, message_id=message_id), TO_B)
    world.run(1)
    assert b.of(IkeSaEstablished) == []
    assert b.endpoint.drops == {"unexpected-exchange": 2, "message-id-ahead": 2}
    assert b.endpoint.half_open == 1


def test_ike_auth_after_authentication_is_refused() -> None:
    world, a, b = up()
    world.inject(sealed_by(a, [VendorIdPayload(b"x")], exchange=ExchangeType.IKE_AUTH), TO_B_FLOATED)
    world.run(1)
    (answer,) = reply_to(a, world)
    assert isinstance(answer, NotifyPayload)
    assert answer.notify == NotifyType.INVALID_SYNTAX
    assert len(b.established()) == 1


def test_notifies_that_nobody_knows_are_passed_over() -> None:
    world, a, b = up()
    payloads = [NotifyPayload(n, b"x" * 40) for n in (9999, 16999, 40960, 65535)]
    world.inject(sealed_by(a, payloads, exchange=ExchangeType.INFORMATIONAL), TO_B_FLOATED)
    world.run(1)
    assert reply_to(a, world) == []
    assert len(b.established()) == 1
    assert b.failures == []


def test_deleting_spis_that_do_not_exist_is_answered_with_nothing() -> None:
    world, a, b = up()
    spis = tuple(n.to_bytes(4, "big") for n in range(300))
    world.inject(
        sealed_by(a, [DeletePayload(3, spis), DeletePayload(2, spis)], exchange=ExchangeType.INFORMATIONAL),
        TO_B_FLOATED,
    )
    world.run(1)
    assert reply_to(a, world) == []
    assert len(b.installed) == 1


def test_a_message_that_carries_our_own_role_is_dropped() -> None:
    world, _a, b = up()
    data = [d for _, d, path in world.wire.log if path.local == B][-1]
    world.inject(data, TO_B_FLOATED)
    world.run(1)
    assert len(b.established()) == 1
    assert sum(b.endpoint.drops.values()) == 1


def test_no_secret_appears_in_anything_that_is_told() -> None:
    world, a, b = up()
    a.endpoint.rekey_child(next(iter(a.installed)), world.now)
    world.run(1)
    text = repr((a.events, b.events, a.lines, b.lines, a.endpoint.ike_sas(), b.endpoint.ike_sas()))
    assert "battery" not in text
    for peer in (a, b):
        for made in peer.installed.values():
            assert bytes(made.inbound.encryption_key).hex() not in text
            assert repr(bytes(made.inbound.encryption_key))[2:-1] not in text


def test_refused_openings_leave_nothing_and_are_reported_once_each() -> None:
    world, b = idle()
    for number in range(1, 1001):
        data = init(*opening(transforms=(Transform(1, 12, 128), *GOOD[1:])), spi=number.to_bytes(8, "big"))
        world.inject(data, TO_B)
        world.inject(data, TO_B)
    world.run(1)
    assert len(answers(world)) == 2000
    assert len(b.failures) == 1000
    assert b.endpoint.half_open == 0
    assert b.endpoint.next_timeout() is None
