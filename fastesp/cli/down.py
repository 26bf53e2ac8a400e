"""``fastesp down``: take a tunnel down."""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.text import Text

from .client import GatewayClient
from .names import missing
from .output import Output, duration
from .sas import list_sas
from .verb import verb


@click.command()
@click.argument("name")
@click.option(
    "--timeout", default=30.0, show_default=True, type=click.FloatRange(0), help="Seconds to wait; 0: for ever."
)
@click.option("--force", is_flag=True, help="Forget the IKE SA even where the peer does not confirm.")
@click.option("--level", default=1, show_default=True, type=click.IntRange(0, 4), help="How much to tell.")
@verb()
def down(out: Output, socket: Path, name: str, timeout: float, force: bool, level: int) -> None:
    """Take a tunnel down.

    NAME is a child (net), one of a connection (site-a-to-b/net), or a connection: then the whole IKE SA goes.
    """
    with GatewayClient(socket) as client:
        message = {**selector(client, name), "timeout": round(timeout * 1000), "loglevel": level}
        if force:
            message["force"] = "yes"
        started = time.monotonic()
        for event in client.stream("terminate", "control-log", message, what=name):
            out.say(Text(f"{event.get('group', ''):<4}{event.get('msg', '')}", style="dim"))
        matches = int(str(client.answer.get("matches", "1")))
    seconds = time.monotonic() - started
    out.result("down", {"name": name, "matches": matches, "seconds": round(seconds, 3)})
    what = "1 SA" if matches == 1 else f"{matches} SAs"
    out.say(Text("✔ ", style="bold green") + Text(f"{name} is down after {duration(seconds)}: {what} closed"))


def selector(client: GatewayClient, name: str) -> dict[str, object]:
    """How VICI selects the SAs that ``name`` stands for; a name that nothing up bears raises."""
    sas = list_sas(client)
    connection, _, child = name.partition("/")
    if child and any(ike["name"] == connection and child in _names(ike["children"]) for ike in sas):
        return {"ike": connection, "child": child}
    if any(ike["name"] == name for ike in sas):
        return {"ike": name}
    if any(name in _names(ike["children"]) for ike in sas):
        return {"child": name}
    raise missing("SA that is up", name, [*_names(sas), *(n for ike in sas for n in _names(ike["children"]))])


def _names(sas: list[dict[str, object]]) -> list[str]:
    return [str(sa["name"]) for sa in sas]
