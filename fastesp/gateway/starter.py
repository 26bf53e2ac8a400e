"""Who brings tunnels up: a load, a packet that met a trap, a command, a peer that died; and who tries again.

Everything comes down to :meth:`Starter.initiate`, which finds the two addresses and gives the endpoint its command.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from fastesp.dataplane.base import Acquire, DataPlaneError, PolicyAction
from ike.config import AddressTemplate, Child, Connection, DeadAction, Mode, StartAction
from ike.errors import LocalError
from ike.events import FailureRecord, IkeSaRedirected
from ike.sa.redirect import address_of, may_be_a_gateway
from ike.wire.selectors import Address, TrafficSelector

from .adapter import IkeAdapter
from .failures import Failures
from .registry import Registry
from .resolver import Resolver
from .routes import source_for
from .tunnels import Tunnels, fixed_address

logger = logging.getLogger("fastesp.ike")

Packet = tuple[TrafficSelector, TrafficSelector]

HOLD_OFF_FIRST, HOLD_OFF_LAST = 1.0, 30.0
"""Seconds in which a trap whose tunnel could not be brought up asks no more: doubled each time, up to the second."""

RETRY_AFTER = 2.0
"""Seconds between two of ``keyingtries``."""

TRAPS = (StartAction.TRAP, StartAction.TRAP_START)

TRAP_RETRY = 30.0
"""Seconds after which a trap is tried again whose peer's name had no address."""


@dataclass(slots=True)
class HoldOff:
    """After a failure: until when packets bring nothing about, and how long the next wait is."""

    until: float = 0.0
    wait: float = HOLD_OFF_FIRST


