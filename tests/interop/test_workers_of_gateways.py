"""Gateways with two workers: tunnels on both, rekeyed without moving, with a gateway of ours and with strongSwan."""

from __future__ import annotations

import pytest
from support.tunnels import MEGABYTE, bulk, configure, counters_agree, hosts_reach_each_other, pair

from fastesp.io.filters import owner_of
from fastesp.lab import Lab, Site, two_sites
from fastesp.lab.configurations import configuration
from fastesp.lab.ours import OurGateway
from fastesp.lab.peer import ChildSa, Peer
from fastesp.lab.process import wait_until
from fastesp.lab.traffic import ping, transfer

pytestmark = pytest.mark.root

WORKERS = ("--workers", "2")


def two_children(me: Site, peer: Site) -> str:
    """``net`` for TCP, ``rest`` for everything else."""
    rest = f"}}\n rest {{\n local_ts = {me.net}\n remote_ts = {peer.net}\n esp_proposals = aes256gcm16\n"
    return configuration(me, peer, local_ts=f"{me.net}[tcp]", remote_ts=f"{peer.net}[tcp]", child=rest)


def worker(child: ChildSa) -> int:
    """That owns it, as the gateway says, which is as its SPI says."""
    placement = child.raw["placement"]
    assert placement == f"userspace/{owner_of(child.spi_in, 2)}".encode()
    return owner_of(child.spi_in, 2)


def rekey(one: OurGateway, other: Peer, child: str) -> None:
    """To its end on both sides: the old SA has gone, and there is one again."""
    old = one.child_sa(child).spi_in
    assert one.command("rekey", child).exit_code == 0
    for gateway in (one, other):
        wait_until(
            lambda gateway=gateway: [old in (c.spi_in, c.spi_out) for c in named(gateway, child)] == [False],  # type: ignore[misc]
            f"a new SA for {child} in {gateway.namespace.role}",
            20.0,
        )


def named(gateway: Peer, child: str) -> list[ChildSa]:
    return [found for ike in gateway.ike_sas() for found in ike.children if found.name == child]


def test_tunnels_on_both_workers_carry_traffic_and_stay_there_when_they_are_rekeyed(lab: Lab) -> None:
    sites = two_sites(lab, router=True)
    a, b = (OurGateway(lab, site.gateway, options=WORKERS) for site in (sites.a, sites.b))
    a.options = (*WORKERS, "--metrics", "127.0.0.1:9470")
    a.swanctl.configure(two_children(sites.a, sites.b))
    b.swanctl.configure(two_children(sites.b, sites.a))
    b.start()
    a.start()
    for child in ("net", "rest"):
        assert a.command("up", child).exit_code == 0
    before = {(gateway, child): worker(gateway.child_sa(child)) for gateway in (a, b) for child in ("net", "rest")}
    for gateway in (a, b):
        assert {before[gateway, child] for child in ("net", "rest")} == {0, 1}
    for _ in range(2):
        assert ping(sites.a.host, sites.b.host_address).received == 3
        transfer(sites.a.host, sites.b.host, sites.b.host_address, 5 * MEGABYTE)
        transfer(sites.b.host, sites.a.host, sites.a.host_address, 5 * MEGABYTE)
        rekey(a, b, "net")
        rekey(b, a, "rest")
    assert ping(sites.a.host, sites.b.host_address).received == 3
    after = {(gateway, child): worker(gateway.child_sa(child)) for gateway in (a, b) for child in ("net", "rest")}
    assert after == before
    page = sites.a.gateway.run("curl", "-sS", "http://127.0.0.1:9470/metrics")
    for number in (0, 1):
        assert f'fastesp_worker_child_sas{{worker="{number}"}} 1.0' in page
        assert f'fastesp_worker_packets_total{{direction="in",worker="{number}"}} 0.0' not in page
    with a.session() as session:
        workers = session.stats()["dataplane"]["workers"]
    assert [workers[number]["sas"] for number in ("0", "1")] == [b"1", b"1"]
    assert "data plane userspace with 2 workers" in a.log()


@pytest.mark.peer
def test_with_strongswan_a_tunnel_carries_traffic_over_rekeys_from_both_sides(lab: Lab) -> None:
    both = pair(lab)
    both.ours.options = (*both.ours.options, *WORKERS)
    configure(both)
    both.start()
    both.theirs.initiate("net")
    both.ours.wait_child("net")
    hosts_reach_each_other(both)
    owner = worker(both.ours.child_sa("net"))
    for _ in range(2):
        bulk(both, 5 * MEGABYTE, 60.0)
        rekey(both.ours, both.theirs, "net")
    hosts_reach_each_other(both)
    counters_agree(both)
    assert worker(both.ours.child_sa("net")) == owner
