"""``fastesp check``: read a swanctl.conf as the gateway would, and say what is wrong, weak, or will happen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from .exits import CommandError, Exit
from .output import Output
from .verb import verb

if TYPE_CHECKING:
    from fastesp.config import Problem
    from fastesp.config.report import ConnectionReport, ProposalReport, Report

DEFAULT_FILE = "/etc/swanctl/swanctl.conf"
STYLES = {"error": "red", "warning": "yellow", "info": "dim"}


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default=DEFAULT_FILE)
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where x509, private and their sisters lie; else beside the file.",
)
@verb(gateway=False)
def check(out: Output, file: Path, directory: Path | None) -> None:
    """Check FILE without root and without a gateway: every mistake, and what its connections will offer."""
    from fastesp.config.report import explain

    report = explain(file, directory)
    for problem in report.problems:
        out.say(str(problem), style=STYLES.get(problem.severity, ""))
    if not report.valid:
        count = len(report.errors)
        raise CommandError(
            Exit.INVALID,
            f"{file}: {count} mistake{'' if count == 1 else 's'}; nothing of it would be applied",
            code="config-invalid",
            details={"problems": [_as_json(problem) for problem in report.problems]},
        )
    out.result("check", report.as_dict() | {"problems": [_as_json(problem) for problem in report.problems]})
    for connection in report.connections:
        _explain(out, connection)
    _verdict(out, report)


def _as_json(problem: Problem) -> dict[str, object]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "severity": problem.severity,
        "code": problem.code,
        "message": problem.message,
        "hint": problem.hint,
    }


def _explain(out: Output, connection: ConnectionReport) -> None:
    """A connection as it will be negotiated: who proves what, what is offered, what passes."""
    ours, theirs = (
        ", ".join(f"{one.auth} as {one.identity}" for one in connection.rounds if one.side == side)
        for side in ("local", "remote")
    )
    out.say(Text(connection.name, style="bold") + Text(f": we prove {ours}; the peer {theirs}"))
    out.say(f"  {', '.join(connection.local_addrs)} to {', '.join(connection.remote_addrs)}")
    _offer(out, "  IKE", connection.proposals)
    for child in connection.children:
        selectors = f"{' '.join(child.local_ts)} === {' '.join(child.remote_ts)}"
        mode = "" if child.mode == "tunnel" else f"{child.mode} mode, "
        line = f": {selectors}, {mode}{_start(child.start_action)}"
        if child.mode in ("pass", "drop"):
            line = f": {selectors}, {'passes unprotected' if child.mode == 'pass' else 'is dropped'}"
        out.say(Text(f"  {child.name}", style="bold") + Text(line))
        if child.mode not in ("pass", "drop"):
            _offer(out, f"    {child.protocol}", child.proposals)


def _offer(out: Output, what: str, proposals: tuple[ProposalReport, ...]) -> None:
    """Each proposal on a line; the algorithms kind by kind where there is a choice, the preferred first."""
    for number, proposal in enumerate(proposals, 1):
        if all(len(names) == 1 for names in proposal.algorithms.values()):
            out.say(f"{what}  {proposal.text}")
            continue
        out.say(f"{what}  proposal {number}:")
        for kind, names in proposal.algorithms.items():
            out.say(f"{' ' * len(what)}    {kind}: {', '.join(names)}")


def _verdict(out: Output, report: Report) -> None:
    out.say(", ".join(f"{count} {what}{'' if count == 1 else 's'}" for what, count in report.counts.items() if count))
    flaws = {"weak": len(report.weak), "without a chance to work": len(report.hopeless)}
    said = ", ".join(f"{count} {what}" for what, count in flaws.items() if count)
    out.say(Text("✔ ", style="bold green") + Text(f"{report.file} is valid" + (f"; {said}, see above" if said else "")))


def _start(action: str) -> str:
    return {
        "none": "comes up when asked for",
        "start": "comes up at once",
        "trap": "comes up with the first packet",
        "trap|start": "comes up at once, and with any packet later",
    }.get(action, action)
