"""What is known of one code."""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """One code, in a line each."""

    title: str
    cause: str
    action: str


LOG = "look at the peer's log: it says more than it tells us"
COUNTED = "nothing, while the counter is small; a steady rise is a scan, an attack, or a wire that damages packets"
REPORT = "this should not come about by configuration alone: report it, with the gateway's log at level 2"
