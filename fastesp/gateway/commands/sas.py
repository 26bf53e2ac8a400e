"""``list-sas``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ike.status import IkeSaInfo

from ..vici.server import Request
from .arguments import number, word
from .views import View, child_view, ike_view

if TYPE_CHECKING:
    from ..gateway import Gateway


PART = 256 * 1024
"""Bytes of children, by estimate, that go into one event: a packet carries twice as many."""


def sa_views(gateway: Gateway, ike: IkeSaInfo, now: float, name: str = "", child_id: int = 0) -> Iterator[View]:
    """An IKE SA with its CHILD_SAs, or those of them that are called ``name`` and have that number.

    A peer may have more of them than a packet carries: then it comes in parts, each with the same head.
    """
    head, children, size = ike_view(ike, now), View(), 0
    for child in ike.children:
        if name not in ("", child.name) or child_id not in (0, child.child_id):
            continue
        estimate = 1024 + 128 * (len(child.local_ts) + len(child.remote_ts))
        if children and size + estimate > PART:
            yield {**head, "child-sas": children}
            children, size = View(), 0
        tunnel, counters = gateway.tunnels.get(child.child_id), gateway.tunnels.counters(child.child_id)
        children[f"{child.name}-{child.child_id}"] = child_view(child, tunnel, counters, now)
        size += estimate
    yield {**head, "child-sas": children}


async def list_sas(gateway: Gateway, request: Request) -> Mapping[str, object]:
    """Stream each IKE SA as ``list-sa``; ``ike`` and ``ike-id`` select it, ``child`` and ``child-id`` what it shows."""
    name, ike_id = word(request.message, "ike"), number(request.message, "ike-id")
    child, child_id = word(request.message, "child"), number(request.message, "child-id")
    for ike in gateway.ike_sas():
        if (name and ike.connection != name) or (ike_id and ike.ike_id != ike_id):
            continue
        for view in sa_views(gateway, ike, gateway.adapter.clock(), child, child_id):
            await request.stream("list-sa", {ike.connection or "(unnamed)": view})
    return {}


COMMANDS = {"list-sas": list_sas}
