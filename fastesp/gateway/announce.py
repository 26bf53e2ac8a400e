"""What VICI clients are told unasked: SAs that come, go, move and are rekeyed, log lines, and failures as ``alert``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from ike.events import ChildSaDeleted, IkeSaDeleted, IkeSaRekeyed, PathChanged
from ike.status import IkeSaInfo

from .commands.views import View, child_view, ike_view
from .failures import Failure, as_message
from .logbook import LogLine
from .tunnels import Tunnels


class EventSink(Protocol):
    """Where events go: the VICI server."""

    def emit(self, event: str, message: Mapping[str, object]) -> None:
        """To every client that registered for it; never waits."""
        ...

    def wanted(self, event: str) -> bool:
        """Whether any client did."""
        ...


class Announcer:
    """Puts the messages together, and only where somebody listens. ``ike_sa`` says what is known of an IKE SA."""

    def __init__(
        self,
        sink: EventSink,
        tunnels: Tunnels,
        ike_sa: Callable[[int], IkeSaInfo | None],
        clock: Callable[[], float],
    ) -> None:
        self._sink = sink
        self._tunnels = tunnels
        self._ike_sa = ike_sa
        self._clock = clock

    def line(self, line: LogLine) -> None:
        """A log line: ``log``."""
        self._sink.emit("log", line_message(line))

    def ike_up(self, ike_id: int) -> None:
        """``ike-updown`` with ``up = yes``."""
        if (ike := self._wanted("ike-updown", ike_id)) is not None:
            self._sink.emit("ike-updown", {"up": "yes", ike.connection: ike_view(ike, self._clock())})

    def ike_down(self, event: IkeSaDeleted) -> None:
        """``ike-updown`` without ``up``: how strongSwan says that an IKE SA went, other than to its successor."""
        if event.reason != "rekeyed" and (ike := self._wanted("ike-updown", event.ike_id)) is not None:
            view = {**ike_view(ike, self._clock()), "state": "DELETING", "reason": event.reason}
            self._sink.emit("ike-updown", {ike.connection: view})

    def ike_rekeyed(self, event: IkeSaRekeyed) -> None:
        """``ike-rekey``: the old one as it was until then."""
        old, new = self._wanted("ike-rekey", event.ike_id), self._wanted("ike-rekey", event.new_ike_id)
        if old is not None and new is not None:
            # Who initiates the new one has been rekeying; the other side's answer ends it at once.
            before = replace(old, state="REKEYING" if new.initiator else "ESTABLISHED", rekey_at=event.rekey_at)
            now = self._clock()
            self._sink.emit("ike-rekey", {old.connection: {"old": ike_view(before, now), "new": ike_view(new, now)}})

    def ike_moved(self, event: PathChanged) -> None:
        """``ike-update``: the new addresses, and the IKE SA as it was until then."""
        if (ike := self._wanted("ike-update", event.ike_id)) is not None:
            message: View = {
                "local-host": str(event.path.local),
                "local-port": str(event.path.local_port),
                "remote-host": str(event.path.remote),
                "remote-port": str(event.path.remote_port),
                ike.connection: ike_view(replace(ike, path=event.old), self._clock()),
            }
            self._sink.emit("ike-update", message)

    def child_up(self, ike_id: int, child_id: int) -> None:
        """``child-updown`` with ``up = yes``."""
        if (ike := self._wanted("child-updown", ike_id)) is not None:
            self._sink.emit("child-updown", {"up": "yes", ike.connection: self._with_child(ike, child_id)})

    def child_down(self, event: ChildSaDeleted) -> None:
        """``child-updown`` without ``up``; while its counters are still there."""
        if (ike := self._wanted("child-updown", event.ike_id)) is not None:
            self._sink.emit("child-updown", {ike.connection: self._with_child(ike, event.child_id)})

    def child_rekeyed(self, ike_id: int, old_id: int, new_id: int) -> None:
        """``child-rekey``."""
        if (ike := self._wanted("child-rekey", ike_id)) is None:
            return
        old = self._tunnels.get(old_id)
        name = old.config.name if old is not None else ""
        children = {f"{name}-{old_id}": {"old": self._child(old_id), "new": self._child(new_id)}}
        self._sink.emit("child-rekey", {ike.connection: {**ike_view(ike, self._clock()), "child-sas": children}})

    def failed(self, failure: Failure) -> None:
        """``alert``: the record of a failed negotiation."""
        if self._sink.wanted("alert"):
            self._sink.emit("alert", {"type": failure.record.code, **as_message(failure)})

    def _wanted(self, event: str, ike_id: int) -> IkeSaInfo | None:
        return self._ike_sa(ike_id) if self._sink.wanted(event) else None

    def _with_child(self, ike: IkeSaInfo, child_id: int) -> View:
        tunnel = self._tunnels.get(child_id)
        children = {f"{tunnel.config.name}-{child_id}": self._child(child_id)} if tunnel is not None else {}
        return {**ike_view(ike, self._clock()), "child-sas": children}

    def _child(self, child_id: int) -> View:
        """A CHILD_SA as it came up, with its counters of now."""
        tunnel = self._tunnels.get(child_id)
        if tunnel is None or tunnel.info is None:
            return {}
        return child_view(tunnel.info, tunnel, self._tunnels.counters(child_id), self._clock())


def line_message(line: LogLine) -> View:
    """A log line with strongSwan's keys."""
    message: View = {"group": line.group, "level": str(line.level)}
    if line.ike_id:
        message["ikesa-name"] = line.connection
        message["ikesa-uniqueid"] = str(line.ike_id)
    message["msg"] = line.text
    return message
