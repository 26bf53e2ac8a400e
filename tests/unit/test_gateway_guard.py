"""The inbound guard against real packets, in a namespace of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from ipaddress import ip_address, ip_network

import pytest

from fastesp.dataplane.base import PolicyAction, Selector, TrapPolicy
from fastesp.gateway.guard import foundation, update
from fastesp.gateway.guard_book import GuardBook, Pair, Place, Rule, Tier, wishes


def selector(local: str, remote: str, **more: int) -> Selector:
    ours, theirs = ip_network(local), ip_network(remote)
    return Selector(ours[0], ours[-1], theirs[0], theirs[-1], **more)


def lines(*policies: TrapPolicy) -> list[str]:
    book = GuardBook()
    for policy in policies:
        book.add(policy)
    return list(update("t", book.changes()))


def test_a_pair_of_prefixes_is_an_element_of_a_set_for_their_lengths() -> None:
    policies = [TrapPolicy(f"a/{n}", n, (selector("10.1.0.0/24", f"10.2.{n}.0/24"),)) for n in range(3)]
    assert lines(*policies) == [
        "add set inet t guarded-4-24-24-200000 { type ipv4_addr . ipv4_addr; }",
        "add element inet t guarded-4-24-24-200000 { 10.2.0.0 . 10.1.0.0, 10.2.1.0 . 10.1.0.0, 10.2.2.0 . 10.1.0.0 }",
        "flush chain inet t policies",
        "add rule inet t policies ip saddr & 255.255.255.0 . ip daddr & 255.255.255.0 @guarded-4-24-24-200000 "
        "counter name unprotected drop",
    ]


def test_one_of_many_that_goes_is_one_element_and_no_rule() -> None:
    book = GuardBook()
    policies = [TrapPolicy(f"a/{n}", n, (selector("fd01::1/128", f"fd02::{n:x}/128"),)) for n in range(1000)]
    for policy in policies:
        book.add(policy)
    book.changes()
    book.remove(policies[7])
    assert list(update("t", book.changes())) == ["delete element inet t guarded-6-128-128-200000 { fd02::7 . fd01::1 }"]
    assert not book.changes()


def test_an_element_stays_while_any_policy_uses_it() -> None:
    book = GuardBook()
    old, new = (TrapPolicy("a/n", reqid, (selector("10.1.0.0/24", "10.2.0.0/24"),)) for reqid in (1, 2))
    book.add(old)
    book.changes()
    book.add(new)
    book.remove(old)
    assert not book.changes()
    book.remove(new)
    book.add(new)
    assert not book.changes()
    book.remove(new)
    assert book.changes().gone


def test_what_was_forgotten_is_told_again() -> None:
    book = GuardBook()
    policy = TrapPolicy("a/n", 1, (selector("10.1.0.0/24", "10.2.0.0/24"),))
    gone = TrapPolicy("a/m", 2, (selector("10.1.0.0/24", "10.3.0.0/24"),))
    book.add(policy)
    book.add(gone)
    first = list(update("t", book.changes()))
    book.remove(gone)
    book.forget()
    assert list(update("t", book.changes())) == [line.replace(", 10.3.0.0 . 10.1.0.0", "") for line in first]


def test_ports_are_a_rule() -> None:
    ports = {"protocol": 6, "remote_port_start": 80, "remote_port_end": 80}
    assert lines(TrapPolicy("a/n", 1, (selector("10.1.0.0/24", "10.2.0.0/24", **ports),))) == [
        "flush chain inet t policies",
        "add rule inet t policies ip saddr 10.2.0.0-10.2.0.255 ip daddr 10.1.0.0-10.1.0.255 "
        "meta l4proto 6 th sport 80 counter name unprotected drop",
    ]


def test_a_range_is_its_prefixes_and_a_ragged_one_is_a_rule() -> None:
    ours = ip_network("10.1.0.0/24")
    few = Selector(ours[0], ours[-1], ip_address("10.2.0.1"), ip_address("10.2.0.2"))
    ragged = Selector(
        ip_address("10.1.0.1"), ip_address("10.1.0.254"), ip_address("10.2.0.1"), ip_address("10.2.0.254")
    )
    assert len([wish for wish in wishes(few, PolicyAction.PROTECT) if isinstance(wish, Pair)]) == 2
    (rule,) = wishes(ragged, PolicyAction.PROTECT)
    assert isinstance(rule, Rule)
    assert rule.match == "ip saddr 10.2.0.1-10.2.0.254 ip daddr 10.1.0.1-10.1.0.254"


def test_everything_of_a_family_needs_no_set() -> None:
    everything = wishes(selector("0.0.0.0/0", "0.0.0.0/0"), PolicyAction.PROTECT)
    assert everything == (Rule(Place(200_000, Tier.GUARDED), "meta nfproto ipv4"),)


def test_a_tunnel_to_everywhere_lets_the_site_speak_to_itself() -> None:
    found = lines(TrapPolicy("a/n", 1, (selector("10.1.0.0/24", "0.0.0.0/0"),)))
    assert "add element inet t within-4-24-24-200000 { 10.1.0.0 . 10.1.0.0 }" in found
    assert "add set inet t everywhere-4-0-24-200000 { type ipv4_addr; }" in found
    assert "add element inet t everywhere-4-0-24-200000 { 10.1.0.0 }" in found
    assert (
        "add rule inet t policies ip daddr & 255.255.255.0 @everywhere-4-0-24-200000 counter name unprotected drop"
        in found
    )


def order(*policies: TrapPolicy) -> list[str]:
    """The sets that packets are looked up in, one after the other, without their ranks."""
    return [line.partition("@")[2].split(" ")[0].rpartition("-")[0] for line in lines(*policies) if " @" in line]


SITE = (selector("10.1.0.0/24", "10.2.0.0/24"),)
NEARBY = (selector("10.1.0.0/16", "10.0.0.0/8"),)
ANYWHERE = (selector("10.1.0.0/24", "0.0.0.0/0"),)


def test_what_passes_comes_first_and_a_tunnel_to_everywhere_last() -> None:
    assert [line for line in foundation("t", "tun0") if " jump " in line][-1].endswith("jump policies")
    passing, everywhere = TrapPolicy("a/p", 1, NEARBY, PolicyAction.BYPASS), TrapPolicy("a/e", 2, ANYWHERE)
    assert order(TrapPolicy("a/n", 3, SITE), everywhere, passing) == [
        "passing-4-8-16",
        "guarded-4-24-24",
        "within-4-24-24",
        "everywhere-4-0-24",
    ]


def test_a_configured_priority_goes_first_here_as_in_the_data_plane() -> None:
    rest = TrapPolicy("a/rest", 1, NEARBY, PolicyAction.BYPASS, priority=1000)
    assert order(rest, TrapPolicy("a/n", 2, SITE, priority=10)) == ["guarded-4-24-24", "passing-4-8-16"]
    assert order(rest, TrapPolicy("a/n", 2, SITE)) == ["passing-4-8-16", "guarded-4-24-24"]
    assert order(rest, TrapPolicy("a/e", 2, ANYWHERE, priority=10))[-1] == "passing-4-8-16"


def test_among_exceptions_the_narrower_one_decides() -> None:
    passing = TrapPolicy("a/p", 1, NEARBY, PolicyAction.BYPASS)
    dropped = TrapPolicy("a/d", 2, SITE, PolicyAction.DISCARD)
    assert order(passing, dropped) == ["guarded-4-24-24", "passing-4-8-16"]
    one = TrapPolicy("a/1", 3, (selector("10.1.0.1/32", "10.2.0.1/32", protocol=6),), PolicyAction.BYPASS)
    verdicts = [line.rpartition(" ")[2] for line in lines(passing, dropped, one) if line.startswith("add rule")]
    assert verdicts == ["accept", "drop", "accept"]


SCRIPT = """
import asyncio, subprocess
from ipaddress import ip_network
from fastesp.dataplane.base import PolicyAction, Selector, TrapPolicy
from fastesp.gateway.guard import Guard

