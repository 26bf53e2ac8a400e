"""IKE messages: bytes to values and back, on the four messages of a handshake."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.memory import INITIATOR, RESPONDER, endpoint, handshake
from ike.wire.codec import push_payloads
from ike.wire.message import pull_message

NAMES = ("sa-init-request", "sa-init-response", "auth-request", "auth-response")
MESSAGES = dict(zip(NAMES, handshake(endpoint(INITIATOR), endpoint(RESPONDER)), strict=False))


@pytest.mark.parametrize("name", NAMES)
def test_pull(benchmark: BenchmarkFixture, name: str) -> None:
    message = benchmark(pull_message, MESSAGES[name])
    assert message.header.length == len(MESSAGES[name])


@pytest.mark.parametrize("name", NAMES[:2])
def test_push(benchmark: BenchmarkFixture, name: str) -> None:
    payloads = pull_message(MESSAGES[name]).payloads
    _, data = benchmark(push_payloads, payloads)
    assert MESSAGES[name].endswith(data)
