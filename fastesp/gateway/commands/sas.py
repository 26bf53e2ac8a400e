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


def sa_view(gateway: Gateway, ike: IkeSaInfo, now: float, name: str = "", child_id: int = 0) -> View:
    """An IKE SA with its CHILD_SAs, or those of them that are called ``name`` and have that number."""
    children = {
        f"{child.name}-{child.child_id}": child_view(
            child, gateway.tunnels.get(child.child_id), gateway.tunnels.counters(child.child_id), now
        )
        for child in ike.children
        if name in ("", child.name) and child_id in (0, child.child_id)
    }
    return {**ike_view(ike, now), "child-sas": children}


async def list_sas(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Stream each IKE SA as ``list-sa``; ``ike`` and ``ike-id`` select it, ``child`` and ``child-id`` what it shows."""
    name, ike_id = word(request.message, "ike"), number(request.message, "ike-id")
    child, child_id = word(request.message, "child"), number(request.message, "child-id")
    for ike in gateway.ike_sas():
        if (name and ike.connection != name) or (ike_id and ike.ike_id != ike_id):
            continue
        view = sa_view(gateway, ike, gateway.adapter.clock(), child, child_id)
        await request.stream("list-sa", {ike.connection or "(unnamed)": view})
    return {}


COMMANDS = {"list-sas": list_sas}
