"""Transport mode through a NAT, between ours and a strongSwan whose packets are the kernel's (RFC 7296 2.23.1)."""

from __future__ import annotations

import pytest
from support.nats import sites_behind
from support.transport import carry, configure

from fastesp.lab import Lab
from fastesp.lab.ours import OurGateway
from fastesp.lab.strongswan import StrongSwan
from fastesp.lab.traffic import ping

pytestmark = [pytest.mark.root, pytest.mark.vm]

SIZE = 200_000


@pytest.mark.parametrize(("places", "initiator"), [("a", "ours"), ("b", "theirs")])
def test_hosts_reach_each_other_through_a_nat(lab: Lab, places: str, initiator: str) -> None:
    """The NAT stands before ours (a) or before strongSwan (b)."""
    sites, seen = sites_behind(lab, places)
    ours, theirs = OurGateway(lab, sites.a.gateway), StrongSwan(lab, sites.b.gateway, kernel=True)
    configure(sites, seen, ours, theirs)
    theirs.start()
    ours.start()
    (ours if initiator == "ours" else theirs).initiate("net", timeout=60.0)
    for peer in (ours, theirs):
        child = peer.wait_child("net", timeout=60.0)
        assert child.raw["mode"] == b"TRANSPORT"
        assert child.encap
    assert ping(sites.a.gateway, seen["b"]).received == 3
    assert ping(sites.b.gateway, seen["a"]).received == 3
    carry(sites, seen["b"], SIZE, patience=120.0)
    assert ours.child_sa("net").bytes_out > SIZE
    assert theirs.child_sa("net").bytes_in > SIZE
