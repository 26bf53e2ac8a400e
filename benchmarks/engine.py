"""The engine on one core, packets in memory, beside the raw primitive called once a packet on the same buffers.

1. AES-256-GCM by provider and size, both directions: ``seal.PROVIDER.SIZE``, ``open.PROVIDER.SIZE``.
2. The other algorithms: a table.
3. Many policies and many SAs (scale.py): ``policies.10000``, ``sas.100000``.
4. Beside DPDK's crypto-perf (dpdk.py): ``dpdk.SIZE``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks import dpdk, scale
from benchmarks.flows import everything, heads, mirrored
from benchmarks.race import nanoseconds, race
from benchmarks.report import Report, arguments, finish
from fastesp.dataplane.base import Suite
from fastesp.engine.esp import Engine
from fastesp.engine.providers import available_providers
from fastesp.engine.stopwatch import EvpAead, EvpGmac, EvpMac, Primitive, Track

SIZES = (64, 128, 256, 512, 1024, 1408)
PACKETS = 64
"""In a batch: what a busy worker finds at a time."""
BATCHES = 10
"""In a turn."""
KEY = bytes(range(1, 65))
SPI = 0x1234_5678
MAIN = "aes-256-gcm"


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A suite, its keys, and the raw primitive of each provider that has one."""

    suite: Suite
    key: bytes
    integrity_key: bytes | None
    primitives: dict[str, Callable[[], Primitive]]


def ipsec_mb(encryption: str) -> Callable[[bytes], Primitive]:
    """The library's raw function; there only where the library is."""
    from fastesp.engine.stopwatch_ipsecmb import ImbChacha, ImbGcm, ImbGmac

    functions: dict[str, Callable[[bytes], Primitive]] = {
        "aes-gcm-16": ImbGcm,
        "aes-gmac": ImbGmac,
        "chacha20-poly1305": ImbChacha,
    }
    return functions[encryption]


def algorithms() -> dict[str, Algorithm]:
    """All that are measured, each by every provider that does it."""
    found: dict[str, Algorithm] = {}
    for name, suite, evp, cipher in (
        ("aes-128-gcm", Suite("aes-gcm-16", 128), EvpAead, "AES-128-GCM"),
        ("aes-256-gcm", Suite("aes-gcm-16", 256), EvpAead, "AES-256-GCM"),
        ("aes-256-gmac", Suite("aes-gmac", 256), EvpGmac, "AES-256-GCM"),
        ("chacha20-poly1305", Suite("chacha20-poly1305", 256), EvpAead, "ChaCha20-Poly1305"),
    ):
        key = KEY[: suite.key_bits // 8 + 4]
        primitives: dict[str, Callable[[], Primitive]] = {"openssl": partial(evp, cipher, key)}
        if "ipsec-mb" in available_providers():
            primitives["ipsec-mb"] = partial(ipsec_mb(suite.encryption), key)
        found[name] = Algorithm(suite, key, None, primitives)
    for name, encryption, bits, salt, cipher in (
        ("aes-256-cbc, sha2-256", "aes-cbc", 256, 0, "AES-256-CBC"),
        ("aes-256-ctr, sha2-256", "aes-ctr", 256, 4, "AES-256-CTR"),
        ("null, sha2-256", "null", 0, 0, ""),
    ):
        key, mac_key = KEY[: bits // 8 + salt], KEY[:32]
        mac = partial(EvpMac, cipher, key, "SHA2-256", mac_key, 16)
        found[name] = Algorithm(Suite(encryption, bits, "hmac-sha2-256"), key, mac_key, {"openssl": mac})
    return found


def engine_for(algorithm: Algorithm, provider: str) -> Engine:
    """One SA each way under one policy."""
    engine = Engine(provider=provider, max_sas=16, max_policies=16)
    slot = engine.install_outbound(SPI, algorithm.suite, algorithm.key, algorithm.integrity_key, epoch=1)
    engine.install_inbound(
        SPI,
        algorithm.suite,
        algorithm.key,
        algorithm.integrity_key,
        selectors=[mirrored(everything())],
        replay_window=1024,
    )
    engine.add_policy([everything()], "protect", sa=slot)
    return engine


def runners(engine: Engine, primitive: Primitive, track: Track) -> dict[str, Callable[[], np.ndarray]]:
    """Ours and the raw primitive, both ways, over the packets of one track."""
    return {
        "seal": partial(track.encapsulate, engine, BATCHES),
        "raw seal": partial(track.seal, primitive, BATCHES),
        "open": partial(track.decapsulate, engine, primitive, BATCHES),
        "raw open": partial(track.open, primitive, BATCHES),
    }


def measure(report: Report, name: str, algorithm: Algorithm, provider: str, rounds: int) -> None:
    """One algorithm by one provider over all sizes: rows of a table; figures where it is the main one."""
    engine, primitive = engine_for(algorithm, provider), algorithm.primitives[provider]()
    for size in SIZES:
        track = Track(PACKETS, size, heads(size, np.zeros(PACKETS, np.int64)), [SPI])
        rates = race(runners(engine, primitive, track), rounds)
        row: dict[str, object] = {"algorithm": name, "provider": provider, "bytes": size}
        for way in ("seal", "open"):
            row[f"{way} ns"] = round(nanoseconds(rates[way]), 1)
            row[f"raw {way} ns"] = round(nanoseconds(rates[f"raw {way}"]), 1)
            row[f"{way} Gbit/s"] = round(size * 8 / nanoseconds(rates[way]), 2)
            if name == MAIN:
                report.sample(f"{way}.{provider}.{size}", rates[way], "packets/s")
                report.sample(f"{way}.{provider}.{size}.raw", rates[f"raw {way}"], "packets/s")
                report.ratio(f"{way}.{provider}.{size}", rates[way], rates[f"raw {way}"], primitive.name)
        report.tables.setdefault("algorithms", []).append(row)
    engine.close()


def main() -> None:
    """Everything, in the order of the text above."""
    options = arguments("engine", __doc__ or "")
    report = Report("engine", options.quick)
    rounds = 20 if options.quick else 200
    for name, algorithm in algorithms().items():
        for provider in algorithm.primitives:
            if provider in available_providers():
                measure(report, name, algorithm, provider, rounds if name == MAIN else rounds // 4)
    if "ipsec-mb" not in available_providers():
        for size in SIZES:
            for way in ("seal", "open"):
                report.leave_out(f"{way}.ipsec-mb.{size}", "ipsec-mb is not installed, or not for this processor")
    scale.measure(report, quick=options.quick)
    dpdk.measure(report, SIZES, lambda provider: engine_for(algorithms()[MAIN], provider), quick=options.quick)
    finish(report, options.json)


if __name__ == "__main__":
    main()
