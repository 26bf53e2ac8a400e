"""Two gateways of ours: one is silent for a while, and the tunnel comes back with a ticket (RFC 5723)."""

from __future__ import annotations

import os
import signal

import pytest

from fastesp.lab import Lab, two_sites
from fastesp.lab.configurations import configuration
from fastesp.lab.ours import OurGateway
from fastesp.lab.pki import Authority
from fastesp.lab.process import wait_until
from fastesp.lab.traffic import ping

pytestmark = pytest.mark.root

IMPATIENT = "retransmit_tries = 2\n  retransmit_timeout = 0.5\n  retransmit_base = 1.1"


def log(gateway: OurGateway) -> str:
    assert gateway.process is not None
    return gateway.process.text()


@pytest.mark.parametrize("restarts", [False, True])
def test_a_tunnel_comes_back_with_a_ticket_and_without_one_after_a_restart(lab: Lab, restarts: bool) -> None:
    sites = two_sites(lab)
    a, b = (OurGateway(lab, site.gateway, settings=IMPATIENT) for site in (sites.a, sites.b))
    authority = Authority("lab CA")
    for gateway, me, other, line in ((a, sites.a, sites.b, "dpd_delay = 1s"), (b, sites.b, sites.a, "")):
        lines = f"session_resumption = yes\n    {line}"
        gateway.swanctl.configure(configuration(me, other, auth="pubkey", connection=lines))
        gateway.swanctl.trust(authority)
        gateway.swanctl.own(authority.issue(f"CN=site-{me.name}"))
        gateway.start()
    a.initiate("net")
    assert b.process is not None
    if restarts:
        os.killpg(b.process.pid, signal.SIGKILL)
    else:
        os.kill(b.process.pid, signal.SIGSTOP)
    wait_until(lambda: a.ike_sas() == [], "the silent peer to be given up", 30.0)
    if restarts:
        b.start()
    else:
        os.kill(b.process.pid, signal.SIGCONT)
    before = len(log(a))
    a.initiate("net")
    said = log(a)[before:]
    assert "sent IKE_SESSION_RESUME request 0" in said
    assert ("N(TICKET_NACK)" in said) == ("sent IKE_SA_INIT request 0" in said) == restarts
    assert ping(sites.a.host, sites.b.host_address, count=3).received == 3
