"""Checks of a connection: its addresses and times, and whether another connection stands in its way."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network

from ike.config import AddressTemplate, Connection, DeadAction

from .problems import Place, Problems
from .reading import Values


def check(connection: Connection, values: Values, problems: Problems) -> None:
    """What a connection says by itself."""
    _check_families(connection, values, problems)
    _check_times(connection, values, problems)
    if not connection.children and not values.section("children").sections:
        hint = "add: children { net { local_ts = ... remote_ts = ... } }"
        problems.warn(values.at, f"connection '{connection.name}' has no children: no traffic passes", hint)
    if connection.ppk_required and connection.ppk_id is None:
        message = (
            "ppk_required without ppk_id: any ppk secret will do for a peer that asks, and we cannot ask ourselves"
        )
        problems.warn(values.place("ppk_required"), message, "add: ppk_id = ...")
    if connection.dpd_delay == 0:
        for child in connection.children:
            if child.dpd_action is not DeadAction.CLEAR:
                at = values.section("children").sections[child.name].place("dpd_action")
                hint = "add to the connection: dpd_delay = 30s"
                problems.warn(
                    at, "dpd_action without dpd_delay: a silent peer goes unnoticed until something is sent", hint
                )
    _check_host_bits(values, problems)


def families(entries: Sequence[AddressTemplate]) -> set[int]:
    """The address families (4, 6) that a peer of these entries may have; a DNS name may have both."""
    found: set[int] = set()
    for entry in entries:
        if entry.address is not None:
            found.add(entry.address.version)
        elif entry.network is not None:
            found.add(entry.network.version)
        else:
            found |= {entry.version} if entry.version is not None and entry.name is None else {4, 6}
    return found


def _check_families(connection: Connection, values: Values, problems: Problems) -> None:
    local, remote = families(connection.local_addrs), families(connection.remote_addrs)
    if not local & remote:
        ours, theirs = sorted(local)[0], sorted(remote)[0]
        message = f"local_addrs is IPv{ours} and remote_addrs is IPv{theirs}: no packet can go between them"
        problems.add(values.place("remote_addrs"), message, "give both the same family", code="config-family")


def _check_host_bits(values: Values, problems: Problems) -> None:
    for key in ("local_addrs", "remote_addrs"):
        for item in values.items(key):
            if "/" in item.text and "-" not in item.text:
                warn_host_bits(item.text, key, item.at, problems)


def warn_host_bits(text: str, key: str, at: Place, problems: Problems) -> None:
    """``10.1.0.5/24`` means 10.1.0.0/24, which a reader may not expect."""
    text = text.strip()
    network = ip_network(text, strict=False)
    if str(network.network_address) != str(ip_network(text.partition("/")[0]).network_address):
        problems.warn(at, f"{key}: '{text}' has host bits set, and is taken for {network}", f"write {network}")


def _check_times(connection: Connection, values: Values, problems: Problems) -> None:
    shortest = min((t for t in (connection.rekey_time, connection.reauth_time) if t), default=0)
    if shortest and connection.rand_time >= shortest:
        hint = "a tenth of it is usual: leave rand_time away"
        message = (
            f"rand_time ({connection.rand_time:.0f}s) is not shorter than the time it is taken off ({shortest:.0f}s)"
        )
        problems.add(values.place("rand_time"), message, hint, code="config-lifetime")


def check_collisions(connections: Sequence[Connection], section: Values, problems: Problems) -> None:
    """Two connections that a responder cannot tell apart: the later one is never chosen for a peer."""
    seen: dict[object, Connection] = {}
    for connection in connections:
        if not any(mode.mode.value in ("tunnel", "transport") for mode in connection.children):
            continue
        local = tuple((one.auth, one.id) for one in connection.local)
        remote = tuple((one.auth, one.id, one.ca_id, one.cacerts, one.certs) for one in connection.remote)
        key = (connection.local_addrs, connection.remote_addrs, local, remote, connection.proposals)
        first = seen.setdefault(key, connection)
        if first is not connection:
            at = section.sections[connection.name].at
            message = f"'{connection.name}' has the addresses, identities and proposals of '{first.name}'"
            hint = f"a peer that asks gets '{first.name}': put the children of both into it"
            problems.warn(at, message, hint, code="config-collision")
