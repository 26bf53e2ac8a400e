"""Key derivation: PRFs, the key schedule, and the key exchanges that feed it."""

from __future__ import annotations

import secrets

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.memory import ESP, IKE
from ike.crypto.kex import KeyExchange, respond
from ike.crypto.keys import IkeKeys
from ike.crypto.prf import prf_plus
from ike.crypto.proposal import ProposalSpec
from ike.crypto.secret import Secret
from ike.wire.constants import Ke, Prf, ProtocolId

SUITE = ProposalSpec.parse(IKE, ProtocolId.IKE).transforms
CHILD_SUITE = ProposalSpec.parse(ESP, ProtocolId.ESP).transforms
SHARED, NONCE, SPI = Secret(bytes(range(32))), bytes(range(32)), bytes(range(8))


def test_prf_plus_of_300_bytes(benchmark: BenchmarkFixture) -> None:
    stream = benchmark(prf_plus, Prf.HMAC_SHA2_384, SHARED, NONCE, 300)
    assert len(stream) == 300


def test_keys_of_an_ike_sa(benchmark: BenchmarkFixture) -> None:
    keys = benchmark(IkeKeys.derive, SUITE, SHARED, NONCE, NONCE, SPI, SPI)
    assert len(keys.sk_d) == 48


def test_keys_of_a_child_sa(benchmark: BenchmarkFixture) -> None:
    keys = IkeKeys.derive(SUITE, SHARED, NONCE, NONCE, SPI, SPI)
    child = benchmark(keys.child, CHILD_SUITE, NONCE, NONCE)
    assert len(child.initiator.encryption) == 36


@pytest.mark.parametrize("method", [Ke.X25519, Ke.ECP_256, Ke.MODP_3072, Ke.ML_KEM_768])
def test_key_exchange_of_both_sides(benchmark: BenchmarkFixture, method: Ke) -> None:
    def both() -> tuple[Secret, Secret]:
        ours = KeyExchange.start(method, secrets.token_bytes)
        public, theirs = respond(method, ours.public)
        return ours.finish(public), theirs

    ours, theirs = benchmark(both)
    assert bytes(ours) == bytes(theirs)
