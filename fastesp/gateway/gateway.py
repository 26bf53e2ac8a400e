"""The gateway itself: events of IKE and of the data plane in, SAs, traps, routes, records and VICI events out.

It holds everything together and decides nothing that a part of it can decide: negotiating is the endpoint's,
bringing up the starter's, installing the tunnels', what the host must know the plumbing's.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

from fastesp.config import Authority, Pool, Settings
from fastesp.dataplane.base import (
    Acquire,
    Address,
    DataPlane,
    DataPlaneError,
    DataPlaneEvent,
    Degraded,
    HardLimit,
    PeerMoved,
    Placement,
    SoftLimit,
    UnknownSpi,
)
from ike.config import Child
from ike.endpoint import Endpoint
from ike.errors import LocalError
from ike.events import (
    ChildSaDeleted,
    ChildSaEstablished,
    ChildSaRekeyed,
    Event,
    ExchangeLogged,
    FailureRecord,
    IkeSaDeleted,
    IkeSaEstablished,
    IkeSaReauthenticating,
    IkeSaRedirected,
    IkeSaRekeyed,
    LookupWanted,
    NegotiationFailed,
    OutboundReady,
    Path,
    PathChanged,
)
from ike.status import ChildSaInfo, IkeSaInfo
from ike.wire.constants import ExchangeType, ProtocolId

from .ability import Ability
from .adapter import IkeAdapter
from .announce import Announcer
from .failures import Failures
from .fetcher import Fetcher
from .logbook import Logbook
from .options import Options
from .plumbing import Plumbing
from .registry import Registry
from .resolver import Resolver
from .rivals import Rivals
from .starter import Starter
from .tunnel_records import TunnelRecords
from .tunnels import Tunnel, Tunnels
from .unheard import Unheard
from .updown import Updown
from .vault import Vault

logger = logging.getLogger("fastesp.daemon")

Listener = Callable[[Event], None]

COUNTED: dict[int, str] = {
    ExchangeType.IKE_SA_INIT: "ike-init",
    ExchangeType.IKE_AUTH: "ike-auth",
    ExchangeType.CREATE_CHILD_SA: "create-child",
    ExchangeType.INFORMATIONAL: "info",
}
"""Exchange -> strongSwan's name for its counters."""


