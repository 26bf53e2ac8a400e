"""The picture that nearly every test needs: two sites, a gateway each with a host behind it, and the wire between.

::

    host-a 10.10.0.2 -- 10.10.0.1 gateway-a 203.0.113.10 ~~ 198.51.100.20 gateway-b 10.20.0.1 -- 10.20.0.2 host-b

IPv6 beside it: 2001:db8:10::/64 and 2001:db8:20::/64 inside, 2001:db8:a::10 and 2001:db8:b::20 outside.
"""

from __future__ import annotations

from dataclasses import dataclass

from .namespace import Namespace
from .topology import Lab

WAN = "wan"
LAN = "lan"


@dataclass(frozen=True, slots=True)
class Site:
    """One side. Addresses as text, ready for a configuration."""

    name: str
    gateway: Namespace
    host: Namespace
    outer: str
    outer6: str
    net: str
    net6: str
    host_address: str
    host_address6: str
    gateway_address: str


@dataclass(frozen=True, slots=True)
class Sites:
    """Both sides, and the router between them where one was asked for."""

    a: Site
    b: Site
    internet: Namespace | None = None


def two_sites(lab: Lab, *, router: bool = False, mtu: int = 1500) -> Sites:
    """Build the picture. ``router`` puts a router ``internet`` in between (devices ``a`` and ``b``, addresses .1).

    ``mtu`` is that of every wire.
    """
    a = _site(lab, mtu, "a", "203.0.113.10", "2001:db8:a::10", "10.10.0", "2001:db8:10:")
    b = _site(lab, mtu, "b", "198.51.100.20", "2001:db8:b::20", "10.20.0", "2001:db8:20:")
    if not router:
        lab.wire(a.gateway, WAN, b.gateway, WAN, mtu=mtu)
        for site, other in ((a, b), (b, a)):
            site.gateway.address(WAN, f"{site.outer}/32", f"{site.outer6}/128")
            site.gateway.route("default", via=other.outer, device=WAN)
            site.gateway.route("::/0", via=other.outer6, device=WAN)
        return Sites(a, b)
    internet = lab.namespace("internet")
    internet.forward()
    for site in (a, b):
        lab.wire(site.gateway, WAN, internet, site.name, mtu=mtu)
        hop, hop6 = site.outer.rpartition(".")[0] + ".1", site.outer6.rpartition("::")[0] + "::1"
        internet.address(site.name, f"{hop}/24", f"{hop6}/64")
        site.gateway.address(WAN, f"{site.outer}/24", f"{site.outer6}/64")
        site.gateway.route("default", via=hop)
        site.gateway.route("::/0", via=hop6)
    return Sites(a, b, internet)


def _site(lab: Lab, mtu: int, name: str, outer: str, outer6: str, net: str, net6: str) -> Site:
    """A gateway that forwards, and one host that knows no other way out."""
    gateway, host = lab.namespace(f"gateway-{name}"), lab.namespace(f"host-{name}")
    gateway.forward()
    lab.wire(gateway, LAN, host, LAN, mtu=mtu)
    gateway.address(LAN, f"{net}.1/24", f"{net6}:1/64")
    host.address(LAN, f"{net}.2/24", f"{net6}:2/64")
    host.route("default", via=f"{net}.1")
    host.route("::/0", via=f"{net6}:1")
    return Site(
        name=name,
        gateway=gateway,
        host=host,
        outer=outer,
        outer6=outer6,
        net=f"{net}.0/24",
        net6=f"{net6}:/64",
        host_address=f"{net}.2",
        host_address6=f"{net6}:2",
        gateway_address=f"{net}.1",
    )
