"""What this machine's data plane can carry of what a connection is allowed to negotiate.

An algorithm that nobody here can do is neither offered nor accepted: a tunnel that comes up can also be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ike.config import Child, Connection, Mode
from ike.crypto.proposal import ProposalSpec
from ike.crypto.transforms import transform_name
from ike.wire.constants import Encr, Integ, ProtocolId, TransformType
from ike.wire.payloads import Transform

from .translate import ENCRYPTION, INTEGRITY


@dataclass(frozen=True, slots=True)
class Ability:
    """Names of suites, modes and protocols, as a data plane's ``capabilities`` says them; ``encap`` is the option's.

    ``workers`` carry packets side by side: so many CHILD_SAs stands ``per_cpu_sas = yes`` for.
    """

    names: frozenset[str]
    encap: str = "auto"
    workers: int = 1

    def limit(self, connection: Connection) -> Connection:
        """The connection with what can be done left in it; itself where that is all of it."""
        children = tuple(self._limit_child(child) for child in connection.children)
        forced = self.encap == "always" and not connection.encap
        if children == connection.children and not forced:
            return connection
        return replace(connection, children=children, encap=connection.encap or forced)

    def complaints(self, connection: Connection) -> list[str]:
        """One line for each thing that was written and cannot be done here."""
        found: list[str] = []
        for child in connection.children:
            name = f"{connection.name}/{child.name}"
            for spec in child.proposals:
                if spec.text in ("", "default"):
                    continue
                missing = [transform_name(t) for t in spec.transforms if not self.can(t, spec.protocol)]
                if missing:
                    where = child.where.get("ah_proposals" if child.ah_proposals else "esp_proposals", "")
                    place = f"{where}: " if where else ""
                    found.append(f"{place}{name}: the data plane does not do {', '.join(missing)} of {spec.text}")
            if child.mode in (Mode.TUNNEL, Mode.TRANSPORT) and child.mode.value not in self.names:
                found.append(f"{name}: the data plane does not do {child.mode.value} mode")
            if child.proposals and not self._limit_specs(child.proposals):
                found.append(f"{name}: nothing of its proposals can be done here, so it will not come up")
        return found

    def _limit_child(self, child: Child) -> Child:
        if child.per_cpu_sas < 0:
            child = replace(child, per_cpu_sas=self.workers)
        esp, ah = self._limit_specs(child.esp_proposals), self._limit_specs(child.ah_proposals)
        if (esp, ah) == (child.esp_proposals, child.ah_proposals):
            return child
        # With nothing left the child keeps its words: an empty list would stand for the defaults.
        if not (esp or ah):
            return child
        return replace(child, esp_proposals=esp, ah_proposals=ah)

    def _limit_specs(self, specs: Sequence[ProposalSpec]) -> tuple[ProposalSpec, ...]:
        return tuple(limited for spec in specs if (limited := self._limit_spec(spec)) is not None)

    def _limit_spec(self, spec: ProposalSpec) -> ProposalSpec | None:
        kept = tuple(t for t in spec.transforms if self.can(t, spec.protocol))
        if kept == spec.transforms:
            return spec
        for kind in (TransformType.ENCR, TransformType.INTEG):
            if spec.of(kind) and not any(t.type == kind for t in kept):
                return None
        return replace(spec, transforms=kept)

    def can(self, transform: Transform, protocol: ProtocolId) -> bool:
        """Whether the data plane does this algorithm with this protocol; what is no business of packets, it does."""
        if protocol is ProtocolId.AH and "ah" not in self.names:
            return transform.type not in (TransformType.ENCR, TransformType.INTEG)
        if transform.type == TransformType.ENCR:
            return transform.id in ENCRYPTION and ENCRYPTION[Encr(transform.id)] in self.names
        if transform.type == TransformType.INTEG and transform.id != Integ.NONE:
            return transform.id in INTEGRITY and INTEGRITY[Integ(transform.id)] in self.names
        return True
