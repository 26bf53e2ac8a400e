"""Two namespaces and a wire: our data plane on one side; on the other one ours again, or the kernel's XFRM."""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from support.exchange import PATIENCE, End
from support.plane_process import keys
from support.planes import INNER, OUTER, RANGES, Plane
from support.sa_cases import Case

from fastesp.dataplane.base import Suite
from fastesp.lab import Lab
from fastesp.lab.namespace import Namespace, command

MARK = 0x42
TABLE = "220"
NETWORKS = {"a": ("10.10.0.0/24", "fd10::/112"), "b": ("10.20.0.0/24", "fd20::/112")}
UDP_ENCAP, UDP_ENCAP_ESPINUDP = 100, 2
XFRM_WINDOW_MAX = 4096
XFRM_POLICY = {4: (socket.IPPROTO_IP, 17), 6: (socket.IPPROTO_IPV6, 35)}
XFRM_IN, XFRM_OUT, XFRM_ALLOW = 0, 1, 0

XFRM_CIPHERS = {"aes-cbc": "cbc(aes)", "aes-ctr": "rfc3686(ctr(aes))", "null": "ecb(cipher_null)"}
XFRM_AEADS = {
    "aes-gcm-8": ("rfc4106(gcm(aes))", 64),
    "aes-gcm-12": ("rfc4106(gcm(aes))", 96),
    "aes-gcm-16": ("rfc4106(gcm(aes))", 128),
    "aes-gmac": ("rfc4543(gcm(aes))", 128),
    "chacha20-poly1305": ("rfc7539esp(chacha20,poly1305)", 128),
}
XFRM_HASHES = {
    "hmac-sha1": ("hmac(sha1)", 96),
    "hmac-sha2-256": ("hmac(sha256)", 128),
    "hmac-sha2-384": ("hmac(sha384)", 192),
    "hmac-sha2-512": ("hmac(sha512)", 256),
}


class Side(Protocol):
    """One end of an SA."""

    name: str
    namespace: Namespace

    def install(self, wanted: dict[str, Any]) -> None: ...
    def remove(self, wanted: dict[str, Any]) -> None: ...
    def packets(self, wanted: dict[str, Any]) -> tuple[int, int]:
        """Received and sent on this SA."""
        ...

    def faults(self) -> dict[str, int]:
        """What was dropped since the start, by reason."""
        ...


class OurSide:
    """The user-space data plane. For transport mode, what goes to the peer's outer address unmarked enters the TUN."""

    def __init__(self, name: str, namespace: Namespace) -> None:
        self.name = name
        self.namespace = namespace
        self.plane = Plane(name, namespace.name, mark=MARK)
        peer = "b" if name == "a" else "a"
        for flag, near, far in zip(("-4", "-6"), OUTER[name], OUTER[peer], strict=True):
            namespace.ip(flag, "rule", "add", "not", "fwmark", hex(MARK), "lookup", TABLE)
            namespace.ip(flag, "route", "add", far, "dev", self.plane.tun, "src", near, "table", TABLE)

    def install(self, wanted: dict[str, Any]) -> None:
        self.plane.install(wanted)

    def remove(self, wanted: dict[str, Any]) -> None:
        self.plane.remove(wanted["child_id"])

    def packets(self, wanted: dict[str, Any]) -> tuple[int, int]:
        found = self.plane.counters(wanted["child_id"])
        return found["packets_in"], found["packets_out"]

    def faults(self) -> dict[str, int]:
        return self.plane.drops()

    def close(self) -> None:
        self.plane.close()


