"""The user-space data plane in a process of its own, its stages timed: for the tunnel benchmark's table.

As a program it installs one SA, says ``ready``, and answers each line on its input with a line of figures.
"""

from __future__ import annotations

import json
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path

from fastesp.dataplane.base import ChildSa, OuterPath, SaHalf, SaMode, SaProtocol, Selector, Suite
from fastesp.dataplane.userspace import UserspaceDataPlane
from fastesp.lab import Lab, LabError, Namespace

PORT = 4500
SUITE = Suite("aes-gcm-16", 256)
Stages = dict[str, dict[str, int]]


class PlaneProcess:
    """One side, driven from the benchmark; it ends with the lab."""

    def __init__(self, lab: Lab, namespace: Namespace, local: str, remote: str, net: str, remote_net: str) -> None:
        self.tun = "fastesp0"
        words = [sys.executable, "-m", "benchmarks.plane", self.tun, local, remote, net, remote_net]
        self._child = subprocess.Popen(
            namespace.argv(words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parent.parent,
            start_new_session=True,
        )
        lab.on_close(self.stop)
        if self._line() != "ready":
            raise LabError(f"the data plane in {namespace.role} did not start")

    def stages(self) -> Stages:
        """As :meth:`UserspaceDataPlane.stages` says them."""
        stream = self._child.stdin
        assert stream is not None
        stream.write("stages\n")
        stream.flush()
        figures: Stages = json.loads(self._line())
        return figures

    def stop(self) -> None:
        """End it. Idempotent."""
        if self._child.stdin is not None and not self._child.stdin.closed:
            self._child.stdin.close()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _line(self) -> str:
        assert self._child.stdout is not None
        return self._child.stdout.readline().strip()


class _Key(bytearray):
    def wipe(self) -> None:
        self[:] = bytes(len(self))


def main(tun: str, local: str, remote: str, net: str, remote_net: str) -> None:
    """Serve until the input ends. SPIs and keys follow from the addresses: both sides agree without speaking."""

    def half(address: str) -> SaHalf:
        packed = ip_address(address).packed
        return SaHalf(int.from_bytes(packed, "big"), SUITE, _Key((packed * 9)[:36]))

    here, there = ip_network(net), ip_network(remote_net)
    selector = Selector(here[0], here[-1], there[0], there[-1])
    path = OuterPath(ip_address(local), ip_address(remote), PORT, PORT)
    with UserspaceDataPlane(tun) as plane:
        plane.install(
            ChildSa(
                name="net",
                child_id=1,
                reqid=1,
                protocol=SaProtocol.ESP,
                mode=SaMode.TUNNEL,
                selectors=(selector,),
                path=path,
                inbound=half(local),
                outbound=half(remote),
                replay_window=1024,
            )
        )
        plane.activate_outbound(1)
        plane.time_stages()
        print("ready", flush=True)
        for _ in sys.stdin:
            print(json.dumps(plane.stages()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
