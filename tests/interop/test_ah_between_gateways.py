"""AH as IKE negotiates it, between two gateways of ours: protocol 51 on the wire.

AES-GMAC (RFC 4543) is checked between our own gateways alone: Linux has none in AH, so no peer here could carry it.
"""

from __future__ import annotations

import pytest

from fastesp.lab import Lab, two_sites
from fastesp.lab.capture import Capture
from fastesp.lab.configurations import configuration
from fastesp.lab.ours import OurGateway
from fastesp.lab.sites import WAN, Site
from fastesp.lab.traffic import ping, transfer

pytestmark = pytest.mark.root


def with_ah(me: Site, peer: Site, proposal: str) -> str:
    """ESP's proposal gives way to AH's."""
    return configuration(me, peer).replace("esp_proposals = aes256gcm16", f"ah_proposals = {proposal}")


@pytest.mark.parametrize(
    ("proposal", "agreed"),
    [
        ("sha256", "HMAC_SHA2_256_128"),
        ("aes128gmac", "AES_128_GMAC"),
        ("aes192gmac-noesn", "AES_192_GMAC"),
        ("aes256gmac-esn", "AES_256_GMAC"),
    ],
)
def test_a_tunnel_of_ah_comes_up_and_carries_traffic_both_ways(lab: Lab, proposal: str, agreed: str) -> None:
    sites = two_sites(lab)
    a, b = OurGateway(lab, sites.a.gateway), OurGateway(lab, sites.b.gateway)
    a.swanctl.configure(with_ah(sites.a, sites.b, proposal))
    b.swanctl.configure(with_ah(sites.b, sites.a, proposal))
    a.start()
    b.start()
    a.initiate("net")
    assert agreed in a.command("status").output
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
