"""The border between key management and packets: the values that cross it, and what a data plane must do.

IKE owns time; the data plane owns sequence numbers, replay windows and counters, and never calls into IKE.
Nothing here knows how keys were agreed on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

Address = IPv4Address | IPv6Address


class KeyMaterial(Protocol):
    """Key material that can be wiped and whose repr shows nothing (key management brings its own type)."""

    def __bytes__(self) -> bytes:
        """The bytes themselves: the one way to read them."""
        ...

    def __len__(self) -> int:
        """Their number; 0 once wiped."""
        ...

    def wipe(self) -> None:
        """Overwrite in place and forget."""
        ...


class SaProtocol(Enum):
    """RFC 4301 section 3.2."""

    ESP = 50
    AH = 51


class SaMode(Enum):
    """RFC 4301 section 4.1."""

    TUNNEL = "tunnel"
    TRANSPORT = "transport"


class PolicyAction(Enum):
    """RFC 4301 section 4.4.1; TRAP protects too, and asks for an SA where there is none."""

    PROTECT = "protect"
    TRAP = "trap"
    BYPASS = "bypass"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class Suite:
    """Algorithms of one SA, by the names of :data:`fastesp.engine.SUITES` (``aes-gcm-16``, ``hmac-sha2-256`` ...).

    ``integrity`` is empty for an AEAD. ``key_bits`` is the cipher's, without salt.
    """

    encryption: str
    key_bits: int
    integrity: str = ""


@dataclass(frozen=True, slots=True)
class Selector:
    """A range of addresses, a protocol (0: any), and port ranges, both ends inclusive (RFC 4301 section 4.4.1.1)."""

    local_start: Address
    local_end: Address
    remote_start: Address
    remote_end: Address
    protocol: int = 0
    local_port_start: int = 0
    local_port_end: int = 65535
    remote_port_start: int = 0
    remote_port_end: int = 65535


@dataclass(frozen=True, slots=True)
class OuterPath:
    """Outer addresses. Ports are zero unless packets travel in UDP (RFC 3948)."""

    local: Address
    remote: Address
    local_port: int = 0
    remote_port: int = 0

    @property
    def udp_encap(self) -> bool:
        """Whether packets travel in UDP."""
        return self.local_port != 0


@dataclass(frozen=True, slots=True)
class SaHalf:
    """One direction. ``encryption_key`` (AES-GMAC in AH: ``integrity_key``) ends with the salt where there is one."""

    spi: int
    suite: Suite
    encryption_key: KeyMaterial = field(repr=False)
    integrity_key: KeyMaterial | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Soft and hard limits in bytes and packets; 0: none. Time is IKE's."""

    soft_bytes: int = 0
    hard_bytes: int = 0
    soft_packets: int = 0
    hard_packets: int = 0


@dataclass(frozen=True, slots=True)
class ChildSa:
    """Everything the data plane needs of a CHILD_SA: the one value that crosses the border."""

    name: str
    child_id: int
    reqid: int
    protocol: SaProtocol
    mode: SaMode
    selectors: tuple[Selector, ...]
    path: OuterPath
    inbound: SaHalf
    outbound: SaHalf
    esn: bool = False
    replay_window: int = 32
    lifetime: Lifetime = Lifetime()
    mark_in: tuple[int, int] = (0, 0)
    mark_out: tuple[int, int] = (0, 0)
    tfc_padding: int = 0
    copy_df: bool = True
    copy_ecn: bool = True
    copy_dscp: str = "out"
    priority: int = 0
    placement: str = "auto"
    resource: int = 0
    """Above 0: one of several with the same selectors; each flow keeps to one of those that are active (RFC 9611)."""


@dataclass(frozen=True, slots=True)
class TrapPolicy:
    """A policy without SA yet: what it matches raises :class:`Acquire`, passes (BYPASS) or is dropped (DISCARD)."""

    name: str
    reqid: int
    selectors: tuple[Selector, ...]
    action: PolicyAction = PolicyAction.TRAP
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an SA's packets go, and one line for each step down that led there (DESIGN rule 7)."""

    where: str
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SaCounters:
    """What ``status`` shows. ``last_*`` in seconds of the data plane's monotonic clock, 0.0: never."""

    bytes_in: int
    packets_in: int
    bytes_out: int
    packets_out: int
    last_in: float
    last_out: float
    drops: dict[str, int]


