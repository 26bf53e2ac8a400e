"""The table says for every state and message what happens; these are the properties that all rows share."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ike.sa.state import Role, State
from ike.sa.table import TABLE, Kind, Row, find, rows_for
from ike.sa.task import Purpose
from ike.wire.constants import OPENING_EXCHANGES, ExchangeType, HeaderFlag, PayloadType
from ike.wire.header import Header
from ike.wire.message import Message
from ike.wire.payloads import NotifyPayload, UnknownPayload

HEADER = Header(b"a" * 8, b"b" * 8, 36, HeaderFlag(0), 0)


def message(*kinds: int, notifies: tuple[int, ...] = ()) -> Message:
    return Message(HEADER, (*(UnknownStandIn(k) for k in kinds), *(NotifyPayload(n) for n in notifies)))  # type: ignore[arg-type]


class UnknownStandIn:
    """A payload of a type, whatever is in it."""

    def __init__(self, kind: int) -> None:
        self.TYPE = kind


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.state.value}-{row.exchange.name}-{row.kind.name}")
def test_each_row_is_found_by_its_own_payloads(row: Row) -> None:
    required = (row.outer if row.exchange in OPENING_EXCHANGES else row.inner)[0]
    notifies = (*row.notify, *((14,) if row.refusal else ()))
    role = Role.INITIATOR if row.role is not Role.RESPONDER else Role.RESPONDER
    purpose = row.purpose if row.kind is Kind.RESPONSE else None
    assert (
        find(rows_for(row.state, row.kind, row.exchange), role, message(*required, notifies=notifies), purpose) is row
    )


def test_every_state_can_be_reached_and_left() -> None:
    reached = {State.NEW}
    while True:
        more = {state for row in TABLE if row.state in reached for state in row.then} - reached
        # Our own wishes lead from NEW to INIT_SENT or RESUME_SENT, and from up to closing: no message does.
        more |= {State.INIT_SENT, State.RESUME_SENT, State.DELETING} - reached
        if not more:
            break
        reached |= more
    assert reached == set(State)
    assert {row.state for row in TABLE} == set(State) - {State.DEAD}
    assert any(State.DEAD in row.then for row in TABLE if row.state is State.ESTABLISHED)


def test_nothing_is_legal_on_a_dead_ike_sa() -> None:
    for kind, exchange in itertools.product(Kind, ExchangeType):
        assert rows_for(State.DEAD, kind, exchange) == ()


def test_before_authentication_only_setting_up_is_legal() -> None:
    for row in TABLE:
        if row.state.is_setting_up:
            assert row.exchange in (
                ExchangeType.IKE_SA_INIT,
                ExchangeType.IKE_INTERMEDIATE,
                ExchangeType.IKE_SESSION_RESUME,
                ExchangeType.IKE_AUTH,
            )
            assert row.purpose in (Purpose.CONNECT, Purpose.RESUME)


def test_everything_but_what_opens_an_ike_sa_is_encrypted() -> None:
    for row in TABLE:
        assert (row.outer[0] == {PayloadType.SK}) == (row.exchange not in OPENING_EXCHANGES)


def test_every_story_is_one_sentence_of_its_own_in_its_state() -> None:
    seen = [(row.story, row.state, row.purpose) for row in TABLE]
    assert len(seen) == len(set(seen))
    assert all(row.story[0].isupper() and row.story.endswith(".") for row in TABLE)


@given(
    state=st.sampled_from(State),
    kind=st.sampled_from(Kind),
    exchange=st.integers(0, 255),
    role=st.sampled_from((Role.INITIATOR, Role.RESPONDER)),
    kinds=st.sets(st.integers(33, 60), max_size=8),
    notifies=st.sets(st.integers(0, 65535) | st.sampled_from((7, 14, 17, 24, 38, 16390, 16393)), max_size=4),
    purpose=st.sampled_from(Purpose),
)
def test_any_message_in_any_state_matches_one_row_or_none(
    state: State, kind: Kind, exchange: int, role: Role, kinds: set[int], notifies: set[int], purpose: Purpose
) -> None:
    rows = rows_for(state, kind, exchange)
    row = find(rows, role, message(*kinds, notifies=tuple(notifies)), purpose)
    if row is None:
        return
    assert (row.state, row.kind, row.exchange) == (state, kind, exchange)
    assert row.role in (role, Role.EITHER)
    required = (row.outer if row.exchange in OPENING_EXCHANGES else row.inner)[0]
    assert required <= kinds
    assert row.notify <= notifies
    if kind is Kind.RESPONSE:
        assert row.purpose is purpose


def test_unknown_payloads_and_vendor_ids_do_not_matter() -> None:
    rows = rows_for(State.ESTABLISHED, Kind.REQUEST, ExchangeType.INFORMATIONAL)
    odd = Message(HEADER, (UnknownPayload(200, False, b"x"), NotifyPayload(50000)))
    assert find(rows, Role.INITIATOR, odd, None) is not None
