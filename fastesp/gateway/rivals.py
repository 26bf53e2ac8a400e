"""Two CHILD_SAs with different peers that want the very same packets: only one of them gets them.

Nothing is wrong with either negotiation, and nothing in one connection shows it: a connection that any of several peers
may use, or ``dynamic`` selectors of hosts behind two NATs, collide only once both are up. What collides already by its
words is found by ``fastesp check`` and at each load.
"""

from __future__ import annotations

from ike.events import FailureRecord
from ike.status import IkeSaInfo

from .translate import as_traffic_selectors
from .tunnel_records import TunnelRecords
from .tunnels import Tunnel, Tunnels

HINT = (
    "give each peer networks of its own (remote_ts here, local_ts there), or translate the addresses at one of the "
    "sites; a peer that only came back under another name goes by unique = replace and one identity"
)


class Rivals:
    """Looks for them when a CHILD_SA comes up."""

    def __init__(self, tunnels: Tunnels, records: TunnelRecords) -> None:
        self._tunnels = tunnels
        self._records = records

    def record(self, tunnel: Tunnel) -> FailureRecord | None:
        """The collision of a tunnel that has just come up with one that was there."""
        ike = self._records.ike_sa(tunnel.ike_id)
        if ike is None:
            return None
        for other in self._tunnels.sharing(tunnel):
            theirs = self._records.ike_sa(other.ike_id)
            if theirs is not None and self._differ(tunnel, ike, other, theirs):
                return self._record(tunnel, ike, other, theirs)
        return None

    def _differ(self, tunnel: Tunnel, ike: IkeSaInfo, other: Tunnel, theirs: IkeSaInfo) -> bool:
        """A peer that authenticates anew, or whose other end initiated too, is no rival of its own."""
        same_peer = ike.remote_id == theirs.remote_id and tunnel.connection == other.connection
        return ike.ike_id != theirs.ike_id and not same_peer

    def _record(self, tunnel: Tunnel, ike: IkeSaInfo, other: Tunnel, theirs: IkeSaInfo) -> FailureRecord:
        shared = set(tunnel.policy.selectors) & set(other.policy.selectors)
        local, remote = as_traffic_selectors(s for s in tunnel.policy.selectors if s in shared)
        return self._records.make(
            tunnel,
            ike,
            "child-collision",
            f"CHILD_SA {tunnel.name}{{{tunnel.child_id}}} with {ike.remote_id} wants the packets of "
            f"{other.name}{{{other.child_id}}} with {theirs.remote_id}: only one of them gets them",
            key=f"children.{tunnel.config.name}.remote_ts",
            hint=HINT,
            fields={
                "packets": f"{' '.join(map(str, local))} === {' '.join(map(str, remote))}",
                "rival": f"{other.name}{{{other.child_id}}} with {theirs.remote_id} at {theirs.path.remote}",
                "its line": self._records.line(other, f"children.{other.config.name}.remote_ts"),
            },
        )
