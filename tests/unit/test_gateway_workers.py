"""What the gateway says of its workers, and how many it is told to have."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from support.dataplanes import MemoryDataPlane
from support.gateways import memory_gateway

from fastesp.config.strongswan_conf import load_strongswan_conf
from fastesp.dataplane import workers
from fastesp.dataplane.userspace import UserspaceDataPlane
from fastesp.gateway.commands.stats import stats
from fastesp.gateway.metrics import Collector
from fastesp.gateway.options import Options
from fastesp.gateway.tuning import tuned

FIGURES = {"out_packets": 20, "in_packets": 10, "out_handed": 2, "in_handed": 1, "sas": 3}


class TwoWorkers(MemoryDataPlane):
    """Whose figures are known."""

    def worker_figures(self) -> list[dict[str, int]]:
        return [FIGURES, {**FIGURES, "out_packets": 7}]


def test_metrics_tell_each_worker_apart() -> None:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(memory_gateway(TwoWorkers()), {}))
    page = generate_latest(registry).decode()
    for line in (
        'fastesp_worker_packets_total{direction="out",worker="0"} 20.0',
        'fastesp_worker_packets_total{direction="out",worker="1"} 7.0',
        'fastesp_worker_handed_total{direction="in",worker="1"} 1.0',
        'fastesp_worker_child_sas{worker="0"} 3.0',
    ):
        assert line in page


def test_stats_hold_what_each_worker_did() -> None:
    answer = asyncio.run(stats(memory_gateway(TwoWorkers()), None))  # type: ignore[arg-type]
    told = answer["dataplane"]["workers"]  # type: ignore[index]
    assert told == {"0": {name: str(value) for name, value in FIGURES.items()}, "1": told["1"]}
    assert told["1"]["out_packets"] == "7"


def test_strongswan_conf_says_how_many_unless_the_command_line_does(tmp_path: Path) -> None:
    file = tmp_path / "strongswan.conf"
    file.write_text("fastesp { workers = 3\n poll = yes }\n")
    daemon = load_strongswan_conf(file)
    assert (tuned(Options(), daemon).workers, tuned(Options(), daemon).poll) == (3, True)
    assert tuned(Options(workers=2), daemon).workers == 2


@pytest.mark.parametrize(("cores", "number"), [(1, 1), (2, 1), (7, 1), (8, 2), (16, 4), (128, 8)])
def test_unasked_there_is_one_for_four_cores(monkeypatch: pytest.MonkeyPatch, cores: int, number: int) -> None:
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: set(range(cores)))
    assert workers.default_workers() == number


@pytest.mark.parametrize("number", [-1, 65])
def test_a_number_that_cannot_be_is_refused_before_anything_is_opened(number: int) -> None:
    with pytest.raises(ValueError, match="there can be 1 to 64"):
        UserspaceDataPlane(workers=number)
