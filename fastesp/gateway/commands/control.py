"""``initiate`` and ``terminate``: what is done is shown while it happens, and the answer is how it ended.

Beside strongSwan's keys an answer of no carries ``code`` (stable, known to ``fastesp explain``), ``outcome``
(``refused``, ``timeout``, ``not-found`` or ``failed``) and, for a failed negotiation, the whole record as ``failure``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from ike.errors import LocalError
from ike.events import (
    ChildSaDeleted,
    ChildSaEstablished,
    Event,
    FailureRecord,
    IkeSaDeleted,
    IkeSaEstablished,
    IkeSaRedirected,
    IkeSaRekeyed,
    NegotiationFailed,
)

from ..announce import line_message
from ..failures import Failure, as_message
from ..logbook import LogLine
from ..starter import SILENCE
from ..vici.server import RefusedError, Request
from .arguments import flag, number, word

if TYPE_CHECKING:
    from ..gateway import Gateway

FORCE_WAIT = 2.0
"""Seconds that a forced termination leaves the peer to answer."""


class ControlLog:
    """While it is open, log lines up to the level that was asked for go to the client as ``control-log``."""

    def __init__(self, gateway: Gateway, request: Request, timeout: int) -> None:
        self._gateway = gateway
        self._request = request
        self._level = number(request.message, "loglevel", 1)
        self._silent = timeout < 0
        self._stop: Callable[[], None] | None = None

    def __enter__(self) -> ControlLog:
        if not self._silent:
            self._stop = self._gateway.logbook.listen(self._hear, self._level)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stop is not None:
            self._stop()

    def _hear(self, line: LogLine) -> None:
        self._request.emit("control-log", line_message(line))


class Attempt:
    """How an initiation ends: ``None`` for well, else the record of its failure."""

    def __init__(self, connection: str, child: str) -> None:
        self.connection = connection
        self.child = child
        self.ike_ids: set[int] = set()
        self.redirected = False
        """Whether it goes on in an IKE SA with another gateway, which only the connection's name tells."""
        self.ended: asyncio.Future[FailureRecord | None] = asyncio.get_running_loop().create_future()

    def hear(self, event: Event) -> None:
        """One event of the endpoint."""
        if self.ended.done() or not self._is_about(event):
            return
        if isinstance(event, ChildSaEstablished if self.child else IkeSaEstablished):
            if not self.child or getattr(event, "child", "") == self.child:
                self.ended.set_result(None)
        elif isinstance(event, NegotiationFailed) and event.record.child in ("", self.child):
            self.ended.set_result(event.record)
        elif isinstance(event, IkeSaRekeyed):
            self.ike_ids.add(event.new_ike_id)
        elif isinstance(event, IkeSaRedirected):
            self.redirected = True
        elif isinstance(event, IkeSaDeleted) and event.reason != "redirected":
            self.ended.set_result(_closed(event, self.child))

    def _is_about(self, event: Event) -> bool:
        if getattr(event, "ike_id", 0) in self.ike_ids:
            return True
        record = event.record if isinstance(event, NegotiationFailed) else event
        return self.redirected and getattr(record, "connection", "") == self.connection


def _closed(event: IkeSaDeleted, child: str) -> FailureRecord:
    summary = f"the IKE SA was closed before {child or 'it'} was up: {event.reason}"
    return FailureRecord("ike-sa-closed", summary, "none", "initiator", "", event.connection, child)


