"""Which plain packets reach the TUN: routes and rules, planned as values, put in place and taken back over netlink.

A route for each remote network leads to the TUN, in a table of its own; one rule sends every packet there that does
not carry our socket mark, so that our own IKE and ESP packets never enter a tunnel even where it covers everything.
Only what this file put in place is ever changed or removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, summarize_address_range
from typing import Any, TypeVar

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from fastesp.dataplane.base import Address, PolicyAction, Selector, TrapPolicy
from fastesp.gateway.route_socket import Route, RouteSocket

Network = IPv4Network | IPv6Network

logger = logging.getLogger("fastesp.routes")

PROTOCOL = 229
"""``rtm_protocol`` of our routes, a number that no routing daemon uses: ``ip route`` shows whose they are."""

FRA_ACTION_TABLE, FRA_ACTION_GOTO, FRA_ACTION_NOP = 1, 2, 3
FIB_RULE_INVERT = 0x2
FULL_MASK = 0xFFFFFFFF

AT_ONCE = 256
"""Routes that are renewed before others have their turn."""


@dataclass(frozen=True, slots=True)
class PassRule:
    """Packets that a policy lets pass in the clear skip the table. ``protocol`` 0 is any; ports are inclusive."""

    source: Network
    destination: Network
    protocol: int = 0
    source_ports: tuple[int, int] = (0, 65535)
    destination_ports: tuple[int, int] = (0, 65535)


@lru_cache(maxsize=65536)
def networks_of(start: Address, end: Address) -> tuple[Network, ...]:
    """The fewest prefixes that cover a range of addresses."""
    return tuple(summarize_address_range(start, end))


Wish = Route | PassRule


def wishes(policy: TrapPolicy, own: Sequence[Address]) -> frozenset[Wish]:
    """What one policy wants of the routing, given the addresses that this host has itself.

    Where its remote side covers its own local side (0.0.0.0/0 from a site), the site stays reachable: its networks are
    thrown back.
    """
    found: set[Wish] = set()
    for selector in policy.selectors:
        if policy.action is PolicyAction.BYPASS:
            found.update(_pass_rules(selector))
            continue
        source = _source_within(selector, own)
        found |= {Route(network, source) for network in networks_of(selector.remote_start, selector.remote_end)}
        if remote_covers_local(selector):
            local = networks_of(selector.local_start, selector.local_end)
            found |= {Route(network, throw=True) for network in local}
    return frozenset(found)


class RouteBook:
    """The wishes of all policies together, kept one policy at a time, so that thousands of tunnels cost no more each.

    A destination that several policies share gets one route: through the TUN rather than thrown back, and from a
    source rather than from none; among equals the first one stays.
    """

    def __init__(self, own: Sequence[Address] = ()) -> None:
        self._own = tuple(own)
        self._policies: dict[TrapPolicy, int] = {}
        self._routes: dict[Network, dict[Route, int]] = {}
        self._passes: dict[PassRule, int] = {}
        self._touched: set[Network | PassRule] = set()
        self._told: dict[Network | PassRule, Wish] = {}

    def add(self, policy: TrapPolicy) -> None:
        """One more user of a policy."""
        count = self._policies.get(policy, 0)
        self._policies[policy] = count + 1
        if not count:
            self._weigh(policy, 1)

    def remove(self, policy: TrapPolicy) -> None:
        """One user less."""
        count = self._policies.get(policy, 0)
        if count > 1:
            self._policies[policy] = count - 1
        elif count:
            del self._policies[policy]
            self._weigh(policy, -1)

    def host_has(self, own: Sequence[Address]) -> None:
        """The host's addresses are these now."""
        if tuple(own) == self._own:
            return
        for policy in self._policies:
            self._weigh(policy, -1)
        self._own = tuple(own)
        for policy in self._policies:
            self._weigh(policy, 1)

    def changes(self) -> tuple[list[Wish], list[Wish]]:
        """What is to go and what is to come since the last call. A route that only changes is not among what goes."""
        gone: list[Wish] = []
        come: list[Wish] = []
        for key in self._touched:
            before, now = self._told.get(key), self._chosen(key)
            if before == now:
                continue
            if now is None:
                gone.append(self._told.pop(key))
            else:
                self._told[key] = now
                come.append(now)
        self._touched.clear()
        return gone, come

    def _weigh(self, policy: TrapPolicy, weight: int) -> None:
        for wish in wishes(policy, self._own):
            if isinstance(wish, Route):
                candidates = self._routes.setdefault(wish.destination, {})
                count_use(candidates, wish, weight)
                if not candidates:
                    del self._routes[wish.destination]
                self._touched.add(wish.destination)
            else:
                count_use(self._passes, wish, weight)
                self._touched.add(wish)

    def _chosen(self, key: Network | PassRule) -> Wish | None:
        if isinstance(key, PassRule):
            return key if key in self._passes else None
        candidates = self._routes.get(key, {})
        return min(candidates, key=lambda route: (route.throw, route.source is None), default=None)


