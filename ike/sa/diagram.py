"""The states of an IKE SA as a picture and as lists, drawn from the table: ``python -m ike.sa.diagram`` writes them.

An arrow is one or more rows; beside the rows there are only :data:`UNASKED`, the steps that no message brings about.
"""

from __future__ import annotations

import sys
from pathlib import Path

from .state import Role, State
from .table import TABLE, Kind, Row

BEGIN, END = "<!-- drawn from ike/sa/table.py by make docs -->", "<!-- end of what make docs draws -->"

UNASKED: tuple[tuple[State, State, str], ...] = (
    (State.NEW, State.INIT_SENT, "we open"),
    (State.NEW, State.RESUME_SENT, "we present a ticket"),
    (State.ESTABLISHED, State.DELETING, "we close it"),
    (State.REKEYED, State.DELETING, "we close what was replaced"),
    (State.AUTH_SENT, State.DELETING, "the peer did not prove who it is"),
)
"""Steps of our own. The other one is time: whatever is not answered, or never authenticated, ends in DEAD."""

SIDES = {Role.INITIATOR: "initiator", Role.RESPONDER: "responder", Role.EITHER: "either"}


def arrows() -> dict[tuple[State, State], list[str]]:
    """From where to where, and what brings it about; steps that stay where they are have no arrow."""
    found: dict[tuple[State, State], list[str]] = {}
    for before, after, why in UNASKED:
        found.setdefault((before, after), []).append(why)
    for row in TABLE:
        for after in row.then:
            label = f"{row.exchange.name} {row.kind.name.lower()}"
            labels = found.setdefault((row.state, after), [])
            if after is not row.state and label not in labels:
                labels.append(label)
    return {ends: labels for ends, labels in found.items() if labels}


def picture() -> str:
    """A state diagram in Mermaid's words."""
    lines = ["```mermaid", "stateDiagram-v2", "    direction TB", f"    [*] --> {_name(State.NEW)}"]
    lines += [f"    {_name(a)} --> {_name(b)}: {'<br/>'.join(labels)}" for (a, b), labels in arrows().items()]
    return "\n".join([*lines, f"    {_name(State.DEAD)} --> [*]", "```"])


def rows(state: State) -> str:
    """What is legal in a state, in the order in which it is tried."""
    lines = ["| message | we are | with | what it means | then |", "|---|---|---|---|---|"]
    for row in TABLE:
        if row.state is state:
            message = f"{row.exchange.name} {row.kind.name.lower()}"
            if row.kind is Kind.RESPONSE:
                message += f", to: {row.purpose.value}"
            after = ", ".join(_name(s) for s in row.then)
            lines.append(f"| {message} | {SIDES[row.role]} | {_payloads(row)} | {row.story} | {after} |")
    return "\n".join(lines)


def _payloads(row: Row) -> str:
    """What must be there, and in brackets what may be."""
    required, optional = row.inner if row.inner != (frozenset(), frozenset()) else row.outer
    must = [kind.name for kind in sorted(required) if kind.name != "SK"] + [f"N({n.name})" for n in sorted(row.notify)]
    if row.refusal:
        must.append("an error notify")
    may = [f"[{kind.name}]" for kind in sorted(optional)]
    return ", ".join([*must, *may]) or "nothing"


def _name(state: State) -> str:
    return state.name


def drawn() -> str:
    """All that stands between the two marks of the page."""
    parts = [picture()]
    parts += [f"### {_name(s)}\n\n{rows(s)}" for s in State if any(row.state is s for row in TABLE)]
    return "\n\n".join(parts)


def page(text: str) -> str:
    """The page with what is drawn anew between its marks."""
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    return f"{head}{BEGIN}\n\n{drawn()}\n\n{END}{tail}"


def main(path: str = "docs/ike-states.md") -> None:
    """Write it."""
    file = Path(path)
    file.write_text(page(file.read_text()))


if __name__ == "__main__":
    main(*sys.argv[1:])
