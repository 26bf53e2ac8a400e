"""Packets that were tampered with: none opens, reaches beyond its buffer, or disturbs what comes after."""

from __future__ import annotations

import os
import random
from ipaddress import ip_address

import pytest
from support.engines import GCM, LEFT, RIGHT, Pair, batch_of, outcome, udp

from fastesp.dataplane.base import Suite
from fastesp.engine import Verdict
from fastesp.engine.batch import FLAG_OUTER

ROUNDS = int(os.environ.get("FASTESP_MUTATIONS", "20000"))
"""Packets a case; the sanitizer's run asks for a million over all."""

PAIRS = {
    "gcm": lambda: Pair(),
    "gcm-esn": lambda: Pair(options={"esn": True}),
    "gcm-openssl": lambda: Pair(provider="openssl"),
    "cbc": lambda: Pair(Suite("aes-cbc", 128, "hmac-sha2-256")),
    "null": lambda: Pair(Suite("null", 0, "hmac-sha1")),
    "transport": lambda: Pair(options={"mode": "transport"}),
    "ah": lambda: Pair(Suite("", 0, "hmac-sha2-256"), options={"protocol": 51}),
    "ah-transport": lambda: Pair(
        Suite("", 0, "hmac-sha1"),
        options={"protocol": 51, "mode": "transport", "local": ip_address(LEFT), "remote": ip_address(RIGHT)},
    ),
    "ah-gmac-esn": lambda: Pair(Suite("", 0, "aes-256-gmac"), options={"protocol": 51, "esn": True}),
    "ah-gmac-transport-openssl": lambda: Pair(
        Suite("", 0, "aes-128-gmac"),
        provider="openssl",
        options={"protocol": 51, "mode": "transport", "local": ip_address(LEFT), "remote": ip_address(RIGHT)},
    ),
    "chacha": lambda: Pair(Suite("chacha20-poly1305", 256)),
    "gmac": lambda: Pair(Suite("aes-gmac", 256)),
}


def mutated(packet: bytes, chance: random.Random) -> bytes:
    """One of the ways in which packets are broken; now and then several."""
    data = bytearray(packet)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        way = chance.randrange(6)
        at = chance.randrange(len(data)) if data else 0
        if way == 0 and data:
            data[at] ^= 1 << chance.randrange(8)
        elif way == 1 and data:
            data[at] = chance.choice((0, 1, 4, 0x40, 0x45, 0x60, 0x7F, 0x80, 0xFE, 0xFF))
        elif way == 2:
            del data[at:]
        elif way == 3:
            data[at:at] = chance.randbytes(chance.randrange(1, 20))
        elif way == 4:
            del data[at : at + chance.randrange(1, 20)]
        elif way == 5 and data:
            data[at : at + 4] = chance.randbytes(4)
    return bytes(data)


# What routers may change on an AH packet's outer header without harm.
MUTABLE = {1, 6, 7, 8, 10, 11}


@pytest.mark.parametrize("name", PAIRS)
def test_no_mutated_packet_opens_and_the_next_good_one_still_does(name: str) -> None:
    chance = random.Random(name)
    two = PAIRS[name]()
    flags = FLAG_OUTER if name.startswith("ah") else 0
    ends = {"source": LEFT, "destination": RIGHT} if "transport" in name else {}
    packets = [udp(size, **ends) for size in (0, 1, 30, 100)]
    for _ in range(ROUNDS // 32):
        sealed = two.seal(*packets)
        attack = [mutated(chance.choice(sealed), chance) for _ in range(32)]
        for packet, result in zip(attack, two.open(*attack, flags=flags), strict=True):
            if isinstance(result, bytes):
                assert unharmed(packet, sealed, ah=bool(flags)), packet.hex()
        for result, packet in zip(two.open(*sealed, flags=flags), packets, strict=True):
            assert isinstance(result, bytes) or result is Verdict.REPLAYED
            assert not isinstance(result, bytes) or result[20:] == packet[20:]


def unharmed(packet: bytes, sealed: list[bytes], *, ah: bool) -> bool:
    """Mutations can undo each other, and AH leaves open what routers change, and what lies behind the packet."""
    if packet in sealed:
        return True
    return ah and any(
        all(a == b or at in MUTABLE for at, (a, b) in enumerate(zip(packet, good, strict=False)))
        for good in sealed
        if len(packet) >= len(good)
    )


@pytest.mark.parametrize("family", [4, 6])
def test_no_mutated_inner_packet_is_sealed_out_of_bounds(family: int) -> None:
    chance = random.Random(family)
    two = Pair(GCM, sending={"mss": 1000, "tfc_padding": 90})
    good = [udp(size, family=family) for size in (0, 1, 30, 100)]
    for _ in range(ROUNDS // 32):
        attack = [mutated(chance.choice(good), chance) for _ in range(32)]
        batch = batch_of(*attack)
        two.a.encapsulate(batch, 1)
        for packet, result in zip(attack, outcome(batch), strict=True):
            if isinstance(result, bytes):
                (opened,) = two.open(result)
                assert isinstance(opened, bytes)
                assert len(opened) <= len(packet)
                assert opened[0] >> 4 in (4, 6)
