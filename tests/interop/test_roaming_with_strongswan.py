"""MOBIKE with strongSwan (RFC 4555): a gateway's address changes while the hosts behind both keep talking."""

from __future__ import annotations

import threading
from ipaddress import ip_interface

import pytest
from support.tunnels import Pair, configure, hosts_reach_each_other, pair

from fastesp.lab import Lab
from fastesp.lab.process import wait_until
from fastesp.lab.sites import WAN, Site
from fastesp.lab.traffic import Pings, ping

pytestmark = [pytest.mark.root, pytest.mark.peer]

SOON = "retransmit_timeout = 1"
"""What is sent while there is no address is lost; by default it is four seconds until it is sent again."""

PINGS, INTERVAL = 60, 0.1
MAY_BE_LOST = 20
"""While the host has no address, and until both sides have heard: two seconds."""

SOON_AGAIN = "retransmit_timeout = 0.5"
"""charon tells its addresses whenever one of its routes changes. What was on its way to the old address comes again
after this; it is only then that charon, whose user-space ESP cannot move an SA, rekeys it to the new one."""


def move(site: Site) -> str:
    """Another address for the gateway, on the same wire; the old one goes. Returns the new one."""
    gateway = site.gateway
    hop = site.outer.rpartition(".")[0] + ".1"
    new = site.outer.rpartition(".")[0] + ".77"
    gateway.sysctl({f"net.ipv4.conf.{WAN}.promote_secondaries": "1"})
    gateway.ip("address", "del", f"{site.outer}/24", "dev", WAN)
    gateway.address(WAN, f"{new}/24")
    gateway.route("default", via=hop)
    assert ip_interface(f"{new}/24").network == ip_interface(f"{site.outer}/24").network
    return new


def outer(both: Pair) -> tuple[str, str]:
    """Our end and theirs, as each side sees them; they must agree."""
    found = []
    for side, keys in ((both.ours, ("local-host", "remote-host")), (both.theirs, ("remote-host", "local-host"))):
        with side.session() as session:
            for listed in session.list_sas():
                found += [tuple(sa[key].decode() for key in keys) for sa in listed.values()]
    return found[0] if len(found) == 2 and found[0] == found[1] else ("", "")


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
@pytest.mark.parametrize("roamer", ["ours", "theirs"])
def test_an_address_changes_while_hosts_ping(lab: Lab, roamer: str, initiator: str) -> None:
    both = pair(lab, router=True, options=SOON_AGAIN)
    configure(both, connection="mobike = yes")
    both.start()
    both.side(initiator).initiate("net")
    both.ours.wait_child("net")
    both.theirs.wait_child("net")
    hosts_reach_each_other(both)
    site, other = (both.sites.a, both.sites.b) if roamer == "ours" else (both.sites.b, both.sites.a)
    results: list[Pings] = []
    a, b = both.sites.a, both.sites.b
    pinging = threading.Thread(
        target=lambda: results.append(ping(a.host, b.host_address, count=PINGS, interval=INTERVAL))
    )
    pinging.start()
    new = move(site)
    expected = (new, other.outer) if roamer == "ours" else (other.outer, new)
    wait_until(lambda: outer(both) == expected, f"the tunnel is between {' and '.join(expected)}", 10.0)
    pinging.join()
    (result,) = results
    assert result.sent == PINGS
    assert result.received >= PINGS - MAY_BE_LOST
    hosts_reach_each_other(both)
