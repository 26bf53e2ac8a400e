"""How an initiation over VICI ends where the gateway that was asked sends us on to another one (RFC 5685)."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address

from fastesp.gateway.commands.control import Attempt
from ike.events import (
    Event,
    FailureRecord,
    IkeSaDeleted,
    IkeSaEstablished,
    IkeSaRedirected,
    NegotiationFailed,
    Path,
)
from ike.wire.identity import Identity

FIRST, SECOND = IPv4Address("198.51.100.20"), IPv4Address("198.51.100.30")
SENT_ON: tuple[Event, ...] = (
    IkeSaRedirected(1, "site", Identity.of_address(SECOND), FIRST, ()),
    IkeSaDeleted(1, "site", "redirected"),
)


def established(ike_id: int, connection: str) -> IkeSaEstablished:
    who = Identity.parse("gw.example.org")
    path = Path(FIRST, 500, SECOND, 500)
    return IkeSaEstablished(ike_id, connection, True, who, who, path, b"i" * 8, b"r" * 8, (), False, False)


def failed(ike_id: int, connection: str) -> NegotiationFailed:
    return NegotiationFailed(ike_id, FailureRecord("peer-unreachable", "", "IKE_SA_INIT", "initiator", "", connection))


def outcome(*events: Event) -> FailureRecord | str | None:
    """What an attempt of connection ``site`` in IKE SA 1 came to, ``open`` as long as it goes on."""

    async def hear() -> FailureRecord | str | None:
        attempt = Attempt("site", "")
        attempt.ike_ids.add(1)
        for event in events:
            attempt.hear(event)
        return attempt.ended.result() if attempt.ended.done() else "open"

    return asyncio.run(hear())


def test_it_goes_on_with_the_other_gateway() -> None:
    assert outcome(*SENT_ON) == "open"
    assert outcome(*SENT_ON, established(2, "other")) == "open"
    assert outcome(*SENT_ON, established(2, "site")) is None


def test_it_fails_where_the_other_gateway_does() -> None:
    record = outcome(*SENT_ON, failed(2, "site"))
    assert isinstance(record, FailureRecord)
    assert record.code == "peer-unreachable"


def test_without_a_redirect_other_ike_sas_of_the_connection_do_not_count() -> None:
    assert outcome(established(2, "site"), failed(2, "site")) == "open"
    record = outcome(IkeSaDeleted(1, "site", "deleted"))
    assert isinstance(record, FailureRecord)
    assert record.code == "ike-sa-closed"
