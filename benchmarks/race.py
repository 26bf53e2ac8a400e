"""Contenders take turns, many short ones, so that all of them meet the same clock frequency and the same neighbours."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Runner = Callable[[], npt.NDArray[np.float64]]

WARM = 2
"""Samples at the start of a turn that find the caches cold from the one before."""


def race(runners: Mapping[str, Runner], rounds: int) -> dict[str, list[float]]:
    """Rates (packets/s) by contender and round.

    A runner takes one turn and returns nanoseconds a packet of each batch in it; the turn counts as their median.
    """
    rates: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(rounds):
        for name, run in runners.items():
            rates[name].append(1e9 / float(np.median(run()[WARM:])))
    return rates


def nanoseconds(rates: list[float]) -> float:
    """What a packet took, by the median round."""
    return 1e9 / float(np.median(rates))
