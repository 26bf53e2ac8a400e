"""While an IKE SA is set up anew after the break, what its tunnels carried waits: nothing leaves in the clear."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from support.dataplanes import MemoryDataPlane
from support.events import NET, SITE, established
from support.gateways import memory_gateway

from fastesp.dataplane.base import PolicyAction, TrapPolicy
from fastesp.gateway.gateway import Gateway
from fastesp.gateway.tunnels import Tunnels
from ike.config import Child
from ike.events import (
    ChildSaDeleted,
    FailureRecord,
    IkeSaDeleted,
    IkeSaReauthenticating,
    NegotiationFailed,
    OutboundReady,
)

OLD, NEW = 1, 2


class Site:
    """A gateway whose tunnel is up, and every policy that is in force in its host's eyes."""

    def __init__(self) -> None:
        self.plane = MemoryDataPlane()
        self.gateway: Gateway = memory_gateway(self.plane)
        self.policies: list[TrapPolicy] = []
        self.gateway.tunnels = Tunnels(self.plane, self.policies.append, self.policies.remove)
        self.gateway.starter._tunnels = self.gateway.tunnels
        self.gateway.registry.load((SITE,))
        self.comes_up(OLD, 1)

    def comes_up(self, ike_id: int, child_id: int) -> None:
        self.gateway.on_event(established(child_id, ike_id=ike_id))
        self.gateway.on_event(OutboundReady(ike_id, child_id))

    def breaks(self) -> None:
        self.gateway.on_event(IkeSaReauthenticating(OLD, NEW, "site", ("net",), make_before_break=False))
        self.gateway.on_event(ChildSaDeleted(OLD, 1, "site", "net", "ike-deleted"))
        self.gateway.on_event(IkeSaDeleted(OLD, "site", "reauthenticated"))

    def fails(self, code: str) -> None:
        record = FailureRecord(code, "it failed", "IKE_AUTH", "initiator", "198.51.100.20", "site")
        self.gateway.on_event(NegotiationFailed(NEW, record))
        self.gateway.on_event(IkeSaDeleted(NEW, "site", code))


@pytest.fixture
def site() -> Site:
    return Site()


def test_what_the_tunnel_carried_waits_until_it_is_back(site: Site) -> None:
    covered = site.policies[0].selectors
    site.breaks()
    (hold,) = site.policies
    assert hold.selectors == covered
    assert site.plane.traps["site/net"].action is PolicyAction.TRAP
    assert site.gateway.tunnels.policies() == (hold,)
    # It is ours, and no trap of the configuration.
    assert site.gateway.tunnels.traps == ()
    site.comes_up(NEW, 2)
    assert site.plane.traps == {}
    assert [policy.name for policy in site.policies] == ["site/net"]
    assert site.plane.sending[-1] == 2


def test_it_waits_in_vain_where_the_peer_refuses(site: Site) -> None:
    site.breaks()
    site.fails("peer-auth-failed")
    assert site.plane.traps == {}
    assert site.policies == []


@pytest.mark.asyncio
async def test_it_waits_on_while_keyingtries_allow_another_attempt() -> None:
    site = Site()
    site.gateway.registry.load((replace(SITE, keyingtries=0),))
    site.breaks()
    site.fails("peer-unreachable")
    assert len(site.policies) == 1
    await asyncio.sleep(0)
    site.gateway.starter.stop()


def test_with_make_before_break_nothing_has_to_wait(site: Site) -> None:
    site.gateway.on_event(IkeSaReauthenticating(OLD, NEW, "site", ("net",), make_before_break=True))
    assert site.plane.traps == {}
    site.comes_up(NEW, 2)
    site.gateway.on_event(ChildSaDeleted(OLD, 1, "site", "net", "ike-deleted"))
    site.gateway.on_event(IkeSaDeleted(OLD, "site", "reauthenticated"))
    assert [policy.name for policy in site.policies] == ["site/net"]


def test_a_trap_of_the_configuration_is_enough_and_stays(site: Site) -> None:
    trap = site.gateway.tunnels.set_trap(SITE, NET, None, None)
    assert trap is not None
    site.breaks()
    assert site.policies == [trap.policy]
    site.comes_up(NEW, 2)
    assert site.plane.traps == {"site/net": trap.policy}


def test_a_peer_that_made_before_it_broke_is_not_asked_for_the_same_again(site: Site) -> None:
    child = replace(NET, close_action=NET.dpd_action.RESTART)
    site.gateway.registry.load((replace(SITE, children=(child,)),))
    asked: list[str] = []

    def closed(name: str, _: Child, *, dead: bool) -> None:
        assert not dead
        asked.append(name)

    site.gateway.starter.closed = closed  # type: ignore[method-assign]
    site.comes_up(NEW, 2)
    site.gateway.on_event(ChildSaDeleted(OLD, 1, "site", "net", "ike-deleted"))
    site.gateway.on_event(IkeSaDeleted(OLD, "site", "peer-deleted"))
    assert asked == []
    site.gateway.on_event(ChildSaDeleted(NEW, 2, "site", "net", "ike-deleted"))
    site.gateway.on_event(IkeSaDeleted(NEW, "site", "peer-deleted"))
    assert asked == ["site"]
