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
    from fastesp.config import Problem, Settings

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
    from fastesp.config import ConfigurationError, load

    try:
        settings = load(file, directory)
    except ConfigurationError as error:
        for problem in error.problems:
            _show(out, problem)
        count = len(error.errors)
        raise CommandError(
            Exit.INVALID,
            f"{file}: {count} mistake{'' if count == 1 else 's'}; nothing of it would be applied",
            code="config-invalid",
            details={"problems": [_as_json(problem) for problem in error.problems]},
        ) from None
    for problem in settings.warnings:
        _show(out, problem)
    out.result("check", {"file": str(file), "problems": [_as_json(p) for p in settings.warnings], **_summary(settings)})
    _explain(out, settings)
    out.say(Text("✔ ", style="bold green") + Text(f"{file} is valid"))


def _show(out: Output, problem: Problem) -> None:
    out.say(str(problem), style=STYLES.get(problem.severity, ""))


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


def _summary(settings: Settings) -> dict[str, object]:
    """What the file comes to. No secret is in it: names and numbers alone."""
    return {
        "connections": [
            {
                "name": connection.name,
                "proposals": [str(spec) for spec in connection.proposals],
                "local_id": [str(auth.id) if auth.id else "" for auth in connection.local],
                "remote_id": [str(auth.id) if auth.id else "%any" for auth in connection.remote],
                "children": [
                    {
                        "name": child.name,
                        "mode": child.mode.value,
                        "start_action": child.start_action.value,
                        "proposals": [str(spec) for spec in child.proposals],
                        "local_ts": [str(ts.selector or "dynamic") for ts in child.local_ts],
                        "remote_ts": [str(ts.selector or "dynamic") for ts in child.remote_ts],
                    }
                    for child in connection.children
                ],
            }
            for connection in settings.connections
        ],
        "secrets": len(settings.shared),
        "private_keys": len(settings.keys),
        "certificates": len(settings.certificates),
        "authorities": len(settings.authorities),
        "pools": [pool.name for pool in settings.pools],
    }


def _explain(out: Output, settings: Settings) -> None:
    for connection in settings.connections:
        ours = ", ".join(f"{auth.auth} as {auth.id or 'its certificate or address'}" for auth in connection.local)
        theirs = ", ".join(f"{auth.auth} as {auth.id or '%any'}" for auth in connection.remote)
        out.say(Text(connection.name, style="bold") + Text(f": we prove {ours}; the peer {theirs}"))
        out.say(f"  IKE  {', '.join(str(spec) for spec in connection.proposals)}")
        for child in connection.children:
            local, remote = (
                " ".join(str(ts.selector or "dynamic") for ts in side) for side in (child.local_ts, child.remote_ts)
            )
            out.say(
                Text(f"  {child.name}", style="bold")
                + Text(f": {local} === {remote}, {_start(child.start_action.value)}")
            )
            out.say(f"    ESP  {', '.join(str(spec) for spec in child.proposals)}")
    counts = {
        "connection": len(settings.connections),
        "secret": len(settings.shared),
        "private key": len(settings.keys),
        "certificate": len(settings.certificates),
        "pool": len(settings.pools),
    }
    out.say(", ".join(f"{count} {what}{'' if count == 1 else 's'}" for what, count in counts.items() if count))


def _start(action: str) -> str:
    return {
        "none": "comes up when asked for",
        "start": "comes up at once",
        "trap": "comes up with the first packet",
        "trap|start": "comes up at once, and with any packet later",
    }.get(action, action)
