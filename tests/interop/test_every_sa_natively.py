"""Every algorithm and mode between two data planes of ours: raw sockets, UDP, and the TUN of both sides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.exchange import datagrams, pings, stream
from support.sa_cases import CASES, Case
from support.sides import Bed, bed

pytestmark = pytest.mark.root

SIZES = (0, 1, 2, 3, 15, 16, 17, 511, 1001, 1337)
"""Payload bytes; the largest fits the TUN with either IP version's headers."""


@pytest.fixture(scope="module")
def sides() -> Iterator[Bed]:
    with bed(kernel=False) as made:
        yield made


@pytest.mark.parametrize("case", CASES, ids=str)
def test_packets_of_all_sizes_and_tcp_arrive_both_ways(sides: Bed, case: Case) -> None:
    with sides.connected(case):
        for near, far in sides.ends(case):
            pings(near, far, SIZES)
            pings(far, near, SIZES)
            datagrams(near, far, SIZES)
            stream(near, far, 200_000)
