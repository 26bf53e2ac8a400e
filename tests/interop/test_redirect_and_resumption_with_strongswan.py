"""Redirects with charon, which has them, and resumption, which it has not and must not mind (RFC 5685, RFC 5723)."""

from __future__ import annotations

import pytest
from support.swanctl import swanctl
from support.tunnels import Pair, configure, hosts_reach_each_other, pair

from fastesp.lab import Lab
from fastesp.lab.process import wait_until
from fastesp.lab.sites import WAN

pytestmark = [pytest.mark.root, pytest.mark.peer]

FIRST, SECOND = "198.51.100.20", "198.51.100.21"


def remote_hosts(both: Pair) -> list[bytes]:
    return [sa.raw["remote-host"] for sa in both.ours.ike_sas() if sa.children]


def test_charon_sends_us_to_its_other_address(lab: Lab) -> None:
    both = pair(lab)
    both.sites.b.gateway.address(WAN, f"{SECOND}/32")
    configure(both)
    own = both.theirs.swanctl.file
    own.write_text(own.read_text().replace(f"local_addrs = {FIRST}", f"local_addrs = {FIRST}, {SECOND}"))
    both.start()
    both.ours.initiate("net")
    assert remote_hosts(both) == [FIRST.encode()]
    said = swanctl(both.theirs, "--redirect", "--ike", "site", "--gateway", SECOND)
    assert said.code == 0, said.text
    wait_until(lambda: remote_hosts(both) == [SECOND.encode()], "us to follow", 20.0)
    hosts_reach_each_other(both)
    wait_until(lambda: len(both.theirs.ike_sas()) == 1, "charon to have but one IKE SA", 20.0)


@pytest.mark.parametrize("opens", ["ours", "theirs"])
def test_charon_comes_up_with_us_where_we_would_resume(lab: Lab, opens: str) -> None:
    both = pair(lab)
    configure(both, ours={"connection": "session_resumption = yes"})
    both.start()
    both.side(opens).initiate("net")
    hosts_reach_each_other(both)
    (sa,) = both.ours.ike_sas()
    assert sa.raw["state"] == b"ESTABLISHED"
