"""The soak: two gateways at full speed for ten minutes, liveness checks on. ``make soak``, or ``make soak TIME=60``.

It holds where memory stays flat, the SAs of the beginning are those of the end, every liveness check was answered, and
what one end counts as sent the other counts as received.
"""

from __future__ import annotations

import argparse
import re
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from .configurations import configuration
from .errors import LabError
from .namespace import Namespace
from .ours import OurGateway
from .peer import ChildSa
from .process import Process
from .sites import Sites, two_sites
from .topology import Lab
from .traffic import iperf, ping

CHILD = "net"
DPD_DELAY = 2
"""Seconds between liveness checks: ESP traffic counts as a sign of life, so pauses in it are what makes them happen."""

SLICE = 60.0
"""Seconds of traffic between two pauses."""

PAUSE = 3 * DPD_DELAY
SAMPLE_EVERY = 2.0
ANSWERED = re.compile(r"received INFORMATIONAL response \d+ \[ ")
"""What a gateway logs when its check was answered: nothing else in a soak is an INFORMATIONAL exchange."""

WARM_UP = 0.2
"""The share of the run after which memory must be flat: caches and buffers have filled by then."""

GROWTH_BYTES = 4 << 20
"""What a process may still grow by: a leak of one byte a packet would be hundreds of times that."""

LOSS = 1e-3
"""Share of packets that may be lost between the two ends, where the kernel says that its socket buffers ran over."""