class KernelSide:
    """XFRM, told by ``ip``. The sockets tell the kernel that UDP on 4500 may be ESP."""

    def __init__(self, name: str, namespace: Namespace) -> None:
        self.name = name
        self.namespace = namespace
        self._sockets = []
        for version, address in zip((4, 6), INNER[name], strict=True):
            namespace.ip("address", "add", address, "dev", "lo", *(["nodad"] if version == 6 else []))
            sock = namespace.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
            sock.bind((OUTER[name][version == 6], 4500))
            sock.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP)
            exempt(sock, version)
            self._sockets.append(sock)
        peer = "b" if name == "a" else "a"
        for address, network, near in zip(OUTER[peer], NETWORKS[peer], INNER[name], strict=True):
            namespace.ip("route", "add", network, "via", address, "src", near)

    def install(self, wanted: dict[str, Any]) -> None:
        self._batch([*self._states(wanted), *self._policies(wanted, "add")])

    def remove(self, wanted: dict[str, Any]) -> None:  # noqa: ARG002 - there is one at a time
        self._batch(["xfrm policy flush", "xfrm state flush"])

    def packets(self, wanted: dict[str, Any]) -> tuple[int, int]:
        text = self.namespace.ip("-s", "xfrm", "state")
        found = {}
        for state in re.split(r"(?m)^src ", text)[1:]:
            spi = int(re.search(r"spi (0x[0-9a-f]+)", state)[1], 16)
            found[spi] = int(re.search(r"lifetime current:\s+\d+\(bytes\), (\d+)\(packets\)", state)[1])
        return found[wanted["spi_in"]], found[wanted["spi_out"]]

    def faults(self) -> dict[str, int]:
        with self.namespace.entered():
            lines = Path("/proc/thread-self/net/xfrm_stat").read_text().split("\n")
        return {name: int(count) for name, count in map(str.split, filter(None, lines)) if count != "0"}

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()

    def _batch(self, lines: list[str]) -> None:
        command(["ip", "-n", self.namespace.name, "-batch", "-"], stdin="\n".join(lines) + "\n")

    def _states(self, wanted: dict[str, Any]) -> Iterator[str]:
        near, far, port, _ = wanted["path"]
        ah, version = wanted["protocol"] == 51, 6 if ":" in near else 4
        flags = ["esn"] * wanted["esn"] + ["af-unspec"] * (wanted["mode"] == "tunnel")
        flags += ["align4"] * (ah and version == 4)  # as RFC 4302 section 2.2 wants it
        rest = [f"mode {wanted['mode']} reqid 1 replay-window {min(wanted['replay_window'], XFRM_WINDOW_MAX)}"]
        rest += [f"flag {' '.join(flags)}"] if flags else []
        rest += [f"encap espinudp {port} {port} {'::' if version == 6 else '0.0.0.0'}"] if port else []
        for source, target, spi, out in ((near, far, wanted["spi_out"], True), (far, near, wanted["spi_in"], False)):
            words = [f"xfrm state add src {source} dst {target} proto {'ah' if ah else 'esp'} spi {spi:#x}"]
            words += [*algorithms(Suite(*wanted["suite"]), spi), *rest]
            words += [f"tfcpad {wanted['kernel_tfc']}"] if out and wanted["kernel_tfc"] else []
            yield " ".join(words)

    def _policies(self, wanted: dict[str, Any], verb: str) -> Iterator[str]:
        near, far, _, _ = wanted["path"]
        protocol = "ah" if wanted["protocol"] == 51 else "esp"
        for local, remote in wanted["networks"]:
            for way, source, target, outer in (("out", local, remote, (near, far)), ("in", remote, local, (far, near))):
                ends = f"src {outer[0]} dst {outer[1]}"
                template = f"tmpl {ends} proto {protocol} reqid 1 mode {wanted['mode']}"
                yield f"xfrm policy {verb} src {source} dst {target} dir {way} {template}"


