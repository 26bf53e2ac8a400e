"""``fastesp lab``: two sites to play with, for as long as the command runs; the demo and the soak beside it."""

from __future__ import annotations

import sys
import threading

import click

from . import demo as demo_module
from . import soak as soak_module
from .configurations import configuration, example
from .errors import LabError
from .ours import OurGateway
from .peer import Peer
from .pki import Authority
from .sites import Sites, two_sites
from .strongswan import StrongSwan
from .topology import Lab
from .topology import sweep as remove_stale


@click.group(invoke_without_command=True)
@click.option(
    "--gateways",
    type=click.Choice(["fastesp", "strongswan", "mixed", "none"]),
    default="fastesp",
    show_default=True,
    help="What runs at the two sites; mixed: ours at a, strongSwan at b.",
)
@click.option("--psk", is_flag=True, help="A pre-shared key instead of certificates.")
@click.option("--router", is_flag=True, help="A router between the gateways instead of a wire.")
@click.option("--kernel", is_flag=True, help="strongSwan uses the kernel's XFRM, where it has it.")
@click.pass_context
def lab(context: click.Context, gateways: str, psk: bool, router: bool, kernel: bool) -> None:
    """Two sites in network namespaces, a gateway and a host each, until Ctrl-C."""
    if context.invoked_subcommand is not None:
        return
    try:
        with Lab("lab") as here:
            sites = two_sites(here, router=router)
            _explain(here, sites, _start(here, sites, gateways, psk, kernel))
            threading.Event().wait()
    except LabError as failed:
        raise click.ClickException(str(failed)) from failed
    except KeyboardInterrupt:
        click.echo("\nthe lab is gone")


@lab.command()
@click.option("--seconds", type=float, default=5.0, show_default=True, help="How long iperf3 runs in each direction.")
def demo(seconds: float) -> None:
    """Two gateways, a tunnel, traffic through it, and proof of what crossed the wire."""
    sys.exit(demo_module.main(["--seconds", str(seconds)]))


@lab.command()
@click.option("--seconds", type=float, default=600.0, show_default=True)
def soak(seconds: float) -> None:
    """Full speed for minutes: memory flat, no lost SA, counters that agree."""
    sys.exit(soak_module.main(["--seconds", str(seconds)]))


@lab.command()
def sweep() -> None:
    """Remove what labs left behind that were killed."""
    removed = remove_stale()
    click.echo(f"removed {', '.join(removed)}" if removed else "nothing was left behind")


def _start(here: Lab, sites: Sites, gateways: str, psk: bool, kernel: bool) -> list[Peer]:
    """The gateways asked for, configured as mirror images, running."""
    if gateways == "none":
        return []
    authority = Authority("fastesp lab CA")
    peers: list[Peer] = []
    for me, peer in ((sites.a, sites.b), (sites.b, sites.a)):
        ours = gateways == "fastesp" or (gateways == "mixed" and me is sites.a)
        here_runs: Peer = OurGateway(here, me.gateway) if ours else StrongSwan(here, me.gateway, kernel=kernel)
        here_runs.swanctl.configure(configuration(me, peer) if psk else example(me, peer))
        here_runs.swanctl.trust(authority)
        here_runs.swanctl.own(authority.issue(f"CN=site-{me.name}"))
        here_runs.start()
        peers.append(here_runs)
    return peers


def _explain(here: Lab, sites: Sites, peers: list[Peer]) -> None:
    """How to get in, and what to try."""
    click.echo(demo_module.PICTURE)
    for space in here.namespaces.values():
        click.echo(f"  {space.role:<10} sudo ip netns exec {space.name} bash")
    for peer in peers:
        click.echo(f"\n{peer.kind} at {peer.namespace.role}: configuration in {peer.swanctl.path}")
        if isinstance(peer, OurGateway):
            click.echo(f"  fastesp status --socket {peer.socket_path}")
        click.echo(f"  swanctl --list-sas --uri unix://{peer.socket_path}")
    if peers:
        click.echo(f"\nTraffic: sudo ip netns exec {sites.a.host.name} ping {sites.b.host_address}")
    click.echo("Ctrl-C ends it, and nothing stays.")