@dataclass
class Memory:
    """Resident memory of one process over time: seconds since the start, bytes."""

    process: Process
    samples: list[tuple[float, int]] = field(default_factory=list)

    def growth(self, total: float) -> int:
        """Bytes between the median of the fifth that follows the warm-up and the median of the last fifth."""
        early = sorted(rss for at, rss in self.samples if WARM_UP * total <= at < 2 * WARM_UP * total)
        late = sorted(rss for at, rss in self.samples if at >= (1 - WARM_UP) * total)
        if not early or not late:
            raise LabError("too few samples of memory: the soak is too short")
        return late[len(late) // 2] - early[len(early) // 2]


def main(arguments: list[str] | None = None) -> int:
    """Run it; the exit code is 0, 1 where something did not hold, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="fastesp lab soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    options = parser.parse_args(arguments)
    try:
        with Lab("soak") as lab:
            problems = soak(lab, options.seconds)
    except LabError as failed:
        problems = [str(failed)]
    except KeyboardInterrupt:
        print("\ninterrupted; everything the soak made is gone", file=sys.stderr)
        return 130
    for problem in problems:
        print(f"did not hold: {problem}", file=sys.stderr)
    print("the soak failed" if problems else "the soak held")
    return 1 if problems else 0


def soak(lab: Lab, seconds: float) -> list[str]:
    """Run in a lab that the caller opens and closes; returns what did not hold."""
    sites = two_sites(lab)
    gateways = [_gateway(lab, sites, turned=False), _gateway(lab, sites, turned=True)]
    for ours in gateways:
        ours.start()
    gateways[0].initiate(CHILD)
    before = [ours.wait_child(CHILD) for ours in gateways]
    memories = [Memory(ours.process) for ours in gateways if ours.process is not None]
    done = threading.Event()
    sampler = threading.Thread(target=_sample, args=(memories, done), daemon=True)
    sampler.start()
    begin = time.monotonic()
    _traffic(lab, sites, begin, seconds)
    total = time.monotonic() - begin
    done.set()
    sampler.join()
    problems = _lost(gateways, before) + _silent(gateways, total)
    if not problems:
        problems += _disagreements(sites, gateways)
    for memory, ours in zip(memories, gateways, strict=True):
        growth, now = memory.growth(total), memory.samples[-1][1]
        print(f"  {ours.namespace.role}: {now / 1e6:.1f} MB resident, {growth / 1e6:+.2f} MB since it was warm")
        if growth > GROWTH_BYTES:
            problems.append(f"{ours.namespace.role} grew by {growth:,} bytes after its warm-up")
    return problems


def _gateway(lab: Lab, sites: Sites, *, turned: bool) -> OurGateway:
    me, peer = (sites.b, sites.a) if turned else (sites.a, sites.b)
    ours = OurGateway(lab, me.gateway)
    ours.swanctl.configure(
        configuration(
            me, peer, connection=f"dpd_delay = {DPD_DELAY}s", child="dpd_action = clear\n        rekey_time = 0"
        )
    )
    return ours


def _traffic(lab: Lab, sites: Sites, begin: float, seconds: float) -> None:
    """TCP at full speed, the direction changing with each slice, a pause between two; said as it goes."""
    turn = 0
    while (left := seconds - (time.monotonic() - begin)) > 1.0:
        source, sink = (sites.a, sites.b) if turn % 2 == 0 else (sites.b, sites.a)
        slice_seconds = max(1.0, min(SLICE, seconds / 4, left - PAUSE))
        result = iperf(lab, source.host, sink.host, sink.host_address, seconds=slice_seconds)
        at = time.monotonic() - begin
        print(f"  {at:5.0f} s  {source.name} to {sink.name}: {result.mbit_per_second:,.0f} Mbit/s", flush=True)
        time.sleep(PAUSE)
        if ping(source.host, sink.host_address, count=2).received != 2:
            raise LabError(f"after {at:.0f} s no ping gets through any more")
        turn += 1


def _sample(memories: list[Memory], done: threading.Event) -> None:
    begin = time.monotonic()
    while not done.wait(SAMPLE_EVERY):
        for memory in memories:
            memory.samples.append((time.monotonic() - begin, memory.process.rss()))


def _lost(gateways: list[OurGateway], before: list[ChildSa]) -> list[str]:
    """The SAs are those of the beginning: same SPIs, nothing beside them."""
    problems = []
    for ours, first in zip(gateways, before, strict=True):
        now = [child for sa in ours.ike_sas() for child in sa.children]
        if [(c.spi_in, c.spi_out) for c in now] != [(first.spi_in, first.spi_out)]:
            problems.append(f"{ours.namespace.role}: began with SPI {first.spi_in:08x}, ends with {len(now)} CHILD_SAs")
    return problems


def _silent(gateways: list[OurGateway], seconds: float) -> list[str]:
    """At least one check was made in each pause, and answered (or the SA would be gone)."""
    checks = sum(len(ANSWERED.findall(ours.log())) for ours in gateways)
    expected = int(seconds / (SLICE + PAUSE)) or 1
    print(f"  {checks} liveness checks were made and answered")
    return [] if checks >= expected else [f"{checks} liveness checks in {seconds:.0f} s, expected at least {expected}"]


def _disagreements(sites: Sites, gateways: list[OurGateway]) -> list[str]:
    """Sent on one end against received on the other; a difference needs a socket buffer that ran over."""
    time.sleep(1.0)
    a, b = (ours.child_sa(CHILD) for ours in gateways)
    problems = []
    for sender, receiver, space, way in ((a, b, sites.b.gateway, "a to b"), (b, a, sites.a.gateway, "b to a")):
        lost = sender.packets_out - receiver.packets_in
        dropped = overruns(space)
        counted = f"{sender.packets_out:,} packets sent, {receiver.packets_in:,} received"
        print(f"  {way}: {counted}, {dropped:,} buffer overruns")
        if lost < 0 or sender.bytes_out < receiver.bytes_in:
            problems.append(f"{way}: more was received than sent")
        elif lost == 0 and sender.bytes_out != receiver.bytes_in:
            problems.append(
                f"{way}: {sender.bytes_out:,} bytes sent, {receiver.bytes_in:,} received in as many packets"
            )
        elif lost and not dropped:
            problems.append(f"{way}: {lost:,} packets lost, and no socket buffer ran over")
        elif lost > LOSS * sender.packets_out:
            problems.append(f"{way}: {lost:,} of {sender.packets_out:,} packets lost")
    return problems


def overruns(space: Namespace) -> int:
    """Datagrams that the kernel of a namespace dropped for want of room in a socket, UDP over IPv4 and raw sockets."""
    with space.entered():
        rows = [
            line.split()
            for line in Path("/proc/thread-self/net/snmp").read_text().splitlines()
            if line.startswith("Udp:")
        ]
        raw = [line.split() for line in Path("/proc/thread-self/net/raw").read_text().splitlines()[1:]]
    return int(dict(zip(rows[0], rows[1], strict=True))["RcvbufErrors"]) + sum(int(line[-1]) for line in raw)


if __name__ == "__main__":
    sys.exit(main())
