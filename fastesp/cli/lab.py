"""``fastesp lab``: gateways, hosts and wires in network namespaces of this machine, to try things out."""

from __future__ import annotations

import importlib
import sys

import click

PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


@click.group()
def lab() -> None:
    """Gateways and wires in network namespaces, to try things out. Needs root, and leaves nothing behind."""


def _entry(name: str, help_text: str) -> None:
    """A program of the lab, which reads its own words."""

    @lab.command(name, help=help_text, context_settings=PASS_ON)
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def run(words: tuple[str, ...]) -> None:
        module = importlib.import_module(f"fastesp.lab.{name}")
        sys.exit(module.main(list(words)) or 0)


_entry("demo", "Two gateways, a tunnel that the first packet brings up, traffic, and proof of what crossed the wire.")
_entry("soak", "Traffic at full speed for a long time: memory flat, no SA lost, counters that agree.")


@lab.command()
def sweep() -> None:
    """Remove what a lab that was killed left behind."""
    from fastesp.lab.topology import sweep as remove

    removed = remove()
    click.echo(f"removed {', '.join(removed)}" if removed else "nothing was left behind")
