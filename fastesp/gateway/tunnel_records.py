"""Records about a CHILD_SA that is up, for what no negotiation could say: whose it is, and the line to change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ike.config import Connection
from ike.events import FailureRecord
from ike.records import place
from ike.status import IkeSaInfo

from .tunnels import Tunnel


@dataclass(frozen=True, slots=True)
class TunnelRecords:
    """Makes them. ``ike_sa`` and ``connection`` find an IKE SA by its id and a connection by its name."""

    ike_sa: Callable[[int], IkeSaInfo | None]
    connection: Callable[[str], Connection | None]

    def line(self, tunnel: Tunnel, key: str) -> str:
        """Where the tunnel's connection says ``key``."""
        return place(self.connection(tunnel.connection), (key,))

    def make(
        self, tunnel: Tunnel, ike: IkeSaInfo, code: str, summary: str, *, key: str, hint: str, fields: Mapping[str, str]
    ) -> FailureRecord:
        """One about ``tunnel`` of ``ike``; ``key`` is what to change."""
        return FailureRecord(
            code=code,
            summary=summary,
            exchange="none",
            role="initiator" if ike.initiator else "responder",
            peer=f"{ike.path.remote}[{ike.path.remote_port}]",
            connection=tunnel.connection,
            child=tunnel.config.name,
            local_id=str(ike.local_id),
            remote_id=str(ike.remote_id),
            change=self.line(tunnel, key),
            hint=hint,
            fields=fields,
        )
