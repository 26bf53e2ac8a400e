"""The ``fastesp`` command: one file a verb, loaded when it is called for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

from fastesp import __version__

VERBS: Mapping[str, str] = {
    "gateway": "run the gateway",
    "status": "show tunnels, their traffic, and where their packets go",
    "show": "show connections, certificates, pools, policies, failures ...",
    "up": "bring a tunnel up",
    "down": "take a tunnel down",
    "rekey": "give a tunnel new keys now",
    "load": "have the gateway read its configuration again",
    "log": "follow what the gateway does",
    "check": "check a swanctl.conf, without root and without a gateway",
    "explain": "explain the code of a failure",
    "doctor": "look for what stands in the way on this machine",
    "pki": "make a certification authority, and certificates for sites",
    "lab": "gateways and wires in network namespaces, to try things out",
}
"""Verb -> what it does in a line. The file is named for the verb, and so is the command in it."""


class Verbs(click.Group):
    """Finds a verb's file by its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        command: click.Command = getattr(importlib.import_module(f".{cmd_name}", __name__), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """From the table: help must not load the engine."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fastesp")
def main() -> None:
    """An IPsec gateway: IKEv2, and ESP at the speed of the hardware.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 gateway not reachable, 4 configuration invalid, 5 no such object,
    6 peer refused, 7 timeout.
    """
