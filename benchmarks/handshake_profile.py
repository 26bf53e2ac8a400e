"""What a responder's time goes into, by module: two endpoints in memory, the responding one under a profiler."""

from __future__ import annotations

import cProfile
import pstats
import time
from collections import defaultdict
from ipaddress import IPv4Network
from itertools import islice
from pathlib import PurePath

from benchmarks.memory import INITIATOR, NET, RESPONDER, endpoint, handshake

ROWS = 14


def table(number: int) -> list[dict[str, object]]:
    """Microseconds a handshake in each module itself, the largest first."""
    responder = endpoint(RESPONDER)
    profiler = cProfile.Profile(time.thread_time)
    for host in islice(NET, number):
        handshake(endpoint(INITIATOR, IPv4Network(host)), responder, lambda: profiler)
    totals: dict[str, float] = defaultdict(float)
    for (file, _, function), (_, _, own, _, _) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        totals[_place(file, function)] += own
    largest = sorted(totals.items(), key=lambda item: -item[1])
    return [{"where": name, "us a handshake": round(own * 1e6 / number, 1)} for name, own in largest[:ROWS]]


def _place(file: str, function: str) -> str:
    """``ike/sa/window.py`` for ours; the function for what is C."""
    if file == "~":
        return function.removeprefix("<").removesuffix(">")
    parts = PurePath(file).parts
    if "ike" in parts:
        return str(PurePath(*parts[len(parts) - 1 - parts[::-1].index("ike") :]))
    return PurePath(file).name
