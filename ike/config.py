"""What a connection is allowed to negotiate, as typed values.

The names are swanctl.conf's, so that a person finds the key they wrote. Nothing here reads a file: the
gateway's configuration reader makes these values, and a program that uses :mod:`ike` alone makes its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

from .crypto.proposal import ProposalSpec
from .wire.identity import Identity
from .wire.selectors import Address, Network, TrafficSelector

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

NOWHERE: Mapping[str, str] = MappingProxyType({})


class StartAction(Enum):
    """swanctl.conf ``children.<child>.start_action``."""

    NONE = "none"
    START = "start"
    TRAP = "trap"
    TRAP_START = "trap|start"


class DeadAction(Enum):
    """swanctl.conf ``dpd_action`` and ``close_action``."""

    CLEAR = "clear"
    TRAP = "trap"
    RESTART = "restart"


class Mode(Enum):
    """How a CHILD_SA treats its packets (RFC 4301 section 4.1), or a policy without SA (PASS, DROP)."""

    TUNNEL = "tunnel"
    TRANSPORT = "transport"
    PASS = "pass"
    DROP = "drop"


class Unique(Enum):
    """swanctl.conf ``unique``."""

    NEVER = "never"
    NO = "no"
    KEEP = "keep"
    REPLACE = "replace"


class SendCert(Enum):
    """swanctl.conf ``send_cert``."""

    ALWAYS = "always"
    NEVER = "never"
    IF_ASKED = "ifasked"


class Fragmentation(Enum):
    """swanctl.conf ``fragmentation``."""

    YES = "yes"
    ACCEPT = "accept"
    FORCE = "force"
    NO = "no"


@dataclass(frozen=True, slots=True)
class TsTemplate:
    """A configured selector. ``dynamic`` takes the tunnel endpoint's or the virtual address at negotiation time.

    ``selector`` is ``None`` exactly where ``dynamic`` is set; protocol and ports then come from here.
    """

    selector: TrafficSelector | None
    dynamic: bool = False
    protocol: int = 0
    start_port: int = 0
    end_port: int = 65535

    def resolve(self, host: Address) -> TrafficSelector:
        """The selector itself, with ``host`` where the template is dynamic."""
        if self.selector is not None:
            return self.selector
        return TrafficSelector(host, host, self.protocol, self.start_port, self.end_port)


@dataclass(frozen=True, slots=True)
class AddressTemplate:
    """One entry of ``local_addrs`` or ``remote_addrs``: an address, a network, a range, a DNS name or ``%any``.

    Exactly one of the fields says what it is; all unset is ``%any``. ``version`` restricts ``%any4`` and ``%any6``.
    """

    address: Address | None = None
    network: Network | None = None
    last: Address | None = None
    name: str | None = None
    version: int | None = None

    def matches(self, address: Address) -> bool:
        """Whether a peer at ``address`` may be this entry. A DNS name matches nothing until it is resolved."""
        if self.name is not None:
            return False
        if self.version is not None and address.version != self.version:
            return False
        if self.address is not None:
            if self.last is not None:
                return self.address.version == address.version and int(self.address) <= int(address) <= int(self.last)
            return self.address == address
        if self.network is not None:
            return address in self.network
        return True

    @property
    def is_any(self) -> bool:
        """Whether the entry names no particular peer."""
        return self.address is None and self.network is None and self.name is None


@dataclass(frozen=True, slots=True)
class AuthRound:
    """One ``local`` or ``remote`` section: how a side proves who it is (RFC 7296 section 2.15, RFC 4739).

    ``auth`` is ``psk``, ``pubkey``, ``eap``, ``eap-mschapv2`` ..., or ``null``; ``auth_detail`` keeps what follows
    it (``pubkey-sha256-sha512``, ``rsa/pss-...``) as strongSwan writes signature constraints. ``id`` unset is ``%any``
    for a remote; for a local round it is then taken from the certificate, else from the address.
    """

    auth: str = "pubkey"
    auth_detail: str = ""
    id: Identity | None = None
    eap_id: Identity | None = None
    certs: tuple[Certificate, ...] = ()
    cacerts: tuple[Certificate, ...] = ()
    ca_id: Identity | None = None
    groups: tuple[str, ...] = ()
    cert_policy: tuple[str, ...] = ()
    revocation: str = "relaxed"
    pubkeys: tuple[bytes, ...] = ()
    round: int = 0
    section: str = field(default="", compare=False)
    """The section's name as it was written, such as ``remote-2``."""


