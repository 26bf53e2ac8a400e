"""The sockets of the workers: each has its own of every kind, and the kernel hands each packet to its SA's owner.

UDP: one SO_REUSEPORT group a family, out of which ``steer_reuseport`` of ``bpf/steer.bpf.c`` picks by the SPI's bucket,
or, without the right to load it, a classic program that knows the same rule. Raw sockets have no groups: each gets a
copy of every packet, and keeps by a filter what is its own.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from fastesp.io import filters, sockets
from fastesp.steering import OBJECT

log = logging.getLogger(__name__)

SPI_AT = {sockets.ESP: 0, sockets.AH: 4}
"""Bytes before the SPI (RFC 4303 section 2, RFC 4302 section 2)."""


@dataclass(slots=True)
class Ports:
    """One worker's sockets, by IP version."""

    udp: dict[int, socket.socket] = field(default_factory=dict)
    esp: dict[int, socket.socket] = field(default_factory=dict)
    ah: dict[int, socket.socket] = field(default_factory=dict)


def open_ports(workers: int, udp_port: int, *, mark: int, gro: bool, owned: contextlib.ExitStack) -> list[Ports]:
    """Those of every worker; ``owned`` closes them. Raises :class:`OSError`."""
    opened = [Ports() for _ in range(workers)]
    for version in (4, 6) if sockets.has_ipv6() else (4,):
        for number, ports in enumerate(opened):
            udp = sockets.open_udp(version, udp_port, mark=mark, gro=gro, joins=number > 0)
            owned.callback(udp.close)
            ports.udp[version] = udp
            if number == 0 and workers > 1:
                sockets.share(udp)
            for protocol, raw in ((sockets.ESP, ports.esp), (sockets.AH, ports.ah)):
                raw[version] = sockets.open_raw(version, protocol, mark=mark)
                owned.callback(raw[version].close)
                if workers > 1:
                    program = filters.own_packets(number, workers, version, SPI_AT[protocol])
                    filters.attach(raw[version], filters.SO_ATTACH_FILTER, program)
    return opened


def steer(ports: Sequence[Ports], queue: int, owned: contextlib.ExitStack) -> None:
    """Have the kernel choose: of each group of UDP sockets by SPI, of the TUN's queues (one of them given) by flow.

    What it refuses is said in the log, once; workers then hand over more to each other.
    """
    try:
        _steer_by_our_programs(ports, queue, owned)
    except ImportError:
        reason = "built without libbpf"
    except OSError as error:
        reason = str(error)
    else:
        return
    try:
        for version in ports[0].udp:
            program = filters.among_sockets(len(ports))
            filters.attach(ports[0].udp[version], filters.SO_ATTACH_REUSEPORT_CBPF, program)
    except OSError as error:
        log.warning("workers: %s; a classic program is refused too: %s", reason, error.strerror)
    else:
        log.warning(
            "workers: %s: a classic program steers by SPI instead, and the TUN's queues are the kernel's", reason
        )


def _steer_by_our_programs(ports: Sequence[Ports], queue: int, owned: contextlib.ExitStack) -> None:
    """Raises :class:`OSError` or :class:`ImportError`."""
    from fastesp.steering.steer import BUCKETS, Steering, SteeringError

    try:
        steering = Steering(str(OBJECT))
        owned.callback(steering.close)
        for bucket in range(BUCKETS):
            steering.set_owner(bucket, bucket % len(ports))
        for version in ports[0].udp:
            for number, one in enumerate(ports):
                steering.set_worker(number, one.udp[version])
            steering.steer_group(ports[0].udp[version])
        steering.steer_tun(queue)
    except SteeringError as error:
        raise OSError(str(error)) from error
