"""``fastesp doctor``: what stands in the way of a gateway on this machine, and what makes it slow."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from rich.text import Text

from .client import GatewayClient
from .exits import CommandError, Exit
from .output import Output
from .verb import verb

OK, INFO, WARNING, PROBLEM = "ok", "info", "warning", "problem"
SIGNS = {OK: ("✔", "green"), INFO: ("·", "dim"), WARNING: ("!", "yellow"), PROBLEM: ("✘", "red")}
CAP_NET_ADMIN, CAP_NET_RAW = 12, 13
UDP_GRO = 104
BAD_GSO = (7, 0), (7, 1)
"""Kernels whose UDP GSO mangles headers."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: how it is, and what to do where it should be otherwise."""

    name: str
    verdict: str
    text: str
    action: str = ""


@click.command()
@verb()
def doctor(out: Output, socket: Path) -> None:
    """Look for what stands in the way on this machine. Exit code 1 where something does."""
    findings = [finding for look in LOOKS for finding in look()]
    findings.append(_gateway(socket))
    out.result("doctor", {"findings": [_as_json(finding) for finding in findings]})
    for finding in findings:
        sign, style = SIGNS[finding.verdict]
        out.say(Text(f"{sign} {finding.name:<12} ", style=style) + Text(finding.text))
        if finding.action:
            out.say(f"               {finding.action}", style="dim")
    problems = [finding for finding in findings if finding.verdict == PROBLEM]
    if problems:
        names = ", ".join(finding.name for finding in problems)
        raise CommandError(Exit.FAILED, f"a gateway cannot run here yet: {names}", code="machine-not-ready")


def _as_json(finding: Finding) -> dict[str, str]:
    return {"name": finding.name, "verdict": finding.verdict, "text": finding.text, "action": finding.action}


def _rights() -> Iterator[Finding]:
    effective = 0
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
    missing = [
        n for n, bit in (("CAP_NET_ADMIN", CAP_NET_ADMIN), ("CAP_NET_RAW", CAP_NET_RAW)) if not effective >> bit & 1
    ]
    if missing:
        yield Finding(
            "rights", PROBLEM, f"{' and '.join(missing)} missing", "run as root, or grant them to the service"
        )
    else:
        yield Finding("rights", OK, "CAP_NET_ADMIN and CAP_NET_RAW are there")


def _tun() -> Iterator[Finding]:
    device = Path("/dev/net/tun")
    if not device.exists():
        yield Finding("TUN", PROBLEM, f"{device} is not there", "modprobe tun, or hand the device to the container")
    elif not os.access(device, os.R_OK | os.W_OK):
        yield Finding("TUN", PROBLEM, f"{device} may not be opened", "run as root")
    else:
        yield Finding("TUN", OK, f"{device} can be opened")


def _forwarding() -> Iterator[Finding]:
    for name, key in (("IPv4", "net/ipv4/ip_forward"), ("IPv6", "net/ipv6/conf/all/forwarding")):
        value = _sysctl(key)
        if value == "1":
            yield Finding("forwarding", OK, f"{name} packets are forwarded")
        elif value is not None:
            setting = key.replace("/", ".")
            yield Finding(
                "forwarding",
                WARNING,
                f"{name} packets are not forwarded",
                f"sysctl -w {setting}=1, for hosts behind it",
            )
    if _sysctl("net/ipv4/conf/all/rp_filter") == "1":
        yield Finding(
            "rp_filter", WARNING, "the strict reverse path filter is on", "sysctl -w net.ipv4.conf.all.rp_filter=2"
        )


def _ports() -> Iterator[Finding]:
    for port in (500, 4500):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    text = f"UDP {port} is taken, by a gateway that runs or by another IKE daemon"
                    yield Finding("ports", INFO, text, f"who it is: ss -ulpn sport = {port}")
                else:
                    yield Finding("ports", PROBLEM, f"UDP {port} cannot be bound: {error.strerror}")
            else:
                yield Finding("ports", OK, f"UDP {port} is free")


def _kernel() -> Iterator[Finding]:
    release = platform.release()
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    if numbers in BAD_GSO:
        yield Finding(
            "kernel", WARNING, f"Linux {release} mangles UDP GSO", "run the gateway with --no-gso, or another kernel"
        )
    else:
        yield Finding("kernel", OK, f"Linux {release}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.setsockopt(socket.SOL_UDP, UDP_GRO, 1)
        except OSError:
            yield Finding("UDP GRO", INFO, "the kernel has none: packets come one by one")
        else:
            yield Finding("UDP GRO", OK, "the kernel takes UDP packets together")


def _processor() -> Iterator[Finding]:
    flags: set[str] = set()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("flags", "Features")):
            flags = set(line.partition(":")[2].split())
            break
    if "vaes" in flags and "vpclmulqdq" in flags:
        yield Finding("processor", OK, f"{os.cpu_count()} cores, AES in vectors (VAES)")
    elif "aes" in flags:
        yield Finding("processor", OK, f"{os.cpu_count()} cores, AES in hardware")
    else:
        yield Finding("processor", WARNING, "no AES in hardware", "prefer chacha20poly1305 in esp_proposals")


def _libraries() -> Iterator[Finding]:
    from cryptography.hazmat.backends.openssl import backend

    yield Finding("OpenSSL", OK, f"{backend.openssl_version_text()} (IKE)")
    candidates = [
        path for base in ("/usr/lib", "/usr/local/lib", "/lib") for path in Path(base).rglob("libIPSec_MB.so*")
    ]
    if candidates:
        yield Finding("ipsec-mb", OK, f"{candidates[0].name} is installed")
    else:
        yield Finding(
            "ipsec-mb", INFO, "not installed: ESP goes through OpenSSL", "apt-get install libipsec-mb1, for speed"
        )


def _tools() -> Iterator[Finding]:
    swanctl = shutil.which("swanctl", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if swanctl:
        yield Finding("swanctl", OK, f"{swanctl} can drive the gateway")
    else:
        yield Finding("swanctl", INFO, "not installed; fastesp itself does what it does")


def _gateway(path: Path) -> Finding:
    try:
        with GatewayClient(path) as client:
            version = client.request("version")
    except CommandError as error:
        return Finding("gateway", INFO, str(error), error.hint)
    return Finding("gateway", OK, f"{version.get('daemon')} {version.get('version')} answers at {path}")


def _sysctl(key: str) -> str | None:
    try:
        return Path("/proc/sys", key).read_text().strip()
    except OSError:
        return None


LOOKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _rights,
    _tun,
    _ports,
    _forwarding,
    _kernel,
    _processor,
    _libraries,
    _tools,
)
