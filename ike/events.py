"""What comes out of an :class:`ike.endpoint.Endpoint`: one frozen value an event, in the order it happened.

An embedding program acts on the events that concern it (installs keys, reports failures) and ignores the
rest. Every event that belongs to an IKE SA carries its ``ike_id``: a small number, unique in the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from ipaddress import IPv4Address, IPv6Address

from .config import Mode
from .crypto.secret import Secret
from .wire.identity import Identity
from .wire.payloads import Transform
from .wire.selectors import Address, TrafficSelector

__all__ = [
    "AttemptLost",
    "ChildSaDeleted",
    "ChildSaEstablished",
    "ChildSaRekeyed",
    "Event",
    "ExchangeLogged",
    "FailureRecord",
    "IPv4Address",
    "IPv6Address",
    "IkeSaDeleted",
    "IkeSaEstablished",
    "IkeSaReauthenticating",
    "IkeSaRedirected",
    "IkeSaRekeyed",
    "LookupSource",
    "LookupWanted",
    "NegotiationFailed",
    "OutboundReady",
    "Path",
    "PathChanged",
    "SaHalf",
]


@dataclass(frozen=True, slots=True)
class Path:
    """Where datagrams go and come from. ``local_port`` 4500 carries the non-ESP marker (RFC 3948 section 2.2).

    The marker itself is the embedding program's to add and strip: the core sees IKE messages only.
    """

    local: Address
    local_port: int
    remote: Address
    remote_port: int

    def __str__(self) -> str:
        return f"{self.local}[{self.local_port}]...{self.remote}[{self.remote_port}]"


@dataclass(frozen=True, slots=True)
class SaHalf:
    """One direction of a CHILD_SA. ``spi`` is big-endian's integer value. Keys as RFC 7296 section 2.17 cuts them.

    ``encryption_key`` holds the key and, for counter modes and AEADs, its salt; ``integrity_key`` is empty for
    AEADs.
    """

    spi: int
    encryption_key: Secret
    integrity_key: Secret


@dataclass(frozen=True, slots=True)
class ExchangeLogged:
    """A message went out or came in: ``line`` is one line of prose for people who watch, the rest is for who counts.

    ``exchange`` is an exchange type of RFC 7296 section 3.1.
    """

    ike_id: int
    level: int
    line: str
    connection: str = ""
    exchange: int = 0
    inbound: bool = False
    response: bool = False


@dataclass(frozen=True, slots=True)
class IkeSaEstablished:
    """Both sides are authenticated."""

    ike_id: int
    connection: str
    initiator: bool
    local_id: Identity
    remote_id: Identity
    path: Path
    spi_i: bytes
    spi_r: bytes
    suite: tuple[Transform, ...]
    nat_local: bool
    nat_remote: bool
    remote_auth: str = ""


@dataclass(frozen=True, slots=True)
class ChildSaEstablished:
    """Keys for the data plane: install inbound, then outbound.

    ``child_id`` is unique in the process. ``replaces`` names the CHILD_SA that this one rekeys; traffic moves at
    :class:`OutboundReady`, which is there at once unless the exchange asks to wait (make-before-break).
    ``path`` is the outer addresses; ports other than zero where packets go in UDP (RFC 3948).
    """

    ike_id: int
    child_id: int
    connection: str
    child: str
    protocol: int
    mode: Mode
    initiator: bool
    suite: tuple[Transform, ...]
    inbound: SaHalf = field(repr=False)
    outbound: SaHalf = field(repr=False)
    local_ts: tuple[TrafficSelector, ...]
    remote_ts: tuple[TrafficSelector, ...]
    path: Path
    udp_encap: bool
    esn: bool
    replaces: int | None = None
    peer_supports_tfc: bool = True
    resource: int = 0
    """Above 0: one of several with the same selectors, over which traffic is spread (RFC 9611); a label, no more."""


@dataclass(frozen=True, slots=True)
class OutboundReady:
    """The peer can receive on the new SA: send on it from now on (RFC 7296 section 2.8)."""

    ike_id: int
    child_id: int


@dataclass(frozen=True, slots=True)
class ChildSaRekeyed:
    """``old_id`` was replaced by ``new_id`` and is about to be deleted."""

    ike_id: int
    old_id: int
    new_id: int


@dataclass(frozen=True, slots=True)
class ChildSaDeleted:
    """Remove it from the data plane.

    ``reason``: ``deleted``, ``peer-deleted``, ``rekeyed``, ``ike-deleted``, ``expired``, ``dead``.
    """

    ike_id: int
    child_id: int
    connection: str
    child: str
    reason: str


@dataclass(frozen=True, slots=True)
class IkeSaRekeyed:
    """The IKE SA goes on under ``new_ike_id``, which owns its CHILD_SAs from now on.

    ``rekey_at`` is when its own timer would have rekeyed it, where it has not done so.
    """

    ike_id: int
    new_ike_id: int
    rekey_at: float | None


@dataclass(frozen=True, slots=True)
class IkeSaReauthenticating:
    """``new_ike_id`` was opened to take the place of ``ike_id`` (RFC 7296 section 2.8.3), and asks for ``children``.

    With ``make_before_break`` the old one stays until those are up; otherwise it is gone with the events that follow,
    and what it carried has to wait.
    """

    ike_id: int
    new_ike_id: int
    connection: str
    children: tuple[str, ...]
    make_before_break: bool


@dataclass(frozen=True, slots=True)
class IkeSaRedirected:
    """The gateway sends us on to ``gateway``, an address or a host name (RFC 5685): open an IKE SA to it.

    :meth:`ike.endpoint.Endpoint.initiate` takes ``redirected_from`` for that, and asks for ``children``. The IKE SA
    that was redirected goes with the events that follow.
    """

    ike_id: int
    connection: str
    gateway: Identity
    redirected_from: Address
    children: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IkeSaDeleted:
    """The IKE SA is gone; its CHILD_SAs were reported before.

    ``reason`` as in :class:`ChildSaDeleted`, ``initial-contact``, ``reauthenticated``, ``redirected``, ``resumed``, or
    a failure's code.
    """

    ike_id: int
    connection: str
    reason: str


@dataclass(frozen=True, slots=True)
class PathChanged:
    """The peer moved (NAT rebinding, MOBIKE), or we did: move the data plane's SAs of this IKE SA too."""

    ike_id: int
    path: Path
    udp_encap: bool
    old: Path


