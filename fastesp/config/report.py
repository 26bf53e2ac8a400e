"""What ``fastesp check FILE`` tells: what each connection will offer and ask for, what is weak, and what cannot work.

Plain values only, made for JSON; the command line renders them for people. Needs neither root nor a gateway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ike.config import AddressTemplate, AuthRound, Child, Connection, TsTemplate
from ike.crypto.proposal import ProposalSpec
from ike.crypto.transforms import TYPE_NAMES, transform_name
from ike.wire.constants import TransformType

from .load import load
from .problems import ERROR, INFO, WARNING, ConfigurationError, Problem
from .settings import Settings

HOPELESS = frozenset(
    (
        "config-cert-expired",
        "config-cert-identity",
        "config-collision",
        "config-family",
        "config-no-ca",
        "config-no-cert",
        "config-no-key",
        "config-no-peer",
        "config-no-secret",
    )
)
"""Codes of problems because of which a negotiation fails, or a packet finds no way."""


@dataclass(frozen=True, slots=True)
class ProposalReport:
    """One proposal, and for each kind of transform the algorithms in the order of preference."""

    text: str
    algorithms: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class RoundReport:
    """One round of authentication, of our side or of the peer's."""

    side: str
    auth: str
    identity: str
    certificates: tuple[str, ...]
    authorities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChildReport:
    """One child: its traffic, its protection, and when it starts and ends. Times in seconds."""

    name: str
    where: str
    mode: str
    protocol: str
    local_ts: tuple[str, ...]
    remote_ts: tuple[str, ...]
    proposals: tuple[ProposalReport, ...]
    start_action: str
    rekey_time: float
    life_time: float


@dataclass(frozen=True, slots=True)
class ConnectionReport:
    """One connection as it will be negotiated."""

    name: str
    where: str
    local_addrs: tuple[str, ...]
    remote_addrs: tuple[str, ...]
    proposals: tuple[ProposalReport, ...]
    rounds: tuple[RoundReport, ...]
    children: tuple[ChildReport, ...]
    rekey_time: float
    initiates: bool
    """Whether there is a single peer that it can be initiated to."""


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a check. ``connections`` is empty where there are errors: nothing would be applied."""

    file: str
    connections: tuple[ConnectionReport, ...]
    problems: tuple[Problem, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many of each thing the file and its directories bring."""

    @property
    def valid(self) -> bool:
        """Whether the gateway would take the file."""
        return not self.errors

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What has to be mended."""
        return self._of(ERROR)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What should be looked at."""
        return self._of(WARNING)

    @property
    def remarks(self) -> tuple[Problem, ...]:
        """What a reader may want to know."""
        return self._of(INFO)

    @property
    def weak(self) -> tuple[Problem, ...]:
        """What gives less protection than it should."""
        return tuple(problem for problem in self.problems if problem.code in ("config-weak", "config-readable"))

    @property
    def hopeless(self) -> tuple[Problem, ...]:
        """What cannot match, or cannot authenticate."""
        return tuple(problem for problem in self.problems if problem.code in HOPELESS)

    def _of(self, severity: str) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == severity)

    def as_dict(self) -> dict[str, Any]:
        """For JSON. The keys are an interface: they are added to, never changed."""
        return {
            "file": self.file,
            "valid": self.valid,
            "problems": [asdict(problem) for problem in self.problems],
            "connections": [asdict(connection) for connection in self.connections],
            "counts": dict(self.counts),
        }


def explain(path: Path | str, directory: Path | str | None = None) -> Report:
    """Check a swanctl.conf. Never raises for what is in it: its mistakes are the result."""
    try:
        settings = load(path, directory)
    except ConfigurationError as error:
        return Report(str(path), (), tuple(error.problems))
    return explain_settings(settings, str(path))


def explain_settings(settings: Settings, name: str) -> Report:
    """The same for settings that are there already."""
    counts = {
        "connection": len(settings.connections),
        "secret": len(settings.shared),
        "private key": len(settings.keys),
        "certificate": len(settings.certificates),
        "pool": len(settings.pools),
    }
    return Report(name, tuple(_connection(one) for one in settings.connections), settings.warnings, counts)


def _connection(connection: Connection) -> ConnectionReport:
    rounds = [_round("local", one) for one in connection.local] + [_round("remote", one) for one in connection.remote]
    return ConnectionReport(
        name=connection.name,
        where=connection.where.get("", ""),
        local_addrs=tuple(address_text(entry) for entry in connection.local_addrs),
        remote_addrs=tuple(address_text(entry) for entry in connection.remote_addrs),
        proposals=_proposals(connection.proposals),
        rounds=tuple(rounds),
        children=tuple(_child(child) for child in connection.children),
        rekey_time=connection.rekey_time,
        initiates=any(a.name or (a.address is not None and a.last is None) for a in connection.remote_addrs),
    )


def _round(side: str, found: AuthRound) -> RoundReport:
    default = "%any" if side == "remote" else "the certificate's subject" if found.certs else "the address"
    return RoundReport(
        side=side,
        auth=found.auth_detail or found.auth,
        identity=str(found.id) if found.id is not None else default,
        certificates=tuple(certificate.subject.rfc4514_string() for certificate in found.certs),
        authorities=tuple(certificate.subject.rfc4514_string() for certificate in found.cacerts),
    )


def _child(child: Child) -> ChildReport:
    return ChildReport(
        name=child.name,
        where=child.where.get("", ""),
        mode=child.mode.value,
        protocol="AH" if child.ah_proposals else "ESP",
        local_ts=tuple(selector_text(ts) for ts in child.local_ts),
        remote_ts=tuple(selector_text(ts) for ts in child.remote_ts),
        proposals=_proposals(child.proposals),
        start_action=child.start_action.value,
        rekey_time=child.rekey_time,
        life_time=child.life_time,
    )


def _proposals(specs: Sequence[ProposalSpec]) -> tuple[ProposalReport, ...]:
    return tuple(ProposalReport(spec.text, _algorithms(spec)) for spec in specs)


def _algorithms(spec: ProposalSpec) -> dict[str, tuple[str, ...]]:
    kinds: Iterable[int] = dict.fromkeys(transform.type for transform in spec.transforms)
    return {
        TYPE_NAMES[TransformType(kind)]: tuple(transform_name(t) for t in spec.transforms if t.type == kind)
        for kind in kinds
    }


def address_text(entry: AddressTemplate) -> str:
    """An entry of ``local_addrs`` or ``remote_addrs`` as one writes it."""
    if entry.name is not None:
        return entry.name
    if entry.network is not None:
        return str(entry.network)
    if entry.address is not None:
        return f"{entry.address}-{entry.last}" if entry.last is not None else str(entry.address)
    return f"%any{entry.version or ''}"


def selector_text(template: TsTemplate) -> str:
    """A configured selector as ``swanctl --list-conns`` writes it."""
    if template.selector is not None:
        return str(template.selector)
    if not template.protocol and (template.start_port, template.end_port) == (0, 65535):
        return "dynamic"
    ports = f"{template.start_port}-{template.end_port}"
    ports = {"0-65535": "", "65535-0": "/OPAQUE"}.get(ports, f"/{ports}")
    if template.start_port == template.end_port:
        ports = f"/{template.start_port}"
    return f"dynamic[{template.protocol or ''}{ports}]"
