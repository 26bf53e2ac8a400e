"""``fastesp explain``: what a code means, why it comes about, what to do."""

from __future__ import annotations

import difflib

import click
from rich.text import Text

from fastesp.codes import CODES

from .exits import CommandError, Exit
from .output import Output
from .verb import verb


@click.command()
@click.argument("code", required=False)
@verb(gateway=False)
def explain(out: Output, code: str | None) -> None:
    """Explain the CODE of a failure; without one, list all codes."""
    if code is None:
        out.result("codes", {"codes": {name: entry.title for name, entry in CODES.items()}})
        width = max(len(name) for name in CODES)
        for name in sorted(CODES):
            out.say(Text(f"{name:<{width}}  ", style="bold") + Text(CODES[name].title))
        return
    wanted = code.strip().strip("[]").lower().replace("_", "-")
    entry = CODES.get(wanted)
    if entry is None:
        close = difflib.get_close_matches(wanted, CODES, 3, 0.5)
        hint = f"did you mean {', '.join(close)}?" if close else "all of them: fastesp explain"
        raise CommandError(Exit.NO_SUCH_OBJECT, f"no code is named {code!r}", hint=hint)
    out.result("code", {"code": wanted, "title": entry.title, "cause": entry.cause, "action": entry.action})
    out.say(Text(wanted, style="bold") + Text(f": {entry.title}"))
    out.say(f"  why:  {entry.cause}")
    out.say(f"  do:   {entry.action}")
