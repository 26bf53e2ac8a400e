"""Failed negotiations: each is one record, said once, and kept for ``fastesp show failures``."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ike.events import FailureRecord

from .logbook import Logbook, clean

KEPT = 256
"""Records kept; the oldest goes first."""

BURST = 20
RATE = 1.0
"""Records a second that are written to the log once ``BURST`` are used up: a flood of hopeless peers fills no disk."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A record, when it happened (seconds since the epoch), and in which IKE SA."""

    number: int
    when: float
    ike_id: int
    record: FailureRecord


def describe(record: FailureRecord) -> str:
    """The record for people: what happened first, then one line for each thing that helps."""
    whose = "/".join(name for name in (record.connection, record.child) if name)
    lines = [f"{clean(record.summary)} [{record.code}]"]
    rows: list[tuple[str, str]] = [
        ("peer", record.peer),
        ("exchange", f"{record.exchange}, as {record.role}" if record.role else record.exchange),
        ("connection", whose),
        ("we are", record.local_id),
        ("peer is", record.remote_id),
        *(("offered" if not n else "", text) for n, text in enumerate(record.offered)),
        *(("allowed" if not n else "", text) for n, text in enumerate(record.allowed)),
        ("mismatch", record.mismatch),
        *(("tried" if not n else "", f"{lost.connection}: {lost.why}") for n, lost in enumerate(record.tried)),
        *((name, value) for name, value in record.fields.items()),
        ("change", record.change),
        ("next", record.hint),
    ]
    lines += [f"{name:<11}{clean(value)}" for name, value in rows if value]
    return "\n".join(lines)


def as_message(failure: Failure) -> dict[str, object]:
    """The same record for programs: VICI values, empty ones left out."""
    record = failure.record
    message: dict[str, object] = {
        "number": str(failure.number),
        "time": f"{failure.when:.3f}",
        "code": record.code,
        "summary": clean(record.summary),
        "exchange": record.exchange,
        "role": record.role,
        "peer": clean(record.peer),
        "connection": record.connection,
        "child": record.child,
        "ike-id": str(failure.ike_id),
        "local-id": clean(record.local_id),
        "remote-id": clean(record.remote_id),
        "offered": [clean(text) for text in record.offered],
        "allowed": [clean(text) for text in record.allowed],
        "mismatch": clean(record.mismatch),
        "tried": {lost.connection: clean(lost.why) for lost in record.tried},
        "change": record.change,
        "hint": record.hint,
        "fields": {name: clean(value) for name, value in record.fields.items()},
    }
    return {key: value for key, value in message.items() if value}


class Failures:
    """The last records, and the one place that writes them to the log."""

    def __init__(self, logbook: Logbook, *, clock: Callable[[], float] = time.time) -> None:
        self._logbook = logbook
        self._clock = clock
        self._kept: deque[Failure] = deque(maxlen=KEPT)
        self._count = 0
        self._allowance = float(BURST)
        self._last = clock()
        self._unsaid = 0

    def add(self, ike_id: int, record: FailureRecord) -> Failure:
        """Keep it and say it."""
        self._count += 1
        failure = Failure(self._count, self._clock(), ike_id, record)
        self._kept.append(failure)
        if not self._may_speak(failure.when):
            self._unsaid += 1
            return failure
        text = describe(record)
        if self._unsaid:
            text += f"\n({self._unsaid} more records before this one: fastesp show failures)"
            self._unsaid = 0
        self._logbook.say("IKE", 0, text, connection=record.connection, ike_id=ike_id)
        return failure

    def __iter__(self) -> Iterator[Failure]:
        """Oldest first."""
        return iter(tuple(self._kept))

    def __len__(self) -> int:
        """All that ever happened, not only those kept."""
        return self._count

    def _may_speak(self, now: float) -> bool:
        self._allowance = min(float(BURST), self._allowance + max(0.0, now - self._last) * RATE)
        self._last = now
        if self._allowance < 1.0:
            return False
        self._allowance -= 1.0
        return True
