"""``fastesp load``: have the gateway read its configuration again."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from .client import GatewayClient
from .exits import CommandError
from .output import Output
from .verb import verb


@click.command()
@verb()
def load(out: Output, socket: Path) -> None:
    """Have the gateway read its configuration again.

    Nothing of it is applied unless all of it is valid; what did not change goes on undisturbed, and SAs keep what they
    negotiated.
    """
    with GatewayClient(socket) as client:
        try:
            client.request("reload-settings", what="nothing was changed")
        except CommandError as error:
            problems = error.details.get("problems") or ()
            for problem in problems:
                out.say(str(problem), style="red")
            if problems and out.for_people:
                count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
                raise CommandError(error.exit_code, f"nothing was changed: {count}", code=error.code) from None
            raise
        names = [str(name) for name in client.request("get-conns").get("conns") or ()]
    out.result("load", {"connections": names})
    loaded = "1 connection is" if len(names) == 1 else f"{len(names)} connections are"
    out.say(Text("✔ ", style="bold green") + Text(f"{loaded} loaded" + (f": {', '.join(names)}" if names else "")))
