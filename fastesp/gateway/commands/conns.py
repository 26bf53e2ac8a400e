"""``list-conns``, ``get-conns``, and what is known of certification authorities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..vici.server import Request
from .arguments import word
from .views import connection_view

if TYPE_CHECKING:
    from ..gateway import Gateway


async def list_conns(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Stream each loaded connection as ``list-conn``; ``ike`` selects one by its name."""
    wanted = word(request.message, "ike")
    for connection in gateway.registry:
        if not wanted or connection.name == wanted:
            await request.stream("list-conn", {connection.name: connection_view(connection)})
    return {}


async def get_conns(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Names of all loaded connections: those of the file too, so that a client that loads its own takes over."""
    del request
    return {"conns": list(gateway.registry.names())}


COMMANDS = {"list-conns": list_conns, "get-conns": get_conns}