def exempt(sock: socket.socket, version: int) -> None:
    """Let a socket's own packets pass whatever policies say, as IKE daemons do: transport mode's cover its UDP too."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    for direction in (XFRM_IN, XFRM_OUT):
        # linux/xfrm.h, struct xfrm_userpolicy_info: the selector's family, direction and action; the rest is zero.
        policy = struct.pack("=40xH118xBB6x", family, direction, XFRM_ALLOW)
        sock.setsockopt(*XFRM_POLICY[version], policy)


def algorithms(suite: Suite, spi: int) -> list[str]:
    """As ``ip xfrm state`` names them."""
    key, integrity_key = keys(suite, spi)
    if suite.encryption in XFRM_AEADS:
        name, bits = XFRM_AEADS[suite.encryption]
        return [f"aead {name} 0x{key.hex()} {bits}"]
    name, bits = XFRM_HASHES[suite.integrity]
    words = [f"auth-trunc {name} 0x{integrity_key.hex()} {bits}"]
    if suite.encryption:
        words.append(f"enc {XFRM_CIPHERS[suite.encryption]} " + (f"0x{key.hex()}" if key else '""'))
    return words


@dataclass(slots=True)
class Bed:
    """Both sides, and a number for each SA between them."""

    a: OurSide
    b: Side
    children: int = 0

    def ends(self, case: Case) -> Iterator[tuple[End, End]]:
        """Between which addresses an SA of this case carries packets: one pair an IP version."""
        table = INNER if case.mode == "tunnel" else OUTER
        for index, version in enumerate((4, 6)):
            if case.mode == "tunnel" or version == case.outer:
                yield End(self.a.namespace, table["a"][index]), End(self.b.namespace, table["b"][index])

    def wanted(self, side: Side, case: Case) -> dict[str, Any]:
        """An SA as one side sees it: what :func:`support.plane_process.child` takes, and more for the kernel."""
        me, peer = side.name, "b" if side.name == "a" else "a"
        index = 0 if case.outer == 4 else 1
        near, far = OUTER[me][index], OUTER[peer][index]
        port = 4500 if case.udp else 0
        tunnel = case.mode == "tunnel"
        bits = "/32" if case.outer == 4 else "/128"
        spis = {name: 0x10000 * (ord(name) - 86) + self.children for name in "ab"}
        return {
            "child_id": self.children,
            "selectors": [[RANGES[me][i], RANGES[peer][i]] for i in (0, 1)]
            if tunnel
            else [[f"{near}-{near}", f"{far}-{far}"]],
            "networks": list(zip(NETWORKS[me], NETWORKS[peer], strict=True)) if tunnel else [(near + bits, far + bits)],
            "path": [near, far, port, port],
            "spi_in": spis[me],
            "spi_out": spis[peer],
            "suite": list(case.suite),
            "protocol": 51 if case.ah else 50,
            "mode": case.mode,
            "esn": case.esn,
            "replay_window": case.window,
            "tfc_padding": case.tfc,
            "kernel_tfc": case.kernel_tfc,
        }

    def _settled(self, wanted: dict[str, dict[str, Any]]) -> tuple[tuple[int, int], tuple[int, int]]:
        """What both sides counted, once they agree, or after a while: TCP's last words may still be on their way."""
        deadline = time.monotonic() + PATIENCE
        while True:
            time.sleep(0.02)
            ours, theirs = self.a.packets(wanted["a"]), self.b.packets(wanted["b"])
            if ours == theirs[::-1] or time.monotonic() > deadline:
                return ours, theirs

    @contextmanager
    def connected(self, case: Case) -> Iterator[None]:
        """The SA of a case, while the block runs; then the counters of both sides agree and nothing was dropped."""
        self.children += 1
        sides: tuple[Side, Side] = (self.b, self.a)
        wanted = {side.name: self.wanted(side, case) for side in sides}
        before = {side.name: side.faults() for side in sides}
        with ExitStack() as stack:
            for side in sides:
                stack.callback(side.remove, wanted[side.name])
                side.install(wanted[side.name])
            yield
            (received, sent), beside = self._settled(wanted)
            assert beside == (sent, received)
            assert received > 0
            assert sent > 0
            assert {side.name: side.faults() for side in sides} == before


@contextmanager
def bed(kernel: bool) -> Iterator[Bed]:
    """All is gone afterwards. Neighbours are fixed: policies of transport mode would catch their discovery too."""
    with Lab("sides") as lab, ExitStack() as stack:
        spaces = {name: lab.namespace(name) for name in "ab"}
        lab.wire(spaces["a"], "wire", spaces["b"], "wire")
        for name, space in spaces.items():
            space.sysctl({"net.ipv6.conf.wire.accept_dad": "0"})
            space.address("wire", f"{OUTER[name][0]}/24", f"{OUTER[name][1]}/64")
        for name, peer in (("a", "b"), ("b", "a")):
            hardware = re.search(r"link/ether (\S+)", spaces[peer].ip("link", "show", "dev", "wire"))[1]
            for address in OUTER[peer]:
                spaces[name].ip("neighbour", "replace", address, "lladdr", hardware, "dev", "wire", "nud", "permanent")
        a = OurSide("a", spaces["a"])
        stack.callback(a.close)
        b = KernelSide("b", spaces["b"]) if kernel else OurSide("b", spaces["b"])
        stack.callback(b.close)
        yield Bed(a, b)