class Starter:
    """Keeps what is being tried, by ``connection/child``."""

    def __init__(
        self,
        registry: Registry,
        resolver: Resolver,
        adapter: IkeAdapter,
        tunnels: Tunnels,
        failures: Failures,
        *,
        mark: int = 0,
    ) -> None:
        self._registry = registry
        self._resolver = resolver
        self._adapter = adapter
        self._tunnels = tunnels
        self._failures = failures
        self._mark = mark
        self._trying: dict[tuple[int, str], str] = {}
        self._tries: dict[str, int] = {}
        self._hold_offs: dict[str, HoldOff] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # What asks for tunnels.

    async def loaded(self, names: tuple[str, ...]) -> None:
        """Do what ``start_action`` says, for connections that are new or have changed.

        Side by side, because a name server may be slow; what fails becomes a record, and keeps nothing else from it.
        """
        connections = [connection for name in names if (connection := self._registry.get(name)) is not None]
        await asyncio.gather(
            *(self._begin(connection, child) for connection in connections for child in connection.children)
        )

    async def _begin(self, connection: Connection, child: Child) -> None:
        if child.start_action in TRAPS:
            try:
                await self.install(connection, child)
            except LocalError as error:
                self.begin_failed(connection.name, child.name, error)
                before = self._tunnels.trap(f"{connection.name}/{child.name}")
                if before is not None and before.policy.action is PolicyAction.BYPASS:
                    self._tunnels.clear_trap(before.policy.name)
                if any(template.name is not None for template in connection.remote_addrs):
                    self._spawn(self._install_later(connection, child))
        if child.start_action in (StartAction.START, StartAction.TRAP_START) and _negotiable(child):
            self.attempt(connection.name, child.name)

    async def _install_later(self, connection: Connection, child: Child) -> None:
        """Until the peer's name has an address, or the connection is another one."""
        installed = False
        while not installed:
            await asyncio.sleep(TRAP_RETRY)
            if self._registry.get(connection.name) != connection:
                return
            with contextlib.suppress(LocalError):
                await self.install(connection, child)
                installed = True

    async def install(self, connection: Connection, child: Child) -> None:
        """Put a child's policy in place: a trap, or what passes or is dropped. Raises :class:`LocalError`."""
        local, remote = await self.hosts(connection)
        try:
            trap = self._tunnels.set_trap(connection, child, local, remote)
        except DataPlaneError as error:
            raise LocalError("trap-refused", f"{connection.name}/{child.name}: {error}") from error
        if trap is None:
            raise LocalError(
                "trap-without-selectors",
                f"{connection.name}/{child.name}: a trap needs to know what to catch, and the selectors are dynamic",
                hint="write local_ts and remote_ts as networks, or start_action = start",
            )
        logger.info("%s is %s", trap.policy.name, "trapped" if _negotiable(child) else f"in place: {child.mode.value}")

    def acquire(self, event: Acquire) -> None:
        """A packet met a trap and waits."""
        trap = self._tunnels.trap(event.name)
        now = self._adapter.clock()
        if trap is None or event.name in self._trying.values() or now < self._hold_off(event.name).until:
            return
        source = _packet(event.source, event.protocol, event.source_port)
        destination = _packet(event.destination, event.protocol, event.destination_port)
        logger.info("a packet from %s to %s asks for %s", event.source, event.destination, event.name)
        self.attempt(trap.connection, trap.child.name, (source, destination))

    def closed(self, connection_name: str, child: Child, *, dead: bool) -> None:
        """The peer closed a CHILD_SA, or is silent: ``close_action`` or ``dpd_action``."""
        action = child.dpd_action if dead else child.close_action
        connection = self._registry.get(connection_name)
        if connection is None or action in (None, DeadAction.CLEAR):
            return
        if action is DeadAction.TRAP:
            self._spawn(self.install(connection, child))
        else:
            self.attempt(connection_name, child.name)

    # What comes of it.

    def established(self, ike_id: int, name: str) -> None:
        """A CHILD_SA is up."""
        self._trying.pop((ike_id, name.partition("/")[2]), None)
        self._tries.pop(name, None)
        self._hold_offs.pop(name, None)

    def failed(self, ike_id: int, record: FailureRecord) -> None:
        """An attempt ended; where nobody answered, ``keyingtries`` may allow another one."""
        for (attempt_id, child), name in list(self._trying.items()):
            if attempt_id != ike_id or record.child not in ("", child):
                continue
            del self._trying[attempt_id, child]
            hold_off = self._hold_off(name)
            hold_off.until = self._adapter.clock() + hold_off.wait
            hold_off.wait = min(hold_off.wait * 2, HOLD_OFF_LAST)
            connection = self._registry.get(record.connection)
            tries = self._tries.get(name, 1)
            allowed = connection.keyingtries if connection is not None else 1
            if connection is not None and record.code in SILENCE and (allowed == 0 or tries < allowed):
                self._tries[name] = tries + 1
                self._spawn(self._again(connection.name, child, RETRY_AFTER))
            else:
                self._tries.pop(name, None)
                self._tunnels.release(name)

    def gone(self, ike_id: int) -> None:
        """An IKE SA ended, whatever for: nothing is being tried in it any more."""
        for key in [key for key in self._trying if key[0] == ike_id]:
            self._tunnels.release(self._trying.pop(key))

    def reopened(self, ike_id: int, connection: str, children: tuple[str, ...]) -> None:
        """An IKE SA is gone to be set up anew as ``ike_id``, with these children: what they carry waits for them."""
        for child in children:
            name = f"{connection}/{child}"
            self._tunnels.hold(name)
            self._trying[ike_id, child] = name

    def redirected(self, event: IkeSaRedirected, failed: Callable[[FailureRecord], None]) -> None:
        """A gateway sent us on to another (RFC 5685): bring up there what was to be here; ``failed`` hears if not."""
        for child in event.children or (None,):
            if child is not None:
                self._tunnels.hold(f"{event.connection}/{child}")
            self._spawn(self._follow(event, child, failed))

    async def _follow(self, event: IkeSaRedirected, child: str | None, failed: Callable[[FailureRecord], None]) -> None:
        connection = self._registry.get(event.connection)
        if connection is None:
            # Unloaded meanwhile: nothing is to come in the place of what goes.
            self._tunnels.release(f"{event.connection}/{child}")
            return
        address = address_of(event.gateway)
        try:
            found = (address,) if address is not None else await self._resolver.lookup(str(event.gateway))
            local, remote = await self._reachable(connection, self._gateways(event, found))
            ike_id = self._adapter.endpoint.initiate(
                connection.name,
                child,
                self._adapter.clock(),
                local=local,
                remote=remote,
                redirected_from=event.redirected_from,
            )
            if child is not None:
                self._trying[ike_id, child] = f"{connection.name}/{child}"
        except LocalError as error:
            failed(self.begin_failed(connection.name, child or "", error))
        self._adapter.poke()

    def _gateways(self, event: IkeSaRedirected, found: Sequence[Address]) -> list[Address]:
        """Where another gateway may be: a name leads to nowhere that its address would not lead to (RFC 5685)."""
        if not found:
            raise LocalError("no-remote-address", f"{event.gateway}, where the gateway sends us, has no address")
        others = [
            address
            for address in found
            if may_be_a_gateway(address)
            and address != event.redirected_from
            and source_for(address, mark=self._mark) != address
        ]
        if not others:
            listed = ", ".join(map(str, found))
            raise LocalError(
                "redirect-refused",
                f"{event.redirected_from} sends us on to {event.gateway}, and no other gateway can be at {listed}",
                hint="see which address the name has here, and what the gateway is told to send its clients to",
            )
        return others

    def rekeyed(self, ike_id: int, new_ike_id: int) -> None:
        """What was being tried goes on in the new IKE SA."""
        for attempt_id, child in list(self._trying):
            if attempt_id == ike_id:
                self._trying[new_ike_id, child] = self._trying.pop((attempt_id, child))

    def forget(self, connection_name: str) -> None:
        """A connection was unloaded or changed: its traps go, and nothing is tried again.

        Those that it still wants stay until :meth:`loaded` replaces them: no packet leaves in the clear meanwhile.
        """
        connection = self._registry.get(connection_name)
        for trap in self._tunnels.traps:
            if trap.connection != connection_name:
                continue
            self._hold_offs.pop(trap.policy.name, None)
            child = connection.child(trap.child.name) if connection is not None else None
            if child is None or child.start_action not in TRAPS:
                self._tunnels.clear_trap(trap.policy.name)

    def stop(self) -> None:
        """Try nothing more."""
        for task in list(self._tasks):
            task.cancel()

    # How.

    def attempt(self, connection: str, child: str, packet: Packet | None = None) -> None:
        """Initiate beside everything else; a failure becomes a record."""
        self._spawn(self._attempt(connection, child, packet))

    async def initiate(self, connection_name: str, child: str | None, packet: Packet | None = None) -> int:
        """Bring a child up; returns the IKE SA's id. Raises :class:`LocalError` where it cannot even begin."""
        connection = self._registry.get(connection_name)
        if connection is None:
            raise LocalError("no-such-connection", f"no connection is named {connection_name!r}")
        local, remote = await self.addresses(connection, packet)
        ike_id = self._adapter.endpoint.initiate(
            connection_name, child, self._adapter.clock(), local=local, remote=remote, packet=packet
        )
        if child is not None:
            self._trying[ike_id, child] = f"{connection_name}/{child}"
        return ike_id

    async def addresses(self, connection: Connection, packet: Packet | None = None) -> tuple[Address, Address]:
        """From where to where: the first remote address that a route leads to, and the local one to use with it."""
        remotes = await self._remotes(connection)
        if not remotes and packet is not None and all(t.is_any for t in connection.remote_addrs):
            remotes = [packet[1].start]  # a trap for any peer: the packet's destination is the one
        if not remotes:
            raise LocalError(
                "no-remote-address",
                f"connection {connection.name}: remote_addrs names no peer that could be asked",
                hint="write the peer's address or host name into remote_addrs, or let the peer initiate",
            )
        return await self._reachable(connection, remotes)

    async def _reachable(self, connection: Connection, remotes: Sequence[Address]) -> tuple[Address, Address]:
        """The first of at least one that a route leads to, behind the address of ours to use with it."""
        problem: LocalError | None = None
        for remote in remotes:
            try:
                return await self._local(connection, remote), remote
            except LocalError as error:
                problem = problem or error
        assert problem is not None
        raise problem

    async def _attempt(self, connection: str, child: str, packet: Packet | None) -> None:
        try:
            await self.initiate(connection, child, packet)
        except LocalError as error:
            self.begin_failed(connection, child, error)
        self._adapter.poke()

    def begin_failed(self, connection_name: str, child: str, error: LocalError) -> FailureRecord:
        """The record of an attempt that did not get as far as a message."""
        name = f"{connection_name}/{child}"
        hold_off = self._hold_off(name)
        hold_off.until = self._adapter.clock() + hold_off.wait
        hold_off.wait = min(hold_off.wait * 2, HOLD_OFF_LAST)
        connection = self._registry.get(connection_name)
        where = connection.where if connection is not None else {}
        key = {"no-remote-address": "remote_addrs", "no-local-address": "local_addrs"}.get(error.code, "")
        self._tunnels.release(name)
        record = FailureRecord(
            code=error.code,
            summary=str(error),
            exchange="none",
            role="initiator",
            peer=", ".join(_written(t) for t in connection.remote_addrs) if connection is not None else "",
            connection=connection_name,
            child=child,
            change=f"{where[key]}: {key}" if key and key in where else "",
            hint=error.hint,
            fields={name: str(value) for name, value in error.fields.items()},
        )
        self._failures.add(0, record)
        return record

    async def _again(self, connection: str, child: str, after: float) -> None:
        await asyncio.sleep(after)
        await self._attempt(connection, child, None)

    async def _remotes(self, connection: Connection) -> list[Address]:
        found: list[Address] = []
        for template in connection.remote_addrs:
            if template.name is not None:
                found += await self._resolver.lookup(template.name)
                self._registry.know(self._resolver.known)
            elif template.address is not None and template.last is None:
                found.append(template.address)
        return found

    async def _local(self, connection: Connection, remote: Address) -> Address:
        templates = [t for t in connection.local_addrs if not t.is_any or t.version]
        routed = source_for(remote, mark=self._mark)
        wanted: list[Address] = []
        for template in templates:
            if template.name is not None:
                wanted += await self._resolver.lookup(template.name)
            elif template.address is not None and template.last is None:
                wanted.append(template.address)
            elif routed is not None and template.matches(routed):
                wanted.append(routed)
        usable = [address for address in wanted if address.version == remote.version and _is_ours(address)]
        if usable:
            return routed if routed in usable else usable[0]
        if templates:
            named = ", ".join(str(address) for address in wanted) or ", ".join(_written(t) for t in templates)
            raise LocalError(
                "no-local-address",
                f"connection {connection.name}: this host has no address {named} from which to reach {remote}",
                hint="write an address of this host into local_addrs, or leave it out: the routing table then decides",
            )
        if routed is None:
            raise LocalError(
                "no-route",
                f"connection {connection.name}: no route leads to {remote}",
                hint=f"see what `ip route get {remote}` says",
            )
        return routed

    async def hosts(self, connection: Connection) -> tuple[Address | None, Address | None]:
        """The tunnel's ends as far as they are known before anything is negotiated: for dynamic selectors."""
        try:
            return await self.addresses(connection)
        except LocalError:
            return fixed_address(connection.local_addrs), fixed_address(connection.remote_addrs)

    def _hold_off(self, name: str) -> HoldOff:
        return self._hold_offs.setdefault(name, HoldOff())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


SILENCE = frozenset({"peer-unreachable", "peer-dead"})
"""Failure codes that mean that nobody answered: what ``keyingtries`` counts."""


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except LocalError as error:
        logger.warning("%s", error)
    except Exception:
        logger.exception("internal error while bringing a tunnel up")


def _negotiable(child: Child) -> bool:
    return child.mode in (Mode.TUNNEL, Mode.TRANSPORT)


def _packet(address: Address, protocol: int, port: int) -> TrafficSelector:
    if protocol in (6, 17, 132):
        return TrafficSelector(address, address, protocol, port, port)
    return TrafficSelector(address, address, protocol)


def _is_ours(address: Address) -> bool:
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


def _written(template: AddressTemplate) -> str:
    for part in (template.name, template.network):
        if part is not None:
            return str(part)
    if template.address is None:
        return "%any"
    return f"{template.address}-{template.last}" if template.last is not None else str(template.address)
