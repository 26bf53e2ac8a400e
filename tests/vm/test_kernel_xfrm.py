"""A tunnel between ours and a strongSwan whose ESP is the Linux kernel's: protocol 50 on the wire, no UDP."""

from __future__ import annotations

import pytest
from support.tunnels import MEGABYTE, bulk, carries_traffic_and_is_deleted, certify, configure, pair

from fastesp.lab import Lab
from fastesp.lab.configurations import example
from fastesp.lab.traffic import ping

pytestmark = [pytest.mark.root, pytest.mark.vm]


JUMBO = 9000
"""The MTU under which the 100 megabytes travel: what a packet costs, an emulated CPU pays thirty times over."""


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
@pytest.mark.parametrize("auth", ["psk", "pubkey"])
def test_a_tunnel_carries_100_megabytes_each_way_and_is_deleted_from_either_side(
    lab: Lab, auth: str, initiator: str
) -> None:
    both = pair(lab, kernel=True, mtu=JUMBO)
    configure(both, auth=auth)
    if auth == "pubkey":
        certify(both)
    both.start()
    carries_traffic_and_is_deleted(both, initiator, wire="ESP", size=100 * MEGABYTE, timeout=400.0)


def test_packets_of_every_size_pass_under_the_usual_mtu(lab: Lab) -> None:
    both = pair(lab, kernel=True)
    configure(both)
    both.start()
    both.ours.initiate("net")
    for size in (0, 1, 15, 16, 17, 100, 1000, 1371, 1372):
        assert ping(both.sites.a.host, both.sites.b.host_address, count=1, size=size).received == 1
        assert ping(both.sites.b.host, both.sites.a.host_address, count=1, size=size).received == 1
    bulk(both, 2 * MEGABYTE, timeout=120.0)


@pytest.mark.parametrize("springs", ["ours", "theirs"])
def test_the_promised_configuration_runs_as_it_stands_from_either_trap(lab: Lab, springs: str) -> None:
    """With XFRM both sides have traps. Ours keeps the first packet; the kernel's drops what comes before the SA."""
    both = pair(lab, kernel=True)
    both.ours.swanctl.configure(example(both.sites.a, both.sites.b))
    both.theirs.swanctl.configure(example(both.sites.b, both.sites.a))
    certify(both)
    both.start()
    a, b = both.sites.a, both.sites.b
    source, target = (a.host, b.host_address) if springs == "ours" else (b.host, a.host_address)
    result = ping(source, target, count=20, interval=1.0)
    assert result.received == result.sent if springs == "ours" else result.received > 0
    assert both.theirs.child_sa("net").packets_in > 0
