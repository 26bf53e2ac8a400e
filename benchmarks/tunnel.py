"""Two gateways in namespaces on this machine beside what else runs in user space, in turns within one run.

1. TCP, one stream: ``tcp1.vs_libipsec``, ``.vs_wireguard_go``, ``.vs_openvpn``, ``.vs_plain``; with protocol 50
   ``esp_tcp1.vs_libipsec``.
2. TCP, several streams, and UDP of 64, 512 and 1,400 bytes at full speed: a table. Several streams with two workers
   beside one: ``tcp4.workers_2``, above 1 where the second helps.
3. Ping through an idle tunnel: ``ping.vs_libipsec``.
4. Loss at 60 % of the rate that our tunnel was measured to carry: ``loss_at_60``, in percent. Counted where datagrams
   leave the tunnel: what iperf3's own socket drops because its process has no core to run on is not the tunnel's.
5. Nanoseconds and bytes copied a packet, by stage: the table ``stages``.
"""

from __future__ import annotations

import contextlib
import re
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks import rivals
from benchmarks.plane import Stages
from benchmarks.report import Report, arguments, finish
from benchmarks.rivals import RIVALS, Tunnel
from fastesp.lab import Lab, LabError, two_sites
from fastesp.lab.traffic import iperf

STREAMS = 4
UDP_SIZES = (64, 512, 1400)
UDP_FULL = 50_000.0
"""Mbit/s: more than anyone here can carry."""
LOSS_SIZE = 1372
"""Bytes of a datagram that fits the tunnel's MTU of 1,400 whole."""
HEADERS = 28
"""Bytes of IPv4 and UDP in front of it."""
SHARE = 0.6
ARRIVALS = """
table inet arrivals {
  chain input {
    type filter hook input priority filter
    udp dport 5201 counter
  }
}
"""
"""Counts what has come out of the tunnel for iperf3."""

STAGE_WORDS = {
    "out.read": "out: read from the TUN, cut into packets",
    "out.classify": "out: policy and SA",
    "out.wrap": "out: header, padding",
    "out.seal": "out: seal",
    "out.sent": "out: counters",
    "out.write": "out: write to the socket",
    "in.read": "in: read from the socket",
    "in.lookup": "in: SPI to SA",
    "in.admit": "in: replay check",
    "in.open": "in: open",
    "in.unwrap": "in: replay window, selectors",
    "in.write": "in: join TCP, write to the TUN",
}


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things are measured: rounds, seconds of a turn, pings."""

    rounds: int
    seconds: float
    pings: int


def main() -> None:
    """Bring all up, take turns, then the parts that are ours alone."""
    options = arguments("tunnel", __doc__ or "")
    pace = Pace(2, 1.0, 20) if options.quick else Pace(7, 3.0, 200)
    report = Report("tunnel", options.quick)
    with contextlib.ExitStack() as stack:
        up: dict[str, Tunnel] = {}
        for rival in RIVALS:
            why = rival.missing()
            if not why:
                try:
                    up[rival.name] = rival.up(stack.enter_context(Lab(f"bench-{rival.name}")))
                    continue
                except LabError as failed:
                    why = f"did not come up: {str(failed).splitlines()[0]}"
            report.leave_out(rival.name, why)
        _tcp(report, up, pace)
        _udp(report, up, pace)
        _pings(report, up, pace)
        _loss(report, up, pace)
    _workers(report, pace)
    _stages(report, pace)
    finish(report, options.json)


def _rate(tunnel: Tunnel, pace: Pace, *, streams: int = 1, udp_mbit: float = 0.0, size: int = 0) -> float:
    """Mbit/s of payload that arrive."""
    omit = 0.0 if udp_mbit else pace.seconds / 4
    return iperf(
        tunnel.lab,
        tunnel.source,
        tunnel.sink,
        tunnel.address,
        seconds=pace.seconds,
        streams=streams,
        udp_mbit=udp_mbit,
        size=size,
        omit=omit,
    ).mbit_per_second


def _tcp(report: Report, up: Mapping[str, Tunnel], pace: Pace) -> None:
    rates = {kind: {name: [] for name in up} for kind in ("tcp1", f"tcp{STREAMS}")}  # type: dict[str, dict[str, list[float]]]
    for _ in range(pace.rounds):
        for name, tunnel in up.items():
            rates["tcp1"][name].append(_rate(tunnel, pace))
    for _ in range(max(1, pace.rounds // 2)):
        for name, tunnel in up.items():
            rates[f"tcp{STREAMS}"][name].append(_rate(tunnel, pace, streams=STREAMS))
    for kind, of in rates.items():
        for name, values in of.items():
            report.sample(f"{kind}.{name}", values, "Mbit/s")
            _row(report, name)[f"{kind} Mbit/s"] = round(statistics.median(values))
    for ours, prefix, beside in (
        ("ours", "tcp1", "libipsec"),
        ("ours", "tcp1", "wireguard-go"),
        ("ours", "tcp1", "openvpn"),
        ("ours", "tcp1", "plain"),
        ("ours-esp", "esp_tcp1", "libipsec"),
    ):
        figure = f"{prefix}.vs_{beside.replace('-', '_')}"
        if ours in up and beside in up:
            report.ratio(figure, rates["tcp1"][ours], rates["tcp1"][beside], beside)
        else:
            report.leave_out(figure, f"{beside if ours in up else ours} was not measured")


def _workers(report: Report, pace: Pace) -> None:
    """Several streams through one tunnel, between gateways with one worker and with two, in turns."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    with contextlib.ExitStack() as stack:
        up = {
            number: rivals.ours_with(number).up(stack.enter_context(Lab(f"bench-workers-{number}"))) for number in rates
        }
        for _ in range(pace.rounds):
            for number, tunnel in up.items():
                rates[number].append(_rate(tunnel, pace, streams=STREAMS))
    for number, values in rates.items():
        report.sample(f"tcp{STREAMS}.workers_{number}", values, "Mbit/s")
        row: dict[str, object] = {"workers": number, f"tcp{STREAMS} Mbit/s": round(statistics.median(values))}
        report.tables.setdefault("workers", []).append(row)
    report.ratio(f"tcp{STREAMS}.workers_2", rates[2], rates[1], "ours with one worker")


