"""The tunnels that we are measured beside come up between the same sites, encrypt, and carry traffic."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fastesp.lab import Lab, Process, Sites, two_sites
from fastesp.lab.capture import Capture
from fastesp.lab.rivals import OPENVPN_PORT, WIREGUARD_PORT, openvpn, wireguard
from fastesp.lab.sites import WAN
from fastesp.lab.traffic import ping, transfer

pytestmark = [pytest.mark.root, pytest.mark.peer]


@pytest.mark.parametrize(("rival", "port"), [(wireguard, WIREGUARD_PORT), (openvpn, OPENVPN_PORT)])
def test_a_rival_carries_traffic_in_its_own_packets_only(
    lab: Lab, rival: Callable[[Lab, Sites], list[Process]], port: int
) -> None:
    sites = two_sites(lab)
    with Capture(lab, sites.a.gateway, WAN) as wan:
        rival(lab, sites)
        assert ping(sites.b.host, sites.a.host_address).received == 3
        assert transfer(sites.a.host, sites.b.host, sites.b.host_address, 1_000_000).size == 1_000_000
    # OpenVPN calls before the other side listens, whose kernel then answers with ICMP.
    beside = {"ARP", "neighbour discovery", f"protocol 1, {sites.b.outer} to {sites.a.outer}"}
    seen = [what for what in wan.summary() if what not in beside]
    assert seen
    assert all(what.startswith(f"UDP {port}") for what in seen)
