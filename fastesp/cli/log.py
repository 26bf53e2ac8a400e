"""``fastesp log``: follow what the gateway does."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import click
from rich.text import Text

from .client import Answer, GatewayClient
from .output import Output
from .verb import verb


@click.command()
@click.option("--level", default=1, show_default=True, type=click.IntRange(0, 4), help="How much to tell.")
@click.option("--events", is_flag=True, help="Show SAs that come, go, move and are rekeyed, too.")
@verb()
def log(out: Output, socket: Path, level: int, events: bool) -> None:
    """Follow what the gateway does, until Ctrl-C."""
    kinds = ("ike-updown", "ike-rekey", "ike-update", "child-updown", "child-rekey", "alert") if events else ()
    with GatewayClient(socket) as client, contextlib.suppress(KeyboardInterrupt):
        for event, message in client.listen("log", *kinds):
            if event != "log":
                out.result("event", {"event": event, "message": message})
                out.say(f"{time.strftime('%H:%M:%S')} EVT {event}: {_brief(message)}", style="cyan")
            elif int(str(message.get("level", "1"))) <= level:
                out.result("log", {**message, "level": int(str(message.get("level", "1")))})
                out.say(_line(message))


def _line(message: Answer) -> Text:
    whose = str(message.get("ikesa-name", ""))
    if whose and message.get("ikesa-uniqueid"):
        whose += f"[{message['ikesa-uniqueid']}]"
    line = Text(f"{time.strftime('%H:%M:%S')} {message.get('group', ''):<3} ", style="dim")
    return line + Text(f"{whose} " if whose else "", style="bold") + Text(str(message.get("msg", "")))


def _brief(message: Answer) -> str:
    words = [f"{key} {value}" for key, value in message.items() if isinstance(value, str)]
    return " ".join([*(key for key, value in message.items() if isinstance(value, dict)), *words])
