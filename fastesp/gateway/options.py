"""What ``fastesp gateway`` can be told: one frozen value, so that a test starts a gateway as a person does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_SOCKET = Path("/var/run/charon.vici")
"""Where ``swanctl`` and the ``vici`` package look."""

DEFAULT_CONFIGURATION = Path("/etc/swanctl/swanctl.conf")

ROUTING_TABLE = 220
"""Table and preference of the rule that steers plain packets to the TUN: the numbers strongSwan users know."""

SOCKET_MARK = 0x42
"""Firewall mark of our own IKE and ESP packets: the rule lets them pass the table; they never enter a tunnel."""


@dataclass(frozen=True, slots=True)
class Options:
    """Paths, names and numbers of one gateway process. Times in seconds.

    ``config`` unset runs without a file: everything is then loaded over VICI. ``directory`` is where ``x509``,
    ``private`` and their sisters lie; unset, the configuration's own. ``log_level`` counts as strongSwan does: 0 only
    what needs attention, 1 what happens, 2 how, 3 and 4 for developers.
    """

    config: Path | None = None
    directory: Path | None = None
    strongswan_conf: Path | None = None
    socket: Path = DEFAULT_SOCKET
    socket_mode: int = 0o660
    socket_owner: str = ""
    socket_group: str = ""
    log_level: int = 1
    log_file: Path | None = None
    dataplane: str = "userspace"
    provider: str = "auto"
    tun: str = "fastesp0"
    mtu: int = 1400
    encap: str = "auto"
    port: int = 500
    nat_port: int = 4500
    gso: bool = True
    workers: int = 0
    """Pairs of threads that carry packets; 0: one for each four cores."""
    poll: bool = False
    """They never sleep."""
    routes: bool = True
    routing_table: int = ROUTING_TABLE
    routing_priority: int = ROUTING_TABLE
    socket_mark: int = SOCKET_MARK
    guard: bool = True
    metrics: str = ""
    """Address and port for Prometheus, e.g. ``127.0.0.1:9100``; empty: none."""
    keep_alive: float = 20.0
    """Between two NAT keepalives; 0: none."""
    state: Path | None = None
    """Directory for what has to outlive a crash; unset: systemd's ``STATE_DIRECTORY``, else /var/lib/fastesp."""
    quick_crash_detection: bool = True
    stop_timeout: float = 4.0
    """How long a clean stop waits for peers to confirm our deletes before it goes anyway."""
