"""CHILD_SAs are replaced while traffic flows both ways: every datagram arrives once, on an SA that is known."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from support.exchange import End, stream
from support.flows import RATE, Flow
from support.planes import INNER, Pair, planes

from fastesp.lab.namespace import Namespace

pytestmark = pytest.mark.root

REKEYS = 10
INTERVAL = 0.25
"""Seconds from one SA to the next."""
LOST_TO_REKEYING = {"unknown-spi", "no-sa", "no-policy", "expired", "corrupt", "replayed", "too-old", "wrong-selectors"}


@pytest.fixture
def pair() -> Iterator[Pair]:
    with planes() as made:
        yield made


def ends(pair: Pair, version: int) -> tuple[End, End]:
    a, b = (End(Namespace(side.namespace, side.side), INNER[side.side][version == 6]) for side in (pair.a, pair.b))
    return a, b


def rekey(pair: Pair, old: int, *, interval: float, **fields: object) -> None:
    """Make before break, as IKE has it: both inbound halves are there before either side sends on the new SA."""
    new = old + 1
    for side in (pair.a, pair.b):
        side.install(pair.wanted(side, new, **fields), False)
    for side in (pair.a, pair.b):
        side.activate(new)
    time.sleep(interval)
    for side in (pair.a, pair.b):
        side.retire(old)
    for side in (pair.a, pair.b):
        side.remove(old)


@pytest.mark.parametrize("udp", [True, False], ids=["udp", "protocol-50"])
def test_every_numbered_datagram_arrives_once_over_ten_rekeys(pair: Pair, udp: bool) -> None:
    pair.connect(1, udp=udp, esn=True)
    a, b = ends(pair, 4)
    with Flow(a, b) as there, Flow(b, a) as back:
        for old in range(1, REKEYS + 1):
            rekey(pair, old, interval=INTERVAL, udp=udp, esn=True)
    for flow in (there, back):
        assert flow.sent > RATE * INTERVAL * REKEYS / 2
        assert sorted(flow.got) == list(range(flow.sent))
    assert pair.a.drops() == pair.b.drops() == {}
    assert not pair.a.events_named("UnknownSpi", 0.1)
    assert not pair.b.events_named("UnknownSpi", 0.1)


def test_tcp_at_full_speed_meets_no_packet_that_a_rekey_made_undeliverable(pair: Pair) -> None:
    pair.connect(1)
    a, b = ends(pair, 6)
    transfer = threading.Thread(target=stream, args=(a, b, 60_000_000))
    transfer.start()
    old = 1
    while transfer.is_alive():
        rekey(pair, old, interval=0.05)
        old += 1
    transfer.join()
    assert old > REKEYS
    for side in (pair.a, pair.b):
        assert not LOST_TO_REKEYING & side.drops().keys()
