"""The replay window beside a model in a few lines of Python: RFC 4303 section 3.4.3 and appendix A2."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engines import any_packet, batch_of, verdicts

from fastesp.dataplane.base import Suite
from fastesp.engine import Engine, Verdict
from fastesp.engine.providers import Provider

SUITE = Suite("null", 0, "hmac-sha2-256")
KEY = os.urandom(32)
INNER = bytes.fromhex("45000014000040004011000001020304050607080102") + b"\x02\x04"
WINDOWS = [32, 33, 63, 64, 65, 96, 128, 1000, 1024, 4096, 32768]


class Model:
    """What has been seen, and the highest of it."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.top = 0
        self.seen: set[int] = set()

    def infer(self, low: int) -> int | None:
        """RFC 4303 appendix A2.2, as it is written there."""
        top_low, top_high = self.top & 0xFFFFFFFF, self.top >> 32
        if top_low >= self.window - 1:
            high = top_high if low >= top_low - self.window + 1 else top_high + 1
        else:
            high = top_high - 1 if low >= (top_low - self.window + 1) & 0xFFFFFFFF else top_high
        return None if high < 0 else high << 32 | low

    def take(self, sequence: int) -> Verdict:
        if sequence == 0 or sequence <= self.top - self.window:
            return Verdict.TOO_OLD
        if sequence in self.seen:
            return Verdict.REPLAYED
        self.seen.add(sequence)
        self.top = max(self.top, sequence)
        return Verdict.OK


def sealed(sequence: int, *, esn: bool, provider: Provider = Provider("openssl")) -> bytes:  # noqa: B008
    head = b"\0\0\1\2" + (sequence & 0xFFFFFFFF).to_bytes(4)
    high = sequence >> 32 if esn else None
    return head + b"".join(provider.seal(SUITE, b"", KEY, head, b"", INNER, high=high))


def receiver(window: int, *, esn: bool = False) -> tuple[Engine, int]:
    engine = Engine(provider="openssl", max_sas=2, max_policies=2, flows=2)
    slot = engine.install_inbound(0x102, SUITE, b"", KEY, selectors=any_packet(), replay_window=window, esn=esn)
    return engine, slot


def judged(engine: Engine, sequences: list[int], *, esn: bool = False) -> list[Verdict]:
    batch = batch_of(*(sealed(sequence, esn=esn) for sequence in sequences))
    engine.decapsulate(batch, 1)
    return verdicts(batch)


def walks(*, most: int = 2**32 - 1) -> st.SearchStrategy[list[int]]:
    """Sequence numbers as networks bring them: near each other, now and then a leap."""
    steps = st.lists(
        st.one_of(st.integers(-80, 80), st.integers(-5000, 5000), st.integers(-70000, 70000)), min_size=1, max_size=60
    )

    def walk(start_and_steps: tuple[int, list[int]]) -> list[int]:
        at, moves = start_and_steps
        found = []
        for move in moves:
            at = min(max(at + move, 0), most)
            found.append(at)
        return found

    return st.tuples(st.integers(0, 200_000), steps).map(walk)


@settings(deadline=None, max_examples=150)
@given(window=st.sampled_from(WINDOWS), sequences=walks(), together=st.integers(1, 40))
def test_a_window_judges_as_the_model_does(window: int, sequences: list[int], together: int) -> None:
    engine, slot = receiver(window)
    model = Model(window)
    for at in range(0, len(sequences), together):
        some = sequences[at : at + together]
        expected = [model.take(sequence) for sequence in some]
        assert judged(engine, some) == expected
    assert engine.inbound.sequence(slot) == model.top


@settings(deadline=None, max_examples=150)
@given(
    window=st.sampled_from(WINDOWS),
    start=st.one_of(st.integers(2**32 - 70000, 2**32 + 70000), st.integers(2**40, 2**40 + 2**33), st.just(40_000)),
    moves=st.lists(st.one_of(st.integers(-90, 90), st.integers(-70000, 70000)), max_size=40),
)
def test_extended_numbers_are_inferred_as_the_appendix_says(window: int, start: int, moves: list[int]) -> None:
    engine, slot = receiver(window, esn=True)
    model = Model(window)
    engine.inbound.advance(slot, start)
    model.top = start
    model.seen = set(range(max(0, start - 32768), start + 1))
    at = start
    for move in moves:
        at = max(at + move, 1)
        inferred = model.infer(at & 0xFFFFFFFF)
        (verdict,) = judged(engine, [at], esn=True)
        if inferred is None:
            assert verdict is Verdict.TOO_OLD
        elif inferred == at:
            assert verdict is model.take(at)
        else:
            # Read as another number, its ICV is another one too, unless the window turns it away before.
            assert verdict in (Verdict.CORRUPT, Verdict.TOO_OLD, Verdict.REPLAYED)
        assert engine.inbound.sequence(slot) == model.top


def test_a_leap_of_half_the_numbers_empties_the_window() -> None:
    engine, _ = receiver(64)
    assert judged(engine, [1, 5, 2**31, 2**31, 5, 2**31 - 63, 2**31 - 64]) == [
        Verdict.OK,
        Verdict.OK,
        Verdict.OK,
        Verdict.REPLAYED,
        Verdict.TOO_OLD,
        Verdict.OK,
        Verdict.TOO_OLD,
    ]


def test_the_upper_half_counts_on_where_the_lower_wraps() -> None:
    engine, slot = receiver(64, esn=True)
    engine.inbound.advance(slot, 2**32 - 3)
    numbers = list(range(2**32 - 2, 2**32 + 3))
    assert judged(engine, numbers, esn=True) == [Verdict.OK] * 5
    assert judged(engine, numbers, esn=True) == [Verdict.REPLAYED] * 5
    assert engine.inbound.sequence(slot) == 2**32 + 2


def test_a_window_of_zero_lets_everything_through() -> None:
    engine, _ = receiver(0)
    assert judged(engine, [5, 5, 1, 2**32 - 1, 1]) == [Verdict.OK] * 5


def test_after_an_advance_nothing_below_is_accepted() -> None:
    engine, slot = receiver(128)
    engine.inbound.advance(slot, 1000)
    assert judged(engine, [1000, 999, 873, 872, 1001, 1002]) == [
        Verdict.REPLAYED,
        Verdict.REPLAYED,
        Verdict.REPLAYED,
        Verdict.TOO_OLD,
        Verdict.OK,
        Verdict.OK,
    ]


@pytest.mark.parametrize("window", [1, 31, 32769, 2**31])
def test_windows_of_other_sizes_are_refused(window: int) -> None:
    with pytest.raises(ValueError, match="replay window has 32 to 32768"):
        receiver(window)


def test_esn_without_a_window_is_refused() -> None:
    with pytest.raises(ValueError, match="ESN needs a replay window"):
        receiver(0, esn=True)