class LookupSource(Enum):
    """Who chose where something is looked up, and so how far the address may be trusted."""

    CONFIGURED = auto()
    CERTIFICATE = auto()
    """A certificate below one of our CAs, whose key the peer has shown to have."""
    PEER = auto()
    """Somebody who has not shown yet who it is."""


@dataclass(frozen=True, slots=True)
class LookupWanted:
    """Fetch ``uri``, and give what it says to :meth:`ike.endpoint.Endpoint.looked_up` with ``lookup_id``.

    ``body`` is an OCSP request to POST (RFC 6960 appendix A); empty: GET. An answer longer than ``limit`` bytes is of
    no use. An IKE SA waits for it, but not for long: nothing else does. ``ike_id`` is the first that asked.
    """

    ike_id: int
    lookup_id: int
    uri: str
    body: bytes = field(repr=False)
    limit: int
    source: LookupSource


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """A connection that was tried for a peer, and why it lost."""

    connection: str
    why: str


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """A failed negotiation in one value, for the log, the command line and JSON alike.

    ``code`` is stable and known to ``fastesp explain``. ``offered`` is the peer's, ``allowed`` is ours, both as one
    writes them in swanctl.conf; a peer that refuses us does not say what it allows, then ``offered`` is empty.
    ``change`` is ``file:line: key`` of what to change, where that is known. ``hint`` is the next step.
    """

    code: str
    summary: str
    exchange: str
    role: str
    peer: str
    connection: str = ""
    child: str = ""
    local_id: str = ""
    remote_id: str = ""
    offered: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    mismatch: str = ""
    tried: tuple[AttemptLost, ...] = ()
    change: str = ""
    hint: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NegotiationFailed:
    """An attempt ended. Logged once; the IKE SA may live on (a CHILD_SA that failed alone)."""

    ike_id: int
    record: FailureRecord


Event = (
    ExchangeLogged
    | IkeSaEstablished
    | ChildSaEstablished
    | OutboundReady
    | ChildSaRekeyed
    | ChildSaDeleted
    | IkeSaRekeyed
    | IkeSaReauthenticating
    | IkeSaRedirected
    | IkeSaDeleted
    | PathChanged
    | LookupWanted
    | NegotiationFailed
)
