"""What an endpoint says of its SAs when asked: values for status displays, without keys."""

from __future__ import annotations

from dataclasses import dataclass

from .config import Mode
from .events import Path
from .wire.identity import Identity
from .wire.payloads import Transform
from .wire.selectors import TrafficSelector


@dataclass(frozen=True, slots=True)
class ChildSaInfo:
    """A CHILD_SA. Times are of the caller's clock, in seconds; ``None`` where no such time is set.

    ``state`` is strongSwan's word: ``INSTALLED``, ``REKEYING``, ``REKEYED``, ``DELETING``.
    """

    child_id: int
    name: str
    state: str
    protocol: int
    mode: Mode
    initiator: bool
    suite: tuple[Transform, ...]
    spi_in: int
    spi_out: int
    local_ts: tuple[TrafficSelector, ...]
    remote_ts: tuple[TrafficSelector, ...]
    udp_encap: bool
    esn: bool
    installed_at: float
    rekey_at: float | None
    expires_at: float | None
    resource: int = 0
    """Above 0: its number among several with the same selectors (RFC 9611)."""


@dataclass(frozen=True, slots=True)
class IkeSaInfo:
    """An IKE SA.

    ``state`` is strongSwan's word: ``CONNECTING``, ``ESTABLISHED``, ``REKEYING``, ``REKEYED``, ``DELETING``. ``tasks``
    says what it is waiting for, in prose, the exchange under way first.
    """

    ike_id: int
    connection: str
    state: str
    initiator: bool
    spi_i: bytes
    spi_r: bytes
    local_id: Identity | None
    remote_id: Identity | None
    path: Path
    suite: tuple[Transform, ...]
    nat_local: bool
    nat_remote: bool
    established_at: float | None
    rekey_at: float | None
    tasks: tuple[str, ...]
    children: tuple[ChildSaInfo, ...]
    reauth_at: float | None = None
    nat_fake: bool = False
    """There is no NAT; we pretend one (``encap = yes``)."""
    ppk: bool = False
    """A post-quantum preshared key is part of its keys (RFC 8784)."""
