"""Reauthentication between two gateways of ours, with traffic: nothing is lost before the break, or leaks after it."""

from __future__ import annotations

import threading

import pytest

from fastesp.lab import Lab, Sites, two_sites
from fastesp.lab.capture import Capture
from fastesp.lab.configurations import configuration
from fastesp.lab.ours import OurGateway
from fastesp.lab.process import wait_until
from fastesp.lab.sites import WAN
from fastesp.lab.traffic import Pings, ping

pytestmark = pytest.mark.root

INTERVAL = 0.01
TIMES = "rekey_time = 0\n    reauth_time = {}s\n    rand_time = 0\n    over_time = 20s"


def gateways(lab: Lab, *, settings: str, reauth: int) -> tuple[OurGateway, OurGateway, Sites]:
    """Both up, a tunnel between them."""
    sites = two_sites(lab)
    made = []
    for me, peer in ((sites.a, sites.b), (sites.b, sites.a)):
        gateway = OurGateway(lab, me.gateway, settings=settings)
        gateway.swanctl.configure(configuration(me, peer, connection=TIMES.format(reauth if me is sites.a else 3600)))
        gateway.start()
        made.append(gateway)
    made[0].initiate("net")
    made[1].wait_child("net")
    return made[0], made[1], sites


def spis(gateway: OurGateway) -> set[object]:
    return {sa.raw["initiator-spi"] for sa in gateway.ike_sas()}


def test_no_packet_is_lost_while_one_ike_sa_takes_the_place_of_another(lab: Lab) -> None:
    a, b, sites = gateways(lab, settings="make_before_break = yes", reauth=5)
    before = spis(a)
    results: list[Pings] = []
    flows = [
        threading.Thread(target=lambda s=s, t=t: results.append(ping(s, t, count=1400, interval=INTERVAL)))
        for s, t in ((sites.a.host, sites.b.host_address), (sites.b.host, sites.a.host_address))
    ]
    for flow in flows:
        flow.start()
    for flow in flows:
        flow.join()
    assert a.log().count("is set up anew") >= 2
    assert [result.sent - result.received for result in results] == [0, 0]
    wait_until(lambda: spis(a) == spis(b) and len(spis(a)) == 1, "one IKE SA on both sides", 10.0)
    assert spis(a).isdisjoint(before)
    for gateway in (a, b):
        drops = gateway.command("status", "--json").json()["drops"]
        assert isinstance(drops, dict)
        assert not {"unknown-spi", "no-sa"} & {reason for reason, count in drops.items() if count}


def test_packets_wait_and_none_leaves_in_the_clear_while_there_is_no_ike_sa(lab: Lab) -> None:
    a, b, sites = gateways(lab, settings="", reauth=4)
    before = spis(a)
    with Capture(lab, sites.a.gateway, WAN) as wire:
        result = ping(sites.a.host, sites.b.host_address, count=900, interval=INTERVAL)
    wire.check(dropped_allowed=True)
    assert ", after it" in a.log()
    assert result.received >= result.sent - 5
    wait_until(lambda: spis(a) == spis(b) and len(spis(a)) == 1, "one IKE SA on both sides", 10.0)
    assert spis(a).isdisjoint(before)
