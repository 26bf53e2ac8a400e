"""The tunnels that are measured: ours, and those of others, each between two namespaces of its own, up side by side.

All carry IPv4 in UDP with AES-256-GCM (WireGuard: ChaCha20-Poly1305, it has no other), from gateway to gateway.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.plane import PlaneProcess
from fastesp.lab import Lab, two_sites
from fastesp.lab.configurations import configuration
from fastesp.lab.namespace import Namespace
from fastesp.lab.ours import OurGateway
from fastesp.lab.peer import Peer
from fastesp.lab.pki import Authority
from fastesp.lab.process import wait_until
from fastesp.lab.sites import Sites
from fastesp.lab.strongswan import CHARON, StrongSwan
from fastesp.lab.traffic import ping

A, B = "10.99.0.1", "10.99.0.2"
"""Tunnel addresses of those that have addresses of their own."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """One that is up: traffic goes from ``source`` to ``address`` in ``sink``."""

    lab: Lab
    source: Namespace
    sink: Namespace
    address: str


@dataclass(frozen=True, slots=True)
class Rival:
    """``build`` brings the tunnel up in a lab; ``program`` is what it needs, as a path or a name."""

    name: str
    build: Callable[[Lab, Sites], Tunnel]
    program: str = ""

    def missing(self) -> str:
        """Why it cannot be measured here; empty where it can."""
        if self.program and shutil.which(self.program) is None:
            return f"{self.program} is not installed (`ci/setup-machine.sh bench` installs it)"
        return ""

    def up(self, lab: Lab) -> Tunnel:
        """Bring it up and wait until a ping gets through."""
        tunnel = self.build(lab, two_sites(lab))
        wait_until(
            lambda: ping(tunnel.source, tunnel.address, count=1).received == 1, f"a ping through {self.name}", 20.0
        )
        return tunnel


def plain(lab: Lab, sites: Sites) -> Tunnel:
    """No tunnel: the wire itself."""
    return Tunnel(lab, sites.a.gateway, sites.b.gateway, sites.b.outer)


def _gateways(lab: Lab, sites: Sites, make: Callable[[Lab, Namespace], Peer], connection: str) -> Tunnel:
    """Two peers that are configured alike, from the LAN address of one to that of the other."""
    peers = []
    for me, other in ((sites.a, sites.b), (sites.b, sites.a)):
        peer = make(lab, me.gateway)
        peer.swanctl.configure(configuration(me, other, connection=connection, child="rekey_time = 0"))
        peer.start()
        peers.append(peer)
    peers[0].initiate("net")
    for peer in peers:
        peer.wait_child("net")
    return Tunnel(lab, sites.a.gateway, sites.b.gateway, sites.b.gateway_address)


def ours_udp(lab: Lab, sites: Sites) -> Tunnel:
    """Our gateway, ESP in UDP."""
    return _gateways(lab, sites, OurGateway, "encap = yes")


def ours_esp(lab: Lab, sites: Sites) -> Tunnel:
    """Our gateway, protocol 50."""
    return _gateways(lab, sites, OurGateway, "")


def ours_with(workers: int) -> Rival:
    """Our gateway with so many workers, ESP in UDP."""

    def gateway(lab: Lab, namespace: Namespace) -> OurGateway:
        return OurGateway(lab, namespace, options=("--workers", str(workers)))

    return Rival(f"ours-{workers}-workers", lambda lab, sites: _gateways(lab, sites, gateway, "encap = yes"))


def libipsec(lab: Lab, sites: Sites) -> Tunnel:
    """strongSwan with its ESP in user space."""
    return _gateways(lab, sites, StrongSwan, "encap = yes")


def wireguard_go(lab: Lab, sites: Sites) -> Tunnel:
    """WireGuard in user space: one process a side, configured by ``wg``."""
    keys = {}
    for site in (sites.a, sites.b):
        private = site.gateway.run("wg", "genkey").strip()
        keys[site.name] = private, site.gateway.run("wg", "pubkey", stdin=private).strip()
    for me, other, address, remote in ((sites.a, sites.b, A, B), (sites.b, sites.a, B, A)):
        device = f"bench-{me.name}"
        process = lab.start(
            me.gateway,
            ["wireguard-go", "--foreground", device],
            name="wireguard-go",
            environment={"WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD": "1", "LOG_LEVEL": "verbose"},
        )
        process.wait_for("UAPI listener started")
        file = lab.directory / f"{device}.key"
        file.write_text(keys[me.name][0])
        words = ["listen-port", "51820", "private-key", str(file), "peer", keys[other.name][1]]
        words += ["allowed-ips", f"{remote}/32", "endpoint", f"{other.outer}:51820"]
        me.gateway.run("wg", "set", device, *words)
        me.gateway.address(device, f"{address}/24")
    return Tunnel(lab, sites.a.gateway, sites.b.gateway, B)


def openvpn(lab: Lab, sites: Sites) -> Tunnel:
    """OpenVPN in user space (without its kernel module), point to point, certificates, UDP."""
    authority = Authority("benchmark CA")
    (lab.directory / "ca.pem").write_bytes(authority.pem)
    for me, other, role in ((sites.b, sites.a, "server"), (sites.a, sites.b, "client")):
        certified = authority.issue(f"CN=site-{me.name}")
        certificate, key = lab.directory / f"{me.name}.pem", lab.directory / f"{me.name}.key"
        certificate.write_bytes(certified.pem)
        key.write_bytes(certified.key_pem)
        address, remote = (B, A) if role == "server" else (A, B)
        words = ["openvpn", "--dev", f"bench-{me.name}", "--dev-type", "tun", "--proto", "udp4", "--disable-dco"]
        words += ["--local", me.outer, "--lport", "1194", "--remote", other.outer, "1194", f"--tls-{role}"]
        words += ["--ca", str(lab.directory / "ca.pem"), "--cert", str(certificate), "--key", str(key)]
        words += ["--data-ciphers", "AES-256-GCM", "--ifconfig", address, remote, "--verb", "3"]
        words += ["--dh", "none"] if role == "server" else []
        lab.start(me.gateway, words, name="openvpn")
    for process in lab.processes[-2:]:
        process.wait_for("Initialization Sequence Completed", 30.0)
    return Tunnel(lab, sites.a.gateway, sites.b.gateway, B)


def planes(lab: Lab, sites: Sites) -> tuple[Tunnel, PlaneProcess, PlaneProcess]:
    """Our data plane without a gateway around it, keys made by hand, its stages timed."""
    processes = []
    for me, other in ((sites.a, sites.b), (sites.b, sites.a)):
        process = PlaneProcess(lab, me.gateway, me.outer, other.outer, me.net, other.net)
        me.gateway.route(other.net, device=process.tun)
        processes.append(process)
    tunnel = Tunnel(lab, sites.a.gateway, sites.b.gateway, sites.b.gateway_address)
    return tunnel, processes[0], processes[1]


OURS = Rival("ours", ours_udp)
RIVALS = (
    Rival("plain", plain),
    OURS,
    Rival("ours-esp", ours_esp),
    Rival("libipsec", libipsec, str(CHARON)),
    Rival("wireguard-go", wireguard_go, "wireguard-go"),
    Rival("openvpn", openvpn, str(Path("/usr/sbin/openvpn"))),
)
