"""The workers of the user-space data plane: how many there are, what each owns, and how they are stopped and added up.

Worker N is a pair of threads over an engine of its own: outbound from its queue of the TUN to the wire, inbound from
the wire to the TUN. An SA belongs to one worker, which alone takes its sequence numbers and moves its replay window:
there is no lock. The kernel spreads flows over the TUN's queues, packets from the wire by SPI; what reaches a worker
that does not own the SA crosses over in a bounded queue, of which there is one from each to each, both ways.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fastesp.dataplane.base import DataPlaneError
from fastesp.dataplane.ports import Ports, open_ports, steer
from fastesp.engine.batch import WORKERS_MAX
from fastesp.engine.esp import Engine
from fastesp.engine.verdict import Verdict
from fastesp.io import offload, sockets
from fastesp.io.coalesce import TunWriter
from fastesp.io.filters import owner_of
from fastesp.io.handed import HandedReceiver
from fastesp.io.ike_socket import IkeSockets
from fastesp.io.inbound import Inbound
from fastesp.io.mailbox import Mailbox
from fastesp.io.outbound import Outbound
from fastesp.io.receive import RawReceiver, Receiver, UdpReceiver
from fastesp.io.send import Sender
from fastesp.io.tun import TunReader, open_tun
from fastesp.io.worker import Worker

log = logging.getLogger(__name__)

NOTES_BYTES = 1 << 17
HAND_OVER_BYTES = 1 << 22
"""From one worker to another: some 2,800 packets of full length. Taken from memory only as it is used."""
TUN_QUEUE = 2048
"""Packets that the kernel keeps for a worker that is parked, or that waits for its core."""
JOIN_SECONDS = 10.0
CORES_A_WORKER = 4
"""Two for its threads, two for what the machine does besides."""
WORKERS_UNASKED = 8


def default_workers() -> int:
    """How many, where nobody says: one for each four cores that this process may use."""
    return max(1, min(len(os.sched_getaffinity(0)) // CORES_A_WORKER, WORKERS_UNASKED))


@dataclass(frozen=True, slots=True)
class Wishes:
    """What workers are made with; :class:`fastesp.dataplane.userspace.UserspaceDataPlane` says what each means."""

    tun_name: str
    mtu: int
    udp_port: int
    ike_port: int
    mark: int
    provider: str
    gso: bool | None
    gro: bool | None
    tun_offload: bool
    workers: int
    poll: bool
    cpus: Sequence[int] | None
    max_sas: int
    max_policies: int


@dataclass(slots=True)
class Pair:
    """One worker."""

    number: int
    engine: Engine
    outbound: Outbound
    inbound: Inbound
    ports: Ports
    reader: TunReader
    writer: TunWriter
    sender: Sender
    receivers: list[Receiver]
    notes: tuple[Mailbox, Mailbox]
    """What the two threads tell the control plane."""

    @property
    def udp_receivers(self) -> list[UdpReceiver]:
        """Those of the NAT-T port."""
        return [receiver for receiver in self.receivers if isinstance(receiver, UdpReceiver)]


class Workers:
    """All of them, and the IKE sockets that share theirs. ``why`` says which offloads are off for what reason.

    Raises :class:`OSError` where the machine refuses the TUN device or a socket, ``ValueError`` for a bad number.
    """

    def __init__(self, wishes: Wishes) -> None:
        if not 0 < wishes.workers <= WORKERS_MAX:
            raise ValueError(f"{wishes.workers} workers: there can be 1 to {WORKERS_MAX}")
        self.why: list[str] = []
        self._closed = False
        self._owned = contextlib.ExitStack()
        self._threads: list[threading.Thread] = []
        self._seed = tuple(secrets.randbits(64) for _ in range(4))
        try:
            self.bell = self._eventfd()
            gso = self._trust(wishes.gso, offload.check_gso)
            gro = self._trust(wishes.gro, offload.check_gro)
            queues = self._open_tun(wishes)
            ports = open_ports(wishes.workers, wishes.udp_port, mark=wishes.mark, gro=gro, owned=self._owned)
            if wishes.workers > 1:
                steer(ports, queues[0], self._owned)
            self.versions = frozenset(ports[0].udp)
            self.ike = IkeSockets(
                wishes.ike_port, wishes.udp_port, ports[0].udp, mark=wishes.mark, workers=wishes.workers
            )
            self._owned.callback(self.ike.close)
            self.pairs = self._make(wishes, queues, ports, gso)
        except BaseException:
            self._owned.close()
            raise
        try:
            self._start(wishes)
        except BaseException:
            self.close()
            raise

    # ---- what they are made of -----------------------------------------------------------------------------------

    def _eventfd(self) -> int:
        fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._owned.callback(os.close, fd)
        return fd

    def _trust(self, wanted: bool | None, check: Callable[[], str]) -> bool:
        """An offload is used if asked for, or if it proves right; else ``placement`` says why it is off."""
        if wanted is not None:
            return wanted
        problem = check()
        if problem:
            self.why.append(problem)
            log.warning("%s: not used", problem)
        return not problem

    def _open_tun(self, wishes: Wishes) -> list[int]:
        """A queue a worker, all of one device."""
        self.tun_name = wishes.tun_name
        queues = []
        for _ in range(wishes.workers):
            fd, self.tun_name, self.tun_offloads = open_tun(
                self.tun_name, offload=wishes.tun_offload, multi_queue=wishes.workers > 1
            )
            self._owned.callback(os.close, fd)
            queues.append(fd)
        bring_up(self.tun_name, wishes.mtu)
        return queues

    def _make(self, wishes: Wishes, queues: list[int], ports: list[Ports], gso: bool) -> list[Pair]:
        bells = [self._eventfd() for _ in queues] if len(queues) > 1 else []
        inward = _exchange(bells)
        pairs = []
        for number, queue in enumerate(queues):
            receivers = self._receivers(wishes, number, ports[number], inward)
            if bells:
                senders = (row[number] for row in inward)
                receivers.append(HandedReceiver(bells[number], [sender for sender in senders if sender is not None]))
            pairs.append(self._pair(wishes, number, queue, ports[number], receivers, gso))
        if bells:
            outward = _exchange([pair.outbound.bell for pair in pairs])
            for pair in pairs:
                pair.outbound.exchange(outward[pair.number], [row[pair.number] for row in outward])
        return pairs

    def _receivers(
        self, wishes: Wishes, number: int, ports: Ports, inward: list[list[Mailbox | None]]
    ) -> list[Receiver]:
        found: list[Receiver] = []
        for sock in ports.udp.values():
            receiver = UdpReceiver(sock.fileno(), wishes.udp_port, self.ike.mailboxes[number])
            if inward:
                receiver.exchange(number, inward[number])
            found.append(receiver)
        found += [RawReceiver(sock.fileno(), version, sockets.ESP) for version, sock in ports.esp.items()]
        found += [RawReceiver(sock.fileno(), version, sockets.AH) for version, sock in ports.ah.items()]
        return found

    def _pair(
        self, wishes: Wishes, number: int, queue: int, ports: Ports, receivers: list[Receiver], gso: bool
    ) -> Pair:
        engine = Engine(
            provider=wishes.provider, max_sas=wishes.max_sas, max_policies=wishes.max_policies, seed=self._seed
        )
        self._owned.callback(engine.close)
        notes = Mailbox(NOTES_BYTES, self.bell), Mailbox(NOTES_BYTES, self.bell)
        reader, writer, sender = TunReader(queue), self._writer(queue), _sender(ports, gso)
        outbound = Outbound(engine, notes[0], reader, sender)
        inbound = Inbound(engine, notes[1], receivers, writer)
        return Pair(number, engine, outbound, inbound, ports, reader, writer, sender, receivers, notes)

    def _writer(self, queue: int) -> TunWriter:
        """It joins what the kernel can cut again."""
        return TunWriter(queue, tcp="tso" in self.tun_offloads, udp="uso" in self.tun_offloads)

    def _start(self, wishes: Wishes) -> None:
        cpus = wishes.cpus
        if cpus is None:
            usable = sorted(os.sched_getaffinity(0))
            # Outbound from the front, inbound from the back: the two of a worker meet only on a machine of one core.
            cpus = [cpu for both in zip(usable, reversed(usable), strict=True) for cpu in both]
            cpus = cpus if len(usable) > 1 else ()
        for place, worker in enumerate(self.threads):
            name = f"fastesp-{'in' if place % 2 else 'out'}{place // 2}"
            cpu = cpus[place % len(cpus)] if cpus else None
            if wishes.poll:
                worker.poll()
            thread = threading.Thread(target=_work, args=(worker, cpu), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    # ---- for whoever changes what they own -----------------------------------------------------------------------

    @property
    def threads(self) -> list[Worker]:
        """Both of each worker, in their order."""
        return [worker for pair in self.pairs for worker in (pair.outbound, pair.inbound)]

    def owner(self, spi: int) -> Pair:
        """Whose an inbound SPI is."""
        return self.pairs[owner_of(spi, len(self.pairs))]

    @contextlib.contextmanager
    def parked(self, *workers: Worker) -> Iterator[None]:
        """Stop threads between two batches: what they own is ours meanwhile."""
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

    def stop_joining(self, version: int) -> None:
        """No UDP GRO from now on (:func:`fastesp.io.sockets.stop_joining`)."""
        for pair in self.pairs:
            sockets.stop_joining(pair.ports.udp[version])

    # ---- figures and the end -------------------------------------------------------------------------------------

    def drops(self) -> dict[str, int]:
        """By verdict's label: the engines' and the I/O's together, over all workers."""
        parts = [
            part
            for pair in self.pairs
            for part in (*pair.engine.verdicts, pair.inbound.counters, pair.outbound.counters)
        ]
        return {verdict.label: sum(int(p[verdict]) for p in parts) for verdict in Verdict if verdict.is_drop}

    def figures_of(self, pair: Pair) -> dict[str, int]:
        """Packets, batches and system calls of one worker since the start. ``handed``: to others, who own the SA."""
        return {
            "out_packets": pair.outbound.packets,
            "out_batches": pair.outbound.batches,
            "out_waits": pair.outbound.waits,
            "out_datagrams": pair.sender.datagrams,
            "out_send_calls": pair.sender.calls,
            "out_gso_refused": pair.sender.gso_refused,
            "out_handed": pair.outbound.handed,
            "in_packets": pair.inbound.packets,
            "in_batches": pair.inbound.batches,
            "in_waits": pair.inbound.waits,
            "in_handed": sum(receiver.handed for receiver in pair.udp_receivers),
            "waiting_for_sa": pair.outbound.waiting,
            "notes_lost": sum(mailbox.lost for mailbox in pair.notes),
            "ike_lost": self.ike.mailboxes[pair.number].lost,
        }

    def figures(self) -> dict[str, int]:
        """:meth:`figures_of`, summed over all."""
        each = [self.figures_of(pair) for pair in self.pairs]
        return {name: sum(figures[name] for figures in each) for name in each[0]}

    def time_stages(self, on: bool) -> None:
        """Keep the nanoseconds of :meth:`stages` from now on, from zero."""
        for pair in self.pairs:
            with self.parked(pair.outbound, pair.inbound):
                pair.engine.time_stages(on)
                pair.outbound.time_stages(on)
                pair.inbound.time_stages(on)

    def stages(self) -> dict[str, dict[str, int]]:
        """Nanoseconds, bytes copied and packets by stage, summed over all."""
        total: dict[str, dict[str, int]] = {"ns": {}, "copied": {}, "packets": {}}
        for pair in self.pairs:
            for kind, figures in _stages_of(pair).items():
                for name, value in figures.items():
                    total[kind][name] = total[kind].get(name, 0) + value
        return total

    def close(self) -> None:
        """Join the threads, wipe the engines, close every descriptor. Raises :class:`DataPlaneError`. Idempotent."""
        if self._closed:
            return
        self._closed = True
        for worker in self.threads:
            worker.stop()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)
        if any(thread.is_alive() for thread in self._threads):
            raise DataPlaneError(f"user-space data plane: a worker did not stop within {JOIN_SECONDS:g} s")
        self._owned.close()


