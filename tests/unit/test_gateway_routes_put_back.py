"""Rules and routes that somebody else removes are put back: without them packets would leave in the clear."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from fastesp.gateway import plumbing as plumbing_module
from fastesp.gateway.plumbing import Plumbing
from fastesp.gateway.routes import Router

SCRIPT = """
import asyncio, logging, subprocess, sys
from ipaddress import ip_network, ip_address
from fastesp.gateway.routes import PassRule, Route, Router

def run(command):
    return subprocess.run(command.split(), capture_output=True, text=True, check=True).stdout

def show():
    shown = [run(f"ip {family} {what}") for family in ("-4", "-6") for what in ("rule", "route show table 220")]
    return sorted(" ".join(line.split()) for text in shown for line in text.splitlines())

async def main():
    logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
    setup = "tuntap add test0 mode tun|addr add 10.10.0.1/24 dev test0|link set test0 up|link set lo up"
    for command in setup.split("|"):
        run("ip " + command)
    router = Router("test0", table=220, mark=0x42)
    await router.start()
    passing = PassRule(ip_network("10.10.0.0/24"), ip_network("10.9.0.0/24"))
    routes = [Route(ip_network(f"10.20.{n}.0/24"), ip_address("10.10.0.1")) for n in range(200)]
    others = [Route(ip_network("10.30.0.0/24"), throw=True), Route(ip_network("fd20::/64"))]
    await router.apply([], [passing, *others, *routes])
    whole = show()
    await router.renew()
    assert show() == whole
    # Like a manager of networks that knows of no rules but its own.
    for preference in (219, 220, 221):
        run(f"ip rule del preference {preference}")
    run("ip -6 rule del preference 220")
    await router.renew()
    assert show() == whole, show()
    # The kernel takes routes along whose source goes, and says nothing.
    run("ip addr del 10.10.0.1/24 dev test0")
    run("ip addr add 10.10.0.1/24 dev test0")
    assert show() != whole
    await router.renew()
    assert show() == whole, show()
    run("ip addr del 10.10.0.1/24 dev test0")
    await router.renew()
    await router.renew()
    run("ip addr add 10.10.0.1/24 dev test0")
    await router.renew()
    assert show() == whole, show()
    await router.apply(routes, [])
    await router.renew()
    assert not [line for line in show() if "10.20." in line]
    await router.stop()
    assert "220" not in " ".join(show()), show()

asyncio.run(main())
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace")
def test_what_somebody_removed_is_put_back_and_nothing_else_changes() -> None:
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("WARNING")]
    assert len(said) == 2, said
    assert "4 of our rules had been removed" in said[0]
    assert "200 routes to test0 cannot be put in place" in said[1]


async def test_it_is_looked_for_from_time_to_time_and_whenever_the_host_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Counting(Router):
        looks = 0

        async def start(self) -> None:
            pass

        async def stop(self) -> None:
            pass

        async def own_addresses(self) -> tuple[()]:
            return ()

        async def renew(self) -> None:
            self.looks += 1

    async def looks(router: Counting, more: int) -> None:
        wanted = router.looks + more
        async with asyncio.timeout(5):
            while router.looks < wanted:
                await asyncio.sleep(0.01)

    router = Counting("test0", table=220, mark=0x42)
    plumbing = Plumbing(router, None)
    monkeypatch.setattr(plumbing_module, "LOOK_PAUSE", 0.01)
    await plumbing.start()
    try:
        plumbing.host_changed()
        await looks(router, 1)
        monkeypatch.setattr(plumbing_module, "LOOK", 0.02)
        plumbing.host_changed()
        await looks(router, 3)
    finally:
        await plumbing.stop()
