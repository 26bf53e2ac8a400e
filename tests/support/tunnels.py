"""Ours and a strongSwan, a gateway each, and what a tunnel between them must carry."""

from __future__ import annotations

from dataclasses import dataclass

from fastesp.lab import Lab, Sites, two_sites
from fastesp.lab.capture import Capture
from fastesp.lab.configurations import configuration
from fastesp.lab.ours import OurGateway
from fastesp.lab.peer import Peer
from fastesp.lab.pki import Authority
from fastesp.lab.sites import WAN
from fastesp.lab.strongswan import StrongSwan
from fastesp.lab.traffic import ping, transfer

MEGABYTE = 1_000_000

OVERHEAD = 100
"""Bytes that the longest inner packet is shorter than the wire's MTU, by the gateway's default."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Ours at site a, strongSwan at site b."""

    lab: Lab
    sites: Sites
    ours: OurGateway
    theirs: StrongSwan

    def side(self, name: str) -> Peer:
        """``ours`` or ``theirs``, as a test's parameter spells it."""
        return self.ours if name == "ours" else self.theirs

    def start(self) -> None:
        """Start both, the responder's software first or second: it must not matter."""
        self.theirs.start()
        self.ours.start()


def pair(lab: Lab, *, kernel: bool = False, options: str = "", router: bool = False, mtu: int = 1500) -> Pair:
    """Two sites with a gateway each, configured and started by the caller. ``options``: strongswan.conf lines."""
    sites = two_sites(lab, router=router, mtu=mtu)
    theirs = StrongSwan(lab, sites.b.gateway, kernel=kernel, options=options)
    ours = OurGateway(lab, sites.a.gateway, options=("--mtu", str(mtu - OVERHEAD)))
    return Pair(lab, sites, ours, theirs)


def configure(
    both: Pair, *, ours: dict[str, str] | None = None, theirs: dict[str, str] | None = None, **common: str
) -> None:
    """Mirrored configurations; ``ours`` and ``theirs`` are what differs on one side (see ``configuration``)."""
    a, b = both.sites.a, both.sites.b
    both.ours.swanctl.configure(configuration(a, b, **{**common, **(ours or {})}))
    both.theirs.swanctl.configure(configuration(b, a, **{**common, **(theirs or {})}))


def certify(both: Pair, kind: str = "ecdsa-256") -> Authority:
    """One authority that both trust, and a certificate of ``kind`` for each."""
    authority = Authority("lab CA")
    for peer, name in ((both.ours, "a"), (both.theirs, "b")):
        peer.swanctl.trust(authority)
        peer.swanctl.own(authority.issue(f"CN=site-{name}", kind=kind))
    return authority


def hosts_reach_each_other(both: Pair) -> None:
    """A ping each way, nothing lost."""
    a, b = both.sites.a, both.sites.b
    for source, target in ((a.host, b.host_address), (b.host, a.host_address)):
        result = ping(source, target)
        assert result.received == result.sent == 3


def bulk(both: Pair, size: int, timeout: float) -> None:
    """``size`` bytes of TCP each way, whole."""
    a, b = both.sites.a, both.sites.b
    transfer(a.host, b.host, b.host_address, size, timeout=timeout)
    transfer(b.host, a.host, a.host_address, size, timeout=timeout)


def carries_traffic_and_is_deleted(both: Pair, initiator: str, *, wire: str, size: int, timeout: float) -> None:
    """The life of a tunnel: brought up by ``initiator``, ping, bulk each way, deleted by ours, and again by theirs.

    ``wire`` is what the packets must be to someone who watches: ``ESP`` or ``ESP in UDP``.
    """
    with Capture(both.lab, both.sites.a.gateway, WAN) as wan:
        for deleter in ("ours", "theirs"):
            both.side(initiator).initiate("net")
            both.ours.wait_child("net")
            both.theirs.wait_child("net")
            hosts_reach_each_other(both)
            if deleter == "ours":
                bulk(both, size, timeout)
                counters_agree(both)
            both.side(deleter).terminate(ike="site")
            both.ours.wait_nothing()
            both.theirs.wait_nothing()
    seen = wan.check(dropped_allowed=True)
    assert seen[wire] > 2 * size / 65536
    assert seen["IKE"] >= 12
    assert not {"ESP", "ESP in UDP"} - {wire} & seen.keys()


def counters_agree(both: Pair) -> None:
    """What one side sent is what the other received: packets and inner bytes."""
    ours, theirs = both.ours.child_sa("net"), both.theirs.child_sa("net")
    assert ours.spi_in == theirs.spi_out
    assert ours.spi_out == theirs.spi_in
    assert ours.packets_out >= theirs.packets_in > 0
    assert theirs.packets_out >= ours.packets_in > 0
    assert ours.bytes_out >= theirs.bytes_in > 0
    assert theirs.bytes_out >= ours.bytes_in > 0
