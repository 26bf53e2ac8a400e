"""The data plane in user space: the engine between a TUN device and the machine's UDP and raw sockets.

Two workers carry packets (``fastesp/io``): outbound from the TUN to the wire, inbound from the wire to the TUN. This
object belongs to the control plane's thread; it parks a worker for the moment in which it changes what that worker
owns.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fastesp.dataplane.base import (
    Acquire,
    ChildSa,
    DataPlaneError,
    DataPlaneEvent,
    HardLimit,
    OuterPath,
    PeerMoved,
    Placement,
    PolicyAction,
    SaCounters,
    SaMode,
    SaProtocol,
    Selector,
    SoftLimit,
    TrapPolicy,
    UnknownSpi,
)
from fastesp.dataplane.overhead import fits_joined, inner_mtu, tcp_mss
from fastesp.engine.esp import Engine
from fastesp.engine.sa import Sa
from fastesp.engine.suites import INTEGRITY
from fastesp.engine.usable import usable_suites
from fastesp.engine.verdict import Verdict
from fastesp.io import note, offload, sockets
from fastesp.io.coalesce import TunWriter
from fastesp.io.ike_socket import Datagram, IkeSockets, Route
from fastesp.io.inbound import Inbound
from fastesp.io.mailbox import Mailbox
from fastesp.io.outbound import Outbound
from fastesp.io.receive import RawReceiver, Receiver, UdpReceiver
from fastesp.io.send import Sender
from fastesp.io.tun import TunReader, open_tun
from fastesp.io.worker import Worker

if TYPE_CHECKING:
    from fastesp.io.path import Ends

log = logging.getLogger(__name__)

NOTES_BYTES = 1 << 17
DEFAULT_TUN_MTU = 1400
"""Fits a path of 1,500 bytes with every suite, IPv6 and UDP outside."""
TUN_QUEUE = 2048
"""Packets that the kernel keeps for a worker that is parked, or that waits for its core."""
DEFAULT_PATH_MTU = 1500
SPI_RESERVED_SECONDS = 600.0
"""An SPI that was allocated and never installed is free again after this."""
JOIN_SECONDS = 10.0

PASS_RANK, PROTECT_RANK, TRAP_RANK = 100_000, 200_000, 300_000
"""Policies without a configured priority: exceptions first, then SAs, then traps; narrower ones first within each."""


@dataclass(slots=True)
class _Child:
    sa: ChildSa
    slot_in: int
    slot_out: int


@dataclass(slots=True)
class _Policy:
    """A policy in the engine, and the CHILD_SAs that were activated on it, in that order."""

    slot: int
    children: list[int] = field(default_factory=list)


class UserspaceDataPlane:
    """See :class:`fastesp.dataplane.base.DataPlane`; and all IKE datagrams, which share sockets with ESP.

    ``mtu`` is the TUN's, in bytes. ``gso`` and ``gro``: ``None`` checks at the start whether this kernel does them
    right. ``cpus``: the outbound and the inbound worker's; ``None`` takes the first and the last that this process may
    use, ``()`` pins nothing. ``mark`` is set on every packet that leaves (policy routing needs it to tell them from
    packets that are to be protected).
    Raises :class:`DataPlaneError` where the machine refuses the TUN device or a socket.
    """

    def __init__(
        self,
        tun_name: str = "fastesp0",
        *,
        mtu: int = DEFAULT_TUN_MTU,
        udp_port: int = 4500,
        ike_port: int = 500,
        mark: int = 0,
        provider: str = "auto",
        gso: bool | None = None,
        gro: bool | None = None,
        tun_offload: bool = True,
        cpus: Sequence[int] | None = None,
        max_sas: int = 131072,
        max_policies: int = 16384,
    ) -> None:
        self._children: dict[int, _Child] = {}
        self._by_slot: dict[tuple[bool, int], int] = {}
        self._policies: dict[tuple[tuple[Selector, ...], int], _Policy] = {}
        self._traps: dict[str, tuple[TrapPolicy, int]] = {}
        self._spis: dict[int, float] = {}
        self._why: list[str] = []
        self._mark = mark
        self._mtu = mtu
        self._closed = False
        self._owned = contextlib.ExitStack()
        try:
            self._engine = Engine(provider=provider, max_sas=max_sas, max_policies=max_policies)
            self._owned.callback(self._engine.close)
            self._suites = usable_suites(provider)
            self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._owned.callback(os.close, self._bell)
            gso = self._trust(gso, offload.check_gso)
            gro = self._trust(gro, offload.check_gro)
            self._open_tun(tun_name, tun_offload)
            self._open_sockets(udp_port, ike_port, gro)
            self._make_workers(udp_port, gso, tun_offload)
        except OSError as error:
            self._owned.close()
            raise DataPlaneError(f"user-space data plane: {error.strerror or error}") from error
        except BaseException:
            self._owned.close()
            raise
        self._threads = self._start(cpus)

    # ---- what it is made of --------------------------------------------------------------------------------------

    def _trust(self, wanted: bool | None, check: object) -> bool:
        """An offload is used if asked for, or if it proves right; else ``placement`` says why it is off."""
        if wanted is not None:
            return wanted
        problem = check()  # type: ignore[operator]
        if problem:
            self._why.append(problem)
            log.warning("%s: not used", problem)
        return not problem

    def _open_tun(self, name: str, tun_offload: bool) -> None:
        self._tun_fd, self.tun_name, self._tun_offloads = open_tun(name, offload=tun_offload)
        self._owned.callback(os.close, self._tun_fd)
        bring_up(self.tun_name, self._mtu)

    def _open_sockets(self, udp_port: int, ike_port: int, gro: bool) -> None:
        versions = (4, 6) if sockets.has_ipv6() else (4,)
        self._udp = {}
        self._raw = {}
        self._ah = {}
        for version in versions:
            self._udp[version] = sockets.open_udp(version, udp_port, mark=self._mark, gro=gro)
            self._owned.callback(self._udp[version].close)
            self._raw[version] = sockets.open_raw(version, sockets.ESP, mark=self._mark)
            self._owned.callback(self._raw[version].close)
            self._ah[version] = sockets.open_raw(version, sockets.AH, mark=self._mark)
            self._owned.callback(self._ah[version].close)
        self._ike = IkeSockets(ike_port, udp_port, self._udp, mark=self._mark)
        self._owned.callback(self._ike.close)

    def _make_workers(self, udp_port: int, gso: bool, merge: bool) -> None:
        def fd(table: dict[int, socket.socket], version: int) -> int:
            return table[version].fileno() if version in table else -1

        self._notes = [Mailbox(NOTES_BYTES, self._bell) for _ in range(2)]
        self._sender = Sender(
            fd(self._udp, 4),
            fd(self._udp, 6),
            fd(self._raw, 4),
            fd(self._raw, 6),
            fd(self._ah, 4),
            fd(self._ah, 6),
            gso,
        )
        self._reader = TunReader(self._tun_fd)
        self._outbound = Outbound(self._engine, self._notes[0], self._reader, self._sender)
        receivers: list[Receiver] = [
            UdpReceiver(sock.fileno(), udp_port, self._ike.mailbox) for sock in self._udp.values()
        ]
        receivers += [RawReceiver(sock.fileno(), version, sockets.ESP) for version, sock in self._raw.items()]
        receivers += [RawReceiver(sock.fileno(), version, sockets.AH) for version, sock in self._ah.items()]
        self._receivers = receivers
        self._writer = TunWriter(self._tun_fd, merge)
        self._inbound = Inbound(self._engine, self._notes[1], receivers, self._writer)

    def _start(self, cpus: Sequence[int] | None) -> list[threading.Thread]:
        if cpus is None:
            usable = sorted(os.sched_getaffinity(0))
            cpus = (usable[0], usable[-1]) if len(usable) > 1 else ()
        threads = []
        for index, (worker, name) in enumerate(((self._outbound, "fastesp-out"), (self._inbound, "fastesp-in"))):
            cpu = cpus[index % len(cpus)] if cpus else None
            thread = threading.Thread(target=_work, args=(worker, cpu), name=name, daemon=True)
            thread.start()
            threads.append(thread)
        return threads

    @contextlib.contextmanager
    def _parked(self, *workers: Worker) -> Iterator[None]:
        """Stop workers between two batches: what they own is ours meanwhile."""
        if self._closed:
            raise DataPlaneError("user-space data plane: it is closed")
        parked = []
        try:
            for worker in workers:
                worker.park()
                parked.append(worker)
            yield
        except TimeoutError as error:
            raise DataPlaneError(f"user-space data plane: {error}") from error
        finally:
            for worker in parked:
                worker.resume()

    # ---- DataPlane -----------------------------------------------------------------------------------------------

    def capabilities(self) -> frozenset[str]:
        """Protocols, modes and suites; and which offloads are in use (``udp-gso``, ``tun-tso`` ...)."""
        have = {"esp", "tunnel", "transport", "ipv4", "esn", "udp-encap", "trap", "move", "tfc"} | self._suites
        if self._suites & {"aes-gmac", *INTEGRITY}:
            have.add("ah")
        have |= {f"tun-{name}" for name in self._tun_offloads}
        if 6 in self._udp:
            have.add("ipv6")
        if self._sender.gso:
            have.add("udp-gso")
        return frozenset(have)

    def allocate_spi(self, protocol: SaProtocol) -> int:  # noqa: ARG002 - ESP and AH share one space here
        """12 bits of bucket, 20 random. All buckets belong to the one inbound worker."""
        now = time.monotonic()
        for spi in [spi for spi, until in self._spis.items() if until < now]:
            del self._spis[spi]
        while True:
            spi = secrets.randbits(32)
            if spi >= 256 and spi not in self._spis:
                self._spis[spi] = now + SPI_RESERVED_SECONDS
                return spi

    def install(self, sa: ChildSa) -> Placement:
        """Inbound works on return; outbound waits for :meth:`activate_outbound`."""
        if sa.placement not in ("auto", "userspace"):
            raise DataPlaneError(f"{sa.name}: placement {sa.placement!r} is not the user-space data plane's")
        if sa.protocol is SaProtocol.AH and sa.path.udp_encap:
            raise DataPlaneError(f"{sa.name}: AH authenticates addresses, so that no NAT lets it pass: use ESP in UDP")
        if sa.child_id in self._children:
            raise DataPlaneError(f"{sa.name}: CHILD_SA {sa.child_id} is installed already")
        if sa.path.remote.version not in self._udp:
            raise DataPlaneError(f"{sa.name}: no IPv{sa.path.remote.version} on this machine")
        if not fits_joined(sa):
            sockets.stop_joining(self._udp[sa.path.remote.version])
        slot_in = slot_out = None
        mtu = self._inner_mtu(sa)
        try:
            inward, outward = self._prepare_inbound(sa, mtu), self._prepare_outbound(sa, mtu)
            with self._parked(self._inbound):
                slot_in = self._engine.inbound.add(inward)
                self._inbound.set_path(slot_in, *_ends(sa.path))
            with self._parked(self._outbound):
                slot_out = self._engine.outbound.add(outward)
                self._outbound.set_path(slot_out, *_ends(sa.path))
                if sa.tfc_padding:
                    self._outbound.reserve(mtu)
        except (ValueError, LookupError, MemoryError, TypeError, RuntimeError) as error:
            raise DataPlaneError(f"{sa.name}: the engine refuses the SA: {error}") from error
        finally:
            if slot_out is None and slot_in is not None:
                with self._parked(self._inbound):
                    self._engine.remove_inbound(slot_in)
                    self._inbound.clear_path(slot_in)
        self._children[sa.child_id] = _Child(sa, slot_in, slot_out)
        self._by_slot[True, slot_in] = sa.child_id
        self._by_slot[False, slot_out] = sa.child_id
        self._spis[sa.inbound.spi] = float("inf")
        return Placement("userspace/0", tuple(self._why))

    def _prepare_inbound(self, sa: ChildSa, mtu: int) -> Sa:
        """The key schedule, which takes longest, before any worker is parked."""
        return self._engine.inbound.prepare(
            sa.inbound.spi,
            sa.inbound.suite,
            sa.inbound.encryption_key,
            sa.inbound.integrity_key,
            selectors=sa.selectors,
            protocol=sa.protocol,
            mode=sa.mode,
            local=sa.path.local,
            remote=sa.path.remote,
            esn=sa.esn,
            replay_window=sa.replay_window,
            nat=sa.mode is SaMode.TRANSPORT and sa.path.udp_encap,
            mss=self._mss(sa, mtu),
            lifetime=sa.lifetime,
            copy_ecn=sa.copy_ecn,
            copy_dscp=sa.copy_dscp in ("in", "yes"),
        )

    def _prepare_outbound(self, sa: ChildSa, mtu: int) -> Sa:
        return self._engine.outbound.prepare(
            sa.outbound.spi,
            sa.outbound.suite,
            sa.outbound.encryption_key,
            sa.outbound.integrity_key,
            epoch=1,
            protocol=sa.protocol,
            mode=sa.mode,
            local=sa.path.local,
            remote=sa.path.remote,
            esn=sa.esn,
            lifetime=sa.lifetime,
            tfc_padding=mtu if sa.tfc_padding < 0 else min(sa.tfc_padding, mtu),
            mtu=mtu,
            mss=self._mss(sa, mtu),
            copy_df=sa.copy_df,
            copy_ecn=sa.copy_ecn,
            copy_dscp=sa.copy_dscp in ("out", "yes"),
        )

    def activate_outbound(self, child_id: int) -> None:
        """The policy of its selectors sends on it; what waited for it goes first."""
        child = self._child(child_id)
        key = (child.sa.selectors, child.sa.priority)
        with self._parked(self._outbound):
            policy = self._policies.get(key)
            if policy is None:
                slot = self._engine.add_policy(
                    child.sa.selectors,
                    PolicyAction.PROTECT,
                    priority=_rank(child.sa.priority, PolicyAction.PROTECT),
                    sa=child.slot_out,
                )
                policy = self._policies[key] = _Policy(slot)
            if child_id in policy.children:
                policy.children.remove(child_id)
            policy.children.append(child_id)
            self._choose(policy)
            trap = self._traps.get(child.sa.name)
            if trap is not None:
                self._outbound.answered(trap[1])
            self._outbound.release()

    def _deactivate(self, child_id: int) -> None:
        """Take the SA out of its policy, which falls back to the one before, or goes. While outbound is parked."""
        child = self._children[child_id]
        key = (child.sa.selectors, child.sa.priority)
        policy = self._policies.get(key)
        if policy is None or child_id not in policy.children:
            return
        policy.children.remove(child_id)
        if policy.children:
            self._choose(policy)
        else:
            self._engine.remove_policy(policy.slot)
            del self._policies[key]

    def _choose(self, policy: _Policy) -> None:
        """Flows are spread over the numbered SAs, the newest of each number; where there is none the last SA sends."""
        children = [self._children[child_id] for child_id in policy.children]
        numbered = {child.sa.resource: child.slot_out for child in children if child.sa.resource}
        if numbered:
            self._engine.share_policy(policy.slot, [numbered[number] for number in sorted(numbered)])
        else:
            self._engine.change_policy(policy.slot, sa=children[-1].slot_out)

    def move(self, child_id: int, path: OuterPath) -> None:
        """Both halves use the new addresses from the next packet on."""
        child = self._child(child_id)
        if path.remote.version not in self._udp:
            raise DataPlaneError(f"{child.sa.name}: no IPv{path.remote.version} on this machine")
        child.sa = replace(child.sa, path=path)
        mtu = self._inner_mtu(child.sa)
        with self._parked(self._inbound, self._outbound):
            self._inbound.set_path(child.slot_in, *_ends(path))
            self._engine.inbound.move(child.slot_in, path.local, path.remote)
            self._outbound.set_path(child.slot_out, *_ends(path))
            self._engine.outbound.move(child.slot_out, path.local, path.remote)
            self._set_mtu(child, mtu)

    def counters(self, child_id: int) -> SaCounters:
        """Packets and bytes of inner packets, and drops by verdict, of both halves."""
        child = self._child(child_id)
        in_counters, in_drops = self._engine.inbound.views
        out_counters, out_drops = self._engine.outbound.views
        drops: dict[str, int] = {}
        for by_verdict in (in_drops[child.slot_in], out_drops[child.slot_out]):
            for verdict, count in enumerate(by_verdict):
                if count and Verdict(verdict).is_drop:
                    label = Verdict(verdict).label
                    drops[label] = drops.get(label, 0) + int(count)
        got, sent = in_counters[child.slot_in], out_counters[child.slot_out]
        return SaCounters(
            bytes_in=int(got["bytes"]),
            packets_in=int(got["packets"]),
            bytes_out=int(sent["bytes"]),
            packets_out=int(sent["packets"]),
            last_in=int(got["last"]) / 1e9,
            last_out=int(sent["last"]) / 1e9,
            drops=drops,
        )

    def retire(self, child_id: int) -> None:
        """Its policy falls back to the SA that was active before, if any."""
        child = self._child(child_id)
        with self._parked(self._outbound):
            self._deactivate(child_id)
            self._engine.retire_outbound(child.slot_out)

    def remove(self, child_id: int) -> None:
        """Both halves, the keys wiped. Unknown ids are ignored."""
        child = self._children.get(child_id)
        if child is None:
            return
        with self._parked(self._inbound, self._outbound):
            self._deactivate(child_id)
            self._engine.remove_outbound(child.slot_out)
            self._engine.remove_inbound(child.slot_in)
            self._outbound.clear_path(child.slot_out)
            self._inbound.clear_path(child.slot_in)
        del self._children[child_id]
        del self._by_slot[True, child.slot_in]
        del self._by_slot[False, child.slot_out]
        self._spis.pop(child.sa.inbound.spi, None)
        _wipe(child.sa)

    def set_trap(self, policy: TrapPolicy) -> None:
        """Add or replace, by name; a replaced trap asks anew."""
        self.clear_trap(policy.name)
        with self._parked(self._outbound):
            slot = self._engine.add_policy(
                policy.selectors, policy.action, priority=_rank(policy.priority, policy.action)
            )
            self._outbound.forget(slot)
        self._traps[policy.name] = (policy, slot)

    def clear_trap(self, name: str) -> None:
        """What waits for it is dropped and counted. Unknown names are ignored."""
        known = self._traps.pop(name, None)
        if known is None:
            return
        with self._parked(self._outbound):
            self._engine.remove_policy(known[1])
            self._outbound.forget(known[1])

    def drops(self) -> dict[str, int]:
        """By verdict's label: the engine's and the I/O's together."""
        engine_in, engine_out = self._engine.verdicts
        totals = engine_in + engine_out + self._inbound.counters + self._outbound.counters
        return {verdict.label: int(totals[verdict]) for verdict in Verdict if verdict.is_drop}

    # ---- events --------------------------------------------------------------------------------------------------

    @property
    def event_fd(self) -> int:
        """Readable when :meth:`events` has something."""
        return self._bell

    def events(self) -> list[DataPlaneEvent]:
        """Drain what the workers noted."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        out: list[DataPlaneEvent] = []
        for mailbox in self._notes:
            for record in mailbox.drain():
                event = self._event(note.decode_note(record))
                if event is not None:
                    out.append(event)
        return out

    def _event(self, told: note.Note) -> DataPlaneEvent | None:
        """The event that a note means; ``None`` where its SA or policy has gone meanwhile, or it is ours to act on."""
        if told.kind == note.ACQUIRE:
            return self._acquire(told)
        if told.kind == note.UNKNOWN_SPI and told.path is not None:
            return None if told.spi in self._spis else UnknownSpi(told.spi, _outer(told.path))
        child_id = self._by_slot.get((told.inbound, told.slot))
        if child_id is None:
            return None
        sa = self._children[child_id].sa
        if told.spi != (sa.inbound.spi if told.inbound else sa.outbound.spi):
            return None
        if told.kind == note.LIMIT:
            return HardLimit(child_id, told.what) if told.hard else SoftLimit(child_id, told.what)
        if told.kind == note.MOVED and told.path is not None:
            moved = _outer(told.path)
            return PeerMoved(child_id, moved) if moved != sa.path else None
        self._follow_path_mtu(child_id)
        return None

    def _acquire(self, told: note.Note) -> Acquire | None:
        for policy, slot in self._traps.values():
            if slot == told.slot and told.source is not None and told.destination is not None:
                return Acquire(
                    policy.name,
                    policy.reqid,
                    told.source,
                    told.destination,
                    told.protocol,
                    told.source_port,
                    told.destination_port,
                )
        return None

    def _follow_path_mtu(self, child_id: int) -> None:
        """The kernel has learnt a smaller path MTU: larger packets are answered with ICMP from now on."""
        child = self._children[child_id]
        mtu = self._inner_mtu(child.sa)
        with self._parked(self._inbound, self._outbound):
            self._set_mtu(child, mtu)
        log.info("%s: packets of at most %d bytes fit the path to %s", child.sa.name, mtu, child.sa.path.remote)

    def _set_mtu(self, child: _Child, mtu: int) -> None:
        """While both workers are parked."""
        mss = self._mss(child.sa, mtu)
        self._engine.outbound.set_mtu(child.slot_out, mtu, mss)
        self._engine.inbound.set_mtu(child.slot_in, 0, mss)

    def _mss(self, sa: ChildSa, mtu: int) -> int:
        """What TCP may announce, so that no segment has to be told of a path or a device that is too narrow for it."""
        return tcp_mss(sa, min(mtu, self._mtu))

    def _inner_mtu(self, sa: ChildSa) -> int:
        path = sa.path
        outer = sockets.path_mtu(path.local, path.remote, mark=self._mark) or DEFAULT_PATH_MTU
        return inner_mtu(sa, outer)

    def _child(self, child_id: int) -> _Child:
        try:
            return self._children[child_id]
        except KeyError:
            raise KeyError(f"no CHILD_SA {child_id} in the user-space data plane") from None

    # ---- IKE datagrams -------------------------------------------------------------------------------------------

    @property
    def ike_fd(self) -> int:
        """Readable while IKE datagrams wait."""
        return self._ike.fd

    def receive_ike(self) -> list[Datagram]:
        """``(message, local, local_port, remote, remote_port)`` each, without non-ESP marker. Never waits."""
        return self._ike.receive()

    def send_ike(self, data: bytes, path: Route) -> bool:
        """Send from ``path.local``, from the NAT-T port with its marker. False where the kernel refuses."""
        return self._ike.send(data, path)

    def send_keepalive(self, path: Route) -> bool:
        """Keep a NAT on the way from forgetting us (RFC 3948 section 2.3). False where the kernel refuses."""
        return self._ike.send_keepalive(path)

    # ---- figures and the end -------------------------------------------------------------------------------------

    @property
    def provider(self) -> str:
        """The AEAD provider in use."""
        return self._engine.provider

    def io_figures(self) -> dict[str, int]:
        """Packets, batches and system calls since the start, for benchmarks and ``status``."""
        return {
            "out_packets": self._outbound.packets,
            "out_batches": self._outbound.batches,
            "out_waits": self._outbound.waits,
            "out_datagrams": self._sender.datagrams,
            "out_send_calls": self._sender.calls,
            "out_gso_refused": self._sender.gso_refused,
            "in_packets": self._inbound.packets,
            "in_batches": self._inbound.batches,
            "in_waits": self._inbound.waits,
            "waiting_for_sa": self._outbound.waiting,
            "notes_lost": sum(mailbox.lost for mailbox in self._notes),
            "ike_lost": self._ike.mailbox.lost,
        }

    def time_stages(self, on: bool = True) -> None:
        """Keep the nanoseconds of :meth:`stages` from now on, from zero; they cost a few of them a packet."""
        with self._parked(self._outbound, self._inbound):
            self._engine.time_stages(on)
            self._outbound.time_stages(on)
            self._inbound.time_stages(on)

    def stages(self) -> dict[str, dict[str, int]]:
        """Where time goes: nanoseconds by stage (``out.read``), and bytes copied there, by us and by the kernel.

        ``packets`` stands beside them. Totals: who wants them for a while takes the difference of two calls.
        """
        engine = self._engine.stages
        spent = {f"out.{name}": value for name, value in self._outbound.spent.items()}
        spent |= {f"in.{name}": value for name, value in self._inbound.spent.items()}
        spent |= {f"out.{name}": engine[name] for name in ("classify", "wrap", "seal", "sent")}
        spent |= {f"in.{name}": engine[name] for name in ("lookup", "admit", "open", "unwrap")}
        copied = {
            "out.read": self._reader.copied,
            "out.write": self._sender.copied,
            "in.read": sum(receiver.copied for receiver in self._receivers),
            "in.write": self._writer.copied,
        }
        packets = {"out": self._outbound.packets, "in": self._inbound.packets}
        return {"ns": spent, "copied": copied, "packets": packets}

    def close(self) -> None:
        """Join the workers, forget all SAs, close every descriptor; the TUN device goes with its own."""
        if self._closed:
            return
        self._closed = True
        for worker in (self._outbound, self._inbound):
            worker.stop()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)
        if any(thread.is_alive() for thread in self._threads):
            raise DataPlaneError(f"user-space data plane: a worker did not stop within {JOIN_SECONDS:g} s")
        for child in self._children.values():
            _wipe(child.sa)
        self._children.clear()
        self._owned.close()

    def __enter__(self) -> UserspaceDataPlane:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _work(worker: Worker, cpu: int | None) -> None:
    """A worker thread's body."""
    if cpu is not None:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {cpu})
    worker.run()


