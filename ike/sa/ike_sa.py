"""One IKE SA: what it knows, what it wants next, and how it ends.

Messages take their way through :mod:`.flow`, timers through :mod:`.upkeep`, and what each exchange means stands in
its own file. What only setting up needs is in :mod:`.setup` and is dropped once the peer is authenticated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..config import Child, Connection, Fragmentation
from ..crypto.envelope import Envelope
from ..crypto.keys import IkeKeys
from ..errors import LocalError
from ..events import (
    ChildSaDeleted,
    IkeSaDeleted,
    IkeSaEstablished,
    NegotiationFailed,
    OutboundReady,
    Path,
    PathChanged,
)
from ..records import Failure, record
from ..status import IkeSaInfo
from ..wire.constants import ExchangeType, NotifyType
from ..wire.header import Header
from ..wire.identity import Identity
from ..wire.payloads import NotifyPayload, Transform
from ..wire.selectors import Address
from . import flow, hold, reauth, resumption, transport, upkeep
from .child import ChildSa, ChildState
from .features import Feature
from .setup import Packet, Setup
from .state import Role, State
from .task import Purpose, Task
from .window import Window

if TYPE_CHECKING:
    from .core import Core
    from .create_child_sa import RekeyChild
    from .followup_ke import Chain
    from .fragments import Reassembly
    from .lookups import Question
    from .mobike import Roaming
    from .rekey_ike import RekeyIke
    from .resumption import Held


class IkeSa:
    """See the module. Attributes are plain on purpose: the exchanges of this package work on them."""

    __slots__ = (
        "alarm",
        "announced",
        "children",
        "connection",
        "core",
        "end",
        "ends_at",
        "envelope_in",
        "envelope_out",
        "established_at",
        "expires_at",
        "features",
        "followups",
        "gone_at",
        "ike_id",
        "initiator",
        "keys",
        "last_inbound",
        "local_id",
        "nat_local",
        "nat_remote",
        "opened",
        "opening",
        "path",
        "peer_token",
        "predecessor",
        "proof",
        "reassemblies",
        "reauth_at",
        "rekey_at",
        "remote_id",
        "renewed_by",
        "renews",
        "reopens",
        "roaming",
        "setup",
        "source",
        "spi_i",
        "spi_r",
        "state",
        "successor",
        "suite",
        "tasks",
        "ticket",
        "window",
    )

    def __init__(self, core: Core, path: Path, *, initiator: bool, spi_i: bytes, spi_r: bytes) -> None:
        self.core = core
        self.ike_id = core.ike_id()
        self.initiator = initiator
        self.state = State.NEW
        self.spi_i, self.spi_r = spi_i, spi_r
        self.path = path
        self.opening = b""
        """Fingerprint of the request that opened it; responders only."""
        self.source = path.remote
        """Where that came from: the half-open count is by source."""
        self.announced = True
        """Whether anybody was told of it: a replacement that loses against another comes and goes in silence."""
        self.predecessor: IkeSa | None = None
        """What it may replace, as long as that is not decided."""
        self.successor: IkeSa | None = None
        """What it was rekeyed into, and what has its CHILD_SAs since."""
        self.opened = initiator
        """Whether our side opened the first IKE SA of the line: a rekeying may come from either."""
        self.renews: IkeSa | None = None
        """What it takes the place of once it is up: make-before-break reauthentication."""
        self.renewed_by: IkeSa | None = None
        self.reopens = False
        """It is deleted in order to be opened anew: break-before-make reauthentication."""
        self.peer_token = b""
        """What only the peer can say once it has lost this IKE SA (RFC 6290)."""
        self.end = ""
        """Why it ends once the response under way is sent."""
        self.connection: Connection | None = None
        self.setup: Setup | None = None
        self.suite: tuple[Transform, ...] = ()
        self.keys: IkeKeys | None = None
        self.envelope_out: Envelope | None = None
        self.envelope_in: Envelope | None = None
        self.reassemblies: dict[tuple[bool, int], Reassembly] = {}
        """Of responses and requests, by message id."""
        self.window: Window[Task] = Window()
        self.tasks: list[Task] = []
        self.children: dict[int, ChildSa] = {}
        self.followups: dict[bytes, Chain] = {}
        """What the peer asked for and IKE_FOLLOWUP_KE has to finish, by the link that names it."""
        self.local_id: Identity | None = None
        self.remote_id: Identity | None = None
        self.features = Feature.NONE
        self.nat_local = self.nat_remote = False
        self.roaming: Roaming | None = None
        """Set where both sides do MOBIKE."""
        self.proof: tuple[str, float] | None = None
        """How the peer showed who it is, and when; kept where its session may be resumed."""
        self.ticket: Held | None = None
        """What brings this IKE SA back if the peer dies; who asked for it has it."""
        self.established_at: float | None = None
        self.last_inbound = 0.0
        self.rekey_at: float | None = None
        self.reauth_at: float | None = None
        self.expires_at: float | None = None
        self.ends_at: float | None = None
        """The part of ``expires_at`` that no rekeying puts off."""
        self.gone_at: float | None = None
        self.alarm: float | None = None

    @classmethod
    def initiate(
        cls,
        core: Core,
        connection: Connection,
        child: Child | None,
        packet: Packet | None,
        path: Path,
        now: float,
        redirected_from: Address | None = None,
    ) -> IkeSa:
        """A new IKE SA of ours; its first message is on the way."""
        from .ike_session_resume import opening

        sa = cls(core, path, initiator=True, spi_i=core.ike_spi(), spi_r=bytes(8))
        sa.connection = connection
        sa.setup = Setup()
        sa.setup.redirected_from = redirected_from
        if child is not None:
            sa.setup.wanted.append((child, packet))
        core.register(sa)
        sa.want(opening(core, connection, path.remote, now), now)
        return sa

    # What it is.

    @property
    def local_spi(self) -> bytes:
        """Our half of the SPIs: what the peer's datagrams are told apart by."""
        return self.spi_i if self.initiator else self.spi_r

    @property
    def role(self) -> Role:
        """Our side."""
        return Role.INITIATOR if self.initiator else Role.RESPONDER

    @property
    def is_usable(self) -> bool:
        """Whether both sides are authenticated and it is not about to go."""
        return self.state is State.ESTABLISHED

    @property
    def is_leaving(self) -> bool:
        """Whether its DELETE waits for another answer to come."""
        return any(task.purpose is Purpose.DELETE_IKE for task in self.tasks)

    @property
    def takes_children(self) -> bool:
        """Whether a new CHILD_SA may be asked of it, now or once it is up."""
        if self.is_leaving:
            return False
        if self.state is State.ESTABLISHED:
            return self.renewed_by is None and not self.reopens
        return self.initiator and self.state.is_setting_up

    @property
    def udp_encap(self) -> bool:
        """Whether ESP goes in UDP: a NAT is on the way, or ``encap = yes`` claims one (RFC 7296 section 2.23)."""
        forced = self.connection is not None and self.connection.encap
        return self.nat_local or self.nat_remote or (forced and Feature.NAT_TRAVERSAL in self.features)

    @property
    def traffic_path(self) -> tuple[Path, bool]:
        """Path and encapsulation of what it carries: behind its own while a peer's new address is checked."""
        return self.roaming.used if self.roaming is not None else (self.path, self.udp_encap)

    @property
    def in_setup(self) -> Setup:
        """What setting up needs; only to be asked for while it goes on."""
        if self.setup is None:
            raise RuntimeError("this IKE SA is set up")
        return self.setup

    @property
    def settings(self) -> Connection:
        """The connection it belongs to; only to be asked for once that is known."""
        if self.connection is None:
            raise RuntimeError("this IKE SA has no connection yet")
        return self.connection

    @property
    def sends_fragments(self) -> bool:
        """Whether a long message is cut (RFC 7383 section 2.3)."""
        if Feature.FRAGMENTATION not in self.features:
            return False
        return self.connection is None or self.connection.fragmentation is not Fragmentation.ACCEPT

    def rekey_task(self) -> Task | None:
        """Our own wish to replace this IKE SA, waiting or under way."""
        return next((t for t in self._all_tasks() if t.purpose is Purpose.REKEY_IKE), None)

    def rekey_under_way(self) -> RekeyIke | None:
        """Our request to replace this IKE SA, if it is on its way."""
        from .rekey_ike import RekeyIke

        return next((task for task in self.window.tasks() if isinstance(task, RekeyIke)), None)

    @property
    def is_being_replaced(self) -> bool:
        """Whether the peer is about to replace this IKE SA and has key exchanges left to do for it."""
        return any(chain.purpose is Purpose.REKEY_IKE for chain in self.followups.values())

    @property
    def is_changing_children(self) -> bool:
        """Whether a request of ours that makes, replaces or deletes a CHILD_SA is on its way."""
        changes = (Purpose.NEW_CHILD, Purpose.REKEY_CHILD, Purpose.DELETE_CHILD)
        return any(task.purpose in changes for task in self.window.tasks())

    def child_rekey_under_way(self, child_id: int) -> RekeyChild | None:
        """Our request to replace a CHILD_SA, if it is on its way."""
        from .create_child_sa import RekeyChild

        rekeys = (task for task in self.window.tasks() if isinstance(task, RekeyChild))
        return next((task for task in rekeys if task.old_id == child_id), None)

    def child_by_outbound(self, spi: bytes, protocol: int) -> ChildSa | None:
        """The CHILD_SA that the peer names by its own inbound SPI (RFC 7296 sections 1.3.3 and 1.4.1)."""
        value = int.from_bytes(spi, "big")
        for child in self.children.values():
            if child.spi_out == value and child.protocol == protocol and len(spi) == 4:
                return child
        return None

    def info(self) -> IkeSaInfo:
        """For status displays."""
        word = "REKEYING" if self.state is State.ESTABLISHED and self.rekey_task() is not None else self.state.word
        return IkeSaInfo(
            ike_id=self.ike_id,
            connection=self.connection.name if self.connection is not None else "",
            state=word,
            initiator=self.initiator,
            spi_i=self.spi_i,
            spi_r=self.spi_r,
            local_id=self.local_id,
            remote_id=self.remote_id,
            path=self.path,
            suite=self.suite,
            nat_local=self.nat_local,
            nat_remote=self.nat_remote,
            established_at=self.established_at,
            rekey_at=self.rekey_at,
            tasks=tuple(str(task) for task in self._all_tasks()),
            children=tuple(child.info() for child in self.children.values()),
            reauth_at=self.reauth_at,
            nat_fake=self.udp_encap and not (self.nat_local or self.nat_remote),
            ppk=Feature.PPK in self.features,
        )

    # What comes to it.

    def receive(self, header: Header, data: bytes, path: Path, now: float) -> None:
        """A datagram with our SPI."""
        try:
            flow.receive(self, header, data, path, now)
        finally:
            self.go_on(now)

    def looked_up(self, question: Question, now: float) -> None:
        """Something that it waits for was looked up."""
        hold.answered(self, question, now)
        self.go_on(now)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        upkeep.run(self, now)
        self.go_on(now)

    def next_timeout(self) -> float | None:
        """When it wants to be looked at."""
        return self.alarm

    def go_on(self, now: float) -> None:
        """Ask for the next thing if the window is free, and set the alarm anew."""
        if self.window.is_worn_out and self.state is State.ESTABLISHED and self.rekey_task() is None:
            self.rekey(now)
            return
        flow.ask_next(self, now)
        alarm = upkeep.next_alarm(self)
        if alarm != self.alarm:
            self.alarm = alarm
            if alarm is not None:
                self.core.wake_at(alarm, self)

    # What is wanted of it.

    def want(self, task: Task, now: float) -> None:
        """Take a wish into the queue."""
        self.tasks.append(task)
        self.go_on(now)

    def want_child(self, config: Child, packet: Packet | None, now: float) -> None:
        """Bring up one more CHILD_SA: with IKE_AUTH if that is still to come, else in an exchange of its own."""
        from .create_child_sa import CreateAnother, CreateChild

        if self.setup is not None and self.state is not State.AUTH_SENT and not self.setup.wanted:
            self.setup.wanted.append((config, packet))
            return
        asked = [child for child, _ in self.setup.wanted] if self.setup is not None else []
        asked += [
            task.config
            for task in self._all_tasks()
            if isinstance(task, CreateChild)
            and task.purpose is Purpose.NEW_CHILD
            and not isinstance(task, CreateAnother)
        ]
        if config not in asked:
            self.want(CreateChild(config, packet), now)

    def _all_tasks(self) -> Sequence[Task]:
        return [*self.window.tasks(), *self.tasks]

    def terminate(self, now: float, reason: str = "deleted") -> None:
        """Close it: with a DELETE where the peer knows it, at once where it does not."""
        from .informational import DeleteIke

        self.reopens = False
        if self.state.is_setting_up or self.state is State.DEAD:
            self.die("deleted", now)
            self.go_on(now)
        elif self.state is not State.DELETING:
            self.tasks.clear()
            self.want(DeleteIke(reason), now)

    def terminate_child(self, child_id: int, now: float, reason: str = "deleted") -> None:
        """Delete a CHILD_SA at both ends (RFC 7296 section 1.4.1)."""
        from .informational import DeleteChild

        child = self.children[child_id]
        if child.state is not ChildState.DELETING:
            child.state = ChildState.DELETING
            self.want(DeleteChild(child_id, reason), now)

    def expire_child(self, child_id: int, now: float) -> None:
        """A hard limit: nothing may be sent on it any more."""
        self.terminate_child(child_id, now, "expired")

    def rekey_child(self, child_id: int, now: float) -> None:
        """Replace a CHILD_SA (RFC 7296 section 1.3.3)."""
        from .create_child_sa import RekeyChild

        child = self.children[child_id]
        if not child.sends:
            # It replaces another one and the peer may not know of it yet: it would say CHILD_SA_NOT_FOUND.
            child.rekey_at = now + self.core.timing.retry_interval
            self.go_on(now)
        elif child.state is ChildState.INSTALLED and self.state is State.ESTABLISHED:
            child.state = ChildState.REKEYING
            self.want(RekeyChild(child), now)

    def rekey(self, now: float) -> None:
        """Replace the IKE SA (RFC 7296 section 1.3.2)."""
        from .rekey_ike import RekeyIke

        if self.state is not State.ESTABLISHED:
            raise LocalError("not-established", f"IKE SA {self.ike_id} is not established, so it cannot be rekeyed")
        if self.rekey_task() is None:
            self.want(RekeyIke(), now)

    def redirect(self, gateway: Identity, now: float) -> None:
        """Send the peer to another gateway; it must be the client, and have said that it goes (RFC 5685 section 3)."""
        from .redirect import Redirect, named

        named(gateway)
        # Clients alone announce it, and whoever rekeyed the IKE SA since, the client stays one.
        if self.state is not State.ESTABLISHED or Feature.REDIRECT not in self.features:
            raise LocalError("not-redirectable", f"IKE SA {self.ike_id}: its peer is no client that can be redirected")
        self.want(Redirect(gateway), now)

    def check_liveness(self, now: float) -> None:
        """Ask whether the peer is there; a request under way asks that already (RFC 7296 section 2.4)."""
        from .informational import Liveness

        if self.state is State.ESTABLISHED and self.window.is_empty:
            self.want(Liveness(), now)

    # What becomes of it.

    def enter(self, state: State) -> None:
        """Go into a state."""
        self.state = state

    def established(self, remote_auth: str, now: float) -> None:
        """Both sides are authenticated: tell, start the timers, forget what setting up needed."""
        self.enter(State.ESTABLISHED)
        self.leave_setup()
        self.keep_only_sk_d()
        self.established_at = self.last_inbound = now
        self.core.identify(self)
        if self.settings.session_resumption:
            self.proof = (remote_auth, now)
        upkeep.start_timers(self, now)
        reauth.established(self, now)
        if self.local_id is None or self.remote_id is None:
            raise RuntimeError("an IKE SA is established without identities")
        self.core.emit(
            IkeSaEstablished(
                ike_id=self.ike_id,
                connection=self.settings.name,
                initiator=self.initiator,
                local_id=self.local_id,
                remote_id=self.remote_id,
                path=self.path,
                spi_i=self.spi_i,
                spi_r=self.spi_r,
                suite=self.suite,
                nat_local=self.nat_local,
                nat_remote=self.nat_remote,
                remote_auth=remote_auth,
            )
        )

    def use_keys(self, keys: IkeKeys) -> None:
        """Seal and open with these from now on."""
        self.keys = keys
        self.suite = keys.suite
        initiator = Envelope(keys.suite, keys.sk_ei, keys.sk_ai, random=self.core.random)
        responder = Envelope(keys.suite, keys.sk_er, keys.sk_ar, random=self.core.random)
        self.envelope_out, self.envelope_in = (initiator, responder) if self.initiator else (responder, initiator)

    def keep_only_sk_d(self) -> None:
        """Nobody is to be authenticated any more, and the envelopes are made: further keys come from SK_d alone."""
        if self.keys is not None:
            self.keys = self.keys.only_sk_d()

    def suspect(self, failure: Failure, now: float) -> None:
        """Something unauthenticated says that this fails: so it does unless something better comes soon."""
        setup = self.in_setup
        setup.suspicion = setup.suspicion or failure
        if setup.deadline is None:
            setup.deadline = now + self.core.timing.refusal_grace

    def reject_peer(self, code: str, now: float) -> None:
        """The responder, which believes to be up, did not prove who it is: tell it (RFC 7296 section 2.21.2)."""
        from .informational import DeleteIke

        self.leave_setup()
        self.tasks.clear()
        self.enter(State.DELETING)
        self.tasks.append(DeleteIke(code, NotifyPayload(NotifyType.AUTHENTICATION_FAILED)))

    def abort(self, now: float) -> None:
        """Forget that there ever was a request: nothing was told to anybody."""
        del now
        self.leave_setup()
        self.enter(State.DEAD)
        self.core.forget(self)

    def leave_setup(self) -> None:
        """Drop what only setting up needed, and give the half-open place free."""
        if self.setup is not None:
            if not self.initiator:
                self.core.doorkeeper.leave(self.source)
            self.setup = None

    def seen_at(self, path: Path) -> None:
        """An authentic packet came over ``path``: its NAT may have moved the peer (RFC 7296 section 2.23).

        With MOBIKE it is for who leads to say so (RFC 4555 section 3.8). The other side cannot: its port is followed.
        """
        if self.state is not State.ESTABLISHED or self.nat_local or not self.nat_remote:
            return
        if self.roaming is None:
            self.moved(path)
        elif self.roaming.leads and path.remote == self.path.remote:
            self.moved(replace(self.path, remote_port=path.remote_port))

    def moved(self, path: Path) -> None:
        """The peer is authenticated at another address or port."""
        if path != self.path:
            old, self.path = self.path, path
            if self.roaming is not None:
                self.roaming.used = (path, self.udp_encap)
            self.core.emit(PathChanged(self.ike_id, path, self.udp_encap, old))
            transport.moved(self, old)

    def failed(self, failure: Failure, exchange: ExchangeType) -> None:
        """Report a failed negotiation: exactly one record each."""
        self.core.emit(NegotiationFailed(self.ike_id, record(self, failure, exchange.name)))

    def add_child(self, child: ChildSa) -> None:
        """It is in place."""
        self.children[child.child_id] = child
        self.core.place(child, self)

    def use_outbound(self, child: ChildSa) -> None:
        """From now on traffic goes out on it, unless it still waits to take the place of another one."""
        if not child.sends and child.takes_over_at is None:
            child.sends = True
            self.core.emit(OutboundReady(self.ike_id, child.child_id))

    def take_over(self, child: ChildSa) -> None:
        """What it takes the place of is gone, or gives way."""
        child.takes_over_at = None
        self.use_outbound(child)

    def drop_child(self, child_id: int, reason: str) -> None:
        """It is gone: tell the data plane."""
        child = self.children.pop(child_id, None)
        if child is not None:
            successor = self.children.get(child.successor) if child.successor is not None else None
            if successor is not None:
                # Whoever deletes it has the replacement in place (RFC 7296 section 2.8).
                self.use_outbound(successor)
            other = self.core.by_child.get(child.heir) if child.heir is not None else None
            if other is not None and child.heir is not None:
                other.take_over(other.children[child.heir])
            self.core.displace(child)
            self.core.emit(
                ChildSaDeleted(self.ike_id, child_id, self.settings.name, child.config.name, reason),
            )

    def close_after_answer(self, reason: str, now: float) -> None:
        """The peer ends it: answer first. If both replaced it at once, the peer's replacement goes on."""
        from .rekey_ike import adopt

        ours = self.rekey_under_way()
        if ours is not None and ours.rival is not None and ours.rival[0].is_usable:
            adopt(self, ours.rival[0], now)
            reason = "rekeyed"
        self.end = reason

    def die(self, reason: str, now: float) -> None:
        """It ends here. What is left answers repeated requests for a while: the last response may have been lost."""
        if self.state is State.DEAD:
            return
        if self.reopens:
            reauth.reopen(self, now, peer_deletes=reason == "peer-deleted")
        for child in self.children.values():
            child.successor = None
        for child_id in list(self.children):
            self.drop_child(child_id, reason if reason in ("dead", "rekeyed") else "ike-deleted")
        for task in self._all_tasks():
            task.refused(self, now)
        self.tasks.clear()
        self.followups.clear()
        self.window.abandon()
        self.leave_setup()
        resumption.put_by(self, reason, now)
        self.core.unidentify(self)
        self.enter(State.DEAD)
        self.keys = self.envelope_in = self.envelope_out = None
        self.reassemblies.clear()
        self.gone_at = now + self.core.timing.delete_timeout
        reauth.part(self)
        if self.announced:
            name = self.connection.name if self.connection is not None else ""
            self.core.emit(IkeSaDeleted(self.ike_id, name, reason))
