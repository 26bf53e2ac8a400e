"""``version``, ``stats``, counters, failures: what the gateway says of itself."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import fastesp

from ..failures import as_message
from ..vici.server import RefusedError, Request
from .arguments import flag, number, word

if TYPE_CHECKING:
    from ..gateway import Gateway

COUNTERS = (
    "ike-rekey-init",
    "ike-rekey-resp",
    "child-rekey",
    "invalid",
    "invalid-spi",
    *(
        f"{exchange}-{way}-{half}"
        for exchange in ("ike-init", "ike-auth", "create-child", "info")
        for way in ("in", "out")
        for half in ("req", "resp")
    ),
)
"""strongSwan's counters, in its order."""

UNKNOWN_SPI = ("unknown-ike-spi", "wrong-spi", "zero-spi")
"""Reasons of the endpoint for what strongSwan counts as ``invalid-spi``."""

TURNED_AWAY = ("cookie-demanded", "half-open-limit")
"""Nothing was wrong with these."""


async def version(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Who we are, and on what."""
    del gateway, request
    system = os.uname()
    return {
        "daemon": "fastesp",
        "version": fastesp.__version__,
        "sysname": system.sysname,
        "release": system.release,
        "machine": system.machine,
    }


async def stats(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """strongSwan's keys, then ours: the data plane, and packets dropped by reason."""
    del request
    sas = gateway.ike_sas()
    none = {"critical": "0", "high": "0", "medium": "0", "low": "0"}
    return {
        "uptime": {
            "running": _duration(time.time() - gateway.started_at),
            "since": time.strftime("%b %d %H:%M:%S %Y", time.localtime(gateway.started_at)),
        },
        "workers": {"total": str(threading.active_count()), "idle": "0", "active": none},
        "queues": none,
        "scheduled": "0" if gateway.endpoint.next_timeout() is None else "1",
        "ikesas": {"total": str(len(sas)), "half-open": str(gateway.endpoint.half_open)},
        "plugins": sorted(gateway.dataplane.capabilities()),
        "mallinfo": _memory(),
        "dataplane": {
            "kind": gateway.options.dataplane,
            "provider": gateway.provider,
            "tun": gateway.options.tun,
            "policies": str(len(gateway.tunnels.policies())),
            "workers": {
                str(number): {name: str(value) for name, value in figures.items()}
                for number, figures in enumerate(gateway.dataplane.worker_figures())
            },
        },
        "childsas": {"total": str(sum(len(ike.children) for ike in sas))},
        "failures": {"total": str(len(gateway.failures))},
        "drops": {reason: str(count) for reason, count in (await gateway.drops()).items() if count},
    }


def _duration(seconds: float) -> str:
    """As strongSwan says it: the largest unit of which there are at least two, and its number."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds > 2 * length:
            return f"{int(seconds // length)} {unit}"
    whole = int(seconds)
    return f"{whole} second{'' if whole == 1 else 's'}"


def _memory() -> dict[str, object]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[1])
    used = pages * resource.getpagesize()
    return {"sbrk": str(peak), "mmap": "0", "used": str(used), "free": str(max(0, peak - used))}


async def get_counters(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """IKE events counted, for all connections together, for one (``name``), or each that has any (``all``)."""
    name = word(request.message, "name")
    counted = list(dict.fromkeys(which for which, _ in gateway.counts if which))
    names = counted if flag(request.message, "all") else [name]
    if name and name not in counted:
        refused = RefusedError("no counters found for this connection", code="no-such-connection", outcome="not-found")
        return {"counters": {}, **refused.as_message()}
    return {
        "counters": {which: {key: str(_count(gateway, which, key)) for key in COUNTERS} for which in names},
        "success": True,
    }


def _count(gateway: Gateway, which: str, key: str) -> int:
    """What was counted since the last reset. Datagrams that could not be told apart belong to no connection."""
    dropped = _dropped(gateway).get(key, 0) if not which else 0
    return gateway.counts[which, key] + dropped


def _dropped(gateway: Gateway) -> dict[str, int]:
    drops = gateway.endpoint.drops
    unknown = sum(drops.get(reason, 0) for reason in UNKNOWN_SPI)
    turned_away = sum(drops.get(reason, 0) for reason in TURNED_AWAY)
    return {"invalid": sum(drops.values()) - unknown - turned_away, "invalid-spi": unknown}


async def reset_counters(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Back to zero: all of them, or one connection's."""
    name = word(request.message, "name")
    for which, key in list(gateway.counts):
        if flag(request.message, "all") or which == name:
            del gateway.counts[which, key]
    if not name:
        # The endpoint goes on counting: what it has by now is taken off.
        for key, count in _dropped(gateway).items():
            gateway.counts["", key] = -count
    return {"success": True}


async def list_failures(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Ours: the last failed negotiations, streamed as ``list-failure``, oldest first; ``ike`` and ``limit`` select."""
    wanted, limit = word(request.message, "ike"), number(request.message, "limit")
    kept = [failure for failure in gateway.failures if not wanted or failure.record.connection == wanted]
    for failure in kept[-limit:] if limit > 0 else kept:
        await request.stream("list-failure", {str(failure.number): as_message(failure)})
    return {"total": str(len(gateway.failures))}


COMMANDS = {
    "version": version,
    "stats": stats,
    "get-counters": get_counters,
    "reset-counters": reset_counters,
    "list-failures": list_failures,
}
