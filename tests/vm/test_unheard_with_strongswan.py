"""A wire that passes IKE and no ESP, between ours and a strongSwan whose packets are the kernel's: protocol 50."""

from __future__ import annotations

import pytest
from support.firewall import drop
from support.tunnels import configure, hosts_reach_each_other, pair

from fastesp.lab import Lab
from fastesp.lab.process import wait_until
from fastesp.lab.traffic import ping

pytestmark = [pytest.mark.root, pytest.mark.vm]


def test_esp_that_a_nat_does_not_pass_is_said_with_encap_as_the_way_out(lab: Lab) -> None:
    both = pair(lab, kernel=True, router=True)
    configure(both, connection="encap = no")
    both.start()
    drop(both.sites.internet, "ip protocol esp")
    both.ours.initiate("net")
    assert ping(both.sites.a.host, both.sites.b.host_address).received == 0
    wait_until(lambda: "[esp-unheard]" in both.ours.log(), "the record", 60.0)
    (failure,) = both.ours.command("show", "failures", "--json").json()["entries"].values()  # type: ignore[attr-defined]
    assert failure["code"] == "esp-unheard"
    assert "encap = yes" in failure["hint"]
    assert "swanctl.conf:7: encap" in failure["change"]
    both.ours.terminate(ike="site")
    # What the record says, done.
    configure(both, connection="encap = yes")
    both.theirs.load()
    assert both.ours.command("load").exit_code == 0
    both.ours.initiate("net")
    hosts_reach_each_other(both)
