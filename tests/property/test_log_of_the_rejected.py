"""Whatever a peer puts into what we refuse: the record of it is written once, on lines of its own, and for programs."""

from __future__ import annotations

import io
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from fastesp.gateway.failures import Failures, as_message, describe
from fastesp.gateway.logbook import Logbook
from fastesp.gateway.vici.codec import pull_message, push_message
from ike.events import AttemptLost, FailureRecord

TEXT = st.text(max_size=60)
WORD = st.sampled_from(["no-proposal-chosen", "ts-unacceptable", "auth-psk-mismatch"])
RECORDS = st.builds(
    FailureRecord,
    code=WORD,
    summary=TEXT,
    exchange=st.just("IKE_AUTH"),
    role=st.sampled_from(["initiator", "responder"]),
    peer=TEXT,
    local_id=TEXT,
    remote_id=TEXT,
    offered=st.lists(TEXT, max_size=4).map(tuple),
    allowed=st.lists(TEXT, max_size=4).map(tuple),
    mismatch=TEXT,
    tried=st.lists(st.builds(AttemptLost, st.sampled_from(["site", "other"]), TEXT), max_size=3).map(tuple),
    hint=TEXT,
    fields=st.dictionaries(st.sampled_from(["retries", "seconds"]), TEXT, max_size=2),
)


@given(RECORDS)
def test_a_record_of_any_text_is_one_record_in_the_log(record: FailureRecord) -> None:
    logbook, stream = Logbook(), io.StringIO()
    logbook.open(1, stream=stream)
    try:
        Failures(logbook).add(1, record)
    finally:
        logbook.close()
    first, *rest = stream.getvalue().splitlines()
    assert f"[{record.code}]" in first
    assert all(line.startswith("    ") for line in rest)
    assert not [c for c in stream.getvalue() if unicodedata.category(c) in ("Cc", "Cs") and c != "\n"]
    stream.getvalue().encode()


@given(RECORDS)
def test_a_record_of_any_text_reaches_programs(record: FailureRecord) -> None:
    logbook = Logbook()
    message = as_message(Failures(logbook).add(1, record))
    assert pull_message(push_message(message))
    assert describe(record)
