"""Ours and Libreswan 4.10, whose ESP is the kernel's: both ways of authentication, both roles, rekeys, and moving.

One pair of gateways lives through all of it: to start them is what costs most in an emulated machine.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from support.labs import FAILED
from support.living import end_all
from support.swanctl import swanctl

from fastesp.lab import Lab, Sites, two_sites
from fastesp.lab.capture import Capture
from fastesp.lab.configurations import configuration
from fastesp.lab.libreswan import Libreswan
from fastesp.lab.ours import OurGateway
from fastesp.lab.pki import Authority
from fastesp.lab.process import wait_until
from fastesp.lab.sites import WAN, Site
from fastesp.lab.traffic import Pings, ping, transfer

pytestmark = [pytest.mark.root, pytest.mark.vm]

SIZE = 500_000
LIMIT = 60.0
PINGS, INTERVAL = 40, 0.1
MAY_BE_LOST = 20
"""While a host has no address, and until both sides have heard."""


@dataclass(frozen=True, slots=True)
class Both:
    """Ours at site a, Libreswan at site b, a router in between."""

    lab: Lab
    sites: Sites
    ours: OurGateway
    theirs: Libreswan

    def load(self, auth: str, *, connection: str = "", esp_proposals: str = "aes256gcm16", **theirs: str) -> None:
        """Mirrored configurations in place of what was loaded before; nothing is up afterwards."""
        self.end()
        a, b = self.sites.a, self.sites.b
        text = configuration(a, b, auth=auth, connection=connection, esp_proposals=esp_proposals)
        self.ours.swanctl.configure(text)
        said = swanctl(self.ours, "--load-all", "--clear", "--noprompt")
        assert said.code == 0, said.text
        self.theirs.configure(b, a, auth=auth, **theirs)
        self.theirs.load()

    def end(self) -> None:
        """Close what is up. Libreswan says so once, perhaps to where we were a moment ago, and waits for no answer."""
        self.theirs.terminate()
        end_all(self.ours)
        wait_until(lambda: not self.ours.ike_sas(), "the end of our SAs", LIMIT)
        self.theirs.wait_nothing()

    def initiate(self, who: str) -> None:
        """Bring the tunnel up from one side, and wait for the other."""
        if who == "ours":
            self.ours.initiate("net", timeout=LIMIT)
        else:
            self.theirs.initiate()
        self.wait_same()

    def wait_same(self) -> None:
        """Wait until both hold the same CHILD_SA, and only that."""
        wait_until(self._same, "the same CHILD_SA on both sides", LIMIT, every=0.3)

    def spis(self) -> set[tuple[int, int]]:
        """Of all our CHILD_SAs."""
        return {(child.spi_in, child.spi_out) for sa in self.ours.ike_sas() for child in sa.children}

    def ike_spis(self) -> set[tuple[object, object]]:
        """Of all our IKE SAs."""
        return {(sa.raw["initiator-spi"], sa.raw["responder-spi"]) for sa in self.ours.ike_sas()}

    def reach(self) -> None:
        """A ping each way, nothing lost."""
        a, b = self.sites.a, self.sites.b
        for source, target in ((a.host, b.host_address), (b.host, a.host_address)):
            result = ping(source, target)
            assert result.received == result.sent == 3

    def _same(self) -> bool:
        theirs = {(child.spi_out, child.spi_in) for child in self.theirs.children()}
        return len(theirs) == 1 and self.spis() == theirs


@pytest.fixture(scope="module")
def pair() -> Iterator[Both]:
    with Lab("libreswan") as lab:
        sites = two_sites(lab, router=True)
        both = Both(lab, sites, OurGateway(lab, sites.a.gateway), Libreswan(lab, sites.b.gateway))
        authority = Authority("lab CA")
        # RSA at their side alone: to load such a key takes ours a minute in there.
        both.ours.swanctl.trust(authority)
        both.ours.swanctl.own(authority.issue("CN=site-a"))
        both.theirs.trust(authority)
        both.theirs.own(authority.issue("CN=site-b", kind="rsa-2048"))
        both.ours.swanctl.configure(configuration(sites.a, sites.b))
        both.theirs.configure(sites.b, sites.a)
        both.theirs.start()
        both.ours.start()
        yield both


@pytest.fixture
def both(pair: Both, request: pytest.FixtureRequest) -> Iterator[Both]:
    """The pair, and what it said where a test fails."""
    yield pair
    if request.node.stash.get(FAILED, False):
        print(pair.lab.logs(150))


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
@pytest.mark.parametrize("auth", ["psk", "pubkey"])
def test_a_tunnel_with_libreswan_carries_traffic_and_is_deleted(both: Both, auth: str, initiator: str) -> None:
    both.load(auth)
    a, b = both.sites.a, both.sites.b
    with Capture(both.lab, a.gateway, WAN) as wire:
        both.initiate(initiator)
        both.reach()
        transfer(a.host, b.host, b.host_address, SIZE)
        transfer(b.host, a.host, a.host_address, SIZE)
        (theirs,) = both.theirs.children()
        ours = both.ours.child_sa("net")
        assert ours.bytes_out >= theirs.bytes_in > SIZE
        assert theirs.bytes_out >= ours.bytes_in > SIZE
        if (auth, initiator) == ("pubkey", "ours"):
            both.ours.terminate(ike="site", timeout=LIMIT)
        else:
            # What it brought up itself pluto brings up again where anybody else closes it.
            both.theirs.terminate()
        wait_until(lambda: not both.ours.ike_sas(), "the end of our SAs", LIMIT)
        both.theirs.wait_nothing()
    seen = wire.check(dropped_allowed=True)
    assert seen["ESP"] > 100
    assert seen["IKE"] >= 6
    assert "ESP in UDP" not in seen


@pytest.mark.parametrize("rekeyer", ["ours", "theirs"])
@pytest.mark.parametrize(("what", "pfs"), [("child", "no"), ("child", "yes"), ("ike", "yes")])
def test_a_rekey_from_either_side_loses_no_packet(both: Both, what: str, pfs: str, rekeyer: str) -> None:
    both.load("psk", esp_proposals="aes256gcm16-x25519" if pfs == "yes" else "aes256gcm16", more=f"pfs = {pfs}")
    both.initiate("ours")
    current = both.spis if what == "child" else both.ike_spis
    flowing, result = flow(both.sites.a, both.sites.b)
    for _ in range(2):
        before = current()
        if rekeyer == "ours":
            assert both.ours.command("rekey", "net" if what == "child" else "site").exit_code == 0
        else:
            both.theirs.rekey("ipsec" if what == "child" else "ike")
        wait_until(lambda old=before: len(current()) == 1 and not old & current(), f"another {what} SA", LIMIT)  # type: ignore[misc]
        both.wait_same()
    flowing.join()
    assert result[0].received == result[0].sent == PINGS
    both.reach()


def flow(source: Site, target: Site) -> tuple[threading.Thread, list[Pings]]:
    """Pings that go on beside the test."""
    result: list[Pings] = []
    thread = threading.Thread(
        target=lambda: result.append(ping(source.host, target.host_address, count=PINGS, interval=INTERVAL))
    )
    thread.start()
    return thread, result


def move(site: Site) -> Callable[[], None]:
    """Another address for the gateway; returns what takes it back."""
    gateway, old = site.gateway, site.outer
    hop, new = old.rpartition(".")[0] + ".1", old.rpartition(".")[0] + ".77"

    def change(before: str, after: str) -> None:
        gateway.address(WAN, f"{after}/24")
        gateway.route("default", via=hop)
        gateway.ip("address", "del", f"{before}/24", "dev", WAN)

    gateway.sysctl({f"net.ipv4.conf.{WAN}.promote_secondaries": "1"})
    change(old, new)
    return lambda: change(new, old)


def test_ours_moves_and_libreswan_follows(both: Both) -> None:
    """MOBIKE (RFC 4555). As responder Libreswan speaks it only where the peer may come from anywhere."""
    both.load("psk", connection="mobike = yes\n    local_addrs = %any", remote="%any", more="mobike = yes")
    both.initiate("ours")
    flowing, result = flow(both.sites.a, both.sites.b)
    back = move(both.sites.a)
    try:
        flowing.join()
        assert result[0].received >= PINGS - MAY_BE_LOST
        both.reach()
        assert re.search(r"MOBIKE request: updating IPsec SA by request", both.theirs.log())
        assert len(both.ours.ike_sas()) == 1
    finally:
        back()


def test_libreswan_moves_and_we_follow(both: Both) -> None:
    both.load("psk", connection="mobike = yes\n    remote_addrs = %any", local="%defaultroute", more="mobike = yes")
    both.theirs.initiate()
    both.wait_same()
    flowing, result = flow(both.sites.b, both.sites.a)
    back = move(both.sites.b)
    try:
        flowing.join()
        assert result[0].received >= PINGS - MAY_BE_LOST
        both.reach()
        (sa,) = both.ours.ike_sas()
        assert sa.raw["remote-host"] == b"198.51.100.77"
    finally:
        back()
