"""The process: puts the parts together, runs until it is told to stop, and takes everything back.

Starting stops at the first thing that cannot be had, with one line that names it; what stood by then is taken down
again. Stopping deletes all SAs, waits a bounded time for the peers' answers, and removes routes, guard and sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import time

import fastesp
from fastesp.config import ConfigurationError, Settings, load
from fastesp.dataplane.base import DataPlaneError, SaProtocol
from fastesp.dataplane.userspace import UserspaceDataPlane
from ike.endpoint import Endpoint
from ike.errors import LocalError
from ike.timing import Timing
from ike.wire.constants import ProtocolId

from .adapter import IkeAdapter
from .addresses import AddressWatch
from .announce import Announcer
from .commands import handlers
from .gateway import Gateway
from .guard import Guard
from .logbook import Logbook
from .metrics import MetricsServer
from .notify import sd_notify
from .options import Options
from .plumbing import Plumbing
from .registry import Changes
from .routes import Router, source_for
from .state import token_secret
from .tuning import read_daemon, timing_of, tuned
from .upkeep import Upkeep
from .vici.server import EVENTS, ViciServer

logger = logging.getLogger("fastesp.daemon")

EXIT_OK, EXIT_FAILED, EXIT_CONFIGURATION = 0, 1, 4

COLLECT_AFTER = (20_000, 20, 50)
"""When the garbage collector looks for cycles. A handshake makes hundreds of objects and hardly a cycle: Python's own
thresholds made it look several times in each, which was a tenth of its time."""

PROTOCOLS = {ProtocolId.ESP: SaProtocol.ESP, ProtocolId.AH: SaProtocol.AH}


def run(options: Options) -> int:
    """Be the gateway until SIGTERM or SIGINT; returns the exit code."""
    logbook = Logbook()
    logbook.open(options.log_level, options.log_file)
    try:
        settings = load(options.config, options.directory) if options.config is not None else Settings()
        daemon = read_daemon(options)
    except ConfigurationError as error:
        for problem in error.problems:
            logger.error("%s", problem)
        logger.error("the configuration is not valid: nothing was started")
        return EXIT_CONFIGURATION
    except OSError as error:
        logger.error("cannot read %s: %s", error.filename or options.config, error.strerror)
        return EXIT_CONFIGURATION
    try:
        for log in daemon.filelog:
            logbook.open_file(log)
    except OSError as error:
        logger.error("cannot write the log %s: %s", error.filename, error.strerror)
        return EXIT_FAILED
    for remark in daemon.remarks:
        logger.info("%s", remark)
    try:
        return asyncio.run(Process(tuned(options, daemon), logbook, timing_of(daemon)).run(settings))
    except (OSError, DataPlaneError, ValueError) as error:
        logger.error("cannot start: %s", error)
        return EXIT_FAILED
    finally:
        logbook.close()


class Process:
    """One run of the gateway. Whatever is started registers its end on a stack, so that any failure takes all back."""

    def __init__(self, options: Options, logbook: Logbook, timing: Timing) -> None:
        self.options = options
        self.timing = timing
        self.logbook = logbook
        self.gateway: Gateway
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._reloads: set[asyncio.Task[list[str]]] = set()

    async def run(self, settings: Settings) -> int:
        """Start, wait, stop."""
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            self._watch_signals()
            await self.apply(settings)
            sd_notify(f"READY=1\nSTATUS={len(self.gateway.registry)} connections loaded")
            # What stands now stands for good: the collector need not look at it again and again.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*COLLECT_AFTER)
            await self._stopping.wait()
            sd_notify("STOPPING=1")
            await self._delete_all()
        logger.info("stopped")
        return EXIT_OK

    # Start.

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        options = self.options
        # In a thread of its own: what it uses of netlink wants no running loop around it.
        dataplane = await asyncio.to_thread(make_dataplane, options)
        stack.callback(dataplane.close)
        plumbing = self._plumbing()
        gateway = self.gateway = Gateway(options, self.logbook, dataplane, plumbing)
        stack.push_async_callback(gateway.updown.finish)
        stack.push_async_callback(gateway.fetcher.stop)
        stack.push_async_callback(plumbing.stop)
        await plumbing.start()
        adapter = self._adapter(gateway, dataplane)
        stack.callback(adapter.stop)
        loop = asyncio.get_running_loop()
        loop.add_reader(dataplane.event_fd, gateway.on_dataplane)
        stack.callback(loop.remove_reader, dataplane.event_fd)
        stack.callback(gateway.starter.stop)
        await self._serve(gateway, stack)
        if options.metrics:
            metrics = MetricsServer(gateway, options.metrics)
            await metrics.start()
            stack.callback(metrics.close)
        upkeep = Upkeep(
            adapter,
            gateway.tunnels,
            gateway.registry,
            gateway.resolver,
            dataplane,
            keep_alive=options.keep_alive,
            look_for_silence=gateway.look_for_silence,
        )
        upkeep.start()
        stack.callback(upkeep.stop)
        watch = AddressWatch(options.tun, gateway.addresses_changed)
        watch.start()
        stack.push_async_callback(watch.stop)
        logger.info(
            "fastesp %s: data plane %s with %d worker%s and %s on %s, IKE on UDP %d and %d, VICI at %s",
            fastesp.__version__,
            options.dataplane,
            dataplane.workers,
            "" if dataplane.workers == 1 else "s",
            gateway.provider,
            options.tun,
            options.port,
            options.nat_port,
            options.socket,
        )

    def _plumbing(self) -> Plumbing:
        options = self.options
        router = guard = None
        if options.routes:
            router = Router(
                options.tun,
                table=options.routing_table,
                mark=options.socket_mark,
                priority=options.routing_priority,
            )
        if options.guard:
            guard = Guard(f"fastesp-{options.tun}", options.tun, (options.port, options.nat_port))
        return Plumbing(router, guard)

    def _adapter(self, gateway: Gateway, dataplane: UserspaceDataPlane) -> IkeAdapter:
        endpoint = Endpoint(
            gateway.registry.resolved,
            gateway.vault,
            child_spi=lambda protocol, replaces: dataplane.allocate_spi(PROTOCOLS[ProtocolId(protocol)], replaces),
            inbound_activity=gateway.inbound_activity,
            source_for=lambda remote: source_for(remote, mark=self.options.socket_mark),
            timing=self.timing,
            token_secret=token_secret(self.options.state) if self.options.quick_crash_detection else None,
        )
        adapter = IkeAdapter(endpoint, dataplane, gateway.on_event, clock=time.monotonic)
        gateway.attach(adapter)
        adapter.start()
        return adapter

    async def _serve(self, gateway: Gateway, stack: contextlib.AsyncExitStack) -> None:
        options = self.options
        commands = handlers(gateway)
        gateway.reload = self.reload
        server = ViciServer(
            options.socket,
            commands,
            mode=options.socket_mode,
            owner=options.socket_owner or None,
            group=options.socket_group or None,
            events=EVENTS | {"list-failure"},
        )
        await server.start()
        stack.push_async_callback(server.close)
        gateway.announcer = Announcer(server, gateway.tunnels, gateway.ike_info, gateway.adapter.clock)
        stack.callback(self.logbook.listen(gateway.announcer.line, options.log_level))

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon)

    def _reload_soon(self) -> None:
        task = asyncio.get_running_loop().create_task(self.reload())
        self._reloads.add(task)  # the loop itself would let it go
        task.add_done_callback(self._reloads.discard)

    # Load and reload.

    async def apply(self, settings: Settings) -> Changes:
        """Take a configuration that passed every check. What is up keeps what it negotiated."""
        gateway = self.gateway
        for problem in settings.warnings:
            logger.warning("%s", problem)
        gateway.use_file(settings)
        changes = gateway.registry.load(settings.connections)
        for name in (*changes.removed, *changes.changed):
            gateway.starter.forget(name)
        logger.info("connections: %s", changes)
        gateway.complain((*changes.added, *changes.changed))
        await gateway.starter.loaded((*changes.added, *changes.changed))
        await gateway.plumbing.settled()
        return changes

    async def reload(self) -> list[str]:
        """Read the configuration again; returns what is wrong with it, and then nothing has changed."""
        if self.options.config is None:
            return []
        async with self._reloading:
            sd_notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
            try:
                settings = await asyncio.to_thread(load, self.options.config, self.options.directory)
            except (ConfigurationError, OSError) as error:
                problems = [str(p) for p in error.problems] if isinstance(error, ConfigurationError) else [str(error)]
                for problem in problems:
                    logger.warning("%s", problem)
                logger.warning("the configuration is not valid: what was loaded before stays in force")
                return problems
            else:
                await self.apply(settings)
                return []
            finally:
                sd_notify("READY=1")

    # Stop.

    async def _delete_all(self) -> None:
        """Tell every peer, and wait for their answers, but not for long."""
        gateway = self.gateway
        gateway.starter.stop()
        for trap in gateway.tunnels.traps:
            gateway.tunnels.clear_trap(trap.policy.name)
        ids = [ike.ike_id for ike in gateway.ike_sas()]
        if not ids:
            return
        logger.info("closing %d IKE SA%s", len(ids), "" if len(ids) == 1 else "s")
        for ike_id in ids:
            with contextlib.suppress(LocalError):
                gateway.endpoint.terminate_ike(ike_id, gateway.adapter.clock())
        gateway.adapter.poke()
        deadline = time.monotonic() + self.options.stop_timeout
        while gateway.ike_sas() and time.monotonic() < deadline:
            await asyncio.sleep(0.02)


def make_dataplane(options: Options) -> UserspaceDataPlane:
    """The data plane that the options name. Raises :class:`DataPlaneError` with the reason where it cannot be had."""
    if options.dataplane != "userspace":
        raise DataPlaneError(f"there is no data plane {options.dataplane!r}: write userspace")
    return UserspaceDataPlane(
        options.tun,
        mtu=options.mtu,
        udp_port=options.nat_port,
        ike_port=options.port,
        mark=options.socket_mark,
        provider=options.provider,
        gso=None if options.gso else False,
        gro=None if options.gso else False,
        workers=options.workers,
        poll=options.poll,
    )
