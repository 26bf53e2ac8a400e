"""Routes: the plan as values, and the plan put in place on a real link in a namespace of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from ipaddress import ip_address, ip_network

import pytest

from fastesp.dataplane.base import PolicyAction, Selector, TrapPolicy
from fastesp.gateway.routes import PassRule, Route, RouteBook, Wish


def selector(local: str, remote: str, **more: int) -> Selector:
    ours, theirs = ip_network(local), ip_network(remote)
    return Selector(ours[0], ours[-1], theirs[0], theirs[-1], **more)


def policy(*selectors: Selector, action: PolicyAction = PolicyAction.TRAP) -> TrapPolicy:
    return TrapPolicy("site/net", 1, selectors, action)


def told(policies: list[TrapPolicy], *own: str) -> set[Wish]:
    book = RouteBook([ip_address(text) for text in own])
    for one in policies:
        book.add(one)
    gone, come = book.changes()
    assert gone == []
    return set(come)


def test_a_remote_network_is_routed_from_our_address_within_the_local_network() -> None:
    wanted = told([policy(selector("10.10.0.0/24", "10.20.0.0/24"))], "203.0.113.10", "10.10.0.1")
    assert wanted == {Route(ip_network("10.20.0.0/24"), ip_address("10.10.0.1"))}


def test_without_an_address_of_ours_in_the_local_network_the_route_names_no_source() -> None:
    wanted = told([policy(selector("10.10.0.0/24", "10.20.0.0/24"))], "203.0.113.10")
    assert wanted == {Route(ip_network("10.20.0.0/24"))}


def test_two_policies_to_one_network_share_a_route_and_its_source() -> None:
    policies = [policy(selector("10.11.0.0/24", "10.20.0.0/24")), policy(selector("10.10.0.0/24", "10.20.0.0/24"))]
    assert told(policies, "10.10.0.1") == {Route(ip_network("10.20.0.0/24"), ip_address("10.10.0.1"))}


def test_a_tunnel_to_everywhere_leaves_its_own_site_reachable() -> None:
    wanted = told([policy(selector("10.10.0.0/24", "0.0.0.0/0"))])
    assert wanted == {Route(ip_network("0.0.0.0/0")), Route(ip_network("10.10.0.0/24"), throw=True)}


def test_a_range_becomes_the_fewest_prefixes() -> None:
    ranged = Selector(*(ip_address(text) for text in ("10.0.0.0", "10.0.0.255", "10.1.0.1", "10.1.0.4")))
    assert {str(route.destination) for route in told([policy(ranged)]) if isinstance(route, Route)} == {
        "10.1.0.1/32",
        "10.1.0.2/31",
        "10.1.0.4/32",
    }


def test_a_pass_policy_becomes_a_rule_with_its_ports() -> None:
    passing = selector("10.10.0.0/24", "10.9.0.0/24", protocol=6, remote_port_start=22, remote_port_end=22)
    wanted = told([policy(passing, action=PolicyAction.BYPASS)])
    assert wanted == {PassRule(ip_network("10.10.0.0/24"), ip_network("10.9.0.0/24"), 6, (0, 65535), (22, 22))}


def test_a_route_goes_with_the_last_policy_that_wants_it() -> None:
    book = RouteBook()
    trap, tunnel = policy(selector("10.10.0.0/24", "10.20.0.0/24")), policy(selector("10.10.0.0/25", "10.20.0.0/24"))
    for one in (trap, tunnel, tunnel):
        book.add(one)
    route = Route(ip_network("10.20.0.0/24"))
    assert book.changes() == ([], [route])
    for one in (tunnel, tunnel):
        book.remove(one)
    assert book.changes() == ([], [])
    book.remove(trap)
    book.remove(trap)
    assert book.changes() == ([route], [])


def test_a_change_that_is_undone_before_it_was_told_is_none() -> None:
    book = RouteBook()
    one = policy(selector("10.10.0.0/24", "10.20.0.0/24"))
    book.add(one)
    book.remove(one)
    assert book.changes() == ([], [])


def test_a_new_address_of_the_host_becomes_the_source_of_its_routes() -> None:
    book = RouteBook()
    book.add(policy(selector("10.10.0.0/24", "10.20.0.0/24")))
    book.changes()
    for _ in range(2):
        book.host_has([ip_address("10.10.0.7")])
    assert book.changes() == ([], [Route(ip_network("10.20.0.0/24"), ip_address("10.10.0.7"))])
    assert book.changes() == ([], [])


SCRIPT = """
import asyncio, subprocess
from ipaddress import ip_network, ip_address
from fastesp.gateway.routes import PassRule, Route, Router

def show():
    lines = []
    for family in ("-4", "-6"):
        lines += subprocess.run(["ip", family, "rule"], capture_output=True, text=True, check=True).stdout.splitlines()
        shown = subprocess.run(["ip", family, "route", "show", "table", "220"], capture_output=True, text=True)
        lines += shown.stdout.splitlines()
    return [" ".join(line.split()) for line in lines]

async def main():
    setup = "tuntap add test0 mode tun|addr add 10.10.0.1/24 dev test0|link set test0 up|link set lo up"
    for command in setup.split("|"):
        subprocess.run(["ip", *command.split()], check=True)
    before = show()
    router = Router("test0", table=220, mark=0x42)
    await router.start()
    assert ip_address("10.10.0.1") in await router.own_addresses()
    throw = Route(ip_network("10.30.0.0/24"), throw=True)
    passing = PassRule(ip_network("10.10.0.0/24"), ip_network("10.9.0.0/24"), 6, (0, 65535), (22, 22))
    routes = [Route(ip_network("10.20.0.0/24"), ip_address("10.10.0.1")), Route(ip_network("2001:db8::/64"))]
    await router.apply([], [throw, passing, *routes])
    print(*show(), sep="\\n")
    await router.apply([throw, passing], [Route(ip_network("10.20.0.0/24"))])
    print("--", *show(), sep="\\n")
    await router.stop()
    assert show() == before, show()

asyncio.run(main())
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace")
def test_routes_and_rules_come_and_go_and_only_ours_do() -> None:
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    first, _, second = done.stdout.partition("--")
    for line in (
        "220: not from all fwmark 0x42 lookup 220",
        "219: from 10.10.0.0/24 to 10.9.0.0/24 ipproto tcp dport 22 goto 221",
        "throw 10.30.0.0/24 proto 229",
    ):
        assert line in first, first
    assert "10.20.0.0/24 dev test0 proto 229 src 10.10.0.1" in first
    assert "2001:db8::/64 dev test0 proto 229" in first
    assert "10.9.0.0/24" not in second
    assert "10.30.0.0/24" not in second
    assert "10.20.0.0/24 dev test0 proto 229" in second
    assert "src 10.10.0.1" not in second


REFUSED = """
import errno
from ipaddress import ip_network
from fastesp.gateway.route_socket import Route, RouteSocket

routes = RouteSocket(index=4711, table=220, protocol=229)
for attempt, expected in ((routes.replace, errno.ENODEV), (routes.delete, errno.ESRCH)):
    for text in ("10.20.0.0/24", "10.30.0.0/24"):
        try:
            attempt(Route(ip_network(text)))
        except OSError as error:
            assert error.errno == expected, error
        else:
            raise AssertionError(f"{attempt.__name__} {text}: not refused")
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace")
def test_what_the_kernel_refuses_is_an_os_error_with_its_number_and_the_next_request_is_heard() -> None:
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", REFUSED], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
