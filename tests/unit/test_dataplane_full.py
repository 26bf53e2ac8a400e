"""The user-space data plane when its table of policies is full: it refuses with the reason and keeps no half of it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
from ipaddress import ip_network
from fastesp.dataplane.base import *
from fastesp.dataplane.userspace import UserspaceDataPlane
from ike.crypto.secret import Secret

def selectors(number):
    ours, theirs = ip_network("10.1.0.0/24"), ip_network(f"10.2.{number}.0/24")
    return (Selector(ours[0], ours[-1], theirs[0], theirs[-1]),)

def refused(what, *arguments):
    try:
        what(*arguments)
    except DataPlaneError as error:
        return str(error)
    raise AssertionError("was not refused")

def sa(number):
    path = OuterPath(ip_network("192.0.2.1")[0], ip_network("192.0.2.2")[0])
    spis = (plane.allocate_spi(SaProtocol.ESP), 4096)
    halves = [SaHalf(spi, Suite("aes-gcm-16", 256), Secret(bytes(36))) for spi in spis]
    return ChildSa(f"a/{number}", number, number, SaProtocol.ESP, SaMode.TUNNEL, selectors(number), path, *halves)

plane = UserspaceDataPlane("esp0", workers=2, max_policies=2, max_sas=64)
try:
    plane.set_trap(TrapPolicy("a/1", 1, selectors(1)))
    plane.set_trap(TrapPolicy("a/2", 2, selectors(2)))
    why = refused(plane.set_trap, TrapPolicy("a/3", 3, selectors(3)))
    assert why == "a/3: no room for another policy: 2 of 2 are in use", why
    plane.install(sa(4))
    why = refused(plane.activate_outbound, 4)
    assert why == "a/4: no room for another policy: 2 of 2 are in use", why
    plane.clear_trap("a/1")
    plane.set_trap(TrapPolicy("a/3", 3, selectors(3)))
    plane.clear_trap("a/3")
    plane.activate_outbound(4)
    plane.remove(4)
    plane.set_trap(TrapPolicy("a/1", 1, selectors(1)))
finally:
    plane.close()
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace")
def test_a_policy_that_finds_no_room_leaves_nothing_behind() -> None:
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$0" -c "$1"', sys.executable, SCRIPT],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
