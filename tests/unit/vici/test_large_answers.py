"""One IKE SA with more CHILD_SAs than a VICI packet carries is shown all the same, and hides no other."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from support.gateways import memory_gateway

from fastesp.cli.sas import list_sas as cli_list
from fastesp.gateway.commands.sas import list_sas
from fastesp.gateway.vici.codec import Packet, PacketType, push_message, push_packet
from ike.config import Mode
from ike.events import Path
from ike.status import ChildSaInfo, IkeSaInfo
from ike.wire.identity import Identity
from ike.wire.selectors import TrafficSelector

PATH = Path(ip_address("203.0.113.10"), 4500, ip_address("198.51.100.20"), 4500)
WHO = Identity.parse("gw.example.org")


def child(child_id: int, selectors: int) -> ChildSaInfo:
    net = ip_network("2001:db8:ffff:ffff::/64")
    own = tuple(TrafficSelector(net[0], net[-2], 6, 10_000 + n, 60_000 + n) for n in range(selectors))
    return ChildSaInfo(
        child_id,
        "a-child-of-some-name",
        "INSTALLED",
        3,
        Mode.TUNNEL,
        True,
        (),
        1,
        2,
        own,
        own,
        False,
        False,
        0.0,
        1e6,
        1e6,
    )


def ike(ike_id: int, children: tuple[ChildSaInfo, ...]) -> IkeSaInfo:
    return IkeSaInfo(
        ike_id,
        "site",
        "ESTABLISHED",
        True,
        bytes(8),
        bytes(8),
        WHO,
        WHO,
        PATH,
        (),
        False,
        False,
        0.0,
        1e6,
        (),
        children,
    )


class Asked:
    """A request whose client takes what is streamed as VICI packets do."""

    message: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self.events: list[Mapping[str, Any]] = []

    async def stream(self, event: str, message: Mapping[str, Any]) -> bool:
        push_packet(Packet(PacketType.EVENT, event, push_message(message)))
        self.events.append(message)
        return True


class Client:
    """The command line's, fed with what was streamed."""

    def __init__(self, events: list[Mapping[str, Any]]) -> None:
        self._events = events

    def stream(self, command: str, event: str) -> list[Mapping[str, Any]]:
        assert (command, event) == ("list-sas", "list-sa")
        return self._events


@pytest.mark.parametrize(("children", "selectors"), [(2000, 1), (100, 255), (0, 0), (3, 2)])
async def test_an_ike_sa_with_many_children_is_shown_in_parts(
    children: int, selectors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = memory_gateway()
    many = ike(1, tuple(child(number, selectors) for number in range(1, children + 1)))
    monkeypatch.setattr(gateway, "ike_sas", lambda: [many, ike(2, (child(9999, 1),))])
    asked = Asked()
    await list_sas(gateway, asked)  # type: ignore[arg-type]
    shown = cli_list(Client(asked.events))  # type: ignore[arg-type]
    assert [(sa["uniqueid"], len(sa["children"])) for sa in shown] == [(1, children), (2, 1)]
    assert len({one["uniqueid"] for one in shown[0]["children"]}) == children