@dataclass(frozen=True, slots=True)
class Acquire:
    """A packet met a trap and is kept until the SA comes up (bounded; the oldest goes first)."""

    name: str
    reqid: int
    source: Address
    destination: Address
    protocol: int
    source_port: int
    destination_port: int


@dataclass(frozen=True, slots=True)
class SoftLimit:
    """Time to rekey: bytes, packets or sequence numbers run out."""

    child_id: int
    what: str


@dataclass(frozen=True, slots=True)
class HardLimit:
    """The SA stopped by itself: nothing more is sent or accepted on it."""

    child_id: int
    what: str


@dataclass(frozen=True, slots=True)
class PeerMoved:
    """An authenticated packet came from another address or port: the NAT in between forgot."""

    child_id: int
    path: OuterPath


@dataclass(frozen=True, slots=True)
class UnknownSpi:
    """A packet for no SA of ours; rate-limited (RFC 7296 section 2.21.4)."""

    spi: int
    path: OuterPath


@dataclass(frozen=True, slots=True)
class Degraded:
    """The data plane had to step down while running."""

    child_id: int | None
    why: str


DataPlaneEvent = Acquire | SoftLimit | HardLimit | PeerMoved | UnknownSpi | Degraded


class DataPlaneError(Exception):
    """The data plane cannot do what was asked: the message names what, where and the next step."""


class DataPlane(Protocol):
    """What the gateway needs of any data plane. Called from one thread; no method blocks on traffic."""

    def capabilities(self) -> frozenset[str]:
        """What it can do, by name: ``esp``, ``ah``, ``tunnel``, ``transport``, ``ipv6``, ``esn``, suites ..."""
        ...

    def allocate_spi(self, protocol: SaProtocol, replaces: int = 0) -> int:
        """A fresh inbound SPI, at least 256, unique among live SAs (RFC 4301 section 4.1).

        ``replaces``: the inbound SPI of the SA that it is to follow; the new one then stays with the same worker.
        """
        ...

    def install(self, sa: ChildSa) -> Placement:
        """Take both halves; the inbound one works on return. Raises :class:`DataPlaneError`."""
        ...

    def activate_outbound(self, child_id: int) -> None:
        """From now on the policy of this SA sends on it (make-before-break)."""
        ...

    def move(self, child_id: int, path: OuterPath) -> None:
        """New outer addresses; sequence numbers and keys go on."""
        ...

    def counters(self, child_id: int) -> SaCounters:
        """A consistent enough snapshot; raises :class:`KeyError` for no such SA."""
        ...

    def retire(self, child_id: int) -> None:
        """Send no more on it, but go on receiving: what is in flight still arrives."""
        ...

    def remove(self, child_id: int) -> None:
        """Forget both halves and wipe the keys. Unknown ids are ignored."""
        ...

    def set_trap(self, policy: TrapPolicy) -> None:
        """Add or replace a policy without SA, by name."""
        ...

    def clear_trap(self, name: str) -> None:
        """Remove it, and drop what waits for it. Unknown names are ignored."""
        ...

    def events(self) -> Iterable[DataPlaneEvent]:
        """Drain what happened since the last call. ``event_fd`` is readable when there is something."""
        ...

    @property
    def event_fd(self) -> int:
        """A file descriptor to wait on."""
        ...

    def drops(self) -> dict[str, int]:
        """Packets dropped by reason over all SAs and outside of any: what metrics and ``status`` show alike."""
        ...

    def worker_figures(self) -> list[dict[str, int]]:
        """What each worker has done since the start: ``out_packets``, ``in_packets``, ``out_handed``, ``in_handed`` (to
        another worker, who owns the SA), ``sas`` ... Empty where there are none.
        """
        ...

    def close(self) -> None:
        """Stop, wipe and give back everything that is ours."""
        ...
