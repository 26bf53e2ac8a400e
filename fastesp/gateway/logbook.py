"""What is told, to whom: one line a fact, on the log and to VICI clients that asked, at strongSwan's levels 0 to 4.

Everything goes through :mod:`logging` below the logger ``fastesp``, so that a program that embeds the gateway handles
it as it likes. A record carries ``group`` (strongSwan's subsystem words), and connection and IKE SA where it has to do
with one.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from fastesp.config.strongswan_conf import LogFile

LEVELS = (logging.WARNING, logging.INFO, 15, logging.DEBUG, 5)
"""strongSwan's level -> :mod:`logging`'s."""

GROUPS = {
    "routes": "KNL",
    "guard": "KNL",
    "vici": "CFG",
    "config": "CFG",
    "ike": "IKE",
    "child": "CHD",
    "net": "NET",
    "esp": "ESP",
    "userspace": "ESP",
}
"""Last part of a logger's name -> subsystem word; what is not here is the daemon's own, ``DMN``."""

ROOT = logging.getLogger("fastesp")

STREAMS: Mapping[str, Callable[[], logging.Handler]] = {
    "stdout": lambda: logging.StreamHandler(sys.stdout),
    "stderr": lambda: logging.StreamHandler(sys.stderr),
}
"""Names of a ``filelog`` that are no files (strongswan.conf(5))."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One fact as a VICI client gets it."""

    group: str
    level: int
    text: str
    connection: str = ""
    ike_id: int = 0


def clean(text: str) -> str:
    """Printable text on one line: what a peer chose to call itself cannot forge a log line or drive a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def level_of(number: int) -> int:
    """:mod:`logging`'s level -> strongSwan's."""
    return next((ours for ours, theirs in enumerate(LEVELS) if number >= theirs), len(LEVELS) - 1)


class Logbook:
    """Says things, and keeps the listeners that hear them beside the log itself."""

    def __init__(self) -> None:
        self._listeners: dict[Callable[[LogLine], None], int] = {}
        self._base = logging.CRITICAL
        self._handler = _Listening(self._deliver)

    def open(self, level: int, path: Path | None = None, stream: TextIO | None = None) -> None:
        """Write to ``path``, or to ``stream`` (standard error), all that is not beyond ``level``."""
        out = logging.FileHandler(path) if path is not None else logging.StreamHandler(stream or sys.stderr)
        out.setFormatter(_Line(with_time=path is not None or "JOURNAL_STREAM" not in os.environ))
        self._add(out, level)

    def open_file(self, log: LogFile) -> None:
        """A ``filelog`` of strongswan.conf, with a level of its own for each subsystem. Raises :class:`OSError`.

        ``flush_line`` needs nothing: every line is flushed.
        """
        stream = STREAMS.get(log.path)
        out = logging.FileHandler(log.path, "a" if log.append else "w") if stream is None else stream()
        out.setFormatter(
            _Line(
                time_format=log.time_format,
                milliseconds=log.time_add_ms,
                with_level=log.log_level,
                with_name=log.ike_name,
            )
        )
        levels = {group.upper(): level for group, level in log.levels.items()}
        out.addFilter(lambda record: level_of(record.levelno) <= levels.get(_group(record), log.default))
        self._add(out, max(log.default, *levels.values()) if levels else log.default)

    def _add(self, out: logging.Handler, level: int) -> None:
        level = max(-1, min(level, len(LEVELS) - 1))
        base = LEVELS[level] if level >= 0 else logging.ERROR
        out.setLevel(base)
        ROOT.addHandler(out)
        ROOT.propagate = False
        self._base = min(self._base, base)
        self._set_level()

    def say(self, group: str, level: int, text: str, *, connection: str = "", ike_id: int = 0) -> None:
        """One line, at strongSwan's ``level``."""
        number = LEVELS[level]
        if ROOT.isEnabledFor(number):
            # Not ROOT.log: that walks the stack for a file and a line, which no log of ours shows.
            facts = {"group": group, "connection": connection, "ike_id": ike_id}
            ROOT.handle(ROOT.makeRecord(ROOT.name, number, "", 0, text, (), None, extra=facts))

    def listen(self, listener: Callable[[LogLine], None], level: int) -> Callable[[], None]:
        """Call ``listener`` for each line up to ``level``; the result ends that."""
        self._listeners[listener] = level
        ROOT.addHandler(self._handler)
        self._set_level()

        def stop() -> None:
            self._listeners.pop(listener, None)
            if not self._listeners:
                ROOT.removeHandler(self._handler)
            self._set_level()

        return stop

    def close(self) -> None:
        """Take our handlers off the logger again."""
        for handler in list(ROOT.handlers):
            ROOT.removeHandler(handler)
            handler.close()
        ROOT.propagate = True

    def _set_level(self) -> None:
        # A line that nobody hears is not even put together.
        detail = max(self._listeners.values(), default=-1)
        wanted = LEVELS[max(0, min(detail, len(LEVELS) - 1))] if detail >= 0 else self._base
        ROOT.setLevel(min(self._base, wanted))

    def _deliver(self, line: LogLine) -> None:
        for listener, level in list(self._listeners.items()):
            if line.level <= level:
                listener(line)


class _Listening(logging.Handler):
    """Hands records on as :class:`LogLine`."""

    def __init__(self, deliver: Callable[[LogLine], None]) -> None:
        super().__init__(level=1)
        self._deliver = deliver

    def emit(self, record: logging.LogRecord) -> None:
        connection, ike_id = getattr(record, "connection", ""), getattr(record, "ike_id", 0)
        level = level_of(record.levelno)
        for text in record.getMessage().split("\n"):
            self._deliver(LogLine(_group(record), level, clean(text), connection, ike_id))


class _Line(logging.Formatter):
    """``2026-11-25 18:44:01.123 IKE site-a-to-b[1] text``; further lines of one record are indented below it."""

    default_msec_format = "%s.%03d"

    def __init__(
        self,
        *,
        with_time: bool = True,
        time_format: str = "",
        milliseconds: bool = True,
        with_level: bool = False,
        with_name: bool = True,
    ) -> None:
        super().__init__()
        self._with_name = with_name
        self._with_time = with_time
        self._time_format = time_format
        self._milliseconds = milliseconds
        self._with_level = with_level

    def format(self, record: logging.LogRecord) -> str:
        connection = getattr(record, "connection", "")
        ike_id = getattr(record, "ike_id", 0)
        named = connection and self._with_name
        whose = clean(connection) + (f"[{ike_id}]" if ike_id else "") if named else ""
        group = _group(record) + (str(level_of(record.levelno)) if self._with_level else "")
        first, *more = (clean(line) for line in record.getMessage().split("\n"))
        head = " ".join(word for word in (self._time(record), group, whose, first) if word)
        lines = [head, *(f"    {line}" for line in more)]
        if record.exc_info:
            lines.append(self.formatException(record.exc_info))
        return "\n".join(lines)

    def _time(self, record: logging.LogRecord) -> str:
        if not self._with_time:
            return ""
        if not self._time_format:
            return self.formatTime(record)
        time = self.formatTime(record, self._time_format)
        return f"{time}.{int(record.msecs):03}" if self._milliseconds else time


def _group(record: logging.LogRecord) -> str:
    return getattr(record, "group", None) or GROUPS.get(record.name.rpartition(".")[2], "DMN")
