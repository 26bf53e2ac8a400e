"""A tunnel between ours and a strongSwan whose ESP is the Linux kernel's: protocol 50 on the wire, no UDP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.living import configured, living_pair, loaded
from support.tunnels import MEGABYTE, Pair, bulk, carries_traffic_and_is_deleted, certify

from fastesp.lab.configurations import example
from fastesp.lab.process import wait_until
from fastesp.lab.traffic import ping

pytestmark = [pytest.mark.root, pytest.mark.vm]


@pytest.fixture(scope="module")
def usual() -> Iterator[Pair]:
    """Ours and strongSwan with the MTU that wires usually have."""
    with living_pair(kernel=True) as both:
        certify(both)
        yield both


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
@pytest.mark.parametrize("auth", ["psk", "pubkey"])
def test_a_tunnel_carries_100_megabytes_each_way_and_is_deleted_from_either_side(
    jumbo: Pair, auth: str, initiator: str
) -> None:
    with configured(jumbo, auth=auth):
        carries_traffic_and_is_deleted(jumbo, initiator, wire="ESP", size=100 * MEGABYTE, timeout=400.0)


def test_packets_of_every_size_pass_under_the_usual_mtu(usual: Pair) -> None:
    with configured(usual):
        usual.ours.initiate("net")
        for size in (0, 1, 15, 16, 17, 100, 1000, 1371, 1372):
            assert ping(usual.sites.a.host, usual.sites.b.host_address, count=1, size=size).received == 1
            assert ping(usual.sites.b.host, usual.sites.a.host_address, count=1, size=size).received == 1
        bulk(usual, 2 * MEGABYTE, timeout=120.0)


@pytest.mark.parametrize("springs", ["ours", "theirs"])
def test_the_promised_configuration_runs_as_it_stands_from_either_trap(usual: Pair, springs: str) -> None:
    """With XFRM both sides have traps. Ours keeps the first packet; the kernel's drops what comes before the SA."""
    a, b = usual.sites.a, usual.sites.b
    usual.ours.swanctl.configure(example(a, b))
    usual.theirs.swanctl.configure(example(b, a))
    with loaded(usual):
        assert not usual.ours.children()
        if springs == "ours":
            result = ping(a.host, b.host_address, count=8, interval=1.0)
            assert result.received == result.sent
        else:
            wait_until(lambda: ping(b.host, a.host_address, count=1).received == 1, "a ping through their trap", 60.0)
        assert usual.theirs.child_sa("net").packets_in > 0