async def initiate(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Bring up ``child`` (of ``ike`` where that is named), or the IKE SA ``ike`` alone. ``timeout`` in ms."""
    child, ike = word(request.message, "child"), word(request.message, "ike")
    timeout = number(request.message, "timeout")
    if not child and not ike:
        raise RefusedError("missing configuration name", outcome="failed")
    connection = _find(gateway, child, ike)
    attempt = Attempt(connection, child)
    stop = gateway.listen(attempt.hear)
    try:
        with ControlLog(gateway, request, timeout):
            try:
                attempt.ike_ids.add(await gateway.starter.initiate(connection, child or None))
            except LocalError as error:
                return _failed(gateway, child or ike, gateway.starter.begin_failed(connection, child, error))
            gateway.adapter.poke()
            if timeout < 0:
                return {"success": True}
            try:
                record = await asyncio.wait_for(asyncio.shield(attempt.ended), timeout / 1000 or None)
            except TimeoutError:
                return _late(child, ike, timeout)
            await gateway.plumbing.settled()
            return {"success": True} if record is None else _failed(gateway, child or ike, record)
    finally:
        stop()
        attempt.ended.cancel()


def _find(gateway: Gateway, child: str, ike: str) -> str:
    """The connection's name."""
    if child:
        found = gateway.registry.find(child, ike)
        if found is None:
            raise RefusedError(f"CHILD_SA config '{child}' not found", code="no-such-child", outcome="not-found")
        return found[0].name
    if gateway.registry.get(ike) is None:
        raise RefusedError(f"IKE_SA config '{ike}' not found", code="no-such-connection", outcome="not-found")
    return ike


def _failed(gateway: Gateway, name: str, record: FailureRecord) -> Mapping[str, object]:
    failure = next((f for f in reversed(list(gateway.failures)) if f.record == record), Failure(0, 0.0, 0, record))
    local = record.exchange == "none"
    return {
        "success": False,
        "errmsg": f"establishing CHILD_SA '{name}' failed",
        "code": record.code,
        "outcome": "timeout" if record.code in SILENCE else "failed" if local else "refused",
        "reason": record.summary,
        "failure": as_message(failure),
    }


def _late(child: str, ike: str, timeout: int) -> Mapping[str, object]:
    what = f"CHILD_SA '{child}'" if child else f"IKE_SA '{ike}'"
    return {
        "success": False,
        "errmsg": f"{what} not established after {timeout}ms",
        "code": "command-timeout",
        "outcome": "timeout",
    }


async def terminate(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Close the CHILD_SAs or IKE SAs that ``child``, ``child-id``, ``ike`` and ``ike-id`` select."""
    message = request.message
    timeout = number(message, "timeout")
    if not any(key in message for key in ("child", "child-id", "ike", "ike-id")):
        raise RefusedError("missing terminate selector", outcome="failed")
    of_child, ids = selected(gateway, message)
    done = 0
    if ids:
        with ControlLog(gateway, request, timeout):
            done = await _close(gateway, ids, of_child, timeout, force=flag(message, "force"))
    answer: dict[str, object] = {
        "success": bool(ids) and done == len(ids),
        "matches": str(len(ids)),
        "terminated": str(done),
    }
    if not ids:
        answer |= {"errmsg": "no matching SAs to terminate found", "code": "no-such-sa", "outcome": "not-found"}
    elif done < len(ids):
        errmsg = "terminating SA failed" if len(ids) == 1 else "not all matching SAs could be terminated"
        answer |= {"errmsg": errmsg, "code": "terminate-timeout", "outcome": "timeout"}
    return answer


def selected(gateway: Gateway, message: Mapping[str, object]) -> tuple[bool, set[int]]:
    """Whether CHILD_SAs are meant, and the ids of what is: as strongSwan selects for terminate and rekey."""
    child, child_id = word(message, "child"), number(message, "child-id")
    name, ike_id = word(message, "ike"), number(message, "ike-id")
    ids: set[int] = set()
    for ike in gateway.ike_sas():
        if child or child_id:
            if (name and ike.connection != name) or (ike_id and ike.ike_id != ike_id):
                continue
            ids |= {
                sa.child_id
                for sa in ike.children
                if (not child or sa.name == child) and (not child_id or sa.child_id == child_id)
            }
        elif (name and ike.connection == name) or (ike_id and ike.ike_id == ike_id):
            ids.add(ike.ike_id)
    return bool(child or child_id), ids


async def _close(gateway: Gateway, ids: set[int], of_child: bool, timeout: int, *, force: bool) -> int:
    """Give the commands, wait for the SAs to go; returns how many did."""
    gone: set[int] = set()
    all_gone = asyncio.Event()

    def hear(event: Event) -> None:
        if isinstance(event, ChildSaDeleted if of_child else IkeSaDeleted):
            gone.add(event.child_id if isinstance(event, ChildSaDeleted) else event.ike_id)
            if ids <= gone:
                all_gone.set()

    stop = gateway.listen(hear)
    try:
        for number_ in ids:
            try:
                if of_child:
                    gateway.endpoint.terminate_child(number_, gateway.adapter.clock())
                else:
                    gateway.endpoint.terminate_ike(number_, gateway.adapter.clock())
            except LocalError:
                gone.add(number_)  # it went while we were looking
        gateway.adapter.poke()
        if timeout < 0 or ids <= gone:
            return len(ids)
        limit = FORCE_WAIT if force and not of_child else timeout / 1000
        try:
            await asyncio.wait_for(all_gone.wait(), limit or None)
        except TimeoutError:
            if force and not of_child:
                for number_ in ids - gone:
                    gateway.endpoint.forget_ike(number_, gateway.adapter.clock())
                gateway.adapter.poke()
        return len(ids & gone)
    finally:
        stop()


COMMANDS = {"initiate": initiate, "terminate": terminate}
