"""Policies without an SA: what passes in the clear beside a trap, and what is dropped."""

from __future__ import annotations

import contextlib
import socket

import pytest

from fastesp.lab import Lab, Sites, two_sites
from fastesp.lab.capture import Capture
from fastesp.lab.configurations import configuration
from fastesp.lab.ours import OurGateway
from fastesp.lab.process import wait_until
from fastesp.lab.sites import WAN, Site
from fastesp.lab.traffic import ping, transfer

pytestmark = pytest.mark.root

MEGABYTE = 1_000_000
FORBIDDEN = 4712


def shunts(me: Site, peer: Site) -> str:
    """Pings pass, a port is dropped, all the rest asks for the tunnel."""
    near, far = (FORBIDDEN, "") if me.name == "b" else ("", FORBIDDEN)

    def port(number: object) -> str:
        return f"[udp/{number}]" if number else "[udp]"

    return f"""start_action = trap
      }}
      clear {{
        local_ts = {me.net}[icmp]
        remote_ts = {peer.net}[icmp]
        mode = pass
        start_action = trap
      }}
      closed {{
        local_ts = {me.net}{port(near)}
        remote_ts = {peer.net}{port(far)}
        mode = drop
        start_action = trap"""


@pytest.fixture
def gateways(lab: Lab) -> tuple[Sites, OurGateway, OurGateway]:
    """Both with the same policies."""
    sites = two_sites(lab)
    ends = []
    for me, peer in ((sites.a, sites.b), (sites.b, sites.a)):
        gateway = OurGateway(lab, me.gateway)
        gateway.swanctl.configure(configuration(me, peer).replace("start_action = none", shunts(me, peer)))
        gateway.start()
        ends.append(gateway)
    return sites, ends[0], ends[1]


def dropped(gateway: OurGateway) -> int:
    drops = gateway.command("status", "--json").json()["drops"]
    assert isinstance(drops, dict)
    return int(drops["discard"])


def test_pass_goes_in_the_clear_drop_goes_nowhere_and_the_rest_brings_the_tunnel_up(
    lab: Lab, gateways: tuple[Sites, OurGateway, OurGateway]
) -> None:
    sites, a, b = gateways
    with Capture(lab, sites.a.gateway, WAN) as wire:
        assert ping(sites.a.host, sites.b.host_address).received == 3
        assert ping(sites.b.host, sites.a.host_address).received == 3
        assert a.children() == b.children() == []
        with (
            sites.a.host.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
            sites.b.host.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        ):
            receiver.bind((sites.b.host_address, FORBIDDEN))
            receiver.settimeout(0.5)
            sender.sendto(b"not to be let through", (sites.b.host_address, FORBIDDEN))
            wait_until(lambda: dropped(a) == 1, "the drop to be counted", 10.0)
            with contextlib.suppress(TimeoutError):
                pytest.fail(f"{receiver.recv(100)!r} came through")
        assert a.children() == []
        transfer(sites.a.host, sites.b.host, sites.b.host_address, MEGABYTE)
        assert a.children() == ["net"]
        assert ping(sites.a.host, sites.b.host_address).received == 3
        wire.stop()
        assert not wire.contains(b"not to be let through")
        seen = wire.summary()
    assert seen["ESP"] + seen["ESP in UDP"] > MEGABYTE / 1500
    assert a.child_sa("net").bytes_out > MEGABYTE
    # Nine pings and their answers, and nothing else that is readable.
    clear = {kind: count for kind, count in seen.items() if kind not in ("ESP", "ESP in UDP", "IKE", "ARP")}
    assert {kind.partition(",")[0] for kind in clear} - {"neighbour discovery"} == {"protocol 1"}
    assert sum(count for kind, count in clear.items() if kind.startswith("protocol 1,")) == 18


def test_a_shunt_that_is_taken_away_shuts_nothing_any_more(gateways: tuple[Sites, OurGateway, OurGateway]) -> None:
    sites, a, b = gateways
    for gateway in (a, b):
        with gateway.session() as session:
            session.uninstall({"child": "clear"})
    assert ping(sites.a.host, sites.b.host_address).received == 3
    assert a.children() == ["net"]
    assert a.child_sa("net").packets_out >= 3