def sh(text):
    return subprocess.run(text, shell=True, capture_output=True, text=True)

def ping(source):
    return sh(f"ip netns exec {NAME} ping -c 2 -i 0.2 -W 1 -I {source} 10.1.0.1").returncode == 0

async def main():
    sh(f"ip netns add {NAME}; ip link set lo up; ip link add v0 type veth peer v1 netns {NAME};"
       "ip addr add 192.0.2.1/24 dev v0; ip addr add 10.1.0.1/24 dev v0; ip link set v0 up;"
       "ip route add 10.0.0.0/8 dev v0;"
       f"ip -n {NAME} addr add 192.0.2.2/24 dev v1; ip -n {NAME} addr add 10.2.0.1/32 dev v1;"
       f"ip -n {NAME} addr add 10.3.0.1/32 dev v1; ip -n {NAME} link set v1 up;"
       f"ip -n {NAME} route add 10.1.0.0/24 dev v1")
    local, remote = ip_network("10.1.0.0/24"), ip_network("10.2.0.0/24")
    policy = TrapPolicy("a/n", 1, (Selector(local[0], local[-1], remote[0], remote[-1]),))
    guard = Guard("fastesp-test", "tun0")
    assert ping("10.2.0.1"), "reachable without the guard"
    guard.add(policy)
    await guard.apply()
    assert guard.active
    assert not ping("10.2.0.1"), "guarded"
    assert ping("10.3.0.1"), "not of the policy"
    assert await guard.dropped() == 2, await guard.dropped()
    other = ip_network("10.3.0.0/24")
    second = TrapPolicy("a/m", 2, (Selector(local[0], local[-1], other[0], other[-1]),))
    guard.add(second)
    await guard.apply()
    assert not ping("10.3.0.1"), "guarded too"
    assert await guard.dropped() == 4, "the counter goes on when the rules change"
    guard.remove(second)
    await guard.apply()
    assert ping("10.3.0.1"), "no longer of a policy"
    assert not ping("10.2.0.1"), "still guarded"
    everywhere = ip_network("0.0.0.0/0")
    wide = TrapPolicy("a/w", 3, (Selector(local[0], local[-1], everywhere[0], everywhere[-1]),))
    shunt = TrapPolicy("a/p", 4, second.selectors, PolicyAction.BYPASS)
    guard.add(wide)
    guard.add(shunt)
    await guard.apply()
    assert ping("10.3.0.1"), "let pass before the tunnel to everywhere"
    assert sh("ping -c 1 -W 1 -I 10.1.0.1 10.1.0.1").returncode == 0, "the site itself"
    guard.remove(shunt)
    await guard.apply()
    assert not ping("10.3.0.1"), "everywhere is guarded"
    assert await guard.dropped() == 8, await guard.dropped()
    sh("nft flush ruleset")
    assert ping("10.2.0.1"), "somebody emptied the ruleset"
    assert await guard.dropped() == 8, "what was counted stays"
    assert not guard.active
    await guard.apply()
    assert guard.active
    assert not ping("10.2.0.1"), "guarded again"
    assert await guard.dropped() == 10, await guard.dropped()
    sh("nft flush ruleset")
    guard.remove(wide)
    await guard.apply()
    assert guard.active, "made anew at the next change too"
    assert not ping("10.2.0.1")
    assert ping("10.3.0.1")
    await guard.stop()
    assert ping("10.2.0.1"), "the guard is gone"
    assert sh("nft list tables").stdout == ""

asyncio.run(main())
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("nft") is None, reason="makes namespaces, needs nft")
def test_what_arrives_in_the_clear_is_dropped_and_counted() -> None:
    name = f"guard-{os.getpid()}"
    script = f"NAME = {name!r}\n{SCRIPT}"
    try:
        done = subprocess.run(
            ["unshare", "-n", sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
