"""Several CHILD_SAs between one pair of sites (RFC 9611): flows of hosts are spread over them, in both directions."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from fastesp.lab import Lab, Sites, two_sites
from fastesp.lab.configurations import configuration
from fastesp.lab.ours import OurGateway
from fastesp.lab.peer import ChildSa
from fastesp.lab.process import wait_until
from fastesp.lab.traffic import ping

pytestmark = pytest.mark.root

FLOWS = 64
PORT = 4711


@pytest.fixture(params=[1, 2])
def gateways(lab: Lab, request: pytest.FixtureRequest) -> tuple[Sites, OurGateway, OurGateway]:
    """Three beside the first one at either side; with one worker, and with two that share them."""
    sites = two_sites(lab)
    ends = []
    for me, peer in ((sites.a, sites.b), (sites.b, sites.a)):
        gateway = OurGateway(lab, me.gateway, options=("--workers", str(request.param)))
        gateway.swanctl.configure(configuration(me, peer, start_action="trap", child="per_cpu_sas = 3"))
        gateway.start()
        ends.append(gateway)
    return sites, ends[0], ends[1]


def children(gateway: OurGateway) -> list[tuple[int, ChildSa]]:
    """What is installed, by number; 0 is the first one."""
    found = [child for sa in gateway.ike_sas() for child in sa.children]
    return sorted(((int(child.raw.get("cpu", b"0")), child) for child in found), key=lambda pair: pair[0])


def by_number(gateway: OurGateway) -> dict[int, ChildSa]:
    """The same, where there is one of each."""
    return dict(children(gateway))


def wait_for(gateway: OurGateway, *numbers: int) -> None:
    """Until these are installed, and no others."""
    wait_until(lambda: tuple(n for n, _ in children(gateway)) == numbers, f"CHILD_SAs {numbers}", 20.0)


def exchange(sites: Sites) -> None:
    """A datagram and its echo on each of many flows; UDP through the tunnel may be sent again until it is there."""
    with ExitStack() as stack:
        echo = stack.enter_context(sites.b.host.socket(socket.AF_INET, socket.SOCK_DGRAM))
        echo.bind((sites.b.host_address, PORT))
        echo.settimeout(10.0)
        for number in range(FLOWS):
            with sites.a.host.socket(socket.AF_INET, socket.SOCK_DGRAM) as flow:
                flow.settimeout(10.0)
                flow.connect((sites.b.host_address, PORT))
                flow.send(number.to_bytes(2, "big"))
                data, source = echo.recvfrom(64)
                echo.sendto(data, source)
                assert flow.recv(64) == number.to_bytes(2, "big")


def test_flows_between_two_sites_use_all_of_them(gateways: tuple[Sites, OurGateway, OurGateway]) -> None:
    sites, a, b = gateways
    assert ping(sites.a.host, sites.b.host_address).received == 3
    for gateway in (a, b):
        wait_for(gateway, 0, 1, 2, 3)
    before = {gateway: by_number(gateway) for gateway in (a, b)}
    for gateway in (a, b):
        used = {child.raw["placement"] for child in before[gateway].values()}
        assert used == {f"userspace/{worker}".encode() for worker in range(int(gateway.options[1]))}
    exchange(sites)
    for gateway in (a, b):
        for number, child in by_number(gateway).items():
            sent = child.packets_out - before[gateway][number].packets_out
            got = child.packets_in - before[gateway][number].packets_in
            assert (sent > 0, got > 0) == ((True, True) if number else (False, False)), (number, sent, got)
        assert sum(child.packets_out for child in by_number(gateway).values()) >= FLOWS
    assert ping(sites.b.host, sites.a.host_address).received == 3


def test_traffic_goes_on_while_one_after_another_is_rekeyed_and_deleted(
    gateways: tuple[Sites, OurGateway, OurGateway],
) -> None:
    sites, a, b = gateways
    assert ping(sites.a.host, sites.b.host_address).received == 3
    for gateway in (a, b):
        wait_for(gateway, 0, 1, 2, 3)
    old = by_number(a)[2].spi_in
    theirs = next(child for child in by_number(b).values() if child.spi_out == old)
    with b.session() as session:
        session.rekey({"child-id": theirs.unique_id})
    wait_until(lambda: old not in {child.spi_in for _, child in children(a)}, "the end of the old one", 20.0)
    for gateway in (a, b):
        wait_for(gateway, 0, 1, 2, 3)
    exchange(sites)
    left = [0, 1, 2, 3]
    for number in (1, 2, 3):
        with a.session() as session:
            list(session.terminate({"child-id": by_number(a)[number].unique_id}))
        left.remove(number)
        wait_for(a, *left)
        exchange(sites)
