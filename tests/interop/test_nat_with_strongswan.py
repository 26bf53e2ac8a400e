"""NATs between ours and strongSwan: before either side, before both, one behind the other (RFC 7296 section 2.23)."""

from __future__ import annotations

import pytest
from support.nats import OTHER_PORTS, forget, sites_behind
from support.tunnels import MEGABYTE, OVERHEAD, Pair, bulk, counters_agree, hosts_reach_each_other

from fastesp.lab import Lab
from fastesp.lab.capture import Capture
from fastesp.lab.configurations import configuration
from fastesp.lab.ours import OurGateway
from fastesp.lab.peer import Peer
from fastesp.lab.process import wait_until
from fastesp.lab.sites import WAN
from fastesp.lab.strongswan import StrongSwan
from fastesp.lab.traffic import ping

pytestmark = [pytest.mark.root, pytest.mark.peer]


def behind(lab: Lab, places: str, *, connection: str = "", liveness: str = "") -> Pair:
    """Ours at a and strongSwan at b, each configured for what it sees of the other; ``liveness``: who checks it."""
    sites, seen = sites_behind(lab, places)
    theirs = StrongSwan(lab, sites.b.gateway)
    ours = OurGateway(lab, sites.a.gateway, options=("--mtu", str(1500 - OVERHEAD)))
    for peer, me, other in ((ours, sites.a, sites.b), (theirs, sites.b, sites.a)):
        checks = "\n    dpd_delay = 1s" if me.name == liveness else ""
        text = configuration(me, other, connection=connection + checks)
        peer.swanctl.configure(text.replace(f"remote_addrs = {other.outer}", f"remote_addrs = {seen[other.name]}"))
    both = Pair(lab, sites, ours, theirs)
    both.start()
    return both


@pytest.mark.parametrize(
    ("places", "initiator"),
    [(places, who) for places in ("a", "b", "ab") for who in ("ours", "theirs")]
    + [("aa", "ours"), ("bb", "theirs"), ("aabb", "ours")],
)
def test_a_tunnel_through_nats_carries_traffic_and_is_rekeyed(lab: Lab, places: str, initiator: str) -> None:
    """``places``: a NAT for each letter, before the gateway of ours at a or before strongSwan at b."""
    both = behind(lab, places)
    with Capture(lab, both.sites.a.gateway, WAN) as wire:
        both.side(initiator).initiate("net")
        both.ours.wait_child("net")
        both.theirs.wait_child("net")
        hosts_reach_each_other(both)
        bulk(both, MEGABYTE, timeout=30.0)
        counters_agree(both)
        before = both.ours.child_sa("net").spi_in
        assert both.ours.command("rekey", "net").exit_code == 0
        wait_until(lambda: before not in spis(both.ours) and len(spis(both.ours)) == 1, "new keys", 10.0)
        hosts_reach_each_other(both)
    seen = wire.check(dropped_allowed=True)
    assert seen["ESP in UDP"] > 500
    assert both.ours.child_sa("net").encap
    (ours,), (theirs,) = both.ours.ike_sas(), both.theirs.ike_sas()
    # Of ours alone: charon without a kernel's ESP always says that it is behind a NAT, so that ESP goes in UDP.
    assert (ours.raw.get("nat-local") == b"yes") == ("a" in places)
    assert (theirs.raw.get("nat-remote") == b"yes") == ("a" in places)


def spis(peer: Peer) -> set[int]:
    """Of all installed CHILD_SAs."""
    return {child.spi_in for sa in peer.ike_sas() for child in sa.children}


@pytest.mark.parametrize("mobike", ["yes", "no"])
@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_a_nat_that_forgets_its_ports_is_followed(lab: Lab, side: str, mobike: str) -> None:
    """The NAT restarts and gives the gateway behind it another port: traffic from inside is followed to there."""
    place = "a" if side == "ours" else "b"
    # Were the other to check too, it might always be the first, and who hears from it need not check any more.
    both = behind(lab, place, connection=f"mobike = {mobike}", liveness=place)
    both.side(side).initiate("net")
    both.ours.wait_child("net")
    both.theirs.wait_child("net")
    hosts_reach_each_other(both)
    if (side, mobike) == ("theirs", "yes"):
        # charon learns where the NAT has put it by its first liveness check, and notices only what changes after that.
        both.theirs.process.wait_for(r"parsed INFORMATIONAL response \d+ \[ N\(NATD_S", log=both.theirs.charon_log)
    forget(lab, place)
    a, b = both.sites.a, both.sites.b
    source, target = (a, b) if side == "ours" else (b, a)
    for here, there in ((source, target), (target, source)):
        wait_until(lambda h=here, t=there: ping(h.host, t.host_address, count=1).received == 1, "a ping", 20.0)  # type: ignore[misc]
    hosts_reach_each_other(both)
    assert len(both.ours.ike_sas()) == len(both.theirs.ike_sas()) == 1
    assert OTHER_PORTS.start <= port_of(both, side) < OTHER_PORTS.stop


def port_of(both: Pair, side: str) -> int:
    """The port under which the other side knows the one behind the NAT."""
    other = both.theirs if side == "ours" else both.ours
    (sa,) = other.ike_sas()
    value = sa.raw["remote-port"]
    assert isinstance(value, bytes)
    return int(value)
