"""A look-up whose outcome nobody tells has its place for a while only: there are few."""

from __future__ import annotations

from support.certificates import NOW

from ike.credentials import CredentialStore
from ike.events import LookupSource, LookupWanted
from ike.sa.lookups import MAX_PENDING, Kind, Lookups, Question
from ike.timing import Timing


def question(number: int) -> Question:
    place = (f"http://ca.example/{number}", LookupSource.PEER)
    return Question(Kind.CERTIFICATE, number.to_bytes(20, "big"), (place,))


def test_places_of_look_ups_that_nobody_answers_are_given_to_others() -> None:
    wanted: list[LookupWanted] = []
    timing = Timing()
    made = Lookups(CredentialStore(), timing, random=bytes, wall_clock=lambda: NOW, emit=wanted.append)
    for number in range(MAX_PENDING):
        assert made.ask(question(number), number, 0.0)
    assert not made.ask(question(MAX_PENDING), 1, timing.lookup_timeout)
    later = 2 * timing.lookup_timeout
    assert made.ask(question(MAX_PENDING + 1), 1, later)
    assert len(wanted) == MAX_PENDING + 1
    # What comes after all is nobody's any more.
    assert made.answer(wanted[0].lookup_id, None, "", later) is None
    assert made.answer(wanted[-1].lookup_id, None, "", later) == (question(MAX_PENDING + 1), {1})
