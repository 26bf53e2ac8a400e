"""Policies by flow and SAs by SPI, few and many."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.flows import everything, mirrored, site_pair
from fastesp.dataplane.base import Suite
from fastesp.engine.esp import Engine

FIRST_SPI = 0x1000


@pytest.mark.parametrize("count", [1, 10_000])
def test_a_policy(benchmark: BenchmarkFixture, count: int) -> None:
    engine = Engine(max_sas=16)
    slots = [engine.add_policy([site_pair(number)], "bypass") for number in range(count)]
    pair = site_pair(count - 1)
    found = benchmark(engine.policies.match, 4, pair.local_start, pair.remote_start, 17, 1024, 4433)
    assert found == slots[-1]


def test_no_policy(benchmark: BenchmarkFixture) -> None:
    engine = Engine(max_sas=16)
    for number in range(1000):
        engine.add_policy([site_pair(number)], "bypass")
    outside = IPv4Address("192.0.2.1")
    assert benchmark(engine.policies.match, 4, outside, outside, 17, 1, 2) is None


@pytest.mark.parametrize("count", [1, 10_000])
def test_an_sa(benchmark: BenchmarkFixture, count: int) -> None:
    engine = Engine(max_sas=count)
    for number in range(count):
        engine.install_inbound(
            FIRST_SPI + number, Suite("aes-gcm-16", 128), bytes(20), selectors=[mirrored(everything())]
        )
    assert benchmark(engine.inbound.find, FIRST_SPI + count - 1) == count - 1
    engine.close()