class Gateway:
    """All state of one gateway process. Made and torn down by :mod:`.daemon`."""

    def __init__(self, options: Options, logbook: Logbook, dataplane: DataPlane, plumbing: Plumbing) -> None:
        self.options = options
        self.logbook = logbook
        self.dataplane = dataplane
        self.plumbing = plumbing
        workers = getattr(dataplane, "workers", 0) or len(os.sched_getaffinity(0))
        self.ability = Ability(dataplane.capabilities(), options.encap, workers)
        self.registry = Registry(self.ability.limit)
        self.vault = Vault()
        self.resolver = Resolver()
        self.failures = Failures(logbook)
        self.tunnels = Tunnels(dataplane, plumbing.added, plumbing.removed)
        records = TunnelRecords(self.ike_info, self.registry.get)
        self.unheard = Unheard(self.tunnels, records)
        self.rivals = Rivals(self.tunnels, records)
        self.updown = Updown(logbook)
        self.fetcher = Fetcher(self._looked_up)
        self.pools: dict[str, Pool] = {}
        self.authorities: dict[str, Authority] = {}
        self._file_authorities: frozenset[str] = frozenset()
        self.reload: Callable[[], Awaitable[list[str]]] = _nothing_to_reload
        self.started_at = time.time()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.announcer: Announcer | None = None
        self.adapter: IkeAdapter
        self.starter: Starter
        self._listeners: set[Listener] = set()
        self._went_along: dict[int, list[Tunnel]] = {}

    def attach(self, adapter: IkeAdapter) -> None:
        """Take the adapter, whose endpoint asks this gateway for connections and credentials."""
        self.adapter = adapter
        adapter.may_send = lambda: self.plumbing.routed
        self.plumbing.on_routed = adapter.poke
        self.starter = Starter(
            self.registry,
            self.resolver,
            adapter,
            self.tunnels,
            self.failures,
            mark=self.options.socket_mark,
        )

    def use_file(self, settings: Settings) -> None:
        """Credentials, pools and authorities of a configuration that was just read."""
        self.vault.use_file(settings.credentials)
        self.pools = {**self.pools, **{pool.name: pool for pool in settings.pools}}
        others = {name: a for name, a in self.authorities.items() if name not in self._file_authorities}
        self._file_authorities = frozenset(authority.name for authority in settings.authorities)
        self.authorities = {**others, **{authority.name: authority for authority in settings.authorities}}
        self.vault.use_authorities(self.authorities.values())

    def complain(self, names: Iterable[str]) -> None:
        """Say what is configured and cannot be done here."""
        for name in names:
            connection = self.registry.get(name)
            for line in self.ability.complaints(connection) if connection is not None else ():
                self.logbook.say("CFG", 0, line, connection=name)

    @property
    def provider(self) -> str:
        """What does the data plane's cryptography."""
        return str(getattr(self.dataplane, "provider", "")) or self.options.provider

    @property
    def endpoint(self) -> Endpoint:
        """The IKE endpoint."""
        return self.adapter.endpoint

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` for each IKE event, once the gateway has acted on it; the result ends that."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    # Events of IKE.

    def on_event(self, event: Event) -> None:
        """Act on one event, then let those know who listen."""
        match event:
            case ExchangeLogged():
                self._on_exchange(event)
            case IkeSaEstablished():
                self._on_ike_up(event)
            case ChildSaEstablished():
                self._on_child_up(event)
            case OutboundReady():
                self._on_outbound(event)
            case ChildSaRekeyed():
                self._on_child_rekeyed(event)
            case ChildSaDeleted():
                self._on_child_down(event)
            case IkeSaRekeyed():
                self._on_ike_rekeyed(event)
            case IkeSaReauthenticating():
                self._on_reauthenticating(event)
            case IkeSaRedirected():
                self._on_redirected(event)
            case IkeSaDeleted():
                self._on_ike_down(event)
            case PathChanged():
                self._on_path(event)
            case LookupWanted():
                self.logbook.say("CFG", 1, f"fetching {event.uri}", ike_id=event.ike_id)
                self.fetcher.start(event)
            case NegotiationFailed():
                self._on_failure(event)
        self._heard(event)

    def _tell(self, say: Callable[[Announcer], None]) -> None:
        """Let VICI clients know; whatever happens there keeps nothing else from being done."""
        if self.announcer is None:
            return
        try:
            say(self.announcer)
        except Exception:
            logger.exception("internal error while telling VICI clients")

    def _on_exchange(self, event: ExchangeLogged) -> None:
        self.logbook.say("IKE", event.level, event.line, connection=event.connection, ike_id=event.ike_id)
        if name := COUNTED.get(event.exchange):
            way = "in" if event.inbound else "out"
            self._count(event.connection, f"{name}-{way}-{'resp' if event.response else 'req'}")

    def _count(self, connection: str, what: str) -> None:
        """One more, for all connections together and for this one."""
        self.counts["", what] += 1
        if connection:
            self.counts[connection, what] += 1

    def _on_ike_up(self, event: IkeSaEstablished) -> None:
        text = f"IKE SA with {event.remote_id} is up, we are {event.local_id}, {event.path}"
        self.logbook.say("IKE", 1, text, connection=event.connection, ike_id=event.ike_id)
        self._tell(lambda to: to.ike_up(event.ike_id))

    def _on_child_up(self, event: ChildSaEstablished) -> None:
        config = self._child_config(event)
        name = f"{event.connection}/{event.child}"
        if config is None:
            self._install_failed(event, DataPlaneError(f"the child {name} is configured no more"))
            return
        try:
            tunnel = self.tunnels.install(event, config)
        except Exception as error:
            # Whatever it was: the peer believes that it is up.
            self._install_failed(event, error)
            return
        self.starter.established(event.ike_id, name)
        ike = self.ike_info(event.ike_id)
        tunnel.info = next((c for c in ike.children if c.child_id == event.child_id), None) if ike else None
        local, remote = (" ".join(str(ts) for ts in side) for side in (event.local_ts, event.remote_ts))
        text = (
            f"CHILD_SA {event.child}{{{event.child_id}}} is up: {local} === {remote}, "
            f"SPIs {event.inbound.spi:08x}_i {event.outbound.spi:08x}_o, on {tunnel.placement.where}"
        )
        self.logbook.say("CHD", 1, text, connection=event.connection, ike_id=event.ike_id)
        for step in tunnel.placement.why:
            self.logbook.say("CHD", 1, step, connection=event.connection, ike_id=event.ike_id)
        if event.replaces is None:
            self.updown.came(ike, tunnel.info, tunnel)
            self._tell(lambda to: to.child_up(event.ike_id, event.child_id))
            if (record := self.rivals.record(tunnel)) is not None:
                self.note(event.ike_id, record)

    def _on_outbound(self, event: OutboundReady) -> None:
        try:
            self.tunnels.send_on(event.child_id)
        except Exception as error:
            tunnel, ike = self.tunnels.get(event.child_id), self.ike_info(event.ike_id)
            if tunnel is None:
                raise
            self._cannot_carry(
                event.ike_id,
                event.child_id,
                error,
                FailureRecord(
                    code="install-failed",
                    summary=f"the data plane cannot send on CHILD_SA {tunnel.config.name}: {_said(error)}",
                    exchange="none",
                    role="initiator" if ike is not None and ike.initiator else "responder",
                    peer=f"{ike.path.remote}[{ike.path.remote_port}]" if ike is not None else "",
                    connection=tunnel.connection,
                    child=tunnel.config.name,
                    hint="fastesp doctor shows what this machine can do",
                ),
            )

    def _on_child_rekeyed(self, event: ChildSaRekeyed) -> None:
        self.tunnels.replace(event.old_id, event.new_id)
        old = self.tunnels.get(event.old_id)
        self._count(old.connection if old is not None else "", "child-rekey")
        self.logbook.say(
            "CHD", 1, f"CHILD_SA {{{event.old_id}}} is replaced by {{{event.new_id}}}", ike_id=event.ike_id
        )
        self._tell(lambda to: to.child_rekeyed(event.ike_id, event.old_id, event.new_id))

    def _on_child_down(self, event: ChildSaDeleted) -> None:
        if event.reason != "rekeyed":
            self._tell(lambda to: to.child_down(event))
        tunnel = self.tunnels.remove(event.child_id)
        text = f"CHILD_SA {event.child}{{{event.child_id}}} is gone: {event.reason}"
        self.logbook.say("CHD", 1, text, connection=event.connection, ike_id=event.ike_id)
        if tunnel is None:
            return
        if event.reason != "rekeyed":
            self.updown.went(self.ike_info(event.ike_id), tunnel.info, tunnel)
        if tunnel.info is not None and tunnel.info.resource:
            # One of several: what close_action and dpd_action say is said of the first of them.
            return
        if event.reason in ("peer-deleted", "dead"):
            self.starter.closed(event.connection, tunnel.config, dead=event.reason == "dead")
        elif event.reason == "ike-deleted":
            self._went_along.setdefault(event.ike_id, []).append(tunnel)

    def _on_ike_rekeyed(self, event: IkeSaRekeyed) -> None:
        self.tunnels.adopt(event.ike_id, event.new_ike_id)
        new = self.ike_info(event.new_ike_id)
        if new is not None:
            self._count(new.connection, "ike-rekey-init" if new.initiator else "ike-rekey-resp")
        self.starter.rekeyed(event.ike_id, event.new_ike_id)
        self.logbook.say("IKE", 1, f"IKE SA [{event.ike_id}] goes on as [{event.new_ike_id}]", ike_id=event.new_ike_id)
        self._tell(lambda to: to.ike_rekeyed(event))

    def _on_reauthenticating(self, event: IkeSaReauthenticating) -> None:
        how = "beside it" if event.make_before_break else "after it"
        text = f"IKE SA [{event.ike_id}] is set up anew as [{event.new_ike_id}], {how}"
        self.logbook.say("IKE", 1, text, connection=event.connection, ike_id=event.ike_id)
        if not event.make_before_break:
            self.starter.reopened(event.new_ike_id, event.connection, event.children)

    def _on_redirected(self, event: IkeSaRedirected) -> None:
        text = f"{event.redirected_from} sends us on to {event.gateway}"
        self.logbook.say("IKE", 1, text, connection=event.connection, ike_id=event.ike_id)
        self.starter.redirected(event, lambda record: self._heard(NegotiationFailed(event.ike_id, record)))

    def _heard(self, event: Event) -> None:
        for listener in list(self._listeners):
            listener(event)

    def _on_ike_down(self, event: IkeSaDeleted) -> None:
        self.starter.gone(event.ike_id)
        for tunnel in self._went_along.pop(event.ike_id, ()):
            # Whoever closes an IKE SA closes what it carries: close_action counts for that too. Not where the peer has
            # set it up anew before (RFC 7296 section 2.8.3).
            if event.reason == "peer-deleted" and not any(other.name == tunnel.name for other in self.tunnels):
                self.starter.closed(event.connection, tunnel.config, dead=False)
        ike = self.ike_info(event.ike_id)
        # Of one that never was up a record has said so, unless there were too many of them.
        level = 2 if ike is not None and ike.established_at is None else 1
        self.logbook.say(
            "IKE", level, f"IKE SA is gone: {event.reason}", connection=event.connection, ike_id=event.ike_id
        )
        self._tell(lambda to: to.ike_down(event))

    def _on_path(self, event: PathChanged) -> None:
        self.tunnels.move(event.ike_id, event.path, event.udp_encap)
        self.logbook.say("IKE", 1, f"the path is {event.path} now", ike_id=event.ike_id)
        self._tell(lambda to: to.ike_moved(event))

    def _on_failure(self, event: NegotiationFailed) -> None:
        self.starter.failed(event.ike_id, event.record)
        self.note(event.ike_id, event.record)

    def note(self, ike_id: int, record: FailureRecord) -> None:
        """One record, once: in the log, for those who ask later, and for VICI clients that listen."""
        failure = self.failures.add(ike_id, record)
        self._tell(lambda to: to.failed(failure))

    def look_for_silence(self) -> None:
        """Note the tunnels that are up and bring nothing."""
        for ike_id, record in self.unheard.look(self.adapter.clock()):
            self.note(ike_id, record)

    def _looked_up(self, lookup_id: int, data: bytes | None, why: str) -> None:
        self.endpoint.looked_up(lookup_id, data, self.adapter.clock(), why)
        self.adapter.poke()

    def _child_config(self, event: ChildSaEstablished) -> Child | None:
        """The child as it was when its SA was negotiated: a rekeyed SA keeps its predecessor's."""
        old = self.tunnels.get(event.replaces) if event.replaces is not None else None
        if old is not None:
            return old.config
        connection = self.registry.get(event.connection)
        return connection.child(event.child) if connection is not None else None

    def _install_failed(self, event: ChildSaEstablished, error: Exception) -> None:
        record = FailureRecord(
            code="install-failed",
            summary=f"the data plane cannot take CHILD_SA {event.child}: {_said(error)}",
            exchange="none",
            role="initiator" if event.initiator else "responder",
            peer=f"{event.path.remote}[{event.path.remote_port}]",
            connection=event.connection,
            child=event.child,
            hint="fastesp doctor shows what this machine can do",
        )
        self._cannot_carry(event.ike_id, event.child_id, error, record)

    def _cannot_carry(self, ike_id: int, child_id: int, error: Exception, record: FailureRecord) -> None:
        """What was agreed on cannot be carried: close it again, and say why."""
        if not isinstance(error, DataPlaneError):
            logger.error("internal error with CHILD_SA %s", record.child, exc_info=error)
        self._on_failure(NegotiationFailed(ike_id, record))
        self._heard(NegotiationFailed(ike_id, record))
        try:
            self.endpoint.terminate_child(child_id, self.adapter.clock())
        except LocalError as gone:
            logger.info("%s", gone)

    # Events of the data plane.

    def on_dataplane(self) -> None:
        """Drain what the data plane has to say; called when its descriptor is readable."""
        for event in self.dataplane.events():
            self._act(event)
        self.adapter.poke()

    def _act(self, event: DataPlaneEvent) -> None:
        now = self.adapter.clock()
        try:
            if isinstance(event, Acquire):
                self.starter.acquire(event)
            elif isinstance(event, SoftLimit):
                self.endpoint.rekey_child(event.child_id, now)
            elif isinstance(event, HardLimit):
                self.logbook.say("ESP", 0, f"CHILD_SA {{{event.child_id}}} reached its hard limit of {event.what}")
                self.endpoint.expire_child(event.child_id, now)
            elif isinstance(event, PeerMoved):
                self._peer_moved(event)
            elif isinstance(event, UnknownSpi):
                self._unknown_spi(event)
            elif isinstance(event, Degraded):
                self._degraded(event)
        except LocalError as error:
            # The SA went while the event was under way.
            logger.info("%s", error)

    def _unknown_spi(self, event: UnknownSpi) -> None:
        """Somebody sends on an SA that is not here: it may not know that we were started anew."""
        self.logbook.say("ESP", 1, f"no SA has the SPI {event.spi:08x} that came from {event.path.remote}")
        outer = event.path
        path = Path(outer.local, outer.local_port, outer.remote, outer.remote_port)
        self.endpoint.unknown_spi(event.spi, ProtocolId.ESP, path, self.adapter.clock())

    def _peer_moved(self, event: PeerMoved) -> None:
        """An authentic packet came from elsewhere: whether that moves the peer is for IKE to say (PathChanged)."""
        outer = event.path
        if outer.udp_encap:
            path = Path(outer.local, outer.local_port, outer.remote, outer.remote_port)
            self.endpoint.peer_moved(event.child_id, path, self.adapter.clock())

    # What happens to the host.

    def addresses_changed(self, addresses: tuple[Address, ...]) -> None:
        """The host has these addresses, or other routes: SAs that can move do (RFC 4555)."""
        self.logbook.say("KNL", 2, f"addresses of this host: {', '.join(map(str, addresses)) or 'none'}")
        self.plumbing.host_changed()
        self.endpoint.addresses_changed(addresses, self.adapter.clock())
        self.adapter.poke()

    def _degraded(self, event: Degraded) -> None:
        self.logbook.say("ESP", 0, f"the data plane steps down: {event.why}")
        tunnel = self.tunnels.get(event.child_id) if event.child_id is not None else None
        if tunnel is not None:
            tunnel.placement = Placement(tunnel.placement.where, (*tunnel.placement.why, event.why))

    # Questions.

    def ike_sas(self) -> list[IkeSaInfo]:
        """Every IKE SA with its children."""
        return self.endpoint.ike_sas()

    def ike_info(self, ike_id: int) -> IkeSaInfo | None:
        """One IKE SA; also one that has just ended."""
        return self.endpoint.ike_sa(ike_id)

    def child_infos(self) -> list[tuple[IkeSaInfo, ChildSaInfo, Tunnel | None]]:
        """Every CHILD_SA with its IKE SA."""
        return [(ike, child, self.tunnels.get(child.child_id)) for ike in self.ike_sas() for child in ike.children]

    async def drops(self) -> dict[str, int]:
        """Packets dropped by reason: the data plane's, the guard's, and datagrams that IKE dropped in silence."""
        found = dict(self.dataplane.drops())
        found["unprotected"] = await self.plumbing.guard_dropped()
        for reason, count in self.endpoint.drops.items():
            found[f"ike-{reason}"] = count
        return found

    def inbound_activity(self, child_id: int) -> float:
        """When the data plane last received on a CHILD_SA, by the adapter's clock; 0.0: never."""
        counters = self.tunnels.counters(child_id)
        return counters.last_in if counters is not None else 0.0


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


async def _nothing_to_reload() -> list[str]:
    return []
