"""The commands of VICI, one file a family. Each takes the gateway and the request, and answers or refuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from ..vici.server import Handler, Request

if TYPE_CHECKING:
    from ..gateway import Gateway

Command = Callable[["Gateway", Request], Awaitable[Mapping[str, object]]]


def handlers(gateway: Gateway) -> dict[str, Handler]:
    """Every command this gateway knows, by its name on the wire."""
    from . import algorithms, conns, control, credentials, load, policies, rekeying, sas, stats

    families = (sas, conns, policies, control, rekeying, load, credentials, stats, algorithms)
    return {name: partial(command, gateway) for family in families for name, command in family.COMMANDS.items()}