T = TypeVar("T")


def count_use(uses: dict[T, int], key: T, weight: int) -> None:
    """One user more or less of ``key``, which goes with its last one."""
    uses[key] = uses.get(key, 0) + weight
    if uses[key] <= 0:
        del uses[key]


def _source_within(selector: Selector, own: Sequence[Address]) -> Address | None:
    for address in own:
        if address.version == selector.local_start.version and (
            int(selector.local_start) <= int(address) <= int(selector.local_end)
        ):
            return address
    return None


def remote_covers_local(selector: Selector) -> bool:
    """Whether the remote side holds all of the local one and more: a tunnel to everywhere, from a site within."""
    if selector.local_start.version != selector.remote_start.version:
        return False
    covers = int(selector.remote_start) <= int(selector.local_start) and int(selector.local_end) <= int(
        selector.remote_end
    )
    same = (selector.remote_start, selector.remote_end) == (selector.local_start, selector.local_end)
    return covers and not same


def _pass_rules(selector: Selector) -> Iterable[PassRule]:
    for source in networks_of(selector.local_start, selector.local_end):
        for destination in networks_of(selector.remote_start, selector.remote_end):
            yield PassRule(
                source,
                destination,
                selector.protocol,
                (selector.local_port_start, selector.local_port_end),
                (selector.remote_port_start, selector.remote_port_end),
            )


def source_for(remote: Address, *, mark: int = 0, port: int = 500) -> Address | None:
    """The address from which the routing table would send to ``remote``; ``None`` where nothing leads there.

    Connecting a datagram socket sends nothing: it asks the kernel's routing decision, the mark included.
    """
    family = socket.AF_INET if remote.version == 4 else socket.AF_INET6
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        if mark:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        probe.connect((str(remote), port))
        text = probe.getsockname()[0].partition("%")[0]
        return IPv4Address(text) if remote.version == 4 else IPv6Address(text)
    return None