def bring_up(name: str, mtu: int) -> None:
    """Set the TUN's MTU and bring it up, without the link-local address that nobody asked for."""
    from pyroute2 import IPRoute

    with contextlib.suppress(OSError), open(f"/proc/sys/net/ipv6/conf/{name}/addr_gen_mode", "w") as file:
        file.write("1")
    with IPRoute() as route:
        index = route.link_lookup(ifname=name)[0]
        route.link("set", index=index, mtu=mtu, txqlen=TUN_QUEUE, state="up")


def _rank(priority: int, action: PolicyAction) -> int:
    """Lower goes first. A trap stands behind the SA of the same configured priority, which it is to bring up."""
    if action is PolicyAction.TRAP:
        return 2 * (priority or TRAP_RANK) + 1
    return 2 * (priority or (PROTECT_RANK if action is PolicyAction.PROTECT else PASS_RANK))


def _ends(path: OuterPath) -> Ends:
    return path.local, path.local_port, path.remote, path.remote_port


def _outer(ends: Ends) -> OuterPath:
    local, local_port, remote, remote_port = ends
    return OuterPath(local, remote, local_port, remote_port)


def _wipe(sa: ChildSa) -> None:
    for half in (sa.inbound, sa.outbound):
        half.encryption_key.wipe()
        if half.integrity_key is not None:
            half.integrity_key.wipe()
