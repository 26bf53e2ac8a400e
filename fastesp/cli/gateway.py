"""``fastesp gateway``: run the gateway in the foreground, as a service manager wants it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .verb import DEFAULT_SOCKET

DEFAULT_FILE = Path("/etc/swanctl/swanctl.conf")


class Octal(click.ParamType[int]):
    """File modes as everybody writes them."""

    name = "octal"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """``660`` -> 0o660."""
        if isinstance(value, int):
            return value
        try:
            mode = int(value, 8)
        except ValueError:
            self.fail(f"{value!r} is no file mode: write it like 660", param, ctx)
        if not 0 <= mode <= 0o777:
            self.fail(f"{value!r} is no file mode: write it like 660", param, ctx)
        return mode


FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("-c", "--config", type=FILE, help=f"swanctl.conf to load; else {DEFAULT_FILE}, where it exists.")
@click.option(
    "--directory", type=click.Path(path_type=Path, file_okay=False), help="Where x509, private and their sisters lie."
)
@click.option("--strongswan-conf", type=FILE, help="Else $STRONGSWAN_CONF, else /etc/strongswan.conf if it is there.")
@click.option("--socket", "--uri", default=DEFAULT_SOCKET, show_default=True, help="The control socket (VICI).")
@click.option("--socket-mode", type=Octal(), default="660", show_default=True, help="Who may open it.")
@click.option("--socket-owner", default="", help="User that owns it.")
@click.option("--socket-group", default="", help="Group that it belongs to.")
@click.option("--log-level", type=click.IntRange(-1, 4), default=1, show_default=True, help="0: only trouble, 4: all.")
@click.option("--log-file", type=FILE, help="Instead of standard error.")
@click.option("--dataplane", default="userspace", show_default=True, help="Where packets are protected.")
@click.option("--provider", default="auto", show_default=True, help="Library for AES-GCM: auto, openssl, ipsec-mb.")
@click.option("--tun", default="fastesp0", show_default=True, help="Name of the interface for plain packets.")
@click.option("--mtu", type=click.IntRange(576, 65535), default=1400, show_default=True, help="Its MTU.")
@click.option(
    "--encap",
    type=click.Choice(("auto", "always")),
    default="auto",
    show_default=True,
    help="ESP in UDP: always, or where a NAT asks for it.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=500, show_default=True, help="UDP port of IKE.")
@click.option("--nat-port", type=click.IntRange(1, 65535), default=4500, show_default=True, help="UDP port of ESP.")
@click.option("--gso/--no-gso", default=True, show_default=True, help="UDP segmentation offload.")
@click.option(
    "--workers",
    type=click.IntRange(0, 64),
    default=0,
    show_default="one for four cores",
    help="Pairs of threads that carry packets.",
)
@click.option(
    "--poll/--no-poll", default=False, show_default=True, help="Never let them sleep: a core for each thread."
)
@click.option("--metrics", default="", metavar="ADDR:PORT", help="Serve Prometheus metrics there.")
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory for what outlives a crash; else $STATE_DIRECTORY, else /var/lib/fastesp.",
)
@click.option("--routes/--no-routes", default=True, show_default=True, help="Route protected networks to the TUN.")
@click.option("--guard/--no-guard", default=True, show_default=True, help="Drop what should have come protected.")
def gateway(**words: object) -> None:
    """Run the gateway until SIGTERM or Ctrl-C. SIGHUP reads the configuration again."""
    from fastesp.gateway.daemon import run
    from fastesp.gateway.options import Options

    if words["config"] is None and DEFAULT_FILE.exists():
        words["config"] = DEFAULT_FILE
    words["socket"] = Path(str(words["socket"]).removeprefix("unix://"))
    sys.exit(run(Options(**words)))  # type: ignore[arg-type]
