"""The window alone: ids, repetitions, and how long a request is kept up."""

from __future__ import annotations

import pytest

from ike.sa.window import Standing, Window, fingerprint
from ike.timing import Timing

TIMING = Timing()


def window() -> Window[str]:
    return Window()


def test_ids_count_up_from_zero_and_one_request_is_out_at_a_time() -> None:
    made = window()
    made.send((b"a",), "first", 0.0, TIMING)
    assert not made.is_free
    assert made.awaits(0)
    assert not made.awaits(1)
    with pytest.raises(RuntimeError):
        made.send((b"b",), "second", 0.0, TIMING)
    assert made.settle().task == "first"
    assert made.is_free
    made.send((b"b",), "second", 0.0, TIMING)
    assert made.awaits(1)
    assert not made.awaits(0)


def test_a_retry_keeps_the_id() -> None:
    made = window()
    made.send((b"a",), "first", 0.0, TIMING)
    made.retry()
    assert made.is_free
    made.send((b"b",), "again", 0.0, TIMING)
    assert made.awaits(0)


def test_waits_grow_as_strongswan_has_them_and_end() -> None:
    made = window()
    made.send((b"a",), "first", 0.0, TIMING)
    assert made.request is not None
    times = [made.request.deadline]
    while made.resend(made.request.deadline, TIMING) is not None:
        times.append(made.request.deadline)
    assert [round(t, 1) for t in times] == [4.0, 11.2, 24.2, 47.5, 89.5, 165.1]


def test_a_limit_holds_every_wait_down() -> None:
    timing = Timing(retransmit_limit=10.0)
    assert [timing.wait(n) for n in range(4)] == [4.0, 4.0 * 1.8, 10.0, 10.0]


def test_fragments_are_sent_again_together() -> None:
    made = window()
    made.send((b"a", b"b"), "first", 0.0, TIMING)
    assert made.resend(4.0, TIMING) == (b"a", b"b")


def test_nothing_is_sent_again_where_nothing_is_out() -> None:
    assert window().resend(0.0, TIMING) == ()


def test_a_request_is_next_repeated_old_or_ahead() -> None:
    made = window()
    assert made.standing(0) is Standing.NEXT
    assert made.standing(1) is Standing.AHEAD
    made.answer(fingerprint(b"one"), (b"answer",))
    assert made.standing(0) is Standing.REPEATED
    assert made.standing(1) is Standing.NEXT
    made.answer(fingerprint(b"two"), (b"another",))
    assert made.standing(0) is Standing.OLD
    assert made.standing(1) is Standing.REPEATED


def test_only_the_very_same_request_gets_the_same_answer() -> None:
    made = window()
    made.answer(fingerprint(b"one"), (b"x", b"y"))
    assert made.answer_again(fingerprint(b"one")) == (b"x", b"y")
    assert made.answer_again(fingerprint(b"two")) == ()


def test_a_window_asks_for_a_new_ike_sa_long_before_ids_run_out() -> None:
    made: Window[str] = Window(next_incoming=0xFFFEFFFF)
    assert not made.is_worn_out
    made.answer(fingerprint(b"x"), (b"y",))
    assert made.is_worn_out
