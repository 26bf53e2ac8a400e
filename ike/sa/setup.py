"""What one IKE SA needs until both sides are authenticated, and not a moment longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..auth.intermediate import IntAuth
from ..config import Child, Connection
from ..crypto.kex import KeyExchange
from ..crypto.keys import IkeKeys
from ..events import AttemptLost
from ..records import Failure
from ..wire.constants import SignatureHash
from ..wire.payloads import Proposal
from ..wire.selectors import Address, TrafficSelector
from .hold import Patience
from .rounds import Rounds

if TYPE_CHECKING:
    from .tickets import Session

Packet = tuple[TrafficSelector, TrafficSelector]
"""The packet that asked for a tunnel, as (source, destination)."""


class Setup:
    """Attributes are plain on purpose: the exchanges that set up work on them."""

    __slots__ = (
        "authorities_asked",
        "candidates",
        "cookie",
        "deadline",
        "exchange",
        "first_request",
        "first_response",
        "int_auth",
        "lost",
        "method",
        "methods_left",
        "mixed_keys",
        "next_keys",
        "nonce_i",
        "nonce_r",
        "offers",
        "patience",
        "peer_hashes",
        "peer_signs_pss",
        "ppk_agreed",
        "raw_key_asked",
        "redirected_from",
        "restarts",
        "rounds",
        "serial",
        "session",
        "started_at",
        "suspicion",
        "wanted",
    )

    def __init__(self) -> None:
        self.first_request = b""
        self.first_response = b""
        self.nonce_i = b""
        self.nonce_r = b""
        self.exchange: KeyExchange | None = None
        self.method: int | None = None
        self.offers: tuple[Proposal, ...] = ()
        self.methods_left: tuple[int, ...] = ()
        """Key exchanges that IKE_INTERMEDIATE has still to do."""
        self.next_keys: IkeKeys | None = None
        """What takes over once the response under way is sealed."""
        self.int_auth = IntAuth()
        self.rounds = Rounds()
        self.ppk_agreed = False
        self.mixed_keys: IkeKeys | None = None
        """What a PPK makes of the keys, until the peer has used it too."""
        self.cookie = b""
        self.restarts = 0
        self.patience = Patience()
        self.peer_hashes: tuple[SignatureHash, ...] = ()
        self.peer_signs_pss = False
        self.authorities_asked: tuple[bytes, ...] | None = None
        self.raw_key_asked = False
        self.candidates: tuple[Connection, ...] = ()
        self.lost: list[AttemptLost] = []
        self.wanted: list[tuple[Child, Packet | None]] = []
        self.suspicion: Failure | None = None
        self.deadline: float | None = None
        self.started_at = 0.0
        self.redirected_from: Address | None = None
        """The gateway that sent us on to this one (RFC 5685)."""
        self.session: Session | None = None
        """What a peer's ticket brings back, and ``serial`` is the ticket's name."""
        self.serial = b""
