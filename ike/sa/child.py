"""A CHILD_SA, and what IKE_AUTH and CREATE_CHILD_SA have in common in making one.

The way of an offer: :func:`offer` makes the payloads, :func:`choose` picks on the other side, :func:`confirm` checks
the choice, and :func:`install` hands the keys out on both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from ..config import Child, Mode, TsTemplate
from ..crypto import proposal as proposals
from ..crypto.proposal import Mismatch, Selection
from ..crypto.secret import Secret
from ..errors import LocalError, PeerError
from ..events import AttemptLost, ChildSaEstablished, Path, SaHalf
from ..records import Failure, Refused
from ..status import ChildSaInfo
from ..wire.constants import Esn, NotifyType, PayloadType, ProtocolId, TransformType
from ..wire.message import Message
from ..wire.payloads import NotifyPayload, Payload, Proposal, SaPayload, Transform, TsPayload
from ..wire.selectors import MOST_SELECTORS, Address, TrafficSelector, narrow
from . import reauth, resources, transport
from .prose import notify_name

if TYPE_CHECKING:
    from .ike_sa import IkeSa
    from .setup import Packet

Selectors = tuple[TrafficSelector, ...]


class ChildState(Enum):
    """strongSwan's words."""

    INSTALLED = "INSTALLED"
    REKEYING = "REKEYING"
    REKEYED = "REKEYED"
    DELETING = "DELETING"


