"""``get-algorithms`` names what can be negotiated here, and nothing else."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import cast

import pytest
from support.dataplanes import MemoryDataPlane
from support.gateways import memory_gateway

from fastesp.dataplane.base import SaProtocol, Suite
from fastesp.engine import ENCRYPTION, INTEGRITY, SUITES, Engine, available_providers
from fastesp.engine.usable import usable_suites
from fastesp.gateway.commands import handlers
from fastesp.gateway.vici.server import Request
from ike.crypto import available
from ike.crypto.kex import KeyExchange, respond

Listed = dict[str, dict[str, str]]


def listed(*capabilities: str) -> Listed:
    """The answer of a gateway whose data plane can do so much."""

    class Plane(MemoryDataPlane):
        provider = "the engine"

        def capabilities(self) -> frozenset[str]:
            return frozenset({"esp", "tunnel", *capabilities})

    answer = handlers(memory_gateway(Plane()))["get-algorithms"](Request("get-algorithms", {}, None))  # type: ignore[arg-type]
    return cast(Listed, asyncio.run(answer))  # type: ignore[arg-type]


def test_what_only_packets_use_is_listed_where_the_data_plane_does_it() -> None:
    without = listed("aes-gcm-16")
    assert "NULL" not in without["encryption"]
    assert "NULL_AES_GMAC" not in without["aead"]
    assert without["aead"]["AES_GCM_16"] == without["encryption"]["AES_CBC"] == "cryptography"
    having = listed("null", "aes-gmac", "hmac-sha2-256")
    assert having["encryption"]["NULL"] == having["aead"]["NULL_AES_GMAC"] == "the engine"


def test_every_key_exchange_that_is_listed_comes_to_a_secret() -> None:
    for method in sorted(available.key_exchanges())[-12:]:
        ours = KeyExchange.start(method)
        public, secret = respond(method, ours.public)
        assert bytes(ours.finish(public)) == bytes(secret)


def install(engine: Engine, spi: int, name: str) -> None:
    """An SA with this algorithm: integrity alone in AH, a cipher with what it needs beside it in ESP."""
    if name in INTEGRITY:
        ends = {"local": ip_address("192.0.2.1"), "remote": ip_address("192.0.2.2")}
        mac_key = bytes(INTEGRITY[name].key)
        engine.install_outbound(spi, Suite("", 0, name), b"", mac_key, epoch=1, protocol=SaProtocol.AH, **ends)
        return
    cipher = ENCRYPTION[name]
    mac = "" if cipher.is_aead else "hmac-sha2-256"
    key = bytes(cipher.key_bits[0] // 8 + cipher.salt)
    mac_key = bytes(INTEGRITY[mac].key) if mac else b""
    engine.install_outbound(spi, Suite(name, cipher.key_bits[0], mac), key, mac_key, epoch=1)


@pytest.mark.parametrize("provider", ["auto", *available_providers()])
def test_every_suite_that_a_provider_claims_can_be_installed_and_no_other(provider: str) -> None:
    claimed = usable_suites(provider)
    assert claimed
    engine = Engine(provider=provider, max_sas=64, max_policies=4, flows=4)
    try:
        for spi, name in enumerate(sorted(SUITES - {"null"}), 0x1000):
            if name in claimed:
                install(engine, spi, name)
            else:
                with pytest.raises(ValueError, match="no crypto provider in use"):
                    install(engine, spi, name)
    finally:
        engine.close()
