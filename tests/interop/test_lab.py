"""The lab itself: what it builds works, and however it ends, nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from fastesp.lab import Lab, LabError, two_sites
from fastesp.lab.capture import Capture
from fastesp.lab.namespace import NETNS_DIRECTORY
from fastesp.lab.process import wait_until
from fastesp.lab.sites import LAN, WAN
from fastesp.lab.topology import RUN_DIRECTORY, stale, sweep
from fastesp.lab.traffic import iperf, ping, transfer

pytestmark = pytest.mark.root

PROGRAM = textwrap.dedent(
    """
    import sys, time
    from fastesp.lab import Lab, two_sites
    with Lab("victim") as lab:
        print("at:opened", flush=True)
        sites = two_sites(lab)
        print("at:built", flush=True)
        lab.start(sites.a.host, ["sleep", "4711"])
        lab.start(sites.b.host, ["sh", "-c", "trap '' TERM; sleep 4712"])
        print("at:running", lab.id, flush=True)
        time.sleep(60)
    """
)


def left_of(pid: int) -> list[str]:
    """Namespaces and directories of labs that the process ``pid`` opened."""
    return [p.name for d in (NETNS_DIRECTORY, RUN_DIRECTORY) for p in d.glob(f"*victim-{pid}-*")]


def victim(until: str) -> subprocess.Popen[str]:
    """A program with a lab, which has come as far as ``until``."""
    child = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith(f"at:{until}"):
            return child
    raise AssertionError(f"ended before it was {until}")


def sleepers() -> list[int]:
    """Processes of the victim that still run."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"4711" in words or b"4712" in words:
            found.append(int(file.parent.name))
    return found


def test_two_sites_reach_each_other_by_their_gateways_only(lab: Lab) -> None:
    sites = two_sites(lab)
    assert ping(sites.a.gateway, sites.b.outer).received == 3
    assert ping(sites.a.gateway, sites.b.outer6).received == 3
    assert ping(sites.a.host, sites.a.gateway_address).received == 3
    assert ping(sites.a.gateway, sites.b.host_address, count=1).received == 1
    assert ping(sites.b.host, sites.a.host_address6, count=1).received == 1


def test_a_router_between_them_translates_addresses_when_told(lab: Lab) -> None:
    sites = two_sites(lab, router=True)
    assert sites.internet is not None
    sites.internet.masquerade("b")
    with Capture(lab, sites.b.gateway, WAN) as capture:
        assert ping(sites.a.gateway, sites.b.outer).received == 3
    capture.stop()
    assert "protocol 1, 198.51.100.1 to 198.51.100.20" in capture.summary()


def test_a_capture_of_plain_traffic_does_not_pass_for_esp(lab: Lab) -> None:
    sites = two_sites(lab)
    capture = Capture(lab, sites.a.gateway, LAN, whole=True)
    ping(sites.a.host, sites.a.gateway_address, pattern=b"seen in clear".hex())
    with pytest.raises(LabError, match=r"3 x protocol 1, 10\.10\.0\.2 to 10\.10\.0\.1"):
        capture.check()
    assert capture.contains(b"seen in clear")


def test_tcp_arrives_whole_and_iperf_measures(lab: Lab) -> None:
    sites = two_sites(lab)
    assert transfer(sites.a.host, sites.a.gateway, sites.a.gateway_address, 5_000_001).size == 5_000_001
    assert iperf(lab, sites.a.host, sites.a.gateway, sites.a.gateway_address, seconds=1).mbit_per_second > 10
    udp = iperf(lab, sites.a.host, sites.a.gateway, sites.a.gateway_address, seconds=1, udp_mbit=8, size=500)
    assert udp.mbit_per_second == pytest.approx(8, rel=0.2)


def test_a_transfer_that_cannot_get_through_says_so(lab: Lab) -> None:
    sites = two_sites(lab)
    sites.a.host.ip("route", "replace", "blackhole", "10.20.0.0/24")
    with pytest.raises(LabError, match="host-a to host-b"):
        transfer(sites.a.host, sites.b.host, sites.b.host_address, 1000, timeout=2.0)


def test_labs_live_side_by_side() -> None:
    with Lab("test") as one, Lab("test") as other:
        assert one.id != other.id
        for lab in (one, other):
            sites = two_sites(lab)
            assert ping(sites.a.gateway, sites.b.outer, count=1).received == 1
        assert not {one.id, other.id} & set(stale())
    assert not list(NETNS_DIRECTORY.glob(f"*{one.id}*")) + list(NETNS_DIRECTORY.glob(f"*{other.id}*"))


def test_an_exception_leaves_nothing() -> None:
    lab = Lab("test")
    with pytest.raises(ZeroDivisionError), lab:
        print(1 / len(two_sites(lab).b.net6[99:]))
    assert not list(NETNS_DIRECTORY.glob(f"*{lab.id}*"))
    assert not lab.directory.exists()


@pytest.mark.parametrize("until", ["opened", "built", "running"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_any_moment_leaves_nothing(number: signal.Signals, until: str) -> None:
    child = victim(until)
    os.kill(child.pid, number)
    assert child.wait(20) != 0
    assert left_of(child.pid) == []
    if until == "running":
        assert sleepers() == []


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15])
def test_ctrl_c_while_namespaces_are_being_made_leaves_nothing(delay: float) -> None:
    child = victim("opened")
    time.sleep(delay)
    os.killpg(child.pid, signal.SIGINT)
    assert child.wait(20) != 0
    assert left_of(child.pid) == []


def test_an_impatient_second_ctrl_c_does_not_stop_the_cleaning_up() -> None:
    child = victim("running")
    for _ in range(20):
        os.killpg(child.pid, signal.SIGINT)
        time.sleep(0.02)
    child.wait(20)
    assert left_of(child.pid) == []


def test_what_a_killed_lab_left_is_recognised_and_swept() -> None:
    child = victim("running")
    child.kill()
    child.wait(10)
    (name,) = [p.name for p in RUN_DIRECTORY.glob(f"victim-{child.pid}-*")]
    assert name in stale()
    assert name in sweep()
    assert left_of(child.pid) == []
    wait_until(lambda: not sleepers(), "the end of its programs", 5.0)


def test_the_command_builds_two_sites_says_how_to_enter_and_waits_for_ctrl_c() -> None:
    words = [sys.executable, "-u", "-m", "fastesp", "lab", "--gateways", "none"]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert child.stdout is not None
    said = []
    for line in child.stdout:
        said.append(line)
        if line.startswith("Ctrl-C"):
            break
    (gateway,) = [line.split()[5] for line in said if line.split()[:1] == ["gateway-a"]]
    assert (NETNS_DIRECTORY / gateway).exists()
    os.kill(child.pid, signal.SIGINT)
    assert child.wait(20) == 0
    assert list(NETNS_DIRECTORY.glob(f"*lab-{child.pid}-*")) == []


def test_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="needs root"), Lab("test"):
        pass
