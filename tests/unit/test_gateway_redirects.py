"""Where a gateway sends us on to (RFC 5685): a host name may lead to nowhere that its address would not lead to."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from support.gateways import memory_gateway

from fastesp.codes import CODES
from fastesp.gateway.gateway import Gateway
from fastesp.lab import Lab
from fastesp.lab.namespace import Namespace
from ike.config import Connection
from ike.crypto.proposal import default_ike
from ike.events import FailureRecord, IkeSaRedirected
from ike.wire.constants import IdType
from ike.wire.identity import Identity

HERE, THERE, OTHER = "198.51.100.7", "198.51.100.1", "198.51.100.2"


@pytest.fixture(scope="module")
def host() -> Iterator[Namespace]:
    """With one address and one neighbour."""
    with Lab("redirects") as lab:
        made, peer = lab.namespace("host"), lab.namespace("peer")
        lab.wire(made, "wire", peer, "wire")
        made.address("wire", f"{HERE}/24")
        yield made


@pytest.fixture
def gateway(host: Namespace) -> Iterator[Gateway]:
    with host.entered():
        made = memory_gateway()
        made.registry.load((Connection("site", proposals=default_ike()),))
        yield made


def sent_on(gateway: Gateway, name: str, kind: IdType = IdType.FQDN) -> tuple[list[str], list[FailureRecord]]:
    """Whom we asked then, and what was reported."""
    data = name.encode() if kind is IdType.FQDN else ip_address(name).packed
    event = IkeSaRedirected(1, "site", Identity(kind, data), ip_address(THERE), ())
    failures: list[FailureRecord] = []

    async def follow() -> None:
        gateway.starter.redirected(event, failures.append)
        await asyncio.gather(*gateway.starter._tasks)

    asyncio.run(follow())
    return [str(info.path.remote) for info in gateway.endpoint.ike_sas()], failures


pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace")]


def test_a_name_leads_where_its_address_does(gateway: Gateway) -> None:
    assert sent_on(gateway, OTHER) == ([OTHER], [])


@pytest.mark.parametrize(
    "name",
    ["localhost", "127.0.0.1", "127.1", "2130706433", "0", "0.0.0.0", "224.0.0.1", "255.255.255.255", HERE, THERE],
)
def test_a_name_that_leads_to_ourselves_to_nobody_or_back_is_refused(gateway: Gateway, name: str) -> None:
    asked, (record,) = sent_on(gateway, name)
    assert asked == []
    assert record.code == "redirect-refused"
    assert record.code in CODES
    assert THERE in record.summary
    assert name in record.summary


def test_an_address_of_ours_is_refused_too(gateway: Gateway) -> None:
    asked, (record,) = sent_on(gateway, HERE, IdType.IPV4_ADDR)
    assert (asked, record.code) == ([], "redirect-refused")
