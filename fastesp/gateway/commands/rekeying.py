"""``rekey`` and ``redirect``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from ike.errors import LocalError
from ike.wire.identity import Identity
from ike.wire.selectors import Address

from ..vici.server import RefusedError, Request
from .arguments import flag, number, required, word
from .control import selected

if TYPE_CHECKING:
    from ..gateway import Gateway


async def rekey(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Rekey what ``child``, ``child-id``, ``ike`` and ``ike-id`` select; the answer does not wait for the peer's.

    ``reauth`` sets IKE SAs up anew instead; it says nothing of CHILD_SAs.
    """
    if not any(key in request.message for key in ("child", "child-id", "ike", "ike-id")):
        raise RefusedError("missing rekey selector", outcome="failed")
    of_child, ids = selected(gateway, request.message)
    now = gateway.adapter.clock()
    asked = 0
    for sa_id in ids:
        try:
            if of_child:
                gateway.endpoint.rekey_child(sa_id, now)
            elif flag(request.message, "reauth"):
                gateway.endpoint.reauthenticate_ike(sa_id, now)
            else:
                gateway.endpoint.rekey_ike(sa_id, now)
        except LocalError:
            continue  # it went, or is on its way out: nothing to rekey
        asked += 1
    gateway.adapter.poke()
    answer: dict[str, object] = {"success": bool(asked), "matches": str(asked)}
    if not asked:
        answer |= {"errmsg": "no matching SAs to rekey found", "code": "no-such-sa", "outcome": "not-found"}
    return answer


async def redirect(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Send the clients that ``ike``, ``ike-id``, ``peer-ip`` and ``peer-id`` select to another ``gateway``."""
    message = request.message
    target = required(message, "gateway", "missing target gateway")
    if not any(key in message for key in ("ike", "ike-id", "peer-ip", "peer-id")):
        raise RefusedError("missing redirect selector", outcome="failed")
    name, ike_id = word(message, "ike"), number(message, "ike-id")
    where, who = _where(word(message, "peer-ip")), word(message, "peer-id")
    asked, complaint = 0, ""
    for ike in gateway.ike_sas():
        if (name and ike.connection != name) or (ike_id and ike.ike_id != ike_id) or not where(ike.path.remote):
            continue
        if who and (ike.remote_id is None or not ike.remote_id.matches(Identity.parse(who))):
            continue
        try:
            gateway.endpoint.redirect_ike(ike.ike_id, Identity.parse(target), gateway.adapter.clock())
        except LocalError as error:
            complaint = str(error)
            continue
        asked += 1
    gateway.adapter.poke()
    answer: dict[str, object] = {"success": bool(asked), "matches": str(asked)}
    if not asked:
        errmsg = complaint or "no matching SAs to redirect found"
        answer |= {"errmsg": errmsg, "code": "no-such-sa", "outcome": "failed" if complaint else "not-found"}
    return answer


def _where(text: str) -> Callable[[Address], bool]:
    """Whether a peer's address is the one, or within the network or range, that was written; nothing is anywhere."""
    if not text:
        return lambda _: True
    first, dash, last = text.partition("-")
    try:
        if dash:
            low, high = ip_address(first), ip_address(last)
            return lambda peer: peer.version == low.version and int(low) <= int(peer) <= int(high)
        network = ip_network(text, strict=False)
        return lambda peer: peer in network
    except ValueError:
        raise RefusedError(f"peer-ip is no address, network or range: {text[:50]!r}", outcome="failed") from None


COMMANDS = {"rekey": rekey, "redirect": redirect}
