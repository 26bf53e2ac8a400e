"""What a load brings about where part of it cannot be: the rest stands, and the operator hears of each failure."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from support.dataplanes import MemoryDataPlane
from support.gateways import memory_gateway

from fastesp.config import Settings
from fastesp.dataplane.base import DataPlaneError, TrapPolicy
from fastesp.gateway import starter as starter_module
from fastesp.gateway.daemon import Process
from fastesp.gateway.gateway import Gateway
from fastesp.gateway.options import Options
from ike.config import AddressTemplate, Child, Connection, Mode, StartAction, TsTemplate
from ike.credentials import CredentialStore
from ike.timing import Timing
from ike.wire.selectors import TrafficSelector

HERE = TsTemplate(TrafficSelector.of_network(ip_network("10.1.0.0/24")))
THERE = TsTemplate(TrafficSelector.of_network(ip_network("10.2.0.0/24")))
HOST = TsTemplate(None, dynamic=True)
TRAPPED = Child("net", (HERE,), (THERE,), start_action=StartAction.TRAP)


def settings(*connections: Connection) -> Settings:
    return Settings(connections=connections, credentials=CredentialStore())


def process(gateway: Gateway) -> Process:
    made = Process(Options(), gateway.logbook, Timing())
    made.gateway = gateway
    return made


def trapped(gateway: Gateway) -> list[str]:
    return [trap.policy.name for trap in gateway.tunnels.traps]


async def test_a_trap_that_cannot_be_leaves_the_rest_of_a_load_alone() -> None:
    gateway = memory_gateway()
    anybody = Connection("anybody", children=(replace(TRAPPED, remote_ts=(HOST,)),))
    await process(gateway).apply(settings(anybody, Connection("site", children=(TRAPPED,))))
    assert trapped(gateway) == ["site/net"]
    (failure,) = gateway.failures
    assert failure.record.code == "trap-without-selectors"
    assert failure.record.connection == "anybody"
    assert failure.record.child == "net"


async def test_a_policy_that_the_data_plane_refuses_leaves_the_rest_of_a_load_alone() -> None:
    class Full(MemoryDataPlane):
        def set_trap(self, policy: TrapPolicy) -> None:
            if policy.name == "a/net":
                raise DataPlaneError("no room for another policy")
            super().set_trap(policy)

    gateway = memory_gateway(Full())
    await process(gateway).apply(settings(Connection("a", children=(TRAPPED,)), Connection("b", children=(TRAPPED,))))
    assert trapped(gateway) == ["b/net"]
    assert [failure.record.code for failure in gateway.failures] == ["trap-refused"]


async def test_a_trap_for_a_peer_without_address_comes_once_its_name_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starter_module, "TRAP_RETRY", 0.01)
    gateway = memory_gateway()
    known: list[str] = []

    async def lookup(name: str) -> tuple[object, ...]:
        assert name == "peer.example.org"
        return tuple(ip_address(text) for text in known)

    monkeypatch.setattr(gateway.resolver, "lookup", lookup)
    connection = Connection(
        "site",
        remote_addrs=(AddressTemplate(name="peer.example.org"),),
        children=(replace(TRAPPED, remote_ts=(HOST,)),),
    )
    await process(gateway).apply(settings(connection))
    assert trapped(gateway) == []
    await asyncio.sleep(0.05)
    known.append("127.0.0.1")
    async with asyncio.timeout(5):
        while not trapped(gateway):
            await asyncio.sleep(0.01)
    assert len(list(gateway.failures)) == 1


async def test_nobody_looks_for_the_peer_of_a_connection_that_was_unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starter_module, "TRAP_RETRY", 0.01)
    gateway = memory_gateway()

    async def lookup(name: str) -> tuple[object, ...]:
        del name
        return ()

    monkeypatch.setattr(gateway.resolver, "lookup", lookup)
    connection = Connection(
        "site",
        remote_addrs=(AddressTemplate(name="peer.example.org"),),
        children=(replace(TRAPPED, remote_ts=(HOST,)),),
    )
    await process(gateway).apply(settings(connection))
    await process(gateway).apply(settings())
    async with asyncio.timeout(5):
        while gateway.starter._tasks:
            await asyncio.sleep(0.01)


async def test_a_trap_is_in_place_while_its_changed_connection_waits_for_a_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gateway = memory_gateway()
    asked, answered = asyncio.Event(), asyncio.Event()

    async def lookup(name: str) -> tuple[object, ...]:
        del name
        asked.set()
        await answered.wait()
        return (ip_address("127.0.0.1"),)

    monkeypatch.setattr(gateway.resolver, "lookup", lookup)
    before = Connection("site", children=(TRAPPED, replace(TRAPPED, name="old"), replace(TRAPPED, name="idle")))
    await process(gateway).apply(settings(before))
    changed = Connection(
        "site",
        remote_addrs=(AddressTemplate(name="peer.example.org"),),
        children=(replace(TRAPPED, priority=7), replace(TRAPPED, name="idle", start_action=StartAction.NONE)),
    )
    load = asyncio.create_task(process(gateway).apply(settings(changed)))
    await asyncio.wait_for(asked.wait(), 5)
    assert trapped(gateway) == ["site/net"]
    answered.set()
    await load
    assert [(trap.policy.name, trap.policy.priority) for trap in gateway.tunnels.traps] == [("site/net", 7)]


async def test_what_passed_in_the_clear_does_so_no_longer_where_a_trap_in_its_place_fails() -> None:
    gateway = memory_gateway()
    passing = replace(TRAPPED, mode=Mode.PASS)
    await process(gateway).apply(settings(Connection("site", children=(passing,))))
    assert trapped(gateway) == ["site/net"]
    await process(gateway).apply(settings(Connection("site", children=(replace(TRAPPED, remote_ts=(HOST,)),))))
    assert trapped(gateway) == []


async def test_a_trap_stays_where_what_is_to_replace_it_fails() -> None:
    gateway = memory_gateway()
    await process(gateway).apply(settings(Connection("site", children=(TRAPPED,))))
    await process(gateway).apply(settings(Connection("site", children=(replace(TRAPPED, remote_ts=(HOST,)),))))
    assert trapped(gateway) == ["site/net"]
    assert [failure.record.code for failure in gateway.failures] == ["trap-without-selectors"]
    await process(gateway).apply(settings())
    assert trapped(gateway) == []
