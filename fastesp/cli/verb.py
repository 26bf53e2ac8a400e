"""What every verb has in common: where the gateway is, how to speak, and how errors become exit codes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from .exits import CommandError
from .output import Audience, Output

DEFAULT_SOCKET = "/var/run/charon.vici"
"""Where ``swanctl`` looks, too."""


def verb(*, gateway: bool = True) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turns a function into a verb: it gets ``out`` first, then, with ``gateway``, the socket's path.

    What it raises as :class:`CommandError` is said the way that was asked for, and becomes the exit code.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(*arguments: Any, as_json: bool, quiet: bool, **options: Any) -> None:
            audience = Audience.PROGRAM if as_json else Audience.NOBODY if quiet else Audience.PERSON
            out = Output(audience)
            before = (out, _path(options.pop("socket"))) if gateway else (out,)
            try:
                function(*before, *arguments, **options)
            except CommandError as error:
                out.fail(error)
                _end(error)

        run = click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")(run)
        run = click.option("--json", "as_json", is_flag=True, help="Speak JSON, for programs.")(run)
        if gateway:
            run = click.option(
                "--socket",
                "--uri",
                default=DEFAULT_SOCKET,
                show_default=True,
                metavar="PATH",
                envvar="FASTESP_SOCKET",
                help="The gateway's control socket.",
            )(run)
        return run

    return decorate


def _path(socket: str) -> Path:
    """swanctl's spelling is understood: ``unix:///run/x.vici``."""
    return Path(socket.removeprefix("unix://"))


def _end(error: CommandError) -> NoReturn:
    raise click.exceptions.Exit(int(error.exit_code))
