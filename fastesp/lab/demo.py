"""The demo: two gateways, certificates, a tunnel that the first packet brings up, traffic, and proof of what crossed.

``make demo``, ``fastesp lab demo`` or ``python -m fastesp.lab.demo``. It needs root, leaves nothing behind, and fails
where anything that it says is not so.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .capture import Capture
from .configurations import example
from .errors import LabError, Terminated
from .ours import OurGateway
from .pki import Authority
from .process import Process
from .sites import LAN, WAN, Site, Sites, two_sites
from .topology import Lab
from .traffic import iperf, ping

PATTERN = b"fastesp-in-clear"
"""Fills the pings (16 bytes, as many as ping takes): plainly there on the inside, and never on the wire."""

PICTURE = """\
  host a           gateway a                         gateway b           host b
  10.10.0.2 ------ 203.0.113.10 ~~~~ the wire ~~~~ 198.51.100.20 ------ 10.20.0.2
"""
CHILD = "net"


class Follower:
    """Prints what a program logs as it happens, each line with a name before it."""

    def __init__(self, process: Process, name: str) -> None:
        self._process = process
        self._name = name
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Print the rest and end; idempotent."""
        self._end.set()
        self._thread.join(2.0)

    def _follow(self) -> None:
        shown, ending = 0, False
        while True:
            text = self._process.text()
            whole = text.rfind("\n") + 1
            for line in text[shown:whole].splitlines():
                print(f"  {self._name} | {line}", flush=True)
            shown = max(shown, whole)
            if ending:
                return
            ending = self._end.wait(0.05)


def main(arguments: list[str] | None = None) -> int:
    """Run it; the exit code is 0, 1 where something was not as it should be, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="fastesp lab demo", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long iperf3 runs in each direction")
    options = parser.parse_args(arguments)
    try:
        with Lab("demo") as lab:
            demo(lab, options.seconds)
    except LabError as failed:
        print(f"\nthe demo failed: {failed}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stopped:
        print("\ninterrupted; everything the demo made is gone", file=sys.stderr)
        return 128 + (stopped.number if isinstance(stopped, Terminated) else signal.SIGINT)
    print("\nAll of it held. Everything the demo made is gone.")
    return 0


def demo(lab: Lab, seconds: float) -> None:
    """The demo itself, in a lab that the caller opens and closes."""
    step("Two sites, each a gateway with a host behind it, in network namespaces")
    print(PICTURE)
    sites = two_sites(lab)
    step("A public-key infrastructure for the occasion: one authority, a certificate for each gateway")
    gateways = [gateway(lab, me, peer) for me, peer in ((sites.a, sites.b), (sites.b, sites.a))]
    equip(gateways)
    step("The configuration of site a; site b has its mirror image")
    print(indented(gateways[0].swanctl.file.read_text()))

    with Capture(lab, sites.a.gateway, WAN, whole=True) as wan, Capture(lab, sites.a.gateway, LAN, whole=True) as lan:
        step("Both gateways start. No tunnel yet: each has set a trap for the first packet")
        with started(lab, gateways):
            bring_up(sites, gateways)
            lan.stop()
            prove(wan, lan)
        step("iperf3 through the tunnel, one TCP stream, each way")
    # Another capture for the bulk: of each packet only what says what it is.
    with Capture(lab, sites.a.gateway, WAN) as wan:
        measure(lab, sites, seconds)
        time.sleep(0.1)
    step("What crossed the wire meanwhile")
    tell(wan)
    step("fastesp status, at site a")
    print(indented(said(gateways[0], "status")))
    step("Delete it from site a; site b hears of it")
    take_down(gateways)


def gateway(lab: Lab, me: Site, peer: Site) -> OurGateway:
    """A gateway of ours with the promised configuration."""
    ours = OurGateway(lab, me.gateway)
    ours.swanctl.configure(example(me, peer))
    return ours


def equip(gateways: list[OurGateway]) -> None:
    """An authority that both trust; certificates CN=site-a and CN=site-b."""
    authority = Authority("fastesp demo CA")
    for ours, name in zip(gateways, "ab", strict=True):
        ours.swanctl.trust(authority)
        ours.swanctl.own(authority.issue(f"CN=site-{name}"))


@contextmanager
def started(lab: Lab, gateways: list[OurGateway]) -> Iterator[None]:
    """Start them, and print what they log for the time of the block."""
    followers: list[Follower] = []
    for ours, name in zip(gateways, "ab", strict=True):
        ours.start()
        assert ours.process is not None
        follower = Follower(ours.process, name)
        followers.append(follower)
        lab.on_close(follower.stop)
    try:
        yield
    finally:
        for follower in followers:
            follower.stop()


def bring_up(sites: Sites, gateways: list[OurGateway]) -> None:
    """The first ping springs the trap, waits for the tunnel, and arrives."""
    must(not gateways[0].ike_sas(), "there is a tunnel before there was a packet")
    step("Host a pings host b: the first packet brings the tunnel up, and is not lost")
    result = ping(sites.a.host, sites.b.host_address, count=5, pattern=PATTERN.hex())
    for ours in gateways:
        ours.wait_child(CHILD)
    time.sleep(0.2)
    print(
        f"\n  {result.received} of {result.sent} came back; round trip {result.minimum:.2f}/{result.average:.2f}",
        end="",
    )
    print(f"/{result.maximum:.2f} ms (the longest waited for the tunnel)")
    must(result.received == result.sent, "a ping was lost")


def prove(wan: Capture, lan: Capture) -> None:
    """The handshake and the pings: only ESP and IKE on the wire, and the pings' text on the inside alone."""
    step("What crossed the wire so far")
    tell(wan)
    must(lan.contains(PATTERN), f"the text of the pings, {PATTERN!r}, was not seen even on the inside")
    must(not wan.contains(PATTERN), f"the text of the pings, {PATTERN!r}, was seen on the wire")
    print(f"  The pings say {PATTERN.decode()!r}: seen between host and gateway, nowhere on the wire.")


