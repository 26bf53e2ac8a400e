"""Every algorithm and mode between our data plane and the kernel's XFRM, with keys made by hand: no IKE in between."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.exchange import datagrams, pings, stream
from support.sa_cases import CASES, Case
from support.sides import Bed, bed

pytestmark = [pytest.mark.root, pytest.mark.vm]

SIZES = (0, 1, 2, 17, 511, 1337)
"""Payload bytes; the largest fits the TUN with either IP version's headers."""
LONG = (1500, 4001)
"""Beyond the MTU: inner fragments in tunnel mode; outer ones in transport mode, where the TUN's own side sends none."""


def least(case: Case) -> int:
    """Over IPv6 Linux takes ESP in UDP only from some length on, and drops shorter datagrams uncounted."""
    bare = case.udp and case.outer == 6 and case.mode == "transport" and case.suite[0] == "null"
    return 7 if bare else 0


@pytest.fixture(scope="module")
def sides() -> Iterator[Bed]:
    with bed(kernel=True) as made:
        yield made


@pytest.mark.parametrize("case", CASES, ids=str)
def test_packets_of_all_sizes_and_tcp_arrive_both_ways(sides: Bed, case: Case) -> None:
    with sides.connected(case):
        sizes = tuple(size for size in SIZES if size >= least(case))
        for ours, theirs in sides.ends(case):
            pings(ours, theirs, sizes)
            pings(theirs, ours, sizes)
            datagrams(ours, theirs, sizes)
            datagrams(theirs, ours, LONG, back=case.mode == "tunnel")
            stream(ours, theirs, 50_000)
