"""Time: what an IKE SA does when nobody asks it to. One alarm stands for all of its timers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Failure
from ..wire.constants import ExchangeType
from ..wire.header import pull_header
from . import followup_ke, hold, ike_session_resume, mobike, reauth, resumption
from .child import ChildState
from .state import State
from .task import Purpose, Task
from .window import Request

if TYPE_CHECKING:
    from .ike_sa import IkeSa


def start_timers(sa: IkeSa, now: float) -> None:
    """Soft limits with jitter, hard limit ``over_time`` after the first (``rekey_time``, ``reauth_time``).

    Or sooner, where what was rekeyed had to end sooner.
    """
    config = sa.settings
    limits: list[float] = []
    if config.rekey_time:
        sa.rekey_at = now + max(0.0, config.rekey_time - sa.core.fraction() * config.rand_time)
        limits.append(now + config.rekey_time)
    reauth.start_timer(sa, now)
    if sa.reauth_at is not None:
        limits.append(sa.reauth_at)
    ends = [min(limits) + config.over_time] if limits and config.over_time else []
    if sa.ends_at is not None:
        ends.append(sa.ends_at)
    sa.expires_at = min(ends, default=None)


def next_alarm(sa: IkeSa) -> float | None:
    """The earliest of its timers."""
    if sa.state is State.DEAD:
        return sa.gone_at
    times = [sa.gone_at] if sa.gone_at is not None else []
    if sa.setup is not None and sa.setup.deadline is not None:
        times.append(sa.setup.deadline)
    if hold.is_held(sa):
        times.append(sa.in_setup.patience.deadline)
    elif not sa.window.is_empty:
        # A wish whose time comes meanwhile goes out with the next answer.
        times += [request.deadline for request in sa.window.requests]
    elif sa.tasks:
        times.append(min(task.not_before for task in sa.tasks))
    if sa.state is State.ESTABLISHED:
        # In no other state does anything come of these: an alarm that nothing comes of would be the last one.
        times += [t for t in (sa.expires_at, sa.rekey_at, sa.reauth_at) if t is not None]
        if sa.window.is_empty and sa.settings.dpd_delay:
            times.append(sa.last_inbound + sa.settings.dpd_delay)
        if sa.ticket is not None and sa.ticket.renew_at is not None:
            times.append(sa.ticket.renew_at)
        times += [chain.deadline for chain in sa.followups.values()]
        for child in sa.children.values():
            if child.rekey_at is not None:
                times.append(child.rekey_at)
            if child.expires_at is not None:
                times.append(child.expires_at)
            if child.takes_over_at is not None:
                times.append(child.takes_over_at)
    return min(times, default=None)


def run(sa: IkeSa, now: float) -> None:
    """Everything that is due."""
    if sa.gone_at is not None and sa.gone_at <= now:
        sa.die("rekeyed" if sa.state is State.REKEYED else "expired", now)
        sa.core.forget(sa)
        return
    if sa.setup is not None and sa.setup.deadline is not None and sa.setup.deadline <= now:
        _setup_ran_out(sa, now)
        return
    if hold.is_held(sa):
        if sa.in_setup.patience.deadline <= now:
            hold.run_out(sa, now)
        return
    for request in sa.window.requests:
        if request.deadline <= now and sa.state is not State.DEAD:
            _send_again(sa, request, now)
    if sa.state is State.ESTABLISHED:
        followup_ke.expire(sa, now)
        resumption.renew(sa, now)
        _limits(sa, now)
    if sa.state is State.ESTABLISHED:
        _liveness(sa, now)


def _setup_ran_out(sa: IkeSa, now: float) -> None:
    failure = sa.in_setup.suspicion
    if failure is None:
        failure = Failure(
            code="half-open-timeout",
            summary=f"{sa.path.remote} asked for an IKE SA and never showed who it is",
            hint="its IKE_AUTH may be lost: see that UDP 4500 passes, and fragments of long messages",
            tried=tuple(sa.in_setup.lost),
        )
    sa.failed(failure, ExchangeType.IKE_SA_INIT if sa.initiator else ExchangeType.IKE_AUTH)
    sa.die(failure.code, now)


def _send_again(sa: IkeSa, request: Request[Task], now: float) -> None:
    """RFC 7296 section 2.4: the same bytes, ever more rarely; then the peer is taken for dead."""
    if ike_session_resume.fall_back(sa):
        return
    again = sa.window.resend(request, now, sa.core.timing, sa.core.jitter())
    if again is not None:
        for path in (sa.path, *mobike.probe_list(sa, request)):
            sa.core.send(again, path)
        return
    sent = request.tries + 1
    waited = now - request.sent_at
    exchange = ExchangeType(pull_header(request.datagrams[0]).exchange)
    if sa.state is State.DELETING or request.task.purpose is Purpose.DELETE_IKE:
        sa.die("deleted", now)
        return
    failure = _unreachable(sa, exchange, sent, waited)
    if sa.setup is not None and sa.setup.suspicion is not None:
        failure = sa.setup.suspicion
    sa.failed(failure, exchange)
    sa.die(failure.code if sa.established_at is None else "dead", now)


def _unreachable(sa: IkeSa, exchange: ExchangeType, sent: int, waited: float) -> Failure:
    path = sa.path
    fields = {
        "local": f"{path.local}[{path.local_port}]",
        "remote": f"{path.remote}[{path.remote_port}]",
        "sent": str(sent),
        "seconds": f"{waited:.0f}",
    }
    said = f"no answer from {path.remote}[{path.remote_port}] to {exchange.name}, sent {sent} times in {waited:.0f} s"
    if sa.established_at is not None:
        return Failure(
            code="peer-dead",
            summary=said,
            hint="the peer is down, lost its state, or the path to it broke",
            fields=fields,
        )
    if exchange in (ExchangeType.IKE_INTERMEDIATE, ExchangeType.IKE_AUTH):
        hint = (
            f"it answered IKE_SA_INIT: see that UDP {path.remote_port} passes both ways, and that fragments of long"
            " messages do (fragmentation = yes)"
        )
    else:
        hint = f"capture UDP {path.remote_port} here and there: is it sent, does it arrive, does an answer leave?"
    return Failure(code="peer-unreachable", summary=said, hint=hint, keys=("remote_addrs",), fields=fields)


def _limits(sa: IkeSa, now: float) -> None:
    """Soft limits start a replacement, hard limits end what was not replaced in time."""
    if sa.expires_at is not None and sa.expires_at <= now:
        sa.expires_at = sa.rekey_at = sa.reauth_at = None
        sa.terminate(now)
        return
    if sa.reauth_at is not None and sa.reauth_at <= now:
        reauth.run(sa, now)
    if sa.rekey_at is not None and sa.rekey_at <= now:
        sa.rekey_at = None
        if sa.state is State.ESTABLISHED:
            sa.rekey(now)
    for child_id, child in list(sa.children.items()):
        if child.expires_at is not None and child.expires_at <= now:
            child.expires_at = child.rekey_at = None
            sa.expire_child(child_id, now)
        elif child.rekey_at is not None and child.rekey_at <= now:
            child.rekey_at = None
            if child.state is ChildState.INSTALLED:
                sa.rekey_child(child_id, now)
        if child.takes_over_at is not None and child.takes_over_at <= now:
            reauth.look_again(sa, child, now)


def _liveness(sa: IkeSa, now: float) -> None:
    delay = sa.settings.dpd_delay
    if not delay or not sa.window.is_empty or sa.last_inbound + delay > now:
        return
    heard = max((sa.core.inbound_activity(child_id) for child_id in sa.children), default=0.0)
    if heard + delay > now:
        # Packets on a CHILD_SA are as good a sign of life (RFC 7296 section 2.4).
        sa.last_inbound = max(sa.last_inbound, heard)
        return
    sa.check_liveness(now)
