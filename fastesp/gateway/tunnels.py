"""CHILD_SAs and traps on their way into the data plane and out of it again, and what the host must know of them.

An SA goes in at ChildSaEstablished, sends from OutboundReady on, is retired when a newer one replaced it, and goes at
ChildSaDeleted. A trap stays from the load of its connection until its unload, under whatever SAs come and go. Where
there is none, a hold keeps packets from leaving in the clear while a tunnel is set up anew.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from fastesp.dataplane.base import (
    Address,
    DataPlane,
    OuterPath,
    Placement,
    PolicyAction,
    SaCounters,
    Selector,
    TrapPolicy,
)
from ike.config import AddressTemplate, Child, Connection, Mode
from ike.events import ChildSaEstablished, Path
from ike.status import ChildSaInfo

from .translate import child_sa, configured_selectors, outer_path, selectors_of

FIRST_REQID = 1

ReqidKey = tuple[tuple[Selector, ...], tuple[int, int], tuple[int, int], int, int]


class Reqids:
    """A number for each distinct set of selectors and marks, kept as long as anything uses it (as strongSwan does)."""

    def __init__(self) -> None:
        self._by_key: dict[ReqidKey, tuple[int, int]] = {}
        self._used: dict[int, int] = {}
        self._next = FIRST_REQID

    def take(self, key: ReqidKey, fixed: int = 0) -> int:
        """The number for ``key``, or ``fixed`` where the configuration names one; :meth:`release` gives it back."""
        if fixed:
            self._used[fixed] = self._used.get(fixed, 0) + 1
            return fixed
        number, uses = self._by_key.get(key, (0, 0))
        if not uses:
            while self._next in self._used:
                self._next += 1
            number, self._next = self._next, self._next + 1
        self._by_key[key] = (number, uses + 1)
        self._used[number] = self._used.get(number, 0) + 1
        return number

    def release(self, key: ReqidKey, number: int) -> None:
        """Give one use back."""
        self._used[number] = self._used.get(number, 1) - 1
        if self._used[number] <= 0:
            del self._used[number]
        have, uses = self._by_key.get(key, (0, 0))
        if have == number and uses > 1:
            self._by_key[key] = (number, uses - 1)
        elif have == number and uses:
            del self._by_key[key]


@dataclass(slots=True)
class Tunnel:
    """An installed CHILD_SA, as the gateway keeps it beside the endpoint's own record."""

    ike_id: int
    child_id: int
    connection: str
    config: Child
    reqid: int
    key: ReqidKey = field(repr=False)
    policy: TrapPolicy = field(repr=False)
    placement: Placement
    info: ChildSaInfo | None = field(repr=False, default=None)
    """As the endpoint described it when it came up: what is told of it when it goes."""
    sending: bool = False
    since: float = field(default_factory=time.monotonic)

    @property
    def name(self) -> str:
        """``connection/child``."""
        return self.policy.name


@dataclass(slots=True)
class Trap:
    """A policy without SA: a trap, or what the configuration lets pass or drops."""

    connection: str
    child: Child
    policy: TrapPolicy
    key: ReqidKey = field(repr=False)


