"""Tickets: sealed for one gateway, for a while, for one use (RFC 5723)."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ike.config import Connection
from ike.crypto.proposal import ProposalSpec
from ike.crypto.secret import Secret
from ike.errors import PeerError
from ike.sa import tickets
from ike.sa.tickets import LIFETIME, Session, Tickets
from ike.wire.constants import NotifyType, ProtocolId
from ike.wire.identity import Identity

SK_D = b"a key that nobody else has to know"
SUITE = ProposalSpec.parse("aes256gcm16-prfsha384-x25519", ProtocolId.IKE).transforms
SESSION = Session(
    connection="site-ä",
    witness=bytes(range(32)),
    remote_auth="pre-shared key",
    authenticated_at=12.5,
    spi_i=b"i" * 8,
    spi_r=b"r" * 8,
    local_id=Identity.parse("gw.example.org"),
    remote_id=Identity.parse("CN=client, O=Example"),
    suite=SUITE,
    ppk=True,
    sk_d=Secret(SK_D),
)


def gateway(seed: int = 1) -> Tickets:
    return Tickets(random.Random(seed).randbytes)


def refused(of: Tickets, ticket: bytes, now: float = 1.0) -> str:
    with pytest.raises(PeerError) as problem:
        of.open(ticket, now)
    assert problem.value.notify == NotifyType.TICKET_NACK
    return str(problem.value)


def test_a_ticket_brings_back_all_that_went_in() -> None:
    here = gateway()
    session, _ = here.open(here.seal(SESSION, 60.0, 0.0), 1.0)
    assert session == SESSION


def test_a_ticket_shows_nothing_of_what_is_in_it() -> None:
    ticket = gateway().seal(SESSION, 60.0, 0.0)
    for secret in (SK_D, b"site", b"Example", b"pre-shared", SESSION.spi_i, SESSION.witness):
        assert secret not in ticket
    assert SK_D.decode() not in repr(SESSION)


def test_two_tickets_of_one_session_have_nothing_in_common_but_their_key() -> None:
    here = gateway()
    one, other = here.seal(SESSION, 60.0, 0.0), here.seal(SESSION, 60.0, 0.0)
    assert one[:9] == other[:9]
    assert one[9:21] != other[9:21]
    assert sum(a == b for a, b in zip(one[21:], other[21:], strict=True)) < 20


def test_another_gateway_or_the_same_one_restarted_opens_nothing() -> None:
    assert "another gateway" in refused(gateway(2), gateway(1).seal(SESSION, 60.0, 0.0))


def test_a_ticket_expires() -> None:
    here = gateway()
    ticket = here.seal(SESSION, 60.0, 0.0)
    here.open(ticket, 59.9)
    assert "expired" in refused(here, ticket, 60.0)


def test_keys_rotate_and_an_old_one_opens_for_as_long_as_its_tickets_live() -> None:
    here = gateway()
    first = here.seal(SESSION, LIFETIME, 0.0)
    last = here.seal(SESSION, LIFETIME, LIFETIME - 1)
    second = here.seal(SESSION, LIFETIME, LIFETIME)
    assert first[1:9] == last[1:9] != second[1:9]
    here.open(last, 2 * LIFETIME - 2)
    here.open(second, 2 * LIFETIME - 2)
    assert "too long ago" in refused(here, last, 2 * LIFETIME)


def test_a_ticket_serves_once() -> None:
    here = gateway()
    ticket = here.seal(SESSION, 60.0, 0.0)
    _, serial = here.open(ticket, 1.0)
    here.open(ticket, 1.0)  # looking does not use it up
    assert here.spend(serial)
    assert not here.spend(serial)
    assert "used before" in refused(here, ticket)


def test_what_is_remembered_of_used_tickets_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tickets, "MAX_USED", 3)
    here = gateway()
    sealed = [here.seal(SESSION, 60.0, 0.0) for _ in range(4)]
    for ticket in sealed[:3]:
        assert here.spend(here.open(ticket, 1.0)[1])
    # Rather than forget one that was used, the key goes: what is left of it is refused, and a new one seals.
    for ticket in sealed:
        refused(here, ticket)
    here.open(here.seal(SESSION, 60.0, 2.0), 3.0)


def test_a_connection_that_is_changed_is_another_one_and_what_is_known_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, connection = gateway(), Connection("site")
    before = here.generation(connection)
    assert here.generation(replace(connection, where={"": "elsewhere:1"})) == before
    assert here.generation(replace(connection, encap=True)) != before
    monkeypatch.setattr(tickets, "MAX_CONNECTIONS", 2)
    known = here.generation(connection)
    for number in range(5):
        here.generation(Connection(f"other{number}"))
    assert here.generation(connection) != known


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_is_found(position: int, bits: int) -> None:
    here = gateway()
    ticket = here.seal(SESSION, 60.0, 0.0)
    at = position % len(ticket)
    refused(here, ticket[:at] + bytes((ticket[at] ^ bits,)) + ticket[at + 1 :])


@given(st.binary(max_size=5000) | st.integers(0, 300))
def test_any_bytes_are_refused(what: bytes | int) -> None:
    here = gateway()
    ticket = here.seal(SESSION, 60.0, 0.0)
    refused(here, what if isinstance(what, bytes) else ticket[: min(what, len(ticket) - 1)])
