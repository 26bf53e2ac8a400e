"""The record of a failed negotiation, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from .output import Output

ROWS = (
    ("peer", "peer"),
    ("exchange", "exchange"),
    ("local-id", "we are"),
    ("remote-id", "peer is"),
    ("offered", "offered"),
    ("allowed", "allowed"),
    ("mismatch", "mismatch"),
    ("tried", "tried"),
    ("fields", "details"),
    ("change", "change"),
    ("hint", "next"),
)


def show_record(out: Output, record: Mapping[str, Any]) -> None:
    """What happened, then what helps."""
    whose = "/".join(str(record[key]) for key in ("connection", "child") if record.get(key))
    line = Text("✘ ", style="bold red")
    line += Text(f"{whose}: " if whose else "", style="bold")
    out.say(line + Text(str(record.get("summary", ""))) + Text(f" [{record.get('code', '')}]", style="red"))
    show_details(out, record)


def show_details(out: Output, record: Mapping[str, Any]) -> None:
    """One line for each thing that helps."""
    for key, label in ROWS:
        for index, text in enumerate(_texts(record.get(key))):
            out.say(Text(f"    {label if not index else '':<10}", style="dim") + Text(text))


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{name}: {text}" for name, text in value.items()]
    if isinstance(value, list):
        return [str(item) for item in value]
    return [str(value)] if value else []
