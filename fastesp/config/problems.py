"""What is wrong in a configuration, where, and what to write instead.

A run collects every problem before it gives up, so that one look at the output mends the whole file.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field

INFO, WARNING, ERROR = "info", "warning", "error"
_ORDER = {ERROR: 0, WARNING: 1, INFO: 2}


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something was written: a file with line and column (both from 1), or a VICI key path with ``line`` 0."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    @property
    def short(self) -> str:
        """``file:line``, as failure records and ``where`` maps carry it."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. ``file`` is a VICI key path where ``line`` is 0. Never holds the value of a secret."""

    file: str
    line: int
    column: int
    message: str
    hint: str = ""
    severity: str = ERROR
    code: str = "config-invalid"

    @property
    def place(self) -> Place:
        """The three position fields as one value."""
        return Place(self.file, self.line, self.column)

    def __str__(self) -> str:
        mark = "" if self.severity == ERROR else f"{self.severity}: "
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.place}: {mark}{self.message}{hint}"


class ConfigurationError(Exception):
    """The configuration was refused as a whole; ``problems`` holds every mistake of the run, warnings included."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @property
    def errors(self) -> list[Problem]:
        """Those that made the run fail."""
        return [problem for problem in self.problems if problem.severity == ERROR]


@dataclass(slots=True)
class Problems:
    """Collects the problems of one run, each once: a template's mistake is not repeated for every user of it."""

    _found: dict[tuple[Place, str], Problem] = field(default_factory=dict)

    def add(self, place: Place, message: str, hint: str = "", *, severity: str = ERROR, code: str = "") -> None:
        """Note one problem; the same words at the same place count once."""
        message, hint = printable(message), printable(hint)
        problem = Problem(place.file, place.line, place.column, message, hint, severity, code or "config-invalid")
        self._found.setdefault((place, message), problem)

    def warn(self, place: Place, message: str, hint: str = "", *, code: str = "") -> None:
        """Note what works but is likely not meant, or not wise."""
        self.add(place, message, hint, severity=WARNING, code=code)

    def inform(self, place: Place, message: str, hint: str = "") -> None:
        """Note what a reader may want to know."""
        self.add(place, message, hint, severity=INFO)

    @property
    def failed(self) -> bool:
        """Whether an error is among them."""
        return any(problem.severity == ERROR for problem in self._found.values())

    def sorted(self) -> list[Problem]:
        """In the order of the file; errors of a line before its warnings."""
        return sorted(self._found.values(), key=lambda p: (p.file, p.line, p.column, _ORDER[p.severity]))

    def done(self) -> tuple[Problem, ...]:
        """The warnings of a run that succeeded; raises :class:`ConfigurationError` where it did not."""
        if self.failed:
            raise ConfigurationError(self.sorted())
        return tuple(self.sorted())


def printable(text: str) -> str:
    """``text`` on one line and harmless to a terminal: what does not print is written as an escape."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?`` for the known word nearest to ``word``, or nothing where none is near."""
    by_fold = {name.lower(): name for name in known}
    folded = word.lower().replace("-", "_")
    near = difflib.get_close_matches(folded, by_fold, n=1, cutoff=0.6)
    if not near:
        near = [name for name in by_fold if len(folded) >= 3 and (name.startswith(folded) or folded.startswith(name))][
            :1
        ]
    return f"did you mean '{by_fold[near[0]]}'?" if near else ""
