"""What has brought other IKE daemons down, or strangers in, and is not among the tests of ``test_hostile.py``."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import cache

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from support.certs import Holder, issue
from support.peers import A, B, Peer, World, assert_mirrored, both, connection, net, psk_pair

from ike.credentials import CredentialStore
from ike.crypto import signature
from ike.events import ChildSaEstablished, IkeSaEstablished, Path
from ike.wire.constants import ExchangeType, HeaderFlag, NotifyType, PayloadType
from ike.wire.header import Header, push_header
from ike.wire.message import pull_message, push_message, push_payloads
from ike.wire.payloads import (
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
)

EAP_SUCCESS = bytes((3, 1, 0, 4))
PRIVATE_GROUPS = (1024, 1025, 1030, 1040, 65535)
"""Numbers for private use (RFC 7296 section 3.3.2): daemons keep groups of their own under some of them."""


def sealed_response(peer: Peer, exchange: int, message_id: int, payloads: list[Payload]) -> bytes:
    """An answer that only ``peer``, whose keys are right, could have given."""
    sa = next(iter(peer.endpoint._core.by_id.values()))
    flags = HeaderFlag.RESPONSE | (HeaderFlag.INITIATOR if sa.initiator else HeaderFlag(0))
    assert sa.envelope_out is not None
    return sa.envelope_out.seal(
        push_header(Header(sa.spi_i, sa.spi_r, exchange, flags, message_id)), *push_payloads(payloads)
    )


def identity(peer: Peer, kind: PayloadType) -> IdPayload:
    """What a peer calls itself."""
    named = peer.connections[0].local[0].id
    assert named is not None
    return IdPayload(kind, named.id_type, named.data)


@pytest.mark.parametrize("group", PRIVATE_GROUPS)
def test_a_key_exchange_for_private_use_is_never_chosen(group: int) -> None:
    world = psk_pair()
    _, b = both(world)
    del world.peers[A]
    for public in (b"", bytes(32), b"\x09" + bytes(31)):
        offered = Proposal(1, 1, b"", (Transform(1, 20, 256), Transform(2, 6), Transform(4, group)))
        payloads = [SaPayload((offered,)), KePayload(group, public or b"\0"), NoncePayload(bytes(32))]
        request = push_message(
            spi_i=b"12345678",
            spi_r=bytes(8),
            exchange=ExchangeType.IKE_SA_INIT,
            flags=HeaderFlag.INITIATOR,
            message_id=0,
            payloads=payloads,
        )
        world.inject(request, Path(B, 500, A, 500))
    world.run(1)
    answers = [pull_message(data) for _, data, _ in world.wire.log]
    assert len(answers) == 3
    assert all(answer.notify(NotifyType.NO_PROPOSAL_CHOSEN) is not None for answer in answers)
    assert b.endpoint.half_open == 0


@pytest.mark.parametrize("with_identity", [True, False])
def test_eap_success_in_place_of_a_proof_authenticates_nobody(with_identity: bool) -> None:
    """RFC 7296 section 2.16: EAP replaces the initiator's proof, never the responder's."""

    def no_answer(data: bytes, path: Path) -> bytes | None:
        return None if data[18] == ExchangeType.IKE_AUTH and path.local == B else data

    world = psk_pair(edit=no_answer)
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    who: list[Payload] = [identity(b, PayloadType.ID_R)] if with_identity else []
    world.inject(sealed_response(b, ExchangeType.IKE_AUTH, 1, [*who, EapPayload(EAP_SUCCESS)]), Path(A, 4500, B, 4500))
    world.run(1)
    assert a.of(IkeSaEstablished) == []
    assert a.installed == {}
    assert a.established() == []


def test_an_initiator_that_sends_eap_success_unasked_is_nobody() -> None:
    """It leaves its AUTH out, as EAP begins, and brings the end of EAP along."""
    world = psk_pair()
    a, b = both(world)
    world.wire.edit = lambda data, path: None if data[18] == ExchangeType.IKE_AUTH and path.local == A else data
    world.initiate(a)
    world.run(0.5)
    sa = next(iter(a.endpoint._core.by_id.values()))
    assert sa.envelope_out is not None
    head = push_header(Header(sa.spi_i, sa.spi_r, ExchangeType.IKE_AUTH, HeaderFlag.INITIATOR, 1))
    payloads: list[Payload] = [identity(a, PayloadType.ID_I), EapPayload(EAP_SUCCESS)]
    world.inject(sa.envelope_out.seal(head, *push_payloads(payloads)), Path(B, 500, A, 500))
    world.run(1)
    assert b.of(IkeSaEstablished) == []
    assert b.installed == {}


@cache
def holder(name: str) -> Holder:
    return issue(name, authority=True) if name == "root" else issue(name, holder("root"))


def with_certificates() -> World:
    sides = []
    for mine, other, here, there, seed in (
        ("a", "b", "10.10.0.0/24", "10.20.0.0/24", 1),
        ("b", "a", "10.20.0.0/24", "10.10.0.0/24", 2),
    ):
        own = holder(f"site-{mine}")
        store = CredentialStore()
        store.add_private_key(own.key)
        store.add_certificate(own.certificate)
        store.add_authority(holder("root").certificate)
        made = connection(f"CN=site-{mine}", f"CN=site-{other}", net(here, there), auth="pubkey")
        rounds = (replace(made.local[0], certs=(own.certificate,)),)
        sides.append(Peer(A if mine == "a" else B, [replace(made, local=rounds)], store, seed))
    return World(*sides)


@pytest.mark.parametrize("error", [UnsupportedAlgorithm("no such curve"), RuntimeError("out of memory"), ValueError()])
def test_whatever_goes_wrong_while_a_signature_is_checked_nobody_is_authenticated(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A library that fails in a way nobody foresaw has not said that the signature is good."""

    def fails(*_: object) -> None:
        raise error

    world = with_certificates()
    a, b = both(world)
    world.initiate(a)
    monkeypatch.setattr(signature, "_check", fails)
    with suppress(type(error)):
        world.run(1)
    assert b.of(IkeSaEstablished) == a.of(IkeSaEstablished) == []
    assert a.installed == b.installed == {}
    monkeypatch.undo()
    again = with_certificates()
    left, right = both(again)
    again.initiate(left)
    again.run(1)
    assert_mirrored(left, right)


