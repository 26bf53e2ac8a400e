"""What VICI clients are told unasked: SAs that come, go, move and are rekeyed, log lines, and failures as ``alert``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from ike.events import ChildSaDeleted, IkeSaDeleted, PathChanged
from ike.status import ChildSaInfo, IkeSaInfo

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
    """Puts the messages together, and only where somebody listens."""

    def __init__(self, sink: EventSink, tunnels: Tunnels, clock: Callable[[], float]) -> None:
        self._sink = sink
        self._tunnels = tunnels
        self._clock = clock

    def line(self, line: LogLine) -> None:
        """A log line: ``log``."""
        self._sink.emit("log", line_message(line))

    def ike_up(self, ike: IkeSaInfo | None) -> None:
        """``ike-updown`` with ``up = yes``."""
        if ike is not None and self._sink.wanted("ike-updown"):
            self._sink.emit("ike-updown", {"up": "yes", ike.connection: ike_view(ike, self._clock())})

    def ike_down(self, ike: IkeSaInfo | None, event: IkeSaDeleted) -> None:
        """``ike-updown`` without ``up``: how strongSwan says that an IKE SA went."""
        if ike is not None and self._sink.wanted("ike-updown"):
            view = {**ike_view(ike, self._clock()), "state": "DELETING", "reason": event.reason}
            self._sink.emit("ike-updown", {ike.connection: view})

    def ike_rekeyed(self, old: IkeSaInfo | None, new: IkeSaInfo | None) -> None:
        """``ike-rekey``."""
        if old is not None and new is not None and self._sink.wanted("ike-rekey"):
            now = self._clock()
            self._sink.emit("ike-rekey", {old.connection: {"old": ike_view(old, now), "new": ike_view(new, now)}})

    def ike_moved(self, ike: IkeSaInfo | None, event: PathChanged) -> None:
        """``ike-update``: addresses before and after, in strongSwan's keys."""
        if ike is not None and self._sink.wanted("ike-update"):
            message: View = {
                "local-host": str(event.path.local),
                "local-port": str(event.path.local_port),
                "remote-host": str(event.path.remote),
                "remote-port": str(event.path.remote_port),
                ike.connection: ike_view(ike, self._clock()),
            }
            self._sink.emit("ike-update", message)

    def child_up(self, ike: IkeSaInfo | None, child_id: int) -> None:
        """``child-updown`` with ``up = yes``."""
        if ike is not None and self._sink.wanted("child-updown"):
            self._sink.emit("child-updown", {"up": "yes", ike.connection: self._with_children(ike, child_id)})

    def child_down(self, ike: IkeSaInfo | None, event: ChildSaDeleted) -> None:
        """``child-updown`` without ``up``."""
        if ike is not None and self._sink.wanted("child-updown"):
            self._sink.emit("child-updown", {ike.connection: self._with_children(ike, event.child_id)})

    def child_rekeyed(self, ike: IkeSaInfo | None, old_id: int, new_id: int) -> None:
        """``child-rekey``."""
        if ike is None or not self._sink.wanted("child-rekey"):
            return
        views = {child.child_id: view for child, view in self._children(ike, (old_id, new_id))}
        if len(views) == 2:
            name = next(child.name for child in ike.children if child.child_id == old_id)
            children = {f"{name}-{old_id}": {"old": views[old_id], "new": views[new_id]}}
            self._sink.emit("child-rekey", {ike.connection: {**ike_view(ike, self._clock()), "child-sas": children}})

    def failed(self, failure: Failure) -> None:
        """``alert``: the record of a failed negotiation."""
        if self._sink.wanted("alert"):
            self._sink.emit("alert", {"type": failure.record.code, **as_message(failure)})

    def _with_children(self, ike: IkeSaInfo, *child_ids: int) -> View:
        children = {f"{child.name}-{child.child_id}": view for child, view in self._children(ike, child_ids)}
        return {**ike_view(ike, self._clock()), "child-sas": children}

    def _children(self, ike: IkeSaInfo, child_ids: tuple[int, ...]) -> list[tuple[ChildSaInfo, View]]:
        now = self._clock()
        return [
            (child, child_view(child, self._tunnels.get(child.child_id), self._tunnels.counters(child.child_id), now))
            for child in ike.children
            if child.child_id in child_ids
        ]


def line_message(line: LogLine) -> View:
    """A log line with strongSwan's keys."""
    message: View = {"group": line.group, "level": str(line.level)}
    if line.ike_id:
        message["ikesa-name"] = line.connection
        message["ikesa-uniqueid"] = str(line.ike_id)
    message["msg"] = line.text
    return message
