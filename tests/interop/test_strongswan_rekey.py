"""Our IKE core against strongSwan: what becomes of a tunnel that is up, by either side's wish and by both at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address

import pytest
from support.core_peer import CorePeer
from support.peers import connection, esp, ike, net

from fastesp.lab import Lab, two_sites
from fastesp.lab.configurations import configuration
from fastesp.lab.process import Process
from fastesp.lab.strongswan import SWANCTL, StrongSwan, unconfined
from ike.config import AddressTemplate
from ike.events import ChildSaDeleted, ChildSaRekeyed, IkeSaDeleted, IkeSaRekeyed

pytestmark = [pytest.mark.root, pytest.mark.peer]

SECRET = "a secret for an afternoon"


@dataclass
class Tunnel:
    """Our core at site a, strongSwan at site b, a tunnel between them."""

    lab: Lab
    ours: CorePeer
    theirs: StrongSwan

    def swanctl(self, *words: str) -> Process:
        """``swanctl WORDS`` beside us: it waits for an answer that we have to give."""
        argv = [*unconfined(), SWANCTL, *words, "--uri", f"unix://{self.theirs.socket_path}"]
        environment = {
            "SWANCTL_DIR": str(self.theirs.swanctl.path),
            "STRONGSWAN_CONF": str(self.theirs.directory / "strongswan.conf"),
        }
        return self.lab.start(self.theirs.namespace, argv, name="swanctl", environment=environment)

    def quiet(self, seconds: float = 0.6) -> None:
        """Serve until nothing has been said for a while."""
        heard = -1
        while heard != len(self.ours.lines):
            heard = len(self.ours.lines)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                self.ours.serve(0.05)

    def is_whole(self) -> None:
        """One IKE SA and one CHILD_SA on both sides, the same ones."""
        end = time.monotonic() + 12.0
        while True:
            # charon drops a response while it works on a request of the same id: it asks again four seconds later.
            self.quiet()
            mine, others = self.ours.endpoint.ike_sas(), self.theirs.ike_sas()
            if (len(mine), len(others)) == (1, 1) and len(others[0].children) == len(self.ours.installed) == 1:
                break
            assert time.monotonic() < end, "\n".join(self.ours.lines[-14:])
        ours, theirs = mine[0], others[0]
        assert ours.state == "ESTABLISHED"
        assert len(self.ours.installed) == 1
        (made,) = self.ours.installed.values()
        (child,) = theirs.children
        assert (child.spi_in, child.spi_out) == (made.outbound.spi, made.inbound.spi)
        assert self.ours.sending == list(self.ours.installed)
        assert self.ours.failures == []


@pytest.fixture(params=["aes256gcm16", "aes256gcm16-ecp256"], ids=["without-pfs", "with-pfs"])
def tunnel(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Tunnel]:
    sites = two_sites(lab)
    theirs = StrongSwan(lab, sites.b.gateway)
    theirs.swanctl.configure(configuration(sites.b, sites.a, secret=SECRET, esp_proposals=request.param))
    theirs.start()
    made = connection(
        "site-a.example.org",
        "site-b.example.org",
        net(sites.a.net, sites.b.net, esp_proposals=esp(request.param)),
        proposals=ike("aes256gcm16-prfsha384-x25519"),
        remote_addrs=(AddressTemplate(address=ip_address(sites.b.outer)),),
        # kernel-libipsec knows ESP in UDP alone.
        encap=True,
    )
    ours = CorePeer(sites.a.gateway, sites.a.outer, replace(made, dpd_delay=0.0), SECRET.encode())
    try:
        ours.connect(sites.b.outer)
        ours.wait(lambda: bool(ours.installed), "the tunnel is up")
        both = Tunnel(lab, ours, theirs)
        both.is_whole()
        yield both
    finally:
        ours.close()


def test_we_rekey_the_child(tunnel: Tunnel) -> None:
    ours = tunnel.ours
    for _ in range(3):
        ours.endpoint.rekey_child(next(iter(ours.installed)), time.monotonic())
        tunnel.is_whole()
    assert len(ours.of(ChildSaRekeyed)) == 3
    assert [e.reason for e in ours.of(ChildSaDeleted)] == ["rekeyed"] * 3


def test_strongswan_rekeys_the_child(tunnel: Tunnel) -> None:
    ours = tunnel.ours
    for _ in range(3):
        command = tunnel.swanctl("--rekey", "--child", "net")
        ours.wait(lambda: command.exit_code is not None, "swanctl --rekey ends")  # noqa: B023 - called at once
        tunnel.is_whole()
    assert len(ours.of(ChildSaRekeyed)) == 3


def test_we_rekey_the_ike_sa(tunnel: Tunnel) -> None:
    ours = tunnel.ours
    for _ in range(3):
        ours.endpoint.rekey_ike(ours.established()[0], time.monotonic())
        tunnel.is_whole()
    assert len(ours.of(IkeSaRekeyed)) == 3
    ours.endpoint.rekey_child(next(iter(ours.installed)), time.monotonic())
    tunnel.is_whole()


def test_strongswan_rekeys_the_ike_sa(tunnel: Tunnel) -> None:
    ours = tunnel.ours
    for _ in range(3):
        command = tunnel.swanctl("--rekey", "--ike", "site")
        ours.wait(lambda: command.exit_code is not None, "swanctl --rekey ends")  # noqa: B023 - called at once
        tunnel.is_whole()
    assert len(ours.of(IkeSaRekeyed)) == 3
    ours.endpoint.rekey_child(next(iter(ours.installed)), time.monotonic())
    tunnel.is_whole()


@pytest.mark.parametrize("what", ["child", "ike"])
def test_both_rekey_at_once(tunnel: Tunnel, what: str) -> None:
    ours, crossed = tunnel.ours, 0
    for _ in range(8):
        before = len(ours.lines)
        name = "net" if what == "child" else "site"
        command = tunnel.swanctl("--rekey", f"--{what}", name)
        # Hold our request back until strongSwan's is in our socket, unread: so the two cross.
        time.sleep(0.3)
        if what == "child":
            ours.endpoint.rekey_child(next(iter(ours.installed)), time.monotonic())
        else:
            ours.endpoint.rekey_ike(ours.established()[0], time.monotonic())
        ours.wait(lambda: command.exit_code is not None, "swanctl --rekey ends")  # noqa: B023 - called at once
        tunnel.is_whole()
        said = ours.lines[before:]
        assert any(line.startswith("sent CREATE_CHILD_SA request") for line in said)
        # strongSwan puts its request off where another exchange of its own is not over; then there is but ours.
        crossed += any(line.startswith("received CREATE_CHILD_SA request") for line in said)
        if crossed == 4:
            return
    assert crossed == 4


def test_deletes_from_either_side(tunnel: Tunnel) -> None:
    ours = tunnel.ours
    ours.endpoint.terminate_child(next(iter(ours.installed)), time.monotonic())
    tunnel.quiet()
    assert tunnel.theirs.children() == []
    ours.connect(str(ours.endpoint.ike_sas()[0].path.remote))
    tunnel.is_whole()
    command = tunnel.swanctl("--terminate", "--child", "net")
    ours.wait(lambda: command.exit_code is not None, "swanctl --terminate ends")
    tunnel.quiet()
    assert ours.installed == {}
    ours.connect(str(ours.endpoint.ike_sas()[0].path.remote))
    tunnel.is_whole()
    command = tunnel.swanctl("--terminate", "--ike", "site")
    ours.wait(lambda: command.exit_code is not None, "swanctl --terminate ends")
    tunnel.quiet()
    assert [e.reason for e in ours.of(IkeSaDeleted)] == ["peer-deleted"]
    assert ours.installed == {}


def test_liveness_both_ways(tunnel: Tunnel) -> None:
    ours = tunnel.ours
    ours.endpoint.check_liveness(ours.established()[0], time.monotonic())
    tunnel.is_whole()
    assert any(line.startswith("received INFORMATIONAL response") for line in ours.lines)