def _udp(report: Report, up: Mapping[str, Tunnel], pace: Pace) -> None:
    for size in UDP_SIZES:
        values: dict[str, list[float]] = {name: [] for name in up}
        for _ in range(max(1, pace.rounds // 3)):
            for name, tunnel in up.items():
                values[name].append(_rate(tunnel, pace, udp_mbit=UDP_FULL, size=size))
        for name, rates in values.items():
            report.sample(f"udp{size}.{name}", rates, "Mbit/s")
            _row(report, name)[f"UDP {size} kpps"] = round(statistics.median(rates) * 1e3 / (size * 8))


def _pings(report: Report, up: Mapping[str, Tunnel], pace: Pace) -> None:
    """Round trips, a few of each tunnel in turn; a rate is their inverse."""
    times: dict[str, list[float]] = {name: [] for name in up}
    for _ in range(pace.rounds):
        for name, tunnel in up.items():
            words = ["ping", "-n", "-i", "0.01", "-c", str(pace.pings), tunnel.address]
            found = re.findall(r"time=([\d.]+) ms", tunnel.source.run(*words))
            times[name].append(statistics.median(map(float, found)))
    for name, values in times.items():
        report.sample(f"ping.{name}", values, "ms")
        _row(report, name)["ping ms"] = round(statistics.median(values), 3)
    if "ours" in up and "libipsec" in up:
        ours, theirs = ([1 / t for t in times[name]] for name in ("ours", "libipsec"))
        report.ratio("ping.vs_libipsec", ours, theirs, "libipsec, 1 / median round trip")
    else:
        report.leave_out("ping.vs_libipsec", "ours or libipsec was not measured")


def _loss(report: Report, up: Mapping[str, Tunnel], pace: Pace) -> None:
    if "ours" not in up:
        report.leave_out("loss_at_60", "ours was not measured")
        return
    tunnel = up["ours"]
    tunnel.sink.run("nft", "-f", "-", stdin=ARRIVALS)
    losses, rates, unread = [], [], []
    for _ in range(pace.rounds):
        rate, _, _ = _arrivals(tunnel, pace, UDP_FULL)
        rates.append(rate)
        _, lost, dropped = _arrivals(tunnel, pace, statistics.median(rates) * SHARE)
        losses.append(lost)
        unread.append(dropped)
    tunnel.sink.run("nft", "delete", "table", "inet", "arrivals")
    report.sample("loss_at_60.maximum", rates, "Mbit/s")
    report.sample("loss_at_60.dropped_by_iperf3", unread, "percent")
    report.figure("loss_at_60", losses, "percent")


def _arrivals(tunnel: Tunnel, pace: Pace, mbit: float) -> tuple[float, float, float]:
    """UDP at ``mbit``: Mbit/s that left the tunnel, percent lost in it, percent that iperf3 was too late to read."""
    before = _arrived(tunnel)
    run = iperf(
        tunnel.lab, tunnel.source, tunnel.sink, tunnel.address, seconds=pace.seconds, udp_mbit=mbit, size=LOSS_SIZE
    )
    arrived = _arrived(tunnel) - before
    lost = 100.0 * max(0, run.sent - arrived) / run.sent
    return arrived * LOSS_SIZE * 8 / pace.seconds / 1e6, lost, run.lost_percent - lost


def _arrived(tunnel: Tunnel) -> int:
    """Datagrams for iperf3 that came out of the tunnel so far, joined ones (one packet with one header) included."""
    found = re.search(r"packets (\d+) bytes (\d+)", tunnel.sink.run("nft", "list", "table", "inet", "arrivals"))
    assert found is not None, "the table has one counter"
    packets, octets = int(found[1]), int(found[2])
    return (octets - packets * HEADERS) // LOSS_SIZE


def _stages(report: Report, pace: Pace) -> None:
    """One TCP stream through two timed data planes: the sender's way out, the receiver's way in."""
    with Lab("bench-stages") as lab:
        tunnel, sender, receiver = rivals.planes(lab, two_sites(lab))
        _rate(tunnel, pace)
        before = sender.stages(), receiver.stages()
        mbit = _rate(tunnel, pace)
        after = sender.stages(), receiver.stages()
    report.sample("stages.tcp1", [mbit], "Mbit/s")
    for stage, words in STAGE_WORDS.items():
        way = stage.partition(".")[0]
        at = 0 if way == "out" else 1
        packets = _grown(before[at], after[at], "packets", way)
        report.tables.setdefault("stages", []).append(
            {
                "stage": words,
                "ns a packet": round(_grown(before[at], after[at], "ns", stage) / packets, 1),
                "bytes copied a packet": round(_grown(before[at], after[at], "copied", stage) / packets, 1),
            }
        )


def _grown(before: Stages, after: Stages, kind: str, name: str) -> int:
    return after[kind].get(name, 0) - before[kind].get(name, 0)


def _row(report: Report, name: str) -> dict[str, object]:
    """The line of a tunnel in the table ``tunnels``."""
    rows = report.tables.setdefault("tunnels", [])
    for row in rows:
        if row["tunnel"] == name:
            return row
    rows.append({"tunnel": name})
    return rows[-1]


if __name__ == "__main__":
    main()
