"""AH and ESN as IKE negotiates them, between ours and a strongSwan whose packets are the kernel's."""

from __future__ import annotations

import pytest
from support.tunnels import MEGABYTE, bulk, hosts_reach_each_other, pair

from fastesp.lab import Lab
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
def test_what_is_negotiated_carries_traffic_both_ways(lab: Lab, proposals: str, wire: str) -> None:
    both = pair(lab, kernel=True)
    a, b = both.sites.a, both.sites.b
    for peer, me, other in ((both.ours, a, b), (both.theirs, b, a)):
        peer.swanctl.configure(configuration(me, other).replace("esp_proposals = aes256gcm16", proposals))
    both.start()
    both.ours.initiate("net")
    with Capture(lab, a.gateway, WAN) as capture:
        hosts_reach_each_other(both)
        bulk(both, MEGABYTE, timeout=120.0)
        capture.stop()
    seen = capture.summary()
    assert seen[wire] > 1_000
    assert sum(seen[other] for other in ("ESP", "AH", "ESP in UDP") if other != wire) == 0
