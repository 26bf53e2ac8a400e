"""``list-sas``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ike.status import IkeSaInfo

from ..vici.server import Request
from .arguments import number, word
from .views import View, child_view, ike_view

if TYPE_CHECKING:
    from ..gateway import Gateway


def sa_view(gateway: Gateway, ike: IkeSaInfo, now: float) -> View:
    """An IKE SA with its CHILD_SAs."""
    children = {
        f"{child.name}-{child.child_id}": child_view(
            child, gateway.tunnels.get(child.child_id), gateway.tunnels.counters(child.child_id), now
        )
        for child in ike.children
    }
    return {**ike_view(ike, now), "child-sas": children}


async def list_sas(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Stream each IKE SA as ``list-sa``; ``ike``, ``ike-id``, ``child`` and ``child-id`` select."""
    name, ike_id = word(request.message, "ike"), number(request.message, "ike-id")
    child, child_id = word(request.message, "child"), number(request.message, "child-id")
    for ike in gateway.ike_sas():
        if (name and ike.connection != name) or (ike_id and ike.ike_id != ike_id):
            continue
        if child and not any(c.name == child for c in ike.children):
            continue
        if child_id and not any(c.child_id == child_id for c in ike.children):
            continue
        await request.stream("list-sa", {ike.connection or "(unnamed)": sa_view(gateway, ike, gateway.adapter.clock())})
    return {}


COMMANDS = {"list-sas": list_sas}
