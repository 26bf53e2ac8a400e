"""Connections, authorities and pools over VICI, through the very schema that a file goes through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

from fastesp.config import ConfigurationError, Problem
from fastesp.config.vici import load_authorities, load_connections, load_pools

from ..vici.server import RefusedError, Request
from .arguments import flag, required, word
from .views import subject_of

if TYPE_CHECKING:
    from ..gateway import Gateway

DONE: Mapping[str, object] = {"success": True}


def refuse(error: ConfigurationError) -> NoReturn:
    """Every mistake of the message in one answer, each with its key path."""
    raise invalid([str(problem) for problem in error.problems]) from None


def invalid(problems: list[str]) -> RefusedError:
    """The mistakes of a configuration: in strongSwan's one text, and as a list."""
    return RefusedError("; ".join(problems), code="config-invalid", outcome="failed", details={"problems": problems})


def _say(gateway: Gateway, warnings: tuple[Problem, ...]) -> None:
    for warning in warnings:
        gateway.logbook.say("CFG", 0, str(warning))


async def load_conn(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Add or replace connections: all of the message, or none of it. What is up keeps what it negotiated."""
    try:
        loaded = load_connections(request.message)
    except ConfigurationError as error:
        refuse(error)
    _say(gateway, loaded.warnings)
    for entry in loaded.certificates:
        gateway.vault.load_certificate(entry.certificate, authority=False)
    for connection in loaded.connections:
        changes = gateway.registry.put(connection)
        if changes.unchanged:
            continue
        if changes.changed:
            gateway.starter.forget(connection.name)
        gateway.logbook.say(
            "CFG", 1, f"{'replaced' if changes.changed else 'added'} vici connection: {connection.name}"
        )
        gateway.complain((connection.name,))
        await gateway.starter.loaded((connection.name,))
    await gateway.plumbing.settled()
    return DONE


async def unload_conn(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Forget a connection and its traps; its SAs live on until they are closed or fail to rekey."""
    name = required(request.message, "name", "unload: missing connection name")
    if not gateway.registry.remove(name):
        raise RefusedError(f"unload: connection '{name}' not found", code="no-such-connection", outcome="not-found")
    gateway.starter.forget(name)
    gateway.logbook.say("CFG", 1, f"removed vici connection: {name}")
    return DONE


async def load_authority(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Add or replace what is known of a certification authority; its certificate becomes a trust anchor."""
    try:
        found = load_authorities(request.message)
    except ConfigurationError as error:
        refuse(error)
    for authority in found:
        gateway.authorities[authority.name] = authority
    gateway.vault.use_authorities(gateway.authorities.values())
    return DONE


async def unload_authority(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Forget an authority."""
    name = required(request.message, "name", "unload: missing authority name")
    if gateway.authorities.pop(name, None) is None:
        raise RefusedError(f"unload: authority '{name}' not found", code="no-such-authority", outcome="not-found")
    gateway.vault.use_authorities(gateway.authorities.values())
    return DONE


async def get_authorities(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Names of loaded authorities."""
    del request
    return {"authorities": list(gateway.authorities)}


async def list_authorities(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Stream each authority as ``list-authority``; ``name`` selects one."""
    wanted = word(request.message, "name")
    for authority in list(gateway.authorities.values()):
        if wanted and authority.name != wanted:
            continue
        view: dict[str, object] = {
            "cacert": subject_of(authority.certificate) if authority.certificate is not None else "",
            "crl_uris": list(authority.crl_uris),
            "ocsp_uris": list(authority.ocsp_uris),
        }
        if authority.cert_uri_base:
            view["cert_uri_base"] = authority.cert_uri_base
        await request.stream("list-authority", {authority.name: view})
    return {}


async def load_pool(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Add or replace a pool of virtual addresses."""
    try:
        found = load_pools(request.message)
    except ConfigurationError as error:
        refuse(error)
    for pool in found:
        gateway.pools[pool.name] = pool
    return DONE


async def unload_pool(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Forget a pool."""
    name = required(request.message, "name", "missing pool name to unload")
    if gateway.pools.pop(name, None) is None:
        raise RefusedError(f"{name} not found", code="no-such-pool", outcome="not-found")
    return DONE


async def get_pools(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Every pool with its size; ``leases`` asks for each address in use, ``name`` for one pool."""
    wanted, leases = word(request.message, "name"), flag(request.message, "leases")
    answer: dict[str, object] = {}
    for pool in gateway.pools.values():
        if wanted and pool.name != wanted:
            continue
        view: dict[str, object] = {
            "base": str(pool.base) if pool.base is not None else "",
            "size": str(pool.size),
            "online": "0",
            "offline": "0",
        }
        if leases:
            view["leases"] = {}
        answer[pool.name] = view
    return answer


async def reload_settings(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Read the configuration file again, as SIGHUP does."""
    del request
    problems = await gateway.reload()
    if problems:
        raise invalid(problems)
    return DONE


COMMANDS = {
    "load-conn": load_conn,
    "unload-conn": unload_conn,
    "load-authority": load_authority,
    "unload-authority": unload_authority,
    "get-authorities": get_authorities,
    "list-authorities": list_authorities,
    "load-pool": load_pool,
    "unload-pool": unload_pool,
    "get-pools": get_pools,
    "reload-settings": reload_settings,
}
