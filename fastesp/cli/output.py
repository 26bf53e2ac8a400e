"""What a command says: to a person, to a program (``--json``), or to nobody but for errors (``--quiet``)."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from enum import Enum

from rich.console import Console
from rich.text import Text

from .exits import CommandError

JSON_VERSION = 1
"""Raised when a key changes its meaning or goes; new keys come without."""

UNITS = ("", "Ki", "Mi", "Gi", "Ti", "Pi")
RATES = ("", "k", "M", "G", "T")


class Audience(Enum):
    """Who reads."""

    PERSON = "person"
    PROGRAM = "program"
    NOBODY = "nobody"


class Output:
    """One command's output."""

    def __init__(self, audience: Audience = Audience.PERSON) -> None:
        self.audience = audience
        self._out = Console(markup=False, highlight=False, emoji=False, soft_wrap=True)
        self._err = Console(markup=False, highlight=False, emoji=False, soft_wrap=True, stderr=True)

    @property
    def for_people(self) -> bool:
        """Whether :meth:`say` says anything."""
        return self.audience is Audience.PERSON

    @property
    def for_programs(self) -> bool:
        """Whether :meth:`result` says anything."""
        return self.audience is Audience.PROGRAM

    def say(self, text: str | Text = "", style: str = "") -> None:
        """A line for people."""
        if self.for_people:
            self._out.print(_safe(text), style=style or None)

    def result(self, kind: str, data: Mapping[str, object]) -> None:
        """A JSON object on a line of its own, for programs."""
        if self.for_programs:
            sys.stdout.write(json.dumps({"version": JSON_VERSION, "kind": kind, **data}) + "\n")
            sys.stdout.flush()

    def warn(self, text: str) -> None:
        """A line on standard error, for people."""
        if self.for_people:
            self._err.print(_safe(text), style="yellow")

    def fail(self, error: CommandError) -> None:
        """The error that ends the command: always said."""
        if self.for_programs:
            how = {"exit_code": int(error.exit_code), "code": error.code, "message": str(error), "hint": error.hint}
            self.result("error", {**how, **error.details})
            return
        line = Text("✘ ", style="bold red") + Text(str(error))
        if error.code:
            line += Text(f" [{error.code}]", style="red")
        self._err.print(_safe(line))
        if error.hint:
            self._err.print(_safe(f"  {error.hint}"))
        if error.code:
            self._err.print(f"  more: fastesp explain {error.code}", style="dim")


def _safe(text: str | Text) -> Text:
    """What a peer chose to call itself cannot drive the terminal: what does not print becomes a question mark."""
    safe = text.copy() if isinstance(text, Text) else Text(text)
    if not safe.plain.isprintable():
        safe.plain = "".join(c if c.isprintable() or c == "\n" else "?" for c in safe.plain)
    return safe


def size(count: int) -> str:
    """Bytes for people: ``1.5 GiB``."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{count} B" if unit == 0 else f"{value:.1f} {UNITS[unit]}B"


def quantity(count: int) -> str:
    """A number of things for people: ``850 k``."""
    value, unit = float(count), 0
    while value >= 10000 and unit < len(RATES) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {RATES[unit]}".rstrip()


def rate(bits: float) -> str:
    """Bits a second for people: ``1.2 Gbit/s``."""
    unit = 0
    while bits >= 1000 and unit < len(RATES) - 1:
        bits, unit = bits / 1000, unit + 1
    return f"{bits:.0f} bit/s" if unit == 0 else f"{bits:.1f} {RATES[unit]}bit/s"


def duration(seconds: float) -> str:
    """Seconds for people, in the two units that matter: ``3 h 40 min``."""
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 10:
        return f"{seconds:.0f} s" if seconds == int(seconds) else f"{seconds:.2f} s"
    total = int(seconds)
    for size_of, unit, below_of, below in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if total >= size_of:
            rest = total % size_of // below_of
            return f"{total // size_of} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{total} s"