class Router:
    """Puts routes and rules in place and takes them back. Errors are logged with what would have been done."""

    def __init__(self, tun: str, *, table: int, mark: int, priority: int = 0) -> None:
        self._tun = tun
        self._table = table
        self._mark = mark
        self._priority = priority or table
        self._netlink: AsyncIPRoute | None = None
        self._routes: RouteSocket | None = None
        self._installed: dict[Network | PassRule, Wish] = {}
        self._rules: list[dict[str, Any]] = []
        self._turn = asyncio.Lock()
        self._missing: frozenset[Network] = frozenset()

    async def start(self) -> None:
        """Add the rules. Raises :class:`OSError` where the TUN is not there."""
        netlink = AsyncIPRoute()
        self._netlink = netlink
        found = await netlink.link_lookup(ifname=self._tun)
        if not found:
            raise OSError(errno.ENODEV, f"routes: no interface {self._tun!r}: the data plane did not make its TUN")
        self._routes = RouteSocket(index=found[0], table=self._table, protocol=PROTOCOL)
        for family in (socket.AF_INET, socket.AF_INET6):
            # The nop is where a pass rule jumps to: just behind the rule that it must skip.
            await self._add_rule(family=family, priority=self._priority + 1, action=FRA_ACTION_NOP)
            await self._add_rule(
                family=family,
                priority=self._priority,
                table=self._table,
                fwmark=self._mark,
                fwmask=FULL_MASK,
                flags=FIB_RULE_INVERT,
            )

    async def own_addresses(self) -> tuple[Address, ...]:
        """The global addresses of this host, loopback left out, in the kernel's order."""
        assert self._netlink is not None
        found: list[Address] = []
        async for message in await self._netlink.addr("dump"):
            text = message.get("local") or message.get("address")
            if not text:
                continue
            address = IPv4Address(text) if message["family"] == socket.AF_INET else IPv6Address(text)
            if not (address.is_loopback or address.is_link_local):
                found.append(address)
        return tuple(found)

    async def apply(self, gone: Iterable[Wish], come: Iterable[Wish]) -> None:
        """Take away and put in place; what comes instead of something else replaces it."""
        async with self._turn:
            for wish in gone:
                await self._change("del", wish)
                self._installed.pop(_key(wish), None)
            for wish in come:
                await self._change("add", wish)
                self._installed[_key(wish)] = wish

    async def renew(self) -> None:
        """Put back what somebody took away: without it packets would leave in the clear. What is there stays.

        The kernel itself takes routes along whose source goes, and says so to nobody.
        """
        async with self._turn:
            wishes = list(self._installed.values())
            passing = [self._rule_of(wish) for wish in wishes if isinstance(wish, PassRule)]
            # What was there is refused: EEXIST.
            back = [rule for rule in (*self._rules, *passing) if await self._has_added(rule)]
            if back:
                logger.warning(
                    "%d of our rules had been removed, and packets may have left in the clear: they are back. Let"
                    " others leave them alone (systemd-networkd: ManageForeignRoutingPolicyRules=no)",
                    len(back),
                )
            await self._renew_routes([wish for wish in wishes if isinstance(wish, Route)])

    async def _has_added(self, rule: Mapping[str, Any]) -> bool:
        assert self._netlink is not None
        try:
            await self._netlink.rule("add", **rule)
        except NetlinkError:
            return False
        return True

    async def _renew_routes(self, routes: Sequence[Route]) -> None:
        assert self._routes is not None
        missing: dict[Network, OSError] = {}
        for number, route in enumerate(routes, 1):
            try:
                self._routes.replace(route)
            except OSError as error:
                missing[route.destination] = error
            if not number % AT_ONCE:
                await asyncio.sleep(0)
        if missing.keys() - self._missing:
            first, why = next(iter(missing.items()))
            logger.warning(
                "%d routes to %s cannot be put in place, the first is %s: %s",
                len(missing),
                self._tun,
                first,
                why.strerror,
            )
        self._missing = frozenset(missing)

    async def stop(self) -> None:
        """Remove every route and rule that is ours."""
        if self._netlink is None:
            return
        await self.apply(list(self._installed.values()), ())
        for rule in reversed(self._rules):
            with contextlib.suppress(NetlinkError):
                await self._netlink.rule("del", **rule)
        self._rules.clear()
        self._netlink.close()
        self._netlink = None
        if self._routes is not None:
            self._routes.close()
            self._routes = None

    async def _change(self, verb: str, wish: Wish) -> None:
        if isinstance(wish, Route):
            self._route(verb, wish)
        else:
            await self._pass_rule(verb, wish)

    async def _add_rule(self, **rule: Any) -> None:
        assert self._netlink is not None
        try:
            await self._netlink.rule("add", **rule)
        except NetlinkError as error:
            if error.code != errno.EEXIST:  # the very same rule: left by a gateway that was killed, ours now
                logger.warning("cannot add rule %s: %s", rule, error)
                return
        self._rules.append(rule)

    def _route(self, verb: str, route: Route) -> None:
        assert self._routes is not None
        try:
            (self._routes.delete if verb == "del" else self._routes.replace)(route)
        except OSError as error:
            if verb == "del" and error.errno in (errno.ESRCH, errno.ENOENT):
                return
            logger.warning(
                "cannot %s route to %s by %s in table %d: %s", verb, route.destination, self._tun, self._table, error
            )

    def _rule_of(self, rule: PassRule) -> dict[str, Any]:
        request: dict[str, Any] = {
            "family": socket.AF_INET if rule.source.version == 4 else socket.AF_INET6,
            "priority": self._priority - 1,
            "src": str(rule.source.network_address),
            "src_len": rule.source.prefixlen,
            "dst": str(rule.destination.network_address),
            "dst_len": rule.destination.prefixlen,
            "action": FRA_ACTION_GOTO,
            "goto": self._priority + 1,
        }
        if rule.protocol:
            request["ip_proto"] = rule.protocol
        for key, ports in (("sport_range", rule.source_ports), ("dport_range", rule.destination_ports)):
            if ports != (0, 65535) and rule.protocol:
                request[key] = f"{ports[0]}:{ports[1]}"
        return request

    async def _pass_rule(self, verb: str, rule: PassRule) -> None:
        assert self._netlink is not None
        try:
            await self._netlink.rule(verb, **self._rule_of(rule))
        except NetlinkError as error:
            if verb == "add" or error.code not in (errno.ESRCH, errno.ENOENT):
                logger.warning("cannot %s rule for %s -> %s: %s", verb, rule.source, rule.destination, error)


def _key(wish: Wish) -> Network | PassRule:
    return wish.destination if isinstance(wish, Route) else wish
