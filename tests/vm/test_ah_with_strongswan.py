"""AH and ESN as IKE negotiates them, between ours and a strongSwan whose packets are the kernel's."""

from __future__ import annotations

import pytest
from support.living import loaded
from support.tunnels import MEGABYTE, Pair, bulk, hosts_reach_each_other

from fastesp.lab.capture import Capture
from fastesp.lab.configurations import configuration
from fastesp.lab.sites import WAN

pytestmark = [pytest.mark.root, pytest.mark.vm]


@pytest.mark.parametrize(
    ("proposals", "wire"),
    [
        ("ah_proposals = sha256", "AH"),
        ("ah_proposals = sha512-esn", "AH"),
        ("esp_proposals = aes128-sha1-esn", "ESP"),
        ("esp_proposals = chacha20poly1305-esn", "ESP"),
    ],
)
def test_what_is_negotiated_carries_traffic_both_ways(jumbo: Pair, proposals: str, wire: str) -> None:
    a, b = jumbo.sites.a, jumbo.sites.b
    for peer, me, other in ((jumbo.ours, a, b), (jumbo.theirs, b, a)):
        peer.swanctl.configure(configuration(me, other).replace("esp_proposals = aes256gcm16", proposals))
    with loaded(jumbo):
        jumbo.ours.initiate("net")
        with Capture(jumbo.lab, a.gateway, WAN) as capture:
            hosts_reach_each_other(jumbo)
            bulk(jumbo, MEGABYTE, timeout=120.0)
            capture.stop()
    seen = capture.summary()
    assert seen[wire] > 2 * MEGABYTE / 9000
    assert sum(seen[other] for other in ("ESP", "AH", "ESP in UDP") if other != wire) == 0
