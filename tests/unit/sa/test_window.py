"""The window alone: ids, repetitions, how many at once, and how long a request is kept up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ike.sa.window import MOST_AT_ONCE, Standing, Window, fingerprint
from ike.timing import Timing
from ike.wire.constants import HeaderFlag, NotifyType
from ike.wire.header import Header
from ike.wire.message import Message
from ike.wire.payloads import NotifyPayload

TIMING = Timing()


def window(takes: int = 1, peer_takes: int = 1) -> Window[str]:
    made: Window[str] = Window()
    made.takes, made.peer_takes = takes, peer_takes
    return made


def said(data: bytes) -> Message:
    header = Header(b"a" * 8, b"b" * 8, 35, HeaderFlag(0), 1)
    return Message(header, (NotifyPayload(NotifyType.SET_WINDOW_SIZE, data),))


def test_ids_count_up_from_zero_and_one_request_is_out_at_a_time() -> None:
    made = window()
    made.send((b"a",), "first", 0.0, TIMING)
    assert not made.is_free
    assert made.awaits(1) is None
    with pytest.raises(RuntimeError):
        made.send((b"b",), "second", 0.0, TIMING)
    first = made.awaits(0)
    assert first is not None
    assert first.task == "first"
    made.settle(first)
    assert made.is_free
    assert made.is_empty
    made.send((b"b",), "second", 0.0, TIMING)
    assert made.awaits(1) is not None
    assert made.awaits(0) is None


def test_a_retry_keeps_the_id() -> None:
    made = window()
    made.send((b"a",), "first", 0.0, TIMING)
    made.retry()
    assert made.is_free
    made.send((b"b",), "again", 0.0, TIMING)
    again = made.awaits(0)
    assert again is not None
    assert again.task == "again"


def test_waits_grow_as_strongswan_has_them_and_end() -> None:
    made = window()
    made.send((b"a",), "first", 0.0, TIMING)
    assert made.request is not None
    times = [made.request.deadline]
    while made.resend(made.request, made.request.deadline, TIMING) is not None:
        times.append(made.request.deadline)
    assert [round(t, 1) for t in times] == [4.0, 11.2, 24.2, 47.5, 89.5, 165.1]


def test_a_limit_holds_every_wait_down() -> None:
    timing = Timing(retransmit_limit=10.0)
    assert [timing.wait(n) for n in range(4)] == [4.0, 4.0 * 1.8, 10.0, 10.0]


@given(fraction=st.floats(0, 1, exclude_max=True), percent=st.integers(0, 1000), tries=st.integers(0, 8))
def test_jitter_takes_off_up_to_so_many_percent_of_the_wait_that_the_limit_left(
    fraction: float, percent: int, tries: int
) -> None:
    plain = Timing(retransmit_limit=20.0).wait(tries)
    shortened = Timing(retransmit_limit=20.0, retransmit_jitter=percent).wait(tries, fraction)
    assert plain * (1 - min(percent, 100) / 100) <= shortened <= plain
    if not percent or not fraction:
        assert shortened == plain


def test_fragments_are_sent_again_together() -> None:
    made = window()
    made.send((b"a", b"b"), "first", 0.0, TIMING)
    assert made.request is not None
    assert made.resend(made.request, 4.0, TIMING) == (b"a", b"b")


def test_a_request_is_next_repeated_old_or_ahead() -> None:
    made = window()
    assert made.standing(0) is Standing.NEXT
    assert made.standing(1) is Standing.AHEAD
    made.answer(0, fingerprint(b"one"), (b"answer",))
    assert made.standing(0) is Standing.REPEATED
    assert made.standing(1) is Standing.NEXT
    made.answer(1, fingerprint(b"two"), (b"another",))
    assert made.standing(0) is Standing.OLD
    assert made.standing(1) is Standing.REPEATED


def test_only_the_very_same_request_gets_the_same_answer() -> None:
    made = window()
    made.answer(0, fingerprint(b"one"), (b"x", b"y"))
    assert made.answer_again(0, fingerprint(b"one")) == (b"x", b"y")
    assert made.answer_again(0, fingerprint(b"two")) == ()
    assert made.answer_again(1, fingerprint(b"one")) == ()


def test_a_window_asks_for_a_new_ike_sa_long_before_ids_run_out() -> None:
    made: Window[str] = Window(next_incoming=0xFFFEFFFF)
    assert not made.is_worn_out
    made.answer(0xFFFEFFFF, fingerprint(b"x"), (b"y",))
    assert made.is_worn_out


def test_more_requests_go_out_only_as_far_beyond_the_oldest_as_the_peer_takes() -> None:
    made = window(peer_takes=3)
    for number in range(3):
        made.send((b"x",), str(number), 0.0, TIMING)
    assert not made.is_free
    # The answers to the later ones do not help: the peer may still have to repeat the first.
    for number in (1, 2):
        request = made.awaits(number)
        assert request is not None
        made.settle(request)
        assert not made.is_free
    first = made.awaits(0)
    assert first is not None
    made.settle(first)
    assert made.is_empty
    for number in range(3, 6):
        made.send((b"x",), str(number), 0.0, TIMING)
    assert [request.message_id for request in made.requests] == [3, 4, 5]
    assert list(made.tasks()) == ["3", "4", "5"]


def test_requests_within_the_window_come_in_any_order_and_none_beyond_it() -> None:
    made = window(takes=4)
    assert [made.standing(number) for number in range(5)] == [Standing.NEXT] * 4 + [Standing.AHEAD]
    made.answer(2, fingerprint(b"2"), (b"two",))
    assert made.standing(2) is Standing.REPEATED
    assert made.standing(4) is Standing.AHEAD
    for number in (0, 1):
        made.answer(number, fingerprint(b"%d" % number), (b"x",))
    assert made.next_incoming == 3
    assert made.standing(6) is Standing.NEXT
    assert made.standing(7) is Standing.AHEAD


@given(st.integers(1, 16), st.randoms(use_true_random=False))
def test_no_more_answers_are_kept_than_the_window_is_wide_and_none_too_few(takes: int, chance) -> None:  # type: ignore[no-untyped-def]
    made = window(takes=takes)
    for _ in range(60):
        number = chance.choice(range(made.next_incoming, made.next_incoming + takes))
        if made.standing(number) is not Standing.NEXT:
            continue
        made.answer(number, fingerprint(b"%d" % number), (b"a%d" % number,))
        assert len(made._answers) <= takes
        # The peer may repeat whatever is less than a window behind the newest that it has sent.
        newest = max(made._answers)
        for known in range(max(0, newest - takes + 1), newest + 1):
            if made.standing(known) is Standing.REPEATED:
                assert made.answer_again(known, fingerprint(b"%d" % known)) == (b"a%d" % known,)
            else:
                assert made.standing(known) is Standing.NEXT


def test_a_window_of_one_is_not_announced_and_a_wider_one_is() -> None:
    made = window()
    assert made.announce(TIMING) == []
    assert made.takes == 1
    (notify,) = made.announce(Timing(window_size=5))
    assert notify == NotifyPayload(NotifyType.SET_WINDOW_SIZE, b"\0\0\0\5")
    assert made.takes == 5


@pytest.mark.parametrize(
    ("data", "size"),
    [(b"\0\0\0\7", 7), (b"\0\0\0\0", 1), (b"\xff\xff\xff\xff", MOST_AT_ONCE), (b"", 1), (b"\7", 1), (b"\0" * 5, 1)],
)
def test_the_peers_window_is_honoured_within_reason(data: bytes, size: int) -> None:
    made = window()
    made.agree(said(data))
    assert made.peer_takes == size
