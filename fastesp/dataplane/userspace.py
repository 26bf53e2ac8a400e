"""The data plane in user space: the engine between a TUN device and the machine's UDP and raw sockets.

Workers carry packets (:mod:`.workers`); this says which of them owns an SA, and what their policies are. It belongs to
the control plane's thread, and parks a worker for the moment in which it changes what that worker owns. Policies are
every worker's: the owner's copy names the SA, the others' name the owner.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fastesp.dataplane.base import (
    Acquire,
    ChildSa,
    DataPlaneError,
    DataPlaneEvent,
    Degraded,
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
from fastesp.dataplane.spis import Spis
from fastesp.dataplane.workers import Pair, Wishes, Workers, default_workers
from fastesp.engine.batch import ELSEWHERE, NO_SLOT
from fastesp.engine.sa import Sa
from fastesp.engine.suites import INTEGRITY
from fastesp.engine.usable import usable_suites
from fastesp.engine.verdict import Verdict
from fastesp.io import note, sockets
from fastesp.io.ike_socket import Datagram, Route

if TYPE_CHECKING:
    from fastesp.io.path import Ends

log = logging.getLogger(__name__)

DEFAULT_TUN_MTU = 1400
"""Fits a path of 1,500 bytes with every suite, IPv6 and UDP outside."""
DEFAULT_PATH_MTU = 1500

MAX_SAS = 131072
MAX_POLICIES = 2 * MAX_SAS
"""Room for a policy of each SA, and traps beside them; memory is taken only as they come."""

PASS_RANK, PROTECT_RANK, TRAP_RANK = 100_000, 200_000, 300_000
"""Policies without a configured priority: exceptions first, then SAs, then traps; narrower ones first within each."""


@dataclass(slots=True)
class _Child:
    """Where its two SAs are: worker and slot each."""

    sa: ChildSa
    inward: Pair
    slot_in: int
    outward: Pair
    slot_out: int
    mtu: int
    """The longest inner packet, in bytes, as the path is known now."""


@dataclass(slots=True)
class _Policy:
    """A policy's slot in each worker's engine, and the CHILD_SAs that were activated on it, in that order."""

    slots: dict[int, int] = field(default_factory=dict)
    children: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Trap:
    """A policy without SA: one worker keeps what meets it and asks, the others hand over to that one."""

    policy: TrapPolicy
    home: Pair
    slots: dict[int, int]


class UserspaceDataPlane:
    """See :class:`fastesp.dataplane.base.DataPlane`; and all IKE datagrams, which share sockets with ESP.

    ``mtu`` is the TUN's, in bytes. ``gso`` and ``gro``: ``None`` checks at the start whether this kernel does them
    right. ``workers``: how many pairs of threads; 0 takes one for each four cores. ``poll``: they never sleep, and each
    thread takes a core whole. ``cpus``: of the first worker's outbound and inbound thread, then the second's, from the
    start again where there are too few; ``None`` deals out what this process may use, ``()`` pins nothing. ``mark``
    is set on every packet that leaves (policy routing needs it to tell them from packets that are to be protected).
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
        workers: int = 0,
        poll: bool = False,
        cpus: Sequence[int] | None = None,
        max_sas: int = MAX_SAS,
        max_policies: int = MAX_POLICIES,
    ) -> None:
        wishes = Wishes(
            tun_name=tun_name,
            mtu=mtu,
            udp_port=udp_port,
            ike_port=ike_port,
            mark=mark,
            provider=provider,
            gso=gso,
            gro=gro,
            tun_offload=tun_offload,
            workers=workers or default_workers(),
            poll=poll,
            cpus=cpus,
            max_sas=max_sas,
            max_policies=max_policies,
        )
        self._suites = usable_suites(provider)
        try:
            self._workers = Workers(wishes)
        except OSError as error:
            raise DataPlaneError(f"user-space data plane: {error.strerror or error}") from error
        self.tun_name = self._workers.tun_name
        self._pairs = self._workers.pairs
        self._parked = self._workers.parked
        self._ike = self._workers.ike
        self._children: dict[int, _Child] = {}
        self._by_slot: dict[tuple[int, bool, int], int] = {}
        self._policies: dict[tuple[tuple[Selector, ...], int], _Policy] = {}
        self._traps: dict[str, _Trap] = {}
        self._device_is_gone = False
        self._spis = Spis(len(self._pairs))
        self._mark = mark
        self._mtu = mtu

    # ---- DataPlane -----------------------------------------------------------------------------------------------

    def capabilities(self) -> frozenset[str]:
        """Protocols, modes and suites; and which offloads are in use (``udp-gso``, ``tun-tso`` ...)."""
        have = {"esp", "tunnel", "transport", "ipv4", "esn", "udp-encap", "trap", "move", "tfc"} | self._suites
        if not self._suites.isdisjoint(INTEGRITY):
            have.add("ah")
        have |= {f"tun-{name}" for name in self._workers.tun_offloads}
        if 6 in self._workers.versions:
            have.add("ipv6")
        if self._pairs[0].sender.gso:
            have.add("udp-gso")
        return frozenset(have)

    def allocate_spi(self, protocol: SaProtocol, replaces: int = 0) -> int:  # noqa: ARG002 - one space for ESP and AH
        """12 bits of bucket, which say what worker owns the SA, and 20 random ones. A rekeyed SA stays where it was."""
        return self._spis.allocate(replaces)

    def install(self, sa: ChildSa) -> Placement:
        """Inbound works on return; outbound waits for :meth:`activate_outbound`."""
        self._check(sa)
        if not fits_joined(sa):
            self._workers.stop_joining(sa.path.remote.version)
        inward = self._workers.owner(sa.inbound.spi)
        outward = self._sender(sa) or inward
        slot_in = slot_out = None
        mtu = self._inner_mtu(sa)
        try:
            incoming, outgoing = self._prepare_inbound(inward, sa, mtu), self._prepare_outbound(outward, sa, mtu)
            with self._parked(inward.inbound):
                slot_in = inward.engine.inbound.add(incoming)
                inward.inbound.set_path(slot_in, *_ends(sa.path))
            with self._parked(outward.outbound):
                slot_out = outward.engine.outbound.add(outgoing)
                outward.outbound.set_path(slot_out, *_ends(sa.path))
                if sa.tfc_padding:
                    outward.outbound.reserve(mtu)
        except (ValueError, LookupError, ArithmeticError, MemoryError, TypeError, RuntimeError) as error:
            raise DataPlaneError(f"{sa.name}: the engine refuses the SA: {error}") from error
        finally:
            if slot_out is None and slot_in is not None:
                with self._parked(inward.inbound):
                    inward.engine.remove_inbound(slot_in)
                    inward.inbound.clear_path(slot_in)
        self._children[sa.child_id] = _Child(sa, inward, slot_in, outward, slot_out, mtu)
        self._by_slot[inward.number, True, slot_in] = sa.child_id
        self._by_slot[outward.number, False, slot_out] = sa.child_id
        self._spis.install(sa.inbound.spi)
        return Placement(f"userspace/{inward.number}", self._why(inward, outward))

    def _check(self, sa: ChildSa) -> None:
        """Raises :class:`DataPlaneError` for what cannot be."""
        if sa.placement not in ("auto", "userspace"):
            raise DataPlaneError(f"{sa.name}: placement {sa.placement!r} is not the user-space data plane's")
        if sa.protocol is SaProtocol.AH and sa.path.udp_encap:
            raise DataPlaneError(f"{sa.name}: AH authenticates addresses, so that no NAT lets it pass: use ESP in UDP")
        if sa.child_id in self._children:
            raise DataPlaneError(f"{sa.name}: CHILD_SA {sa.child_id} is installed already")
        if sa.path.remote.version not in self._workers.versions:
            raise DataPlaneError(f"{sa.name}: no IPv{sa.path.remote.version} on this machine")

    def _sender(self, sa: ChildSa) -> Pair | None:
        """The worker that sends for these selectors now: as long as it goes on, no packet overtakes another."""
        policy = self._policies.get((sa.selectors, sa.priority))
        children = [self._children[child_id] for child_id in policy.children] if policy else []
        return next((child.outward for child in reversed(children) if child.sa.resource == sa.resource), None)

    def _why(self, inward: Pair, outward: Pair) -> tuple[str, ...]:
        if inward is outward:
            return tuple(self._workers.why)
        stays = f"worker {outward.number} goes on sending, so that no packet overtakes one before it"
        return (*self._workers.why, stays)

    def _prepare_inbound(self, owner: Pair, sa: ChildSa, mtu: int) -> Sa:
        """The key schedule, which takes longest, before any worker is parked."""
        return owner.engine.inbound.prepare(
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

    def _prepare_outbound(self, owner: Pair, sa: ChildSa, mtu: int) -> Sa:
        return owner.engine.outbound.prepare(
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
        policy = self._policies.setdefault((child.sa.selectors, child.sa.priority), _Policy())
        if child_id in policy.children:
            policy.children.remove(child_id)
        policy.children.append(child_id)
        try:
            self._point(policy, self._traps.get(child.sa.name))
        except MemoryError as error:
            raise DataPlaneError(f"{child.sa.name}: {error}") from error

    def _point(self, policy: _Policy, answered: _Trap | None = None) -> None:
        """Have a policy send on its SAs, in every worker."""
        children = self._sending(policy)
        newest = self._children[policy.children[-1]]
        sa = newest.sa
        for pair in self._from(newest.outward):
            slots = [
                child.slot_out if child.outward is pair else ELSEWHERE + child.outward.number for child in children
            ]
            with self._parked(pair.outbound):
                if pair.number not in policy.slots:
                    policy.slots[pair.number] = pair.engine.add_policy(
                        sa.selectors, PolicyAction.PROTECT, priority=_rank(sa.priority, PolicyAction.PROTECT)
                    )
                if len(slots) > 1:
                    pair.engine.share_policy(policy.slots[pair.number], slots)
                else:
                    pair.engine.change_policy(policy.slots[pair.number], sa=slots[0])
                if answered is not None and answered.home is pair:
                    pair.outbound.answered(answered.slots[pair.number])
                pair.outbound.release()

    def _sending(self, policy: _Policy) -> list[_Child]:
        """Flows are spread over the numbered SAs, the newest of each number; where there is none the last SA sends."""
        children = [self._children[child_id] for child_id in policy.children]
        numbered = {child.sa.resource: child for child in children if child.sa.resource}
        return [numbered[number] for number in sorted(numbered)] or children[-1:]

    def _from(self, first: Pair) -> list[Pair]:
        """All workers, one before the others: what these hand over is to be known there by then."""
        return [first, *(pair for pair in self._pairs if pair is not first)]

    def _deactivate(self, child_id: int) -> None:
        """Take the SA out of its policy, which falls back to the one before, or goes."""
        child = self._children[child_id]
        key = (child.sa.selectors, child.sa.priority)
        policy = self._policies.get(key)
        if policy is None or child_id not in policy.children:
            return
        policy.children.remove(child_id)
        if policy.children:
            self._point(policy)
            return
        del self._policies[key]
        for number, slot in policy.slots.items():
            with self._parked(self._pairs[number].outbound):
                self._pairs[number].engine.remove_policy(slot)

    def move(self, child_id: int, path: OuterPath) -> None:
        """Both halves use the new addresses from the next packet on."""
        child = self._child(child_id)
        if path.remote.version not in self._workers.versions:
            raise DataPlaneError(f"{child.sa.name}: no IPv{path.remote.version} on this machine")
        child.sa = replace(child.sa, path=path)
        mtu = self._inner_mtu(child.sa)
        with self._parked(child.inward.inbound, child.outward.outbound):
            child.inward.inbound.set_path(child.slot_in, *_ends(path))
            child.inward.engine.inbound.move(child.slot_in, path.local, path.remote)
            child.outward.outbound.set_path(child.slot_out, *_ends(path))
            child.outward.engine.outbound.move(child.slot_out, path.local, path.remote)
            self._set_mtu(child, mtu)

    def counters(self, child_id: int) -> SaCounters:
        """Packets and bytes of inner packets, and drops by verdict, of both halves."""
        child = self._child(child_id)
        in_counters, in_drops = child.inward.engine.inbound.views
        out_counters, out_drops = child.outward.engine.outbound.views
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
        self._deactivate(child_id)
        with self._parked(child.outward.outbound):
            child.outward.engine.retire_outbound(child.slot_out)

    def remove(self, child_id: int) -> None:
        """Both halves, the keys wiped, once their owners are between two batches. Unknown ids are ignored."""
        child = self._children.get(child_id)
        if child is None:
            return
        self._deactivate(child_id)
        with self._parked(child.inward.inbound, child.outward.outbound):
            child.outward.engine.remove_outbound(child.slot_out)
            child.inward.engine.remove_inbound(child.slot_in)
            child.outward.outbound.clear_path(child.slot_out)
            child.inward.inbound.clear_path(child.slot_in)
        del self._children[child_id]
        del self._by_slot[child.inward.number, True, child.slot_in]
        del self._by_slot[child.outward.number, False, child.slot_out]
        self._spis.free(child.sa.inbound.spi)
        _wipe(child.sa)

    def set_trap(self, policy: TrapPolicy) -> None:
        """Add or replace, by name; a replaced trap asks anew. Raises :class:`DataPlaneError`, and leaves none then."""
        self.clear_trap(policy.name)
        home = self._pairs[len(self._traps) % len(self._pairs)]
        trap = self._traps[policy.name] = _Trap(policy, home, {})
        rank = _rank(policy.priority, policy.action)
        try:
            for pair in self._from(home):
                waits = policy.action is PolicyAction.TRAP and pair is not home
                with self._parked(pair.outbound):
                    slot = trap.slots[pair.number] = pair.engine.add_policy(
                        policy.selectors, policy.action, priority=rank, sa=ELSEWHERE + home.number if waits else NO_SLOT
                    )
                    pair.outbound.forget(slot)
        except (ValueError, MemoryError) as error:
            self.clear_trap(policy.name)
            raise DataPlaneError(f"{policy.name}: {error}") from error

    def clear_trap(self, name: str) -> None:
        """What waits for it is dropped and counted. Unknown names are ignored."""
        known = self._traps.pop(name, None)
        if known is None:
            return
        for number, slot in known.slots.items():
            pair = self._pairs[number]
            with self._parked(pair.outbound):
                pair.engine.remove_policy(slot)
                pair.outbound.forget(slot)

    def drops(self) -> dict[str, int]:
        """By verdict's label: the engines' and the I/O's together, over all workers."""
        return self._workers.drops()

    # ---- events --------------------------------------------------------------------------------------------------

    @property
    def event_fd(self) -> int:
        """Readable when :meth:`events` has something."""
        return self._workers.bell

    def events(self) -> list[DataPlaneEvent]:
        """Drain what the workers noted."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._workers.bell)
        out: list[DataPlaneEvent] = []
        for pair in self._pairs:
            for mailbox in pair.notes:
                for record in mailbox.drain():
                    event = self._event(pair.number, note.decode_note(record))
                    if event is not None:
                        out.append(event)
        return out

    def _event(self, worker: int, told: note.Note) -> DataPlaneEvent | None:
        """The event that a note means; ``None`` where its SA or policy has gone meanwhile, or it is ours to act on."""
        if told.kind == note.ACQUIRE:
            return self._acquire(worker, told)
        if told.kind == note.UNKNOWN_SPI and told.path is not None:
            return None if told.spi in self._spis else UnknownSpi(told.spi, _outer(told.path))
        if told.kind == note.DEVICE_GONE:
            return self._lose_device()
        child_id = self._by_slot.get((worker, told.inbound, told.slot))
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

    def _acquire(self, worker: int, told: note.Note) -> Acquire | None:
        for trap in self._traps.values():
            if trap.slots.get(worker) == told.slot and told.source is not None and told.destination is not None:
                return Acquire(
                    trap.policy.name,
                    trap.policy.reqid,
                    told.source,
                    told.destination,
                    told.protocol,
                    told.source_port,
                    told.destination_port,
                )
        return None

    def _lose_device(self) -> Degraded | None:
        """Each worker says so; it is told once."""
        told, self._device_is_gone = self._device_is_gone, True
        why = f"the TUN device {self.tun_name} was deleted: no packet enters or leaves a tunnel until a restart"
        return None if told else Degraded(None, why)

    def _follow_path_mtu(self, child_id: int) -> None:
        """The kernel has learnt a smaller path MTU: larger packets are answered with ICMP from now on."""
        child = self._children[child_id]
        mtu = self._inner_mtu(child.sa)
        if mtu == child.mtu:
            # What IPv6 promises to carry goes in fragments outside, and is told of each time.
            return
        with self._parked(child.inward.inbound, child.outward.outbound):
            self._set_mtu(child, mtu)
        log.info("%s: packets of at most %d bytes fit the path to %s", child.sa.name, mtu, child.sa.path.remote)

    def _set_mtu(self, child: _Child, mtu: int) -> None:
        """While both threads are parked."""
        child.mtu = mtu
        mss = self._mss(child.sa, mtu)
        child.outward.engine.outbound.set_mtu(child.slot_out, mtu, mss)
        child.inward.engine.inbound.set_mtu(child.slot_in, 0, mss)

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
        return self._pairs[0].engine.provider

    @property
    def workers(self) -> int:
        """How many there are."""
        return len(self._pairs)

    def io_figures(self) -> dict[str, int]:
        """Packets, batches and system calls since the start, for benchmarks and ``stats``: summed over all workers."""
        return self._workers.figures()

    def worker_figures(self) -> list[dict[str, int]]:
        """The same of each worker, and how many CHILD_SAs it owns (``sas``)."""
        owned = [0] * len(self._pairs)
        for child in self._children.values():
            owned[child.inward.number] += 1
        return [self._workers.figures_of(pair) | {"sas": owned[pair.number]} for pair in self._pairs]

    def time_stages(self, on: bool = True) -> None:
        """Keep the nanoseconds of :meth:`stages` from now on, from zero; they cost a few of them a packet."""
        self._workers.time_stages(on)

    def stages(self) -> dict[str, dict[str, int]]:
        """Where time goes: nanoseconds by stage (``out.read``), and bytes copied there, by us and by the kernel.

        ``packets`` stands beside them. Totals over all workers: who wants them for a while takes the difference of two.
        """
        return self._workers.stages()

    def close(self) -> None:
        """Join the workers, forget all SAs, close every descriptor; the TUN device goes with its own."""
        try:
            self._workers.close()
        finally:
            for child in self._children.values():
                _wipe(child.sa)
            self._children.clear()

    def __enter__(self) -> UserspaceDataPlane:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
