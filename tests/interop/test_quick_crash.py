"""Quick crash detection (RFC 6290) between two gateways of ours: one is killed, and the tunnel is back at once."""

from __future__ import annotations

import re
import signal
import threading
import time

import pytest

from fastesp.lab import Lab, two_sites
from fastesp.lab.configurations import configuration
from fastesp.lab.ours import OurGateway
from fastesp.lab.process import wait_until
from fastesp.lab.traffic import Pings, ping

pytestmark = pytest.mark.root

NO_OTHER_WAY = "dpd_delay = 0s\n    rekey_time = 0"
"""Nothing is asked of the peer by the clock, so that a packet alone can bring it to light."""


def gateways(lab: Lab, *, child: str, settings: str = "") -> tuple[OurGateway, OurGateway, object]:
    sites = two_sites(lab)
    made = []
    for me, peer in ((sites.a, sites.b), (sites.b, sites.a)):
        gateway = OurGateway(lab, me.gateway, settings=settings)
        gateway.swanctl.configure(configuration(me, peer, connection=NO_OTHER_WAY, child=child))
        gateway.start()
        made.append(gateway)
    made[0].initiate("net")
    made[1].wait_child("net")
    return made[0], made[1], sites


def kill(gateway: OurGateway) -> None:
    """As a crash: nothing is said to anybody, and nothing is tidied up."""
    assert gateway.process is not None
    gateway.process.signal(signal.SIGKILL)
    gateway.process.wait(10.0)


@pytest.mark.parametrize("victim", [0, 1], ids=["initiator", "responder"])
def test_a_gateway_that_was_killed_is_found_out_by_the_first_packet_and_the_tunnel_is_back(
    lab: Lab, victim: int
) -> None:
    *both, sites = gateways(lab, child="dpd_action = restart")
    crashed, survivor = both[victim], both[1 - victim]
    near, far = (sites.b, sites.a) if victim == 0 else (sites.a, sites.b)  # type: ignore[attr-defined]
    assert ping(near.host, far.host_address, count=3).received == 3
    secret = (crashed.directory / "state" / "quick-crash.secret").read_bytes()
    # What makes the survivor look must not come too soon after it has heard of the peer.
    time.sleep(5.0)
    kill(crashed)
    crashed.start()
    assert (crashed.directory / "state" / "quick-crash.secret").read_bytes() == secret
    results: list[Pings] = []
    flow = threading.Thread(target=lambda: results.append(ping(near.host, far.host_address, count=100, interval=0.05)))
    began = time.monotonic()
    flow.start()
    wait_until(lambda: "peer-restarted" in survivor.log(), "the survivor knows", 15.0)
    crashed.wait_child("net")
    took = time.monotonic() - began
    flow.join()
    # Retransmission would take 165 seconds.
    assert took < 15.0
    assert re.search(r"proves that it has lost this IKE SA", survivor.log())
    assert ping(near.host, far.host_address, count=3).received == 3
    assert len(survivor.ike_sas()) == len(crashed.ike_sas()) == 1


def test_where_it_is_switched_off_nothing_is_kept_and_nothing_is_said(lab: Lab) -> None:
    a, b, sites = gateways(lab, child="dpd_action = clear", settings="quick_crash_detection = no")
    assert not (a.directory / "state").exists()
    kill(b)
    b.start()
    ping(sites.a.host, sites.b.host_address, count=10, interval=0.1)  # type: ignore[attr-defined]
    assert "QUICK_CRASH" not in a.log() + b.log()
    assert len(a.ike_sas()) == 1
