"""Windows: ESP's replay windows of several sizes (a batch opened, without encryption), and IKE's message window."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.engine import PACKETS, SPI
from benchmarks.flows import everything, heads, mirrored
from fastesp.dataplane.base import Suite
from fastesp.engine.esp import Engine
from fastesp.engine.stopwatch import EvpMac, Track
from ike.sa.window import Standing, Window, fingerprint
from ike.timing import STRONGSWAN

MAC_KEY = bytes(32)


@pytest.mark.parametrize("window", [0, 32, 1024, 32768])
def test_open_a_batch_behind_a_replay_window(benchmark: BenchmarkFixture, window: int) -> None:
    engine = Engine(max_sas=16)
    engine.install_inbound(
        SPI, Suite("null", 0, "hmac-sha2-256"), b"", MAC_KEY, selectors=[mirrored(everything())], replay_window=window
    )
    track = Track(PACKETS, 64, heads(64, np.zeros(PACKETS, np.int64)), [SPI])
    primitive = EvpMac("", b"", "SHA2-256", MAC_KEY, 16)
    benchmark(track.decapsulate, engine, primitive, 1)


def test_an_ike_request_and_its_answer(benchmark: BenchmarkFixture) -> None:
    request, answer = bytes(200), bytes(300)

    def both() -> Standing:
        ours: Window[str] = Window()
        theirs: Window[str] = Window()
        ours.send((request,), "task", 0.0, STRONGSWAN)
        standing = theirs.standing(0)
        theirs.answer(fingerprint(request), (answer,))
        ours.settle()
        return standing

    assert benchmark(both) is Standing.NEXT
