"""An IKEv2 endpoint: datagrams, commands and the time go in; datagrams and events come out.

No socket, no thread, no clock. A program feeds :meth:`Endpoint.receive_datagram`, sends what
:meth:`Endpoint.datagrams_to_send` hands out, calls :meth:`Endpoint.handle_timeout` when
:meth:`Endpoint.next_timeout` has passed, and drains :meth:`Endpoint.next_event`. ``now`` is seconds of any clock that
never goes back, the same one in every call. Randomness, SPIs and the wall clock are injected: the same inputs give
the same outputs, byte for byte (as far as the signature scheme of a certificate allows).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Container, Mapping, Sequence
from datetime import UTC, datetime

from cryptography.x509 import CertificateRevocationList

from .config import Connection
from .credentials import Credentials
from .errors import LocalError, PeerError, SilentDrop
from .events import Event, Path
from .sa import admission, mobike, quick_crash, reauth
from .sa.core import BUCKET_BITS, Core
from .sa.ike_sa import IkeSa
from .sa.lookups import Kind
from .sa.state import State
from .status import IkeSaInfo
from .timing import STRONGSWAN, Timing
from .wire.header import pull_header
from .wire.identity import Identity
from .wire.selectors import Address, TrafficSelector


class Endpoint:
    """Both roles, any number of peers.

    ``connections`` and ``credentials`` are asked anew for every negotiation: what is up keeps what it negotiated.
    ``random(n)`` gives n bytes fit for keys. ``child_spi(protocol, replaces)`` gives a fresh inbound SPI for protocol 3
    (ESP) or 2 (AH); ``replaces`` is that of the SA it is to follow, or 0. ``wall_clock`` says the date certificates are
    judged by. ``inbound_activity(child_id)`` says when the data plane last received on a CHILD_SA, in the time of
    ``now`` (0.0: never), so that a busy peer is not asked whether it is alive. ``source_for(remote)`` says from which
    of our addresses the host would send to ``remote`` (``None``: it has no way), for MOBIKE; without it every local
    address is thought to lead everywhere. ``bucket`` (12 bits) marks our half of the IKE SPIs, so that steering can
    tell the owner of a datagram.
    ``token_secret`` (32 bytes, kept over a crash) makes the tokens of quick crash detection (RFC 6290); ``None``: none.
    ``tells=False`` leaves :class:`ExchangeLogged` out, for speed.
    """

    def __init__(
        self,
        connections: Callable[[], Sequence[Connection]],
        credentials: Credentials,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
        child_spi: Callable[[int, int], int],
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        inbound_activity: Callable[[int], float] = lambda child_id: 0.0,  # noqa: ARG005 - the callback's shape
        source_for: Callable[[Address], Address | None] | None = None,
        timing: Timing = STRONGSWAN,
        bucket: int = 0,
        tells: bool = True,
        token_secret: bytes | None = None,
    ) -> None:
        if not 0 <= bucket < 1 << BUCKET_BITS:
            raise LocalError("bad-bucket", f"bucket {bucket} does not fit into {BUCKET_BITS} bits")
        self._core = Core(
            connections,
            credentials,
            random=random,
            child_spi=child_spi,
            wall_clock=wall_clock,
            inbound_activity=inbound_activity,
            source_for=source_for,
            timing=timing,
            bucket=bucket,
            tells=tells,
            token_secret=token_secret,
        )

    # The five verbs.

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        """A datagram came in over ``path``, without the non-ESP marker. Never raises for what a peer sent."""
        core = self._core
        try:
            header = pull_header(data)
            sa = core.by_spi.get(header.spi_r if header.from_initiator else header.spi_i)
            if sa is None:
                admission.receive(core, header, data, path, now)
            else:
                sa.receive(header, data, path, now)
        except SilentDrop as drop:
            core.drop(drop.code)
        except PeerError as error:
            # Only what cannot be tied to a negotiation gets here.
            core.drop(error.code)

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Path]]:
        """What is to go out now, in order; each is handed out once. ``Path`` says from where to where."""
        del now
        outgoing = list(self._core.outgoing)
        self._core.outgoing.clear()
        return outgoing

    def next_timeout(self) -> float | None:
        """When :meth:`handle_timeout` wants to be called, ``None``: not before something else happens."""
        return self._core.next_alarm()

    def handle_timeout(self, now: float) -> None:
        """Do what is due at ``now``: send again, give up, rekey, check on a silent peer."""
        for sa in self._core.due(now):
            sa.handle_timeout(now)

    def next_event(self) -> Event | None:
        """What happened, oldest first; ``None`` where nothing is left."""
        events = self._core.events
        return events.popleft() if events else None

    # Commands. Each raises LocalError for what does not exist; what comes of it are events.

    def initiate(
        self,
        connection: str,
        child: str | None,
        now: float,
        *,
        local: Address,
        remote: Address,
        packet: tuple[TrafficSelector, TrafficSelector] | None = None,
        redirected_from: Address | None = None,
    ) -> int:
        """Bring up a CHILD_SA (``None``: the IKE SA alone) and return the id of the IKE SA that carries it.

        An IKE SA of that connection which is up or coming up is used. ``local`` and ``remote`` are the addresses to
        use, resolved. ``packet`` is the packet that asked for the tunnel, as (source, destination): it leads the
        traffic selectors (RFC 7296 section 2.9). ``redirected_from`` is the gateway that sent us on to ``remote``.
        """
        core = self._core
        wanted = core.connection(connection)
        if wanted is None:
            raise LocalError("no-such-connection", f"no connection is named {connection!r}")
        if child is not None and wanted.child(child) is None:
            raise LocalError("no-such-child", f"connection {connection!r} has no child named {child!r}")
        config = wanted.child(child) if child is not None else None
        carrier = core.carrier(wanted, remote)
        if carrier is not None:
            if config is not None:
                carrier.want_child(config, packet, now)
            return carrier.ike_id
        path = Path(local, wanted.local_port, remote, wanted.remote_port)
        return IkeSa.initiate(core, wanted, config, packet, path, now, redirected_from).ike_id

    def terminate_ike(self, ike_id: int, now: float) -> None:
        """Delete an IKE SA and all it carries; one that is not up yet is given up at once."""
        self._sa(ike_id).terminate(now)

    def forget_ike(self, ike_id: int, now: float) -> None:
        """Give an IKE SA up at once, whatever the peer knows of it: it finds out by itself (RFC 7296 section 2.4)."""
        sa = self._sa(ike_id)
        sa.die("deleted", now)
        sa.go_on(now)

    def terminate_child(self, child_id: int, now: float) -> None:
        """Delete one CHILD_SA."""
        self._sa_of_child(child_id).terminate_child(child_id, now)

    def rekey_ike(self, ike_id: int, now: float) -> None:
        """Replace an IKE SA by a fresh one; its CHILD_SAs move over."""
        self._sa(ike_id).rekey(now)

    def reauthenticate_ike(self, ike_id: int, now: float) -> None:
        """Set an IKE SA and its CHILD_SAs up anew (RFC 7296 section 2.8.3), as ``Timing.make_before_break`` says."""
        sa = self._sa(ike_id)
        reauth.begin(sa, now)
        sa.go_on(now)

    def redirect_ike(self, ike_id: int, gateway: Identity, now: float) -> None:
        """Send a client to another gateway, an address or a host name (RFC 5685 section 5)."""
        self._sa(ike_id).redirect(gateway, now)

    def rekey_child(self, child_id: int, now: float) -> None:
        """Replace a CHILD_SA by a fresh one: also what to call at a soft limit of bytes or packets."""
        self._sa_of_child(child_id).rekey_child(child_id, now)

    def expire_child(self, child_id: int, now: float) -> None:
        """The data plane reached a hard limit: the CHILD_SA is deleted at once."""
        self._sa_of_child(child_id).expire_child(child_id, now)

    def check_liveness(self, ike_id: int, now: float) -> None:
        """Ask the peer whether it is alive, whatever ``dpd_delay`` says."""
        self._sa(ike_id).check_liveness(now)

    def addresses_changed(self, addresses: Sequence[Address], now: float) -> None:
        """The host has these addresses now, or other routes: what can move does (RFC 4555).

        To be called once at the start, so that peers learn of all addresses, and whenever something changes.
        """
        core = self._core
        core.addresses = tuple(dict.fromkeys(addresses))
        for sa in list(core.by_id.values()):
            if sa.state is State.ESTABLISHED and sa.connection is not None:
                mobike.addresses_changed(sa, now)
                sa.go_on(now)

    def looked_up(self, lookup_id: int, data: bytes | None, now: float, why: str = "") -> None:
        """What a :class:`ike.events.LookupWanted` led to; ``None``: nothing, and ``why``. Late answers do no harm."""
        settled = self._core.lookups.answer(lookup_id, data, why, now)
        if settled is None:
            return
        question, waiting = settled
        for ike_id in sorted(waiting):
            sa = self._core.by_id.get(ike_id)
            if sa is not None:
                sa.looked_up(question, now)

    def fetched_crls(self) -> Sequence[CertificateRevocationList]:
        """Revocation lists that were looked up and are kept."""
        return self._core.lookups.kept_crls

    def forget_lookups(self, kinds: Container[Kind]) -> None:
        """Drop what was looked up and kept, so that it is asked for anew when it is next needed."""
        self._core.lookups.forget(kinds)

    def peer_moved(self, child_id: int, path: Path, now: float) -> None:
        """The data plane got an authentic packet over ``path``, with the ports of a NAT on it.

        The peer is followed if a NAT stands before it and none before us (RFC 7296 section 2.23). With MOBIKE who leads
        says where it is, so then only a peer that does not lead is followed (RFC 4555 section 3.8).
        """
        sa = self._sa_of_child(child_id)
        sa.seen_at(path)
        sa.go_on(now)

    def unknown_spi(self, spi: int, protocol: int, path: Path, now: float) -> None:
        """The data plane got a packet of no CHILD_SA (``protocol`` 3: ESP, 2: AH): its sender may believe in one.

        ``path`` as of the packet, ports 0 where it came without UDP. Answered rarely, and only with ``token_secret``.
        """
        quick_crash.tell_of_child(self._core, spi, protocol, path, now)

    # Questions.

    def ike_sas(self) -> list[IkeSaInfo]:
        """Every IKE SA with its CHILD_SAs, oldest first."""
        return [sa.info() for sa in self._core.by_id.values() if sa.announced and sa.state is not State.DEAD]

    def ike_sa(self, ike_id: int) -> IkeSaInfo | None:
        """One IKE SA; also one that has just ended, as long as it answers repeated requests."""
        sa = self._core.by_id.get(ike_id)
        return sa.info() if sa is not None else None

    @property
    def half_open(self) -> int:
        """IKE SAs that a peer asked for and has not authenticated yet."""
        return self._core.doorkeeper.half_open

    @property
    def drops(self) -> Mapping[str, int]:
        """Datagrams that were dropped without an answer, by reason."""
        return dict(self._core.drops)

    def _sa(self, ike_id: int) -> IkeSa:
        sa = self._core.by_id.get(ike_id)
        if sa is None or sa.state is State.DEAD:
            raise LocalError("no-such-ike-sa", f"there is no IKE SA {ike_id}")
        return sa

    def _sa_of_child(self, child_id: int) -> IkeSa:
        sa = self._core.by_child.get(child_id)
        if sa is None:
            raise LocalError("no-such-child-sa", f"there is no CHILD_SA {child_id}")
        return sa