def _sender(ports: Ports, gso: bool) -> Sender:
    tables = (ports.udp, ports.esp, ports.ah)
    udp4, udp6, esp4, esp6, ah4, ah6 = (
        table[version].fileno() if version in table else -1 for table in tables for version in (4, 6)
    )
    return Sender(udp4, udp6, esp4, esp6, ah4, ah6, gso)


def _exchange(bells: Sequence[int]) -> list[list[Mailbox | None]]:
    """``[from][to]``: a mailbox that rings the receiver's bell; none from a worker to itself."""
    numbers = range(len(bells))
    return [[Mailbox(HAND_OVER_BYTES, bells[to]) if to != by else None for to in numbers] for by in numbers]


def _stages_of(pair: Pair) -> dict[str, dict[str, int]]:
    engine = pair.engine.stages
    spent = {f"out.{name}": value for name, value in pair.outbound.spent.items()}
    spent |= {f"in.{name}": value for name, value in pair.inbound.spent.items()}
    spent |= {f"out.{name}": engine[name] for name in ("classify", "wrap", "seal", "sent")}
    spent |= {f"in.{name}": engine[name] for name in ("lookup", "admit", "open", "unwrap")}
    copied = {
        "out.read": pair.reader.copied,
        "out.write": pair.sender.copied,
        "in.read": sum(receiver.copied for receiver in pair.receivers),
        "in.write": pair.writer.copied,
    }
    return {"ns": spent, "copied": copied, "packets": {"out": pair.outbound.packets, "in": pair.inbound.packets}}


def _work(worker: Worker, cpu: int | None) -> None:
    """A thread's body."""
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
