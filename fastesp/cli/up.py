"""``fastesp up``: bring a tunnel up, watch it happen, and end in one line that says how it went."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from .adhoc import AdHoc
from .client import GatewayClient
from .exits import CommandError
from .names import Target, configured, targets
from .output import Output, duration
from .record import show_details
from .sas import list_sas, selectors, suite, transport, typed
from .verb import verb


@click.command()
@click.argument("name", required=False)
@click.option("--to", metavar="ADDR", help="A peer that no file names: an address or a host name.")
@click.option("--psk-file", type=click.Path(path_type=Path, dir_okay=False), help="The secret that is shared with it.")
@click.option("--local", multiple=True, metavar="NET", help="What is behind us; without it, this host.")
@click.option("--remote", multiple=True, metavar="NET", help="What is behind the peer; without it, the peer.")
@click.option("--id", "own_id", default="", help="Who we are; without it, our address.")
@click.option("--peer-id", default="", help="Who the peer is; without it, what --to says.")
@click.option(
    "--timeout", default=60.0, show_default=True, type=click.FloatRange(0), help="Seconds to wait; 0: for ever."
)
@click.option("--level", default=1, show_default=True, type=click.IntRange(0, 4), help="How much to tell.")
@verb()
def up(out: Output, socket: Path, name: str | None, timeout: float, level: int, **peer: Any) -> None:
    """Bring a tunnel up.

    NAME is a child (net), one of a connection (site-a-to-b/net), or a connection: then all its children come up.

    Without a file: fastesp up --to 198.51.100.20 --psk-file k --local 10.10.0.0/24 --remote 10.20.0.0/24
    """
    ad_hoc = _ad_hoc(name, **peer)
    with GatewayClient(socket) as client:
        if ad_hoc is not None:
            _bring_up_ad_hoc(out, client, ad_hoc, timeout, level)
            return
        assert name is not None
        failed: CommandError | None = None
        for target in targets(configured(client), name):
            try:
                _bring_up(out, client, target, timeout, level)
            except CommandError as error:
                if failed is not None:
                    out.fail(failed)
                failed = error
        if failed is not None:
            raise failed


def _ad_hoc(name: str | None, to: str | None, psk_file: Path | None, **more: Any) -> AdHoc | None:
    """The peer of the command line; ``None`` where a configured name is meant."""
    if to is None:
        if name is None:
            raise click.UsageError("say what to bring up: a NAME, or --to ADDR with --psk-file")
        if psk_file is not None or any(more.values()):
            raise click.UsageError(f"{name} is configured: --psk-file, --local and the like go with --to")
        return None
    if name is not None:
        raise click.UsageError("either a NAME or --to")
    if psk_file is None:
        raise click.UsageError("--to needs --psk-file: a file with the secret that is shared with the peer")
    return AdHoc(to, psk_file, **more)


def _bring_up_ad_hoc(out: Output, client: GatewayClient, peer: AdHoc, timeout: float, level: int) -> None:
    """Load it, bring it up, and take it back where that fails."""
    peer.load(client, out)
    try:
        _bring_up(out, client, peer.target, timeout, level)
    except CommandError:
        with contextlib.suppress(CommandError):
            peer.unload(client)
        raise
    out.say(f"  it is called {peer.target.connection}, and stays until: fastesp down {peer.target.connection}")


def _bring_up(out: Output, client: GatewayClient, target: Target, timeout: float, level: int) -> None:
    message: dict[str, object] = {"ike": target.connection, "timeout": round(timeout * 1000), "loglevel": level}
    if target.child:
        message["child"] = target.child
    started = time.monotonic()
    lines: list[str] = []
    try:
        for event in client.stream("initiate", "control-log", message, what=str(target)):
            lines.append(str(event.get("msg", "")))
            out.say(Text(f"{event.get('group', ''):<4}{event.get('msg', '')}", style="dim"))
    except CommandError as error:
        if not any(f"[{error.code}]" in line for line in lines):
            show_details(out, error.details.get("failure") or {})
        error.details |= {"name": str(target), "log": lines}
        if "failure" in error.details:
            error.details["failure"] = typed(error.details["failure"])
        raise
    seconds = time.monotonic() - started
    child = _installed(client, target)
    out.result("up", {"name": str(target), "seconds": round(seconds, 3), "sa": child, "log": lines})
    out.say(Text("✔ ", style="bold green") + Text(_success(target, child, seconds)))


def _installed(client: GatewayClient, target: Target) -> dict[str, Any] | None:
    """The newest CHILD_SA of that name."""
    found = [
        child
        for ike in list_sas(client)
        if ike["name"] == target.connection
        for child in ike["children"]
        if child["name"] == target.child
    ]
    return max(found, key=lambda child: child["uniqueid"], default=None)


def _success(target: Target, child: dict[str, Any] | None, seconds: float) -> str:
    if child is None:
        return f"{target} is up after {duration(seconds)}"
    where = f", packets go {child['placement']}" if child.get("placement") else ""
    return f"{target} is up after {duration(seconds)}: {selectors(child)}, {transport(child)} {suite(child)}{where}"
