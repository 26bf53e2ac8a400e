"""``fastesp rekey``: new keys now, for a CHILD_SA or an IKE SA."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from .client import GatewayClient
from .down import selector
from .output import Output
from .verb import verb


@click.command()
@click.argument("name")
@click.option("--reauth", is_flag=True, help="Set the connection NAME up anew, proofs of identity included.")
@verb()
def rekey(out: Output, socket: Path, name: str, reauth: bool) -> None:
    """Give a tunnel new keys now; its traffic goes on meanwhile.

    NAME is a child (net), one of a connection (site-a-to-b/net), or a connection: then the IKE SA gets new keys.
    """
    with GatewayClient(socket) as client:
        wanted = selector(client, name)
        if reauth and "child" in wanted:
            raise click.UsageError(f"{name} is a child: only a whole connection can be set up anew")
        answer = client.request("rekey", {**wanted, **({"reauth": "yes"} if reauth else {})}, what=name)
    matches = int(str(answer.get("matches", "1")))
    out.result("rekey", {"name": name, "matches": matches})
    what = "1 SA is" if matches == 1 else f"{matches} SAs are"
    done = "reauthenticated" if reauth else "rekeyed"
    out.say(Text("✔ ", style="bold green") + Text(f"{name}: {what} being {done}"))
