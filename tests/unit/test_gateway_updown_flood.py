"""A child that comes and goes faster than its script: what waits is bounded, and the last word is right."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from ipaddress import ip_address, ip_network

import pytest

from fastesp.dataplane.base import Placement, TrapPolicy
from fastesp.gateway.logbook import Logbook, LogLine
from fastesp.gateway.tunnels import Tunnel
from fastesp.gateway.updown import MOST_WAITING, Updown
from ike.config import Child, Mode, TsTemplate
from ike.events import Path
from ike.status import ChildSaInfo, IkeSaInfo
from ike.wire.identity import Identity
from ike.wire.selectors import Address, TrafficSelector

LOCAL, REMOTE = (TrafficSelector.of_network(ip_network(net)) for net in ("10.10.0.0/24", "10.20.0.0/24"))
WHO = Identity.parse("gw.example.org")
PATH = Path(ip_address("203.0.113.10"), 500, ip_address("198.51.100.20"), 500)
IKE = IkeSaInfo(
    7, "site", "ESTABLISHED", True, bytes(8), bytes(8), WHO, WHO, PATH, (), False, False, 0.0, None, (), ()
)  # fmt: skip
CHILD = ChildSaInfo(
    3, "net", "INSTALLED", 3, Mode.TUNNEL, True, (), 1, 2, (LOCAL,), (REMOTE,), False, False, 0.0, None, None
)  # fmt: skip
CONFIG = Child("net", (TsTemplate(LOCAL),), (TsTemplate(REMOTE),), updown="script")
TUNNEL = Tunnel(7, 3, "site", CONFIG, 5, ((), (0, 0), (0, 0), 0, 0), TrapPolicy("site/net", 5, ()), Placement("memory"))


class Slow(Updown):
    """Its scripts end when they are told to."""

    def __init__(self, logbook: Logbook) -> None:
        super().__init__(logbook, interface=nowhere)
        self.verbs: list[str] = []
        self.go_on = asyncio.Event()

    async def _run(self, tunnel: Tunnel, ike_id: int, environment: Mapping[str, str]) -> str:
        del tunnel, ike_id
        self.verbs.append(environment["PLUTO_VERB"])
        await self.go_on.wait()
        return ""


async def nowhere(_: Address) -> str:
    return ""


@pytest.mark.parametrize("stays", [True, False])
async def test_runs_that_undo_each_other_are_left_out(stays: bool) -> None:
    logbook, lines = Logbook(), list[LogLine]()
    logbook.listen(lines.append, 1)
    updown = Slow(logbook)
    for _ in range(1000):
        updown.came(IKE, CHILD, TUNNEL)
        updown.went(IKE, CHILD, TUNNEL)
    if stays:
        updown.came(IKE, CHILD, TUNNEL)
    await asyncio.sleep(0)
    updown.go_on.set()
    await updown.finish()
    assert len(updown.verbs) <= MOST_WAITING + 1
    assert updown.verbs[::2] == ["up-client"] * len(updown.verbs[::2])
    assert updown.verbs[1::2] == ["down-client"] * len(updown.verbs[1::2])
    assert updown.verbs[-1] == ("up-client" if stays else "down-client")
    assert [line.text for line in lines] == [
        "updown script of site/net is too slow: runs that undo each other are left out"
    ]
    logbook.close()
