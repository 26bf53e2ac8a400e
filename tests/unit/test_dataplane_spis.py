"""Inbound SPIs and whose they are."""

from __future__ import annotations

from collections import Counter

import pytest

from fastesp.dataplane import spis
from fastesp.dataplane.spis import Spis
from fastesp.io.filters import owner_of


def test_the_worker_with_the_fewest_gets_the_next_one() -> None:
    known = Spis(3)
    owners = Counter(owner_of(known.allocate(), 3) for _ in range(300))
    assert owners == {0: 100, 1: 100, 2: 100}


def test_an_sa_that_replaces_another_stays_with_its_worker() -> None:
    known = Spis(4)
    for _ in range(50):
        old = known.allocate()
        assert owner_of(known.allocate(old), 4) == owner_of(old, 4)


def test_they_are_random_in_bucket_and_rest_and_never_among_the_reserved() -> None:
    known = Spis(2)
    drawn = [known.allocate() for _ in range(2000)]
    assert len(set(drawn)) == 2000
    assert min(drawn) >= 256
    assert len({spi >> 20 for spi in drawn}) > 1000
    assert len({spi & 0xFFFFF for spi in drawn}) > 1900


def test_what_was_never_installed_is_free_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(spis.time, "monotonic", lambda: now[0])
    known = Spis(1)
    forgotten, kept, freed = (known.allocate() for _ in range(3))
    known.install(kept)
    known.install(freed)
    known.free(freed)
    now[0] += spis.RESERVED_SECONDS + 1
    known.allocate()
    assert (forgotten in known, kept in known, freed in known) == (False, True, False)


def test_load_is_what_stands_now() -> None:
    known = Spis(2)
    of_worker_0 = [bucket << 20 | 0x999 for bucket in range(2, 20, 2)]
    for spi in of_worker_0:
        known.install(spi)
    assert all(owner_of(known.allocate(), 2) == 1 for _ in range(len(of_worker_0)))
    for spi in of_worker_0:
        known.free(spi)
    assert all(owner_of(known.allocate(), 2) == 0 for _ in range(len(of_worker_0)))