def rekey(child: ChildSaEstablished, number: int) -> list[Payload]:
    """A request to replace a child of ours, with an SPI that has ``number`` in it."""
    offered = Proposal(1, 3, b"\0\0\x20" + bytes((number,)), (Transform(1, 20, 256), Transform(5, 0)))
    return [
        NotifyPayload(NotifyType.REKEY_SA, b"", 3, child.inbound.spi.to_bytes(4, "big")),
        SaPayload((offered,)),
        NoncePayload(bytes(32)),
        TsPayload(PayloadType.TS_I, child.local_ts),
        TsPayload(PayloadType.TS_R, child.remote_ts),
    ]


def test_the_same_child_is_asked_to_be_rekeyed_twice_in_one_breath() -> None:
    """Both requests are in the wire before either is answered: one is served, the other is ahead of its turn."""
    world = psk_pair()
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    made = next(iter(a.installed.values()))
    sa = next(iter(a.endpoint._core.by_id.values()))
    assert sa.envelope_out is not None
    for number in (2, 3, 2):
        head = push_header(Header(sa.spi_i, sa.spi_r, ExchangeType.CREATE_CHILD_SA, HeaderFlag.INITIATOR, number))
        world.inject(sa.envelope_out.seal(head, *push_payloads(rekey(made, number))), Path(B, 4500, A, 4500))
    world.run(1)
    assert len(b.installed) == 2
    assert len(b.established()) == 1