@dataclass(frozen=True, slots=True)
class Child:
    """A ``children.<child>`` section. Times in seconds, sizes in bytes; 0 disables."""

    name: str
    local_ts: tuple[TsTemplate, ...]
    remote_ts: tuple[TsTemplate, ...]
    esp_proposals: tuple[ProposalSpec, ...] = ()
    ah_proposals: tuple[ProposalSpec, ...] = ()
    mode: Mode = Mode.TUNNEL
    start_action: StartAction = StartAction.NONE
    close_action: DeadAction | None = None
    dpd_action: DeadAction = DeadAction.CLEAR
    rekey_time: float = 3600.0
    life_time: float = 3960.0
    rand_time: float = 360.0
    rekey_bytes: int = 0
    life_bytes: int = 0
    rand_bytes: int = 0
    rekey_packets: int = 0
    life_packets: int = 0
    rand_packets: int = 0
    updown: str = ""
    hostaccess: bool = False
    inactivity: float = 0.0
    reqid: int = 0
    priority: int = 0
    interface: str = ""
    mark_in: tuple[int, int] = (0, 0)
    mark_out: tuple[int, int] = (0, 0)
    set_mark_in: tuple[int, int] = (0, 0)
    set_mark_out: tuple[int, int] = (0, 0)
    if_id_in: int = 0
    if_id_out: int = 0
    tfc_padding: int = 0
    replay_window: int = 32
    hw_offload: str = "no"
    copy_df: bool = True
    copy_ecn: bool = True
    copy_dscp: str = "out"
    label: str = ""
    policies: bool = True
    policies_fwd_out: bool = False
    ipcomp: bool = False
    sha256_96: bool = False
    per_cpu_sas: int = 0
    """CHILD_SAs of the same selectors beside the first one (RFC 9611).

    -1, one a worker, is for the embedding program to replace by a number: nobody here knows of workers.
    """
    mark_in_sa: bool = False
    where: Mapping[str, str] = field(default_factory=lambda: NOWHERE, compare=False, repr=False)
    """Key -> ``file:line`` of where it was written, for the record of a failed negotiation."""

    @property
    def proposals(self) -> tuple[ProposalSpec, ...]:
        """ESP proposals, or AH's where those are configured."""
        return self.ah_proposals or self.esp_proposals


@dataclass(frozen=True, slots=True)
class Connection:
    """A ``connections.<conn>`` section. Times in seconds; 0 disables."""

    name: str
    local_addrs: tuple[AddressTemplate, ...] = ()
    remote_addrs: tuple[AddressTemplate, ...] = ()
    local_port: int = 500
    remote_port: int = 500
    proposals: tuple[ProposalSpec, ...] = ()
    local: tuple[AuthRound, ...] = ()
    remote: tuple[AuthRound, ...] = ()
    children: tuple[Child, ...] = ()
    vips: tuple[Address, ...] = ()
    pools: tuple[str, ...] = ()
    dpd_delay: float = 0.0
    dpd_timeout: float = 0.0
    rekey_time: float = 14400.0
    reauth_time: float = 0.0
    over_time: float = 1440.0
    rand_time: float = 1440.0
    keyingtries: int = 1
    """0 tries for ever."""
    unique: Unique = Unique.NO
    mobike: bool = True
    encap: bool = False
    fragmentation: Fragmentation = Fragmentation.YES
    childless: str = "allow"
    send_certreq: bool = True
    send_cert: SendCert = SendCert.IF_ASKED
    ppk_id: Identity | None = None
    ppk_required: bool = False
    dscp: int = 0
    if_id_in: int = 0
    if_id_out: int = 0
    session_resumption: bool = False
    """Ask for tickets and use them, or give and take them (RFC 5723)."""
    where: Mapping[str, str] = field(default_factory=lambda: NOWHERE, compare=False, repr=False)
    """Key (``remote.id``, ``proposals``, ``children.net.local_ts`` ...) -> ``file:line`` of where it was written."""

    def child(self, name: str) -> Child | None:
        """The child section of that name."""
        return next((c for c in self.children if c.name == name), None)
