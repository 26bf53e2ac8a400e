"""AH as IKE negotiates it, between two gateways of ours: protocol 51 on the wire."""

from __future__ import annotations

import pytest

from fastesp.lab import Lab, two_sites
from fastesp.lab.capture import Capture
from fastesp.lab.configurations import configuration
from fastesp.lab.ours import OurGateway
from fastesp.lab.sites import WAN, Site
from fastesp.lab.traffic import ping, transfer

pytestmark = pytest.mark.root


def with_ah(me: Site, peer: Site) -> str:
    """ESP's proposal gives way to AH's."""
    return configuration(me, peer).replace("esp_proposals = aes256gcm16", "ah_proposals = sha256")


def test_a_tunnel_of_ah_comes_up_and_carries_traffic_both_ways(lab: Lab) -> None:
    sites = two_sites(lab)
    a, b = OurGateway(lab, sites.a.gateway), OurGateway(lab, sites.b.gateway)
    a.swanctl.configure(with_ah(sites.a, sites.b))
    b.swanctl.configure(with_ah(sites.b, sites.a))
    a.start()
    b.start()
    a.initiate("net")
    with Capture(lab, sites.a.gateway, WAN) as capture:
        result = ping(sites.a.host, sites.b.host_address)
        assert result.received == result.sent
        transfer(sites.a.host, sites.b.host, sites.b.host_address, 1_000_000, timeout=30.0)
        transfer(sites.b.host, sites.a.host, sites.a.host_address, 1_000_000, timeout=30.0)
        capture.stop()
    seen = capture.summary()
    assert seen["AH"] > 1_000
    assert seen["ESP"] == seen["ESP in UDP"] == 0
    assert a.child_sa("net").packets_in == b.child_sa("net").packets_out > 0
