"""The inbound guard against real packets, in a namespace of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from ipaddress import ip_network

import pytest

from fastesp.dataplane.base import PolicyAction, Selector, TrapPolicy
from fastesp.gateway.guard import ruleset


def selector(local: str, remote: str, **more: int) -> Selector:
    ours, theirs = ip_network(local), ip_network(remote)
    return Selector(ours[0], ours[-1], theirs[0], theirs[-1], **more)


def test_protected_pairs_are_dropped_with_their_ports() -> None:
    ports = {"protocol": 6, "remote_port_start": 80, "remote_port_end": 80}
    text = ruleset("t", "tun0", [TrapPolicy("a/n", 1, (selector("10.1.0.0/24", "10.2.0.0/24", **ports),))])
    assert (
        "add rule inet t policies ip saddr 10.2.0.0-10.2.0.255 ip daddr 10.1.0.0-10.1.0.255 "
        "meta l4proto 6 th sport 80 counter name unprotected drop"
    ) in text


def test_pass_policies_come_before_what_is_guarded() -> None:
    everywhere = TrapPolicy("a/n", 1, (selector("10.1.0.0/24", "0.0.0.0/0"),))
    passing = TrapPolicy("a/p", 2, (selector("10.1.0.0/24", "10.9.0.0/24"),), PolicyAction.BYPASS)
    rules = [line for line in ruleset("t", "tun0", [everywhere, passing]).splitlines() if "policies ip " in line]
    assert rules[0].endswith("accept")
    assert "10.9.0.0-10.9.0.255" in rules[0]
    assert rules[1].endswith("ip saddr 10.1.0.0-10.1.0.255 ip daddr 10.1.0.0-10.1.0.255 accept")
    assert rules[2].endswith("counter name unprotected drop")


SCRIPT = """
import asyncio, subprocess
from ipaddress import ip_network
from fastesp.dataplane.base import Selector, TrapPolicy
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
    await guard.apply([policy])
    assert guard.active
    assert not ping("10.2.0.1"), "guarded"
    assert ping("10.3.0.1"), "not of the policy"
    assert await guard.dropped() == 2, await guard.dropped()
    other = ip_network("10.3.0.0/24")
    await guard.apply([policy, TrapPolicy("a/m", 2, (Selector(local[0], local[-1], other[0], other[-1]),))])
    assert not ping("10.3.0.1"), "guarded too"
    assert await guard.dropped() == 4, "the counter goes on when the rules change"
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
