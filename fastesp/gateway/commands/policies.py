"""``install``, ``uninstall`` and ``list-policies``: traps, and what passes or is dropped without an SA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ike.config import Mode
from ike.errors import LocalError

from ..vici.server import RefusedError, Request
from .arguments import required, word
from .views import selector_text, template_text

if TYPE_CHECKING:
    from ..gateway import Gateway
    from ..tunnels import Trap


async def install(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Put the policy of a configured child in place."""
    child, ike = required(request.message, "child", "missing configuration name"), word(request.message, "ike")
    found = gateway.registry.find(child, ike)
    if found is None:
        raise RefusedError("configuration name not found", code="no-such-child", outcome="not-found")
    try:
        await gateway.starter.install(*found)
    except LocalError as error:
        raise RefusedError(f"installing policy '{child}' failed: {error}", code=error.code, outcome="failed") from None
    await gateway.plumbing.settled()
    return {"success": True}


async def uninstall(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Take it away again."""
    child, ike = required(request.message, "child", "missing configuration name"), word(request.message, "ike")
    names = [
        trap.policy.name
        for trap in gateway.tunnels.traps
        if trap.child.name == child and (not ike or trap.connection == ike)
    ]
    if not names:
        raise RefusedError(f"policy '{child}' not found", code="no-such-policy", outcome="not-found")
    gateway.tunnels.clear_trap(names[0])
    await gateway.plumbing.settled()
    return {"success": True}


async def list_policies(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Stream traps (``trap``), what passes (``pass``) and what is dropped (``drop``) as ``list-policy``."""
    message = request.message
    child, ike = word(message, "child"), word(message, "ike")
    shunts = [mode for mode in (Mode.DROP, Mode.PASS) if mode.value in message]
    for wanted in ((Mode.TUNNEL, Mode.TRANSPORT) if "trap" in message else (), tuple(shunts)):
        for trap in gateway.tunnels.traps:
            if trap.child.mode not in wanted:
                continue
            if (child and trap.child.name != child) or (ike and trap.connection != ike):
                continue
            local, remote = await _selectors(gateway, trap)
            view: dict[str, object] = {
                "child": trap.child.name,
                "ike": trap.connection,
                "mode": trap.child.mode.value.upper(),
                "local-ts": local,
                "remote-ts": remote,
            }
            await request.stream("list-policy", {trap.policy.name: view})
    return {}


async def _selectors(gateway: Gateway, trap: Trap) -> tuple[list[str], list[str]]:
    """Both sides: a shunt's as they are configured, a trap's with the addresses that dynamic ones stand for."""
    child, connection = trap.child, gateway.registry.get(trap.connection)
    if child.mode in (Mode.PASS, Mode.DROP) or connection is None:
        return [template_text(ts) for ts in child.local_ts], [template_text(ts) for ts in child.remote_ts]
    ends = await gateway.starter.hosts(connection)
    local, remote = (
        [template_text(ts) if end is None else selector_text(ts.resolve(end)) for ts in templates]
        for templates, end in zip((child.local_ts, child.remote_ts), ends, strict=True)
    )
    return local, remote


COMMANDS = {"install": install, "uninstall": uninstall, "list-policies": list_policies}