class Tunnels:
    """All SAs and traps of this gateway; ``added`` and ``removed`` hear of every policy that comes and goes."""

    def __init__(
        self,
        dataplane: DataPlane,
        added: Callable[[TrapPolicy], None],
        removed: Callable[[TrapPolicy], None],
    ) -> None:
        self._dataplane = dataplane
        self._added = added
        self._removed = removed
        self._reqids = Reqids()
        self._tunnels: dict[int, Tunnel] = {}
        self._traps: dict[str, Trap] = {}
        self._holds: dict[str, TrapPolicy] = {}
        self._replaced: dict[int, int] = {}
        self._by_selector: dict[Selector, dict[int, None]] = {}

    def __iter__(self) -> Iterator[Tunnel]:
        return iter(tuple(self._tunnels.values()))

    def get(self, child_id: int) -> Tunnel | None:
        """The installed SA of that number."""
        return self._tunnels.get(child_id)

    @property
    def traps(self) -> tuple[Trap, ...]:
        """Traps and shunts in the order they were installed."""
        return tuple(self._traps.values())

    def trap(self, name: str) -> Trap | None:
        """The trap called ``connection/child``."""
        return self._traps.get(name)

    def policies(self) -> tuple[TrapPolicy, ...]:
        """What routes and guard are made of: shunts and traps, and the selectors of live SAs."""
        return (
            *(trap.policy for trap in self._traps.values()),
            *self._holds.values(),
            *(tunnel.policy for tunnel in self._tunnels.values()),
        )

    def install(self, event: ChildSaEstablished, config: Child) -> Tunnel:
        """Inbound works on return. Raises :class:`fastesp.dataplane.base.DataPlaneError`, and leaves nothing behind."""
        selectors = selectors_of(event.local_ts, event.remote_ts)
        key = _key(selectors, config)
        reqid = self._reqids.take(key, config.reqid)
        try:
            sa = child_sa(event, config, reqid)
            placement = self._dataplane.install(sa)
        except Exception:
            self._reqids.release(key, reqid)
            raise
        policy = TrapPolicy(sa.name, reqid, selectors, PolicyAction.PROTECT, config.priority)
        tunnel = Tunnel(event.ike_id, event.child_id, event.connection, config, reqid, key, policy, placement)
        self._tunnels[event.child_id] = tunnel
        for selector in selectors:
            self._by_selector.setdefault(selector, {})[event.child_id] = None
        self._added(policy)
        return tunnel

    def send_on(self, child_id: int) -> None:
        """Traffic moves to this SA."""
        if (tunnel := self._tunnels.get(child_id)) is not None and not tunnel.sending:
            self._dataplane.activate_outbound(child_id)
            tunnel.sending = True
            self.release(tunnel.name)
            self._retire(self._replaced.pop(child_id, 0))

    def replace(self, old_id: int, new_id: int) -> None:
        """A newer SA takes over: the old one sends until that one does (RFC 7296 section 2.8), and receives on."""
        new = self._tunnels.get(new_id)
        if new is None:
            # It could not be installed: the old one sends for as long as it is there.
            return
        if new.sending:
            self._retire(old_id)
        else:
            self._replaced[new_id] = old_id

    def _retire(self, child_id: int) -> None:
        if (tunnel := self._tunnels.get(child_id)) is not None and tunnel.sending:
            self._dataplane.retire(child_id)
            tunnel.sending = False

    def remove(self, child_id: int) -> Tunnel | None:
        """Forget it and its keys; returns what it was."""
        tunnel = self._tunnels.pop(child_id, None)
        if tunnel is not None:
            self._dataplane.remove(child_id)
            self._replaced.pop(child_id, None)
            for selector in tunnel.policy.selectors:
                wanting = self._by_selector.get(selector, {})
                wanting.pop(child_id, None)
                if not wanting:
                    self._by_selector.pop(selector, None)
            self._reqids.release(tunnel.key, tunnel.reqid)
            self._removed(tunnel.policy)
        return tunnel

    def sharing(self, tunnel: Tunnel) -> Iterator[Tunnel]:
        """Other SAs that want some of the same packets, the oldest first: as narrow, and with the same priority."""
        ids = {child_id: None for s in tunnel.policy.selectors for child_id in self._by_selector.get(s, ())}
        for other in (self._tunnels[child_id] for child_id in sorted(ids)):
            if (
                other is not tunnel
                and other.policy.priority == tunnel.policy.priority
                and other.key[1:] == tunnel.key[1:]
            ):
                yield other

    def hold(self, name: str) -> None:
        """The SAs called ``connection/child`` are about to go and will be back: what they would carry waits, unsent."""
        mine = [tunnel.policy for tunnel in self if tunnel.name == name]
        if not mine or name in self._traps or name in self._holds:
            return
        selectors = tuple(dict.fromkeys(selector for policy in mine for selector in policy.selectors))
        policy = TrapPolicy(name, mine[0].reqid, selectors, PolicyAction.TRAP, mine[0].priority)
        self._dataplane.set_trap(policy)
        self._holds[name] = policy
        self._added(policy)

    def release(self, name: str) -> None:
        """They are back, or will not come back."""
        policy = self._holds.pop(name, None)
        if policy is not None:
            if name not in self._traps:
                self._dataplane.clear_trap(name)
            self._removed(policy)

    def move(self, ike_id: int, path: Path, udp_encap: bool) -> None:
        """The peer, or we, moved: new outer addresses for all SAs of an IKE SA."""
        outer: OuterPath = outer_path(path, udp_encap)
        for tunnel in self:
            if tunnel.ike_id == ike_id:
                self._dataplane.move(tunnel.child_id, outer)

    def adopt(self, ike_id: int, new_ike_id: int) -> None:
        """A rekeyed IKE SA owns the CHILD_SAs of the old one (RFC 7296 section 2.18)."""
        for tunnel in self:
            if tunnel.ike_id == ike_id:
                tunnel.ike_id = new_ike_id

    def counters(self, child_id: int) -> SaCounters | None:
        """Traffic of one SA; ``None`` where the data plane has none of that number."""
        with contextlib.suppress(KeyError):
            return self._dataplane.counters(child_id)
        return None

    def set_trap(
        self, connection: Connection, child: Child, local: Address | None, remote: Address | None
    ) -> Trap | None:
        """Install, or replace, the policy of a child; ``None`` where no peer is known and its selectors need one."""
        selectors = configured_selectors(child, local, remote)
        if not selectors:
            return None
        name = f"{connection.name}/{child.name}"
        key = _key(selectors, child)
        old = self._traps.get(name)
        if old is not None and (old.key, old.child) == (key, child):
            return old
        action = {Mode.PASS: PolicyAction.BYPASS, Mode.DROP: PolicyAction.DISCARD}.get(child.mode, PolicyAction.TRAP)
        reqid = self._reqids.take(key, child.reqid)
        trap = Trap(connection.name, child, TrapPolicy(name, reqid, selectors, action, child.priority), key)
        try:
            self._dataplane.set_trap(trap.policy)
        except Exception:
            self._reqids.release(key, reqid)
            raise
        self._traps[name] = trap
        self._added(trap.policy)
        if old is not None:
            self._reqids.release(old.key, old.policy.reqid)
            self._removed(old.policy)
        return trap

    def clear_trap(self, name: str) -> bool:
        """Take a child's policy away; returns whether there was one."""
        trap = self._traps.pop(name, None)
        if trap is None:
            return False
        self._dataplane.clear_trap(name)
        self._reqids.release(trap.key, trap.policy.reqid)
        self._removed(trap.policy)
        return True


def _key(selectors: tuple[Selector, ...], child: Child) -> ReqidKey:
    return selectors, child.mark_in, child.mark_out, child.if_id_in, child.if_id_out


def fixed_address(templates: tuple[AddressTemplate, ...]) -> Address | None:
    """The first single address among ``local_addrs`` or ``remote_addrs``; ``None`` where they name none."""
    return next((t.address for t in templates if t.address is not None and t.last is None), None)
