"""Beside DPDK: ``dpdk-test-crypto-perf`` with the aesni_gcm driver, which is ipsec-mb behind DPDK's queues; seal only.

Both are timed by the wall clock, in turns: DPDK as it reports itself, ours as the mean of the same number of packets.
Both cipher the same bytes: those of the inner packet and of the ESP trailer. Ours includes policy lookup, headers and
trailer, which theirs has not.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.flows import heads
from benchmarks.report import Report
from fastesp.engine.esp import Engine
from fastesp.engine.providers import available_providers
from fastesp.engine.stopwatch import Track

PROGRAM = "dpdk-test-crypto-perf"
PACKETS = 64
OUTBOUND = ("classify", "wrap", "seal", "sent")
"""Stages of :attr:`Engine.stages`: policy and SA; header and padding; the cipher; counters."""
ROW = re.compile(r"^\d+,(\d+),\d+,\d+,\d+,\d+,\d+,([\d.]+),", re.MULTILINE)
"""lcore, buffer size, burst, enqueued, dequeued, failures of both, millions of operations a second, ..."""


def measure(report: Report, sizes: Sequence[int], engine_of: Callable[[str], Engine], *, quick: bool) -> None:
    """Figures ``dpdk.SIZE``: our packets a second divided by theirs; and a table of where ours go."""
    why = _missing()
    if why:
        for size in sizes:
            report.leave_out(f"dpdk.{size}", why)
        return
    rounds, operations = (2, 200_000) if quick else (7, 1_000_000)
    engine = engine_of("ipsec-mb")
    tracks = {size: Track(PACKETS, size, heads(size, np.zeros(PACKETS, np.int64))) for size in sizes}
    ours: dict[int, list[float]] = {size: [] for size in sizes}
    theirs: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(rounds):
        for size, track in tracks.items():
            theirs[size].append(_crypto_perf(ciphered(size), operations))
            ours[size].append(1e9 / float(np.mean(track.encapsulate(engine, operations // PACKETS))))
    for size in sizes:
        report.sample(f"dpdk.{size}.ours", ours[size], "packets/s")
        report.sample(f"dpdk.{size}.theirs", theirs[size], "packets/s")
        report.ratio(f"dpdk.{size}", ours[size], theirs[size], f"{PROGRAM}, aesni_gcm, burst 32")
        report.tables.setdefault("beside DPDK, ns a packet", []).append(
            {"bytes": size, "DPDK": _nanoseconds(theirs[size]), "ours": _nanoseconds(ours[size])}
            | _stages(engine, tracks[size], operations // PACKETS)
        )
    engine.close()


def _nanoseconds(rates: Sequence[float]) -> float:
    return round(1e9 / float(np.median(rates)), 1)


def _stages(engine: Engine, track: Track, batches: int) -> dict[str, object]:
    """Where ours goes. The clock of each stage is read twice a batch, which counts as well."""
    engine.time_stages()
    track.encapsulate(engine, batches)
    spent = {stage: round(engine.stages[stage] / (batches * PACKETS), 1) for stage in OUTBOUND}
    engine.time_stages(False)
    return dict(spent)


def ciphered(size: int) -> int:
    """Bytes that ESP ciphers for an inner packet of ``size``: padding to four, with pad length and next header."""
    return (size + 2 + 3) // 4 * 4


def _missing() -> str:
    if shutil.which(PROGRAM) is None:
        return f"{PROGRAM} is not installed (Debian: dpdk-dev)"
    if "ipsec-mb" not in available_providers():
        return "ipsec-mb is not installed, or not for this processor"
    if (os.cpu_count() or 1) < 2:
        return f"{PROGRAM} needs two cores"
    return ""


def _crypto_perf(size: int, operations: int) -> float:
    """Operations a second at one size."""
    words = [
        "--no-huge",
        "-m",
        "512",
        "--no-pci",
        "--no-telemetry",
        "--no-shconf",
        "--vdev",
        "crypto_aesni_gcm0",
        "-l",
        "0,1",
    ]
    words += ["--", "--devtype", "crypto_aesni_gcm", "--ptest", "throughput", "--optype", "aead"]
    words += ["--aead-algo", "aes-gcm", "--aead-op", "encrypt", "--aead-key-sz", "32", "--aead-iv-sz", "12"]
    words += ["--aead-aad-sz", "8", "--digest-sz", "16", "--buffer-sz", str(size), "--burst-sz", "32"]
    words += ["--total-ops", str(operations), "--silent", "--csv-friendly"]
    done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, timeout=120, check=False)
    found = ROW.search(done.stdout)
    if found is None:
        raise RuntimeError(f"{PROGRAM}: exit code {done.returncode}: {(done.stderr + done.stdout)[-800:]}")
    return float(found[2]) * 1e6