class ChildSa:
    """What the IKE SA remembers of a CHILD_SA: everything but the keys."""

    __slots__ = (
        "child_id",
        "config",
        "esn",
        "expires_at",
        "heir",
        "initiator",
        "installed_at",
        "local_ts",
        "mode",
        "protocol",
        "rekey_at",
        "remote_ts",
        "resource",
        "sends",
        "shared",
        "spi_in",
        "spi_out",
        "state",
        "successor",
        "suite",
        "takes_over_at",
        "udp_encap",
    )

    def __init__(self, child_id: int, config: Child, draft: Draft, spi_in: int, spi_out: int) -> None:
        self.child_id = child_id
        self.config = config
        self.protocol = draft.selection.proposal.protocol
        self.mode = draft.mode
        self.initiator = draft.initiator
        self.suite = draft.selection.suite
        self.esn = any(t.type == TransformType.ESN and t.id == Esn.YES for t in self.suite)
        self.local_ts = draft.local_ts
        self.remote_ts = draft.remote_ts
        self.spi_in = spi_in
        self.spi_out = spi_out
        self.udp_encap = False
        self.shared = draft.shared
        self.resource = draft.resource
        self.state = ChildState.INSTALLED
        self.successor: int | None = None
        """The CHILD_SA that replaces this one once it is deleted."""
        self.heir: int | None = None
        """One of another IKE SA, which waits for this one to go: the peer reauthenticates."""
        self.sends = False
        self.takes_over_at: float | None = None
        """When to look again whether it can be sent on in the place of one of another IKE SA."""
        self.installed_at = 0.0
        self.rekey_at: float | None = None
        self.expires_at: float | None = None

    @property
    def is_current(self) -> bool:
        """Whether it is neither replaced nor about to go."""
        return self.state in (ChildState.INSTALLED, ChildState.REKEYING)

    @property
    def spi_in_bytes(self) -> bytes:
        """Our inbound SPI as it stands on the wire."""
        return self.spi_in.to_bytes(4, "big")

    def info(self) -> ChildSaInfo:
        """For status displays."""
        return ChildSaInfo(
            child_id=self.child_id,
            name=self.config.name,
            state=self.state.value,
            protocol=self.protocol,
            mode=self.mode,
            initiator=self.initiator,
            suite=self.suite,
            spi_in=self.spi_in,
            spi_out=self.spi_out,
            local_ts=self.local_ts,
            remote_ts=self.remote_ts,
            udp_encap=self.udp_encap,
            esn=self.esn,
            installed_at=self.installed_at,
            rekey_at=self.rekey_at,
            expires_at=self.expires_at,
            resource=self.resource,
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """What we asked for, to hold the answer against."""

    config: Child
    spi: int
    proposals: tuple[Proposal, ...]
    local_ts: Selectors
    remote_ts: Selectors
    resource: int = 0


@dataclass(frozen=True, slots=True)
class Draft:
    """What both sides agreed on. ``initiator``: we asked. ``shared``: both may ask for more of the same selectors.

    ``resource`` numbers those (:mod:`.resources`); 0 is the first one, and any other CHILD_SA.
    """

    config: Child
    selection: Selection
    local_ts: Selectors
    remote_ts: Selectors
    mode: Mode
    initiator: bool
    peer_supports_tfc: bool
    shared: bool = False
    resource: int = 0
    translation: transport.Translation = transport.NONE


def _resolve(templates: tuple[TsTemplate, ...], host: Address) -> Selectors:
    return tuple(template.resolve(host) for template in templates)


def selectors_of(config: Child, path: Path) -> tuple[Selectors, Selectors]:
    """Local and remote selectors as configured, ``dynamic`` ones resolved to the tunnel's ends."""
    return _resolve(config.local_ts, path.local), _resolve(config.remote_ts, path.remote)


def offer(
    sa: IkeSa,
    config: Child,
    packet: Packet | None,
    *,
    with_ke: bool,
    like: ChildSa | None = None,
    resource: int = 0,
    replaces: int = 0,
) -> tuple[Offer, list[Payload]]:
    """SA, TSi and TSr of a request, and the notifies that go with them. Takes an SPI.

    ``like``: with the selectors of that one; ``resource`` is its number among them. ``replaces``: the inbound SPI of
    the one that this is to follow.
    """
    protocol = ProtocolId.AH if config.ah_proposals else ProtocolId.ESP
    local, remote = selectors_of(config, sa.path) if like is None else (like.local_ts, like.remote_ts)
    _check_number(config, local, remote)
    spi = sa.core.child_spi(protocol, replaces)
    offered = proposals.to_wire(config.proposals, spi.to_bytes(4, "big"), with_ke=with_ke)
    made = Offer(config, spi, offered, local, remote, resource)
    if packet is not None and len(local) < MOST_SELECTORS and any(ts.contains(packet[0]) for ts in local):
        # The packet that asked for the SA leads (RFC 7296 section 2.9).
        local = (packet[0], *local)
    if packet is not None and len(remote) < MOST_SELECTORS and any(ts.contains(packet[1]) for ts in remote):
        remote = (packet[1], *remote)
    payloads: list[Payload] = [
        SaPayload(offered),
        TsPayload(PayloadType.TS_I, local),
        TsPayload(PayloadType.TS_R, remote),
    ]
    if config.mode is Mode.TRANSPORT:
        payloads.insert(0, NotifyPayload(NotifyType.USE_TRANSPORT_MODE))
    return made, payloads


def _check_number(config: Child, local: Selectors, remote: Selectors) -> None:
    for key, selectors in (("local_ts", local), ("remote_ts", remote)):
        if len(selectors) > MOST_SELECTORS:
            raise LocalError(
                "too-many-selectors",
                f"children.{config.name}.{key} has {len(selectors)} selectors, and a message holds {MOST_SELECTORS}",
                hint="make two children of it, or write networks that cover several",
            )


# The responder's choice.


def choose(sa: IkeSa, message: Message, *, with_ke: bool, only: Child | None = None) -> Draft:
    """Pick child section, selectors and suite for a peer's request. Raises :class:`Refused`.

    ``only``: the section of the CHILD_SA that is being rekeyed comes first.
    """
    offered = message.one(SaPayload)
    theirs = message.one(TsPayload, PayloadType.TS_I)
    ours = message.one(TsPayload, PayloadType.TS_R)
    if offered is None or theirs is None or ours is None:
        raise PeerError("invalid-syntax", "a CHILD_SA without SA, TSi or TSr", notify=NotifyType.INVALID_SYNTAX)
    sections = [only] if only is not None else [c for c in sa.settings.children if c.mode not in (Mode.PASS, Mode.DROP)]
    asks_transport = message.notify(NotifyType.USE_TRANSPORT_MODE) is not None
    hosts = transport.translation(sa, ours.selectors, theirs.selectors) if asks_transport else transport.NONE
    fitting = _fitting(sa, sections, theirs.selectors, ours.selectors, hosts)
    if not fitting:
        raise Refused(_no_selectors(sa, sections, theirs.selectors, ours.selectors), NotifyType.TS_UNACCEPTABLE)
    first: tuple[Child, Mismatch] | None = None
    tried: list[AttemptLost] = []
    for config, local, remote in fitting:
        protocol = ProtocolId.AH if config.ah_proposals else ProtocolId.ESP
        found = proposals.select(offered.proposals, config.proposals, protocol=protocol, with_ke=with_ke)
        if isinstance(found, Selection):
            _check_spi(found)
            direct = asks_transport and config.mode is Mode.TRANSPORT
            shared = only is None and resources.announced(config, message)
            return Draft(
                config,
                found,
                local,
                remote,
                Mode.TRANSPORT if direct else Mode.TUNNEL,
                initiator=False,
                peer_supports_tfc=message.notify(NotifyType.ESP_TFC_PADDING_NOT_SUPPORTED) is None,
                shared=shared,
                resource=resources.number_for(sa, config, local, remote) if shared else 0,
                translation=hosts if direct else transport.NONE,
            )
        tried.append(AttemptLost(config.name, str(found)))
        first = first or (config, found)
    if first is None:
        raise RuntimeError("a child section fits and was not tried")
    raise Refused(_no_proposal(*first, tuple(tried)), NotifyType.NO_PROPOSAL_CHOSEN)


def _fitting(
    sa: IkeSa, sections: list[Child], theirs: Selectors, ours: Selectors, hosts: transport.Translation
) -> list[tuple[Child, Selectors, Selectors]]:
    """Sections with something in common with both selector payloads.

    Those that take the offer whole come first, then those that take its first selectors: that is the packet which asked
    for the SA (RFC 7296 section 2.9).
    """
    whole: list[tuple[Child, Selectors, Selectors]] = []
    first: list[tuple[Child, Selectors, Selectors]] = []
    part: list[tuple[Child, Selectors, Selectors]] = []
    for config in sections:
        local, remote = selectors_of(config, sa.path)
        here, there = hosts.here(ours, theirs) if config.mode is Mode.TRANSPORT else (ours, theirs)
        common_local, common_remote = narrow(here, local), narrow(there, remote)
        if common_local and common_remote:
            taken_whole = set(common_local) == set(here) and set(common_remote) == set(there)
            takes_first = _covers(local, here[0]) and _covers(remote, there[0])
            rank = whole if taken_whole else first if takes_first else part
            rank.append((config, common_local, common_remote))
    return whole + first + part


def _covers(selectors: Selectors, one: TrafficSelector) -> bool:
    return any(ts.contains(one) for ts in selectors)


def _no_selectors(sa: IkeSa, sections: list[Child], theirs: Selectors, ours: Selectors) -> Failure:
    """The peer's selectors as they would have to be written here, and the first side on which nothing is common."""
    tried: list[AttemptLost] = []
    allowed: list[str] = []
    key, mismatch, name = "", "the connection has no child that negotiates", ""
    for config in sections:
        local, remote = selectors_of(config, sa.path)
        allowed.append(f"{config.name}: local_ts = {words(local)}, remote_ts = {words(remote)}")
        if not narrow(ours, local):
            why = f"the peer wants to reach {words(ours)}; local_ts is {words(local)}"
            side = "local_ts"
        else:
            why = f"the peer's own side is {words(theirs)}; remote_ts is {words(remote)}"
            side = "remote_ts"
        tried.append(AttemptLost(config.name, why))
        if not key:
            key, mismatch, name = f"children.{config.name}.{side}", why, config.name
    return Failure(
        code="ts-unacceptable",
        summary=f"no traffic selectors in common: {mismatch}",
        hint="make the two sides mirror each other: our local_ts is the peer's remote_ts, and the reverse",
        offered=(f"local_ts = {words(ours)}, remote_ts = {words(theirs)}",),
        allowed=tuple(allowed),
        mismatch=mismatch,
        tried=tuple(tried),
        keys=(key,) if key else ("children",),
        child=name,
    )


def _no_proposal(config: Child, mismatch: Mismatch, tried: tuple[AttemptLost, ...]) -> Failure:
    kind = "ah_proposals" if config.ah_proposals else "esp_proposals"
    return Failure(
        code="no-proposal-chosen",
        summary=f"no {kind[:-10].upper()} proposal in common: {mismatch}",
        hint=f"name one and the same suite in {kind} on both sides",
        offered=mismatch.offered,
        allowed=mismatch.allowed,
        mismatch=str(mismatch),
        tried=tried,
        keys=(f"children.{config.name}.{kind}",),
        child=config.name,
    )


def words(selectors: Selectors) -> str:
    """Selectors as one writes them in swanctl.conf."""
    return ",".join(str(ts) for ts in selectors)


def answer_payloads(draft: Draft, spi: int) -> list[Payload]:
    """SA, TSi and TSr of the response, and the notifies that go with them."""
    local, remote = draft.translation.there(draft.local_ts, draft.remote_ts)
    payloads: list[Payload] = [
        SaPayload((draft.selection.answer(spi.to_bytes(4, "big")),)),
        TsPayload(PayloadType.TS_I, remote),
        TsPayload(PayloadType.TS_R, local),
    ]
    if draft.mode is Mode.TRANSPORT:
        payloads.insert(0, NotifyPayload(NotifyType.USE_TRANSPORT_MODE))
    if draft.shared:
        payloads += resources.announce(draft.config, draft.resource)
    return payloads


# The initiator's check.


def confirm(sa: IkeSa, made: Offer, message: Message) -> Draft:
    """Hold the peer's choice against our offer. Raises :class:`PeerError`."""
    config = made.config
    chosen = message.one(SaPayload)
    ours = message.one(TsPayload, PayloadType.TS_I)
    theirs = message.one(TsPayload, PayloadType.TS_R)
    if chosen is None or ours is None or theirs is None:
        raise PeerError("invalid-syntax", "the peer's answer lacks SA, TSi or TSr", notify=NotifyType.INVALID_SYNTAX)
    selection = proposals.confirm(chosen.proposals, made.proposals)
    _check_spi(selection)
    direct = message.notify(NotifyType.USE_TRANSPORT_MODE) is not None
    hosts = transport.translation(sa, ours.selectors, theirs.selectors) if direct else transport.NONE
    here, there = hosts.here(ours.selectors, theirs.selectors)
    local, remote = narrow(here, made.local_ts), narrow(there, made.remote_ts)
    if set(local) != set(here) or set(remote) != set(there):
        raise Refused(
            Failure(
                code="ts-widened",
                summary="the peer chose traffic selectors outside of what was offered",
                hint="the peer breaks RFC 7296 section 2.9: it may narrow, never widen",
                offered=(f"local_ts = {words(ours.selectors)}, remote_ts = {words(theirs.selectors)}",),
                allowed=(f"local_ts = {words(made.local_ts)}, remote_ts = {words(made.remote_ts)}",),
                keys=(f"children.{config.name}.local_ts",),
                child=config.name,
            ),
            NotifyType.TS_UNACCEPTABLE,
        )
    if direct and config.mode is not Mode.TRANSPORT:
        raise PeerError("unasked-transport", "the peer chose transport mode unasked", notify=NotifyType.INVALID_SYNTAX)
    return Draft(
        config,
        selection,
        local,
        remote,
        Mode.TRANSPORT if direct else Mode.TUNNEL,
        initiator=True,
        peer_supports_tfc=message.notify(NotifyType.ESP_TFC_PADDING_NOT_SUPPORTED) is None,
        shared=resources.announced(config, message),
        resource=made.resource,
    )


def _check_spi(selection: Selection) -> None:
    """The peer's: four bytes, and none of those that are reserved."""
    spi = selection.proposal.spi
    if len(spi) != 4 or spi < b"\x00\x00\x01\x00":
        raise PeerError("bad-spi", "the peer's SPI is no SPI (RFC 4303 section 2.1)", notify=NotifyType.INVALID_SYNTAX)


def refusal_of(config: Child, made: Offer | None, notify: int, where: str) -> Failure:
    """Why the peer wanted none of our CHILD_SA, as far as its notify tells."""
    local, remote = (words(made.local_ts), words(made.remote_ts)) if made is not None else ("", "")
    if notify == NotifyType.TS_UNACCEPTABLE:
        return Failure(
            code="ts-unacceptable",
            summary=f"the peer accepts none of our traffic selectors ({where})",
            hint="make the two sides mirror each other: our local_ts is the peer's remote_ts, and the reverse",
            allowed=(f"{config.name}: local_ts = {local}, remote_ts = {remote}",),
            mismatch=f"the peer has no child for {local} here and {remote} there",
            keys=(f"children.{config.name}.remote_ts", f"children.{config.name}.local_ts"),
            child=config.name,
        )
    kind = "ah_proposals" if config.ah_proposals else "esp_proposals"
    if notify == NotifyType.NO_PROPOSAL_CHOSEN:
        return Failure(
            code="no-proposal-chosen",
            summary=f"the peer accepts none of our {kind} ({where})",
            hint=f"name one and the same suite in {kind} on both sides",
            allowed=tuple(str(spec) for spec in config.proposals),
            mismatch="the peer does not say what it allows: look at its log",
            keys=(f"children.{config.name}.{kind}",),
            child=config.name,
        )
    name = notify_name(notify)
    return Failure(
        code="child-refused",
        summary=f"the peer refused the CHILD_SA with {name} ({where})",
        hint="the peer's log says why",
        allowed=(f"{config.name}: local_ts = {local}, remote_ts = {remote}",),
        mismatch=name,
        keys=(f"children.{config.name}",),
        child=config.name,
        fields={"notify": name},
    )


# Both.


def install(
    sa: IkeSa,
    draft: Draft,
    spi_in: int,
    spi_out: int,
    nonces: tuple[bytes, bytes],
    shared: Secret | None,
    now: float,
    *,
    replaces: int | None = None,
    additional: Iterable[Secret] = (),
) -> ChildSa:
    """Derive the keys (RFC 7296 section 2.17) and hand them out. The caller says when the outbound half is used.

    ``additional`` are the secrets of further key exchanges (RFC 9370 section 2.2.4).
    """
    if sa.keys is None:
        raise RuntimeError("there are no keys to derive from")
    keys = sa.keys.child(draft.selection.suite, *nonces, shared, additional)
    inbound, outbound = keys.inbound(initiator=draft.initiator), keys.outbound(initiator=draft.initiator)
    child = ChildSa(sa.core.child_id(), draft.config, draft, spi_in, spi_out)
    child.installed_at = now
    old = sa.children.get(replaces) if replaces is not None else None
    if old is not None:
        child.shared, child.resource = old.shared, old.resource
    path, child.udp_encap = sa.traffic_path
    _start_timers(sa, child, now)
    sa.add_child(child)
    if replaces is None and not draft.initiator:
        reauth.hold_back(sa, child, now)
    path = path if child.udp_encap else replace(path, local_port=0, remote_port=0)
    sa.core.emit(
        ChildSaEstablished(
            ike_id=sa.ike_id,
            child_id=child.child_id,
            connection=sa.settings.name,
            child=draft.config.name,
            protocol=child.protocol,
            mode=child.mode,
            initiator=child.initiator,
            suite=child.suite,
            inbound=SaHalf(spi_in, inbound.encryption, inbound.integrity),
            outbound=SaHalf(spi_out, outbound.encryption, outbound.integrity),
            local_ts=child.local_ts,
            remote_ts=child.remote_ts,
            path=path,
            udp_encap=child.udp_encap,
            esn=child.esn,
            replaces=replaces,
            peer_supports_tfc=draft.peer_supports_tfc,
            resource=child.resource,
        )
    )
    return child


def _start_timers(sa: IkeSa, child: ChildSa, now: float) -> None:
    """Soft limit with jitter, so that a thousand tunnels set up together are not rekeyed together; hard one without."""
    config = child.config
    if config.rekey_time:
        child.rekey_at = now + max(0.0, config.rekey_time - sa.core.fraction() * config.rand_time)
    if config.life_time:
        child.expires_at = now + config.life_time


def suite_words(suite: tuple[Transform, ...]) -> str:
    """A suite as ``swanctl`` prints it."""
    return proposals.describe(suite)
