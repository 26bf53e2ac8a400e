"""Home and carrier routers that translate addresses, put in front of a gateway of a lab."""

from __future__ import annotations

import itertools
from dataclasses import replace

from pyroute2 import NFCTSocket

from fastesp.lab import Lab, Site, Sites, two_sites
from fastesp.lab.namespace import Namespace
from fastesp.lab.sites import WAN

_numbers = itertools.count(1)
IKE_PORTS = "500, 4500"

TABLE = """
table ip nat {{
  chain out {{
    type nat hook postrouting priority 100
    oifname "{wan}" masquerade
  }}
  chain in {{
    type nat hook prerouting priority -100
    iifname "{wan}" udp dport {{ {ports} }} dnat to {inside}
  }}
}}
"""
"""NAPT for what goes out, and IKE's ports handed in: whoever is behind can be asked as well as ask."""

OTHER_PORTS = range(30000, 31000)
RESTARTED = """
flush table ip nat
table ip nat {{
  chain out {{
    type nat hook postrouting priority 100
    oifname "{wan}" udp sport {{ {ports} }} masquerade to :{first}-{last}
  }}
}}
"""


def sites_behind(lab: Lab, places: str) -> tuple[Sites, dict[str, str]]:
    """Two sites with the Internet between them and a NAT for each letter of ``places``: ``aab`` puts two before a.

    ``outer`` of a site is what its gateway has itself; the second value says what the other side sees of it.
    """
    sites = two_sites(lab, router=True)
    seen = {"a": sites.a.outer, "b": sites.b.outer}
    for letter in places:
        site = sites.a if letter == "a" else sites.b
        sites = replace(sites, **{letter: behind_a_nat(lab, site)})
    return sites, seen


def behind_a_nat(lab: Lab, site: Site) -> Site:
    """Put a router in front of the gateway: it takes over the gateway's place, address and next hop."""
    number = next(_numbers)
    inside, gateway_side = f"192.168.{number % 200}.2", f"192.168.{number % 200}.1"
    nat = lab.namespace(f"nat-{site.name}-{number}")
    nat.forward()
    _hand_over(site, nat)
    lab.wire(nat, "home", site.gateway, WAN)
    nat.address("home", f"{gateway_side}/24")
    site.gateway.address(WAN, f"{inside}/24")
    site.gateway.route("default", via=gateway_side)
    nat.run("nft", "-f", "-", stdin=TABLE.format(wan=WAN, ports=IKE_PORTS, inside=inside))
    return replace(site, outer=inside)


def _hand_over(site: Site, nat: Namespace) -> None:
    """The gateway's device, with its address, becomes the router's."""
    hop = site.outer.rpartition(".")[0] + ".1"
    site.gateway.ip("link", "set", "dev", WAN, "netns", nat.name)
    nat.address(WAN, f"{site.outer}/24")
    nat.route("default", via=hop)


def forget(lab: Lab, letter: str) -> None:
    """The NAT before a site restarts: all it knew is gone, and it gives out other ports from now on."""
    (nat,) = [space for role, space in lab.namespaces.items() if role.startswith(f"nat-{letter}-")]
    last = OTHER_PORTS.stop - 1
    nat.run("nft", "-f", "-", stdin=RESTARTED.format(wan=WAN, ports=IKE_PORTS, first=OTHER_PORTS.start, last=last))
    with nat.entered(), NFCTSocket() as conntrack:
        conntrack.flush()
