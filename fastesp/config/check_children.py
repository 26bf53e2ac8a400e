"""Checks of a child: its selectors, its mode, its lifetimes, how it starts, and whether another takes its traffic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ike.config import Child, Connection, Mode, StartAction, TsTemplate
from ike.wire.constants import Esn, TransformType
from ike.wire.selectors import MOST_SELECTORS

from .check_connections import warn_host_bits
from .problems import Problems
from .reading import Values

MIN_REPLAY_WINDOW, MAX_REPLAY_WINDOW = 32, 32768
"""RFC 4303 section 3.4.3 allows no smaller one."""
SHUNTS = (Mode.PASS, Mode.DROP)


def check(connection: Connection, child: Child, values: Values, parent: Values, problems: Problems) -> None:
    """What a child says, in its connection."""
    _check_selectors(child, values, problems)
    for unit in ("time", "bytes", "packets"):
        _check_lifetime(child, unit, values, problems)
    if child.mode in SHUNTS:
        _check_shunt(child, values, problems)
    else:
        _check_start(connection, child, values, parent, problems)
    _check_packets(child, values, problems)
    script = child.updown.split(" ")[0]
    if script.startswith("/") and not Path(script).exists():
        problems.warn(
            values.place("updown"),
            f"updown: there is no '{script}'",
            "it would fail each time",
            code="config-file-missing",
        )


def _check_selectors(child: Child, values: Values, problems: Problems) -> None:
    local, remote = _families(child.local_ts), _families(child.remote_ts)
    if not local & remote:
        message = f"local_ts is IPv{min(local)} and remote_ts is IPv{min(remote)}: no packet has both"
        hint = "give each side selectors of the same family"
        problems.add(values.place("remote_ts"), message, hint, code="config-family")
    _check_number(child, values, problems)
    for key in ("local_ts", "remote_ts"):
        for item in values.items(key):
            net = item.text.partition("[")[0]
            if "/" in net:
                warn_host_bits(net, key, item.at, problems)
    static = [ts for ts in child.local_ts if ts.selector is not None and not _is_everything(ts)]
    if child.mode is Mode.TUNNEL and static and child.local_ts == child.remote_ts:
        hint = "remote_ts is what is behind the peer"
        problems.warn(
            values.place("remote_ts"), "local_ts and remote_ts are the same: nothing is behind the peer", hint
        )
    if child.mode is Mode.TRANSPORT:
        for key, templates in (("local_ts", child.local_ts), ("remote_ts", child.remote_ts)):
            if any(ts.selector is not None and ts.selector.start != ts.selector.end for ts in templates):
                hint = "leave it away, or write mode = tunnel"
                problems.warn(
                    values.place(key), f"transport mode carries traffic of the two hosts only, not of {key}", hint
                )


def _check_number(child: Child, values: Values, problems: Problems) -> None:
    """A message holds so many selectors, and an SA so many pairs of them."""
    hint = "make two children of it, or write networks that cover several"
    for key, templates in (("local_ts", child.local_ts), ("remote_ts", child.remote_ts)):
        if len(templates) > MOST_SELECTORS:
            message = (
                f"{key} has {len(templates)} selectors, and a message holds {MOST_SELECTORS} (RFC 7296 section 3.13)"
            )
            problems.add(values.place(key), message, hint, code="config-value")
            return
    if child.mode in SHUNTS or len(child.local_ts) * len(child.remote_ts) <= MOST_SELECTORS:
        return
    local, remote = ([_families((ts,)) for ts in templates] for templates in (child.local_ts, child.remote_ts))
    pairs = sum(1 for ours in local for theirs in remote if ours & theirs)
    if pairs > MOST_SELECTORS:
        message = f"local_ts and remote_ts make {pairs} pairs, and an SA carries {MOST_SELECTORS}"
        problems.warn(values.place("remote_ts"), message, hint, code="config-value")


def _families(templates: Sequence[TsTemplate]) -> set[int]:
    found: set[int] = set()
    for template in templates:
        found |= {4, 6} if template.selector is None else {template.selector.version}
    return found


def _is_everything(template: TsTemplate) -> bool:
    selector = template.selector
    return (
        selector is not None
        and int(selector.start) == 0
        and int(selector.end) == (1 << selector.start.max_prefixlen) - 1
    )


def _check_lifetime(child: Child, unit: str, values: Values, problems: Problems) -> None:
    rekey, life, rand = (getattr(child, f"{name}_{unit}") for name in ("rekey", "life", "rand"))
    if rekey and life and rekey >= life:
        key = f"life_{unit}" if f"life_{unit}" in values else f"rekey_{unit}"
        message = f"rekey_{unit} ({rekey:.0f}) is not below life_{unit} ({life:.0f}): it ends before it is rekeyed"
        problems.add(values.place(key), message, f"raise life_{unit}, or leave it away", code="config-lifetime")
    elif rekey and rand >= rekey:
        message = f"rand_{unit} ({rand:.0f}) is not below rekey_{unit} ({rekey:.0f}): rekeying may begin at once"
        problems.add(
            values.place(f"rand_{unit}"), message, f"lower it, or leave rand_{unit} away", code="config-lifetime"
        )


def _check_shunt(child: Child, values: Values, problems: Problems) -> None:
    mode = child.mode.value
    if child.start_action in (StartAction.START, StartAction.TRAP_START):
        hint = "write start_action = trap"
        problems.add(values.place("start_action"), f"mode = {mode} has nothing to start", hint, code="config-conflict")
    elif child.start_action is StartAction.NONE:
        hint = "add: start_action = trap"
        message = f"mode = {mode} without start_action = trap: the policy is not installed"
        problems.warn(values.place("mode"), message, hint)


def _check_start(connection: Connection, child: Child, values: Values, parent: Values, problems: Problems) -> None:
    written = "remote_addrs" not in parent or parent.items("remote_addrs")
    if child.start_action not in (StartAction.START, StartAction.TRAP_START) or not written:
        return
    if not any(a.name is not None or (a.address is not None and a.last is None) for a in connection.remote_addrs):
        at = values.place("start_action")
        what = "remote_addrs is %any" if "remote_addrs" not in parent else "remote_addrs names no single peer"
        hint = "add an address or a DNS name to remote_addrs"
        problems.add(
            at,
            f"start_action = {child.start_action.value} has no peer to start to: {what}",
            hint,
            code="config-no-peer",
        )


def _check_packets(child: Child, values: Values, problems: Problems) -> None:
    if child.replay_window > MAX_REPLAY_WINDOW:
        hint = f"at most {MAX_REPLAY_WINDOW}"
        problems.add(values.place("replay_window"), f"replay_window: {child.replay_window} is too large", hint)
    if 0 < child.replay_window < MIN_REPLAY_WINDOW:
        hint = f"{MIN_REPLAY_WINDOW} or more: RFC 4303 section 3.4.3"
        problems.add(values.place("replay_window"), f"replay_window: {child.replay_window} is too small", hint)
    if child.replay_window == 0:
        hint = "32 or more"
        problems.warn(
            values.place("replay_window"), "replay_window = 0: replayed packets are accepted", hint, code="config-weak"
        )
        if any(t.type == TransformType.ESN and t.id == Esn.YES for spec in child.proposals for t in spec.transforms):
            why = "extended sequence numbers need a replay window (RFC 4303 section 3.4.3)"
            problems.add(values.place("replay_window"), why, "32 or more, or noesn", code="config-conflict")
    if child.policies_fwd_out:
        problems.inform(
            values.place("policies_fwd_out"),
            "policies_fwd_out has no effect: forwarded packets need no policy beside the outbound one",
            "remove the line",
        )
    if child.ah_proposals and child.tfc_padding:
        problems.warn(values.place("tfc_padding"), "tfc_padding has no effect with AH", "remove the line")


def check_collisions(connections: Sequence[Connection], section: Values, problems: Problems) -> None:
    """Two children that want the very same packets: only one of them gets them."""
    seen: dict[object, str] = {}
    for connection, child in _children(connections):
        where = section.sections[connection.name].section("children").sections[child.name]
        dynamic = any(ts.dynamic for ts in child.local_ts + child.remote_ts)
        peers = connection.remote_addrs if dynamic else ()
        key = (child.local_ts, child.remote_ts, peers, child.priority)
        first = seen.setdefault(key, f"{connection.name}.{child.name}")
        if first != f"{connection.name}.{child.name}" and (not dynamic or _is_static(peers)):
            message = f"child '{child.name}' has the selectors of '{first}': only one of them gets the traffic"
            hint = "change local_ts or remote_ts"
            problems.warn(where.at, message, hint, code="config-collision")
    fixed: dict[int, str] = {}
    for connection, child in _children(connections):
        first = fixed.setdefault(child.reqid, child.name) if child.reqid else child.name
        if first != child.name:
            where = section.sections[connection.name].section("children").sections[child.name]
            problems.add(
                where.place("reqid"), f"reqid {child.reqid} belongs to child '{first}' already", "take another"
            )


def _is_static(peers: Sequence[object]) -> bool:
    """Whether dynamic selectors of these peers are the same each time."""
    return bool(peers) and not any(getattr(peer, "is_any", True) for peer in peers)


def _children(connections: Sequence[Connection]) -> Iterator[tuple[Connection, Child]]:
    for connection in connections:
        for child in connection.children:
            if child.mode not in SHUNTS:
                yield connection, child
