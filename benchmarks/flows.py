"""Made-up traffic: the first bytes of packets of many flows, and the selectors that they meet."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

import numpy as np
import numpy.typing as npt

from fastesp.dataplane.base import Selector

HEAD = 64
"""Bytes of a packet that tell its flow; as :class:`fastesp.engine.stopwatch.Track` takes them."""

LOCAL = int(IPv4Address("10.0.0.0"))
REMOTE = int(IPv4Address("172.16.0.0"))
UDP = 17

Heads = npt.NDArray[np.uint8]


def everything() -> Selector:
    """10.0.0.0/8 to 172.16.0.0/12."""
    return Selector(
        IPv4Address(LOCAL), IPv4Address(LOCAL | 0xFFFFFF), IPv4Address(REMOTE), IPv4Address(REMOTE | 0xFFFFF)
    )


def mirrored(selector: Selector) -> Selector:
    """As the other end sees it: an SA that receives what we ourselves have sent."""
    return Selector(selector.remote_start, selector.remote_end, selector.local_start, selector.local_end)


def site_pair(number: int) -> Selector:
    """The ``number``-th pair of sites, below 65,536: a /24 here, a /28 there."""
    local, remote = LOCAL + (number << 8), REMOTE + (number << 4)
    return Selector(IPv4Address(local), IPv4Address(local + 255), IPv4Address(remote), IPv4Address(remote + 15))


def heads(size: int, sites: npt.NDArray[np.int64]) -> Heads:
    """IPv4 and UDP headers of packets of ``size`` bytes, a flow within :func:`site_pair` for each of ``sites``.

    Entries for one pair are flows that differ in their source port.
    """
    rows = np.zeros((len(sites), HEAD), np.uint8)
    seen: dict[int, int] = {}
    for row, site in zip(rows, sites.tolist(), strict=True):
        nth = seen[site] = seen.get(site, -1) + 1
        source, target = LOCAL + (site << 8) + 1 + nth % 250, REMOTE + (site << 4) + 1
        ip = struct.pack("!BBHHHBBHII", 0x45, 0, size, 0, 0x4000, 64, UDP, 0, source, target)
        udp = struct.pack("!HHHH", 1024 + nth // 250, 4433, size - 20, 0)
        row[: len(ip) + len(udp)] = np.frombuffer(ip + udp, np.uint8)
    return rows
