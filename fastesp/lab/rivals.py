"""Tunnels of other makes between the same two sites, to be measured beside: wireguard-go and OpenVPN.

Each is brought up on construction, routes the sites' networks through itself, and is stopped with the lab.
"""

from __future__ import annotations

import base64
import shutil

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from .errors import LabError
from .pki import Authority
from .process import Process, wait_until
from .sites import Site, Sites
from .topology import Lab
from .traffic import ping

WIREGUARD_PORT = 51820
OPENVPN_PORT = 1194
OPENVPN_CIPHER = "AES-256-GCM"
START_TIMEOUT = 30.0

WIREGUARD_STARTS = {"WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD": "1", "LOG_LEVEL": "verbose"}
"""What wireguard-go wants to hear on a kernel that may have WireGuard itself, and what makes it say when it listens."""


def wireguard(lab: Lab, sites: Sites) -> list[Process]:
    """wireguard-go at both sites (ChaCha20-Poly1305: it has nothing else), with keys of its own."""
    _need("wireguard-go", "wg")
    keys = {site.name: X25519PrivateKey.generate() for site in (sites.a, sites.b)}
    processes = []
    for me, peer in ((sites.a, sites.b), (sites.b, sites.a)):
        # The control socket is named for the device, and lies where all of the machine see it.
        device = f"wg{'-'.join(lab.id.rsplit('-', 2)[1:])}{me.name}"
        processes.append(lab.start(me.gateway, ["wireguard-go", "--foreground", device], environment=WIREGUARD_STARTS))
        processes[-1].wait_for("UAPI listener started", START_TIMEOUT)
        private = lab.directory / f"wireguard-{me.name}.conf"
        private.touch(mode=0o600)
        private.write_text(
            f"[Interface]\nPrivateKey = {_base64(keys[me.name].private_bytes_raw())}\nListenPort = {WIREGUARD_PORT}\n"
            f"[Peer]\nPublicKey = {_base64(keys[peer.name].public_key().public_bytes_raw())}\n"
            f"AllowedIPs = {peer.net}, {peer.net6}\nEndpoint = {peer.outer}:{WIREGUARD_PORT}\n"
        )
        me.gateway.run("wg", "setconf", device, str(private))
        _route(me, peer, device)
    _reach(sites, "wireguard-go")
    return processes


def openvpn(lab: Lab, sites: Sites) -> list[Process]:
    """OpenVPN over UDP between the sites, TLS with certificates, AES-256-GCM, site a is the server."""
    _need("openvpn")
    authority = Authority("fastesp lab CA")
    processes = []
    for me, peer in ((sites.a, sites.b), (sites.b, sites.a)):
        server = me is sites.a
        directory = lab.directory / f"openvpn-{me.name}"
        directory.mkdir(mode=0o700)
        certified = authority.issue(f"CN=site-{me.name}")
        for file, data in (("ca.pem", authority.pem), ("cert.pem", certified.pem), ("key.pem", certified.key_pem)):
            (directory / file).touch(mode=0o600)
            (directory / file).write_bytes(data)
        local, remote = ("10.99.0.1", "10.99.0.2") if server else ("10.99.0.2", "10.99.0.1")
        words = f"""openvpn --dev tun0 --dev-type tun --proto udp4 --local {me.outer} --remote {peer.outer}
            --port {OPENVPN_PORT} --ifconfig {local} {remote} --cipher {OPENVPN_CIPHER} --data-ciphers {OPENVPN_CIPHER}
            --ca {directory}/ca.pem --cert {directory}/cert.pem --key {directory}/key.pem
            --{"tls-server --dh none" if server else "tls-client"} --verb 3 --sndbuf 1048576 --rcvbuf 1048576""".split()
        processes.append(lab.start(me.gateway, words))
        processes[-1].wait_for("link remote", START_TIMEOUT)
    for process, (me, peer) in zip(processes, ((sites.a, sites.b), (sites.b, sites.a)), strict=True):
        process.wait_for("Initialization Sequence Completed", START_TIMEOUT)
        _route(me, peer, "tun0")
    _reach(sites, "OpenVPN")
    return processes


def _need(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise LabError(f"{', '.join(missing)}: not installed; `ci/setup-machine.sh bench` installs it")


def _route(me: Site, peer: Site, device: str) -> None:
    me.gateway.ip("link", "set", "dev", device, "up")
    me.gateway.ip("route", "replace", peer.net, "dev", device, "src", me.gateway_address)


def _reach(sites: Sites, name: str) -> None:
    """Handshakes take a moment, and the first packets may be what starts them."""
    wait_until(
        lambda: ping(sites.a.host, sites.b.host_address, count=1).received == 1, f"a ping through {name}", START_TIMEOUT
    )


def _base64(key: bytes) -> str:
    return base64.b64encode(key).decode()
