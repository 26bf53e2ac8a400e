"""Sealing and opening: ESP by the batch, IKE by the message."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.engine import KEY, MAIN, PACKETS, SPI, algorithms, engine_for
from benchmarks.flows import heads
from benchmarks.memory import IKE
from fastesp.engine.providers import available_providers
from fastesp.engine.stopwatch import EvpAead, Track
from ike.crypto.envelope import Envelope
from ike.crypto.proposal import ProposalSpec
from ike.crypto.secret import Secret
from ike.wire.constants import ProtocolId
from ike.wire.message import pull_message

SIZES = (64, 1408)
SUITE = ProposalSpec.parse(IKE, ProtocolId.IKE).transforms


@pytest.fixture(params=SIZES)
def track(request: pytest.FixtureRequest) -> Track:
    return Track(PACKETS, request.param, heads(request.param, np.zeros(PACKETS, np.int64)), [SPI])


@pytest.mark.parametrize("provider", available_providers())
def test_encapsulate_a_batch(benchmark: BenchmarkFixture, provider: str, track: Track) -> None:
    engine = engine_for(algorithms()[MAIN], provider)
    benchmark(track.encapsulate, engine, 1)


@pytest.mark.parametrize("provider", available_providers())
def test_decapsulate_a_batch_that_openssl_has_sealed(benchmark: BenchmarkFixture, provider: str, track: Track) -> None:
    engine = engine_for(algorithms()[MAIN], provider)
    primitive = EvpAead("AES-256-GCM", KEY[:36])
    benchmark(track.decapsulate, engine, primitive, 1)


@pytest.mark.parametrize("size", [100, 1200])
def test_sk_payload(benchmark: BenchmarkFixture, size: int) -> None:
    ours = Envelope(SUITE, Secret(KEY[:36]), Secret(b""))
    header = b"\x01" * 16 + b"\x00\x20\x25\x08" + bytes(8)

    def both() -> bytes:
        message = ours.seal(header, 0, bytes(size))
        return ours.open(message, pull_message(message).payloads[-1])

    assert benchmark(both) == bytes(size)
