"""``rekey`` and ``redirect``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ike.errors import LocalError

from ..vici.server import RefusedError, Request
from .control import selected

if TYPE_CHECKING:
    from ..gateway import Gateway


async def rekey(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Rekey what ``child``, ``child-id``, ``ike`` and ``ike-id`` select; the answer does not wait for the peer's."""
    if not any(key in request.message for key in ("child", "child-id", "ike", "ike-id")):
        raise RefusedError("missing rekey selector", outcome="failed")
    of_child, ids = selected(gateway, request.message)
    now = gateway.adapter.clock()
    asked = 0
    for number in ids:
        try:
            if of_child:
                gateway.endpoint.rekey_child(number, now)
            else:
                gateway.endpoint.rekey_ike(number, now)
        except LocalError:
            continue  # it went, or is on its way out: nothing to rekey
        asked += 1
    gateway.adapter.poke()
    answer: dict[str, object] = {"success": bool(asked), "matches": str(asked)}
    if not asked:
        answer |= {"errmsg": "no matching SAs to rekey found", "code": "no-such-sa", "outcome": "not-found"}
    return answer


COMMANDS = {"rekey": rekey}
