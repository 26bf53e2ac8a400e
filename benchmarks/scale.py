"""What numbers cost: one policy to 10,000, one SA to 100,000, with uniform traffic over all of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.flows import everything, heads, mirrored, site_pair
from benchmarks.race import nanoseconds, race
from benchmarks.report import Report
from fastesp.dataplane.base import Suite
from fastesp.engine.esp import Engine
from fastesp.engine.stopwatch import EvpAead, Track

SIZE = 256
PACKETS = 64
BATCHES = 18
WARM_BATCHES = 320
"""Of 20,480 packets: what they touch is beyond every cache."""
POLICIES = (1, 10, 100, 1_000, 10_000)
SAS = (1, 10, 100, 1_000, 10_000, 100_000)
WORKING_SET = 1_024
"""Flows that send at the same time."""
MANY_FLOWS = 65_536
"""More than the flow cache holds: nearly each packet is searched for."""
SUITE = Suite("aes-gcm-16", 256)
KEY = bytes(range(1, 37))
FIRST_SPI = 0x1000_0000


def measure(report: Report, *, quick: bool) -> None:
    """Figures ``policies.10000`` and ``sas.100000``; tables ``policies`` and ``sas``."""
    rounds = 10 if quick else 60
    random = np.random.default_rng(4301)
    _policies(report, rounds, random)
    _sas(report, rounds, random)


def _policies(report: Report, rounds: int, random: np.random.Generator) -> None:
    """Engines that differ in their number of policies only, one SA, the same number of flows."""
    engines, runners = [], {}
    for count in POLICIES:
        engine = Engine(max_sas=16, max_policies=max(POLICIES) + 1)
        slot = engine.install_outbound(1, SUITE, KEY, epoch=1)
        for number in range(count):
            engine.add_policy([everything() if count == 1 else site_pair(number)], "protect", sa=slot)
        engines.append(engine)
        for name, flows in (("cached", WORKING_SET), ("searched", MANY_FLOWS)):
            sites = random.permutation(np.arange(flows, dtype=np.int64) * 7919 % count)
            track = Track(PACKETS, SIZE, heads(SIZE, sites))
            runners[f"{name} {count}"] = partial(_warm, partial(track.encapsulate, engine), flows // PACKETS)
    rates = race(runners, rounds)
    for count in POLICIES:
        cached, searched = rates[f"cached {count}"], rates[f"searched {count}"]
        report.sample(f"policies.{count}", cached, "packets/s")
        report.sample(f"policies.{count}.searched", searched, "packets/s")
        report.tables.setdefault("policies", []).append(
            {
                "policies": count,
                f"ns with {WORKING_SET} flows": round(nanoseconds(cached), 1),
                f"ns with {MANY_FLOWS} flows": round(nanoseconds(searched), 1),
                "of one policy": round(nanoseconds(rates["cached 1"]) / nanoseconds(cached), 3),
            }
        )
    report.ratio(f"policies.{POLICIES[-1]}", rates[f"cached {POLICIES[-1]}"], rates["cached 1"], "one policy")
    report.ratio(
        f"policies.{POLICIES[-1]}.searched",
        rates[f"searched {POLICIES[-1]}"],
        rates["searched 1"],
        f"one policy, with {MANY_FLOWS} flows",
    )
    for engine in engines:
        engine.close()


def _sas(report: Report, rounds: int, random: np.random.Generator) -> None:
    """Inbound: every packet for another SA, each with its own key schedule, window and counters."""
    primitive = EvpAead("AES-256-GCM", KEY)
    engine = Engine(max_sas=SAS[-1], max_policies=16)
    before, installed = _resident(), 0
    runners = {}
    for count in SAS:
        for number in range(installed, count):
            engine.install_inbound(FIRST_SPI + number, SUITE, KEY, selectors=[mirrored(everything())])
        installed = count
        order = random.permutation(np.arange(max(count, PACKETS)) % count)
        spis = (FIRST_SPI + order).astype(np.uint32)
        track = Track(PACKETS, SIZE, heads(SIZE, np.zeros(1, np.int64)), spis)
        runners[str(count)] = partial(_warm, partial(track.decapsulate, engine, primitive), len(spis) // PACKETS)
    memory = (_resident() - before) / installed
    rates = race(runners, rounds)
    for count in SAS:
        report.sample(f"sas.{count}", rates[str(count)], "packets/s")
        report.tables.setdefault("sas", []).append(
            {
                "SAs": count,
                "ns": round(nanoseconds(rates[str(count)]), 1),
                "of one SA": round(nanoseconds(rates["1"]) / nanoseconds(rates[str(count)]), 3),
            }
        )
    report.ratio(f"sas.{SAS[-1]}", rates[str(SAS[-1])], rates["1"], "one SA")
    report.figure("sa_bytes", [memory], "bytes")
    engine.close()


def _warm(run: Callable[[int], npt.NDArray[np.float64]], once: int) -> npt.NDArray[np.float64]:
    """A turn that begins when the whole working set (``once`` batches) was met again after those of the others."""
    warm = min(once, WARM_BATCHES)
    return run(warm + BATCHES)[warm:]


def _resident() -> int:
    """Bytes of memory that this process has in use."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise OSError("/proc/self/status does not tell VmRSS")
    return int(found[1]) * 1024
