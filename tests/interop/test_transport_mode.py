"""Transport mode between two gateways of ours: what the hosts themselves say to each other, through NATs as well."""

from __future__ import annotations

import pytest
from support.nats import sites_behind
from support.transport import carry, configure

from fastesp.lab import Lab, two_sites
from fastesp.lab.configurations import configuration
from fastesp.lab.ours import OurGateway
from fastesp.lab.process import wait_until
from fastesp.lab.traffic import ping

pytestmark = pytest.mark.root

MEGABYTE = 1_000_000


@pytest.mark.parametrize("places", ["", "a", "ab"])
def test_hosts_reach_each_other_and_nothing_else_goes_through_it(lab: Lab, places: str) -> None:
    sites, seen = sites_behind(lab, places)
    a, b = OurGateway(lab, sites.a.gateway), OurGateway(lab, sites.b.gateway)
    configure(sites, seen, a, b)
    for gateway in (a, b):
        gateway.start()
    a.initiate("net")
    assert ping(sites.a.gateway, seen["b"]).received == 3
    carry(sites, seen["b"], MEGABYTE)
    wait_until(lambda: b.child_sa("net").packets_in >= a.child_sa("net").packets_out, "all packets", 10.0)
    ours, theirs = a.child_sa("net"), b.child_sa("net")
    assert ours.raw["mode"] == theirs.raw["mode"] == b"TRANSPORT"
    assert ours.encap is theirs.encap is bool(places)
    assert theirs.bytes_in > MEGABYTE
    assert ours.packets_in > 3


def test_a_trap_for_any_peer_asks_whom_the_packet_is_for(lab: Lab) -> None:
    sites = two_sites(lab)
    gateways = []
    for me, peer in ((sites.a, sites.b), (sites.b, sites.a)):
        gateway = OurGateway(lab, me.gateway)
        far = peer.outer.rpartition(".")[0] + ".0/24"
        text = configuration(me, peer, local_ts="dynamic", remote_ts=far, start_action="trap", child="mode = transport")
        gateway.swanctl.configure(text.replace(f"remote_addrs = {peer.outer}", "remote_addrs = %any"))
        gateway.start()
        gateways.append(gateway)
    a, b = gateways
    assert ping(sites.a.gateway, sites.b.outer).received == 3
    ours, theirs = a.child_sa("net"), b.child_sa("net")
    assert ours.raw["mode"] == theirs.raw["mode"] == b"TRANSPORT"
    assert ours.raw["remote-ts"] == theirs.raw["local-ts"] == [f"{sites.b.outer}/32".encode()]
    assert ours.packets_out >= 3