def measure(lab: Lab, sites: Sites, seconds: float) -> None:
    """iperf3, a TCP stream from a to b and one from b to a."""
    for source, sink in ((sites.a, sites.b), (sites.b, sites.a)):
        result = iperf(lab, source.host, sink.host, sink.host_address, seconds=seconds)
        print(f"  {source.name} to {sink.name}: {result.mbit_per_second:,.0f} Mbit/s, {result.retransmits} retransmits")
        must(result.mbit_per_second > 0, "nothing got through")


def tell(wan: Capture) -> None:
    """Check the capture and print what it holds."""
    seen = wan.check(dropped_allowed=True)
    for what, count in seen.most_common():
        print(f"  {count:>9,} x {what}")
    print("  Nothing else: checked, packet by packet.")
    must(seen["ESP"] + seen["ESP in UDP"] > 0, "no ESP was seen at all")


def said(ours: OurGateway, *words: str) -> str:
    """What a ``fastesp`` command printed; it must succeed."""
    outcome = ours.command(*words)
    must(outcome.exit_code == 0, f"fastesp {' '.join(words)}: exit code {outcome.exit_code}: {outcome.errors}")
    return outcome.output


def take_down(gateways: list[OurGateway]) -> None:
    """``fastesp down`` on one side; the other one follows."""
    a, b = gateways
    name = a.ike_sas()[0].name
    print(indented(said(a, "down", name)))
    a.wait_nothing()
    b.wait_nothing()
    print("  No SA is left on either side.")


def must(true: bool, otherwise: str) -> None:
    """What the demo says has to be so."""
    if not true:
        raise LabError(otherwise)


def step(text: str) -> None:
    """A heading."""
    bold, plain = ("\x1b[1m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}* {text}{plain}", flush=True)


def indented(text: str) -> str:
    """Set off from the demo's own words."""
    return "\n".join(f"  {line}" for line in text.rstrip().splitlines())


if __name__ == "__main__":
    sys.exit(main())
