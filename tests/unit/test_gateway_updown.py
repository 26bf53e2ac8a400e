"""Scripts at the coming and going of CHILD_SAs: what they are told, their order, their limit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path as File

import pytest

from fastesp.dataplane.base import Placement, PolicyAction, TrapPolicy
from fastesp.gateway.logbook import Logbook, LogLine
from fastesp.gateway.tunnels import Tunnel
from fastesp.gateway.updown import OUTPUT, Updown, environments
from ike.config import Child, Mode, TsTemplate
from ike.events import Path
from ike.status import ChildSaInfo, IkeSaInfo
from ike.wire.constants import ProtocolId
from ike.wire.identity import Identity
from ike.wire.selectors import Address, TrafficSelector

LOCAL = TrafficSelector.of_network(ip_network("10.10.0.0/24"))
REMOTE = TrafficSelector.of_network(ip_network("10.20.0.0/24"))
PATH = Path(ip_address("203.0.113.10"), 500, ip_address("198.51.100.20"), 4500)
IKE = IkeSaInfo(
    7, "site", "ESTABLISHED", True, bytes(8), bytes(8), Identity.parse("a.example.org"),
    Identity.parse("b.example.org"), PATH, (), False, False, 0.0, None, (), (),
)  # fmt: skip
CHILD = ChildSaInfo(
    3, "net", "INSTALLED", ProtocolId.ESP, Mode.TUNNEL, True, (), 1, 2, (LOCAL,), (REMOTE,), False, False,
    0.0, None, None,
)  # fmt: skip


def tunnel(script: str, **more: object) -> Tunnel:
    config = replace(Child("net", (TsTemplate(LOCAL),), (TsTemplate(REMOTE),), updown=script), **more)  # type: ignore[arg-type]
    policy = TrapPolicy("site/net", 5, (), PolicyAction.PROTECT)
    return Tunnel(7, 3, "site", config, 5, ((), (0, 0), (0, 0), 0, 0), policy, Placement("userspace/0"))


class Book:
    """A logbook and what was said in it."""

    def __init__(self) -> None:
        self.logbook = Logbook()
        self.lines: list[LogLine] = []
        self.logbook.listen(self.lines.append, 4)

    def updown(self, **more: float) -> Updown:
        return Updown(self.logbook, interface=nowhere, **more)  # type: ignore[arg-type]


async def nowhere(_: Address) -> str:
    return ""


@pytest.fixture
def book() -> Iterator[Book]:
    fresh = Book()
    yield fresh
    fresh.logbook.close()


def test_each_pair_of_selectors_has_a_run_of_its_own() -> None:
    six = TrafficSelector.of_network(ip_network("2001:db8::/64"))
    tcp, udp = (TrafficSelector(LOCAL.start, LOCAL.end, number, 22, 22) for number in (6, 17))
    child = replace(CHILD, local_ts=(LOCAL, six, tcp), remote_ts=(REMOTE, six, udp))
    runs = list(environments("up", IKE, child, tunnel("true"), "eth0"))
    assert [(run["PLUTO_VERB"], run["PLUTO_MY_PROTOCOL"], run["PLUTO_PEER_PROTOCOL"]) for run in runs] == [
        ("up-client", "0", "0"),
        ("up-client", "0", "17"),
        ("up-client-v6", "0", "0"),
        ("up-client", "6", "0"),
    ]


def test_a_selector_of_the_host_itself_is_a_host() -> None:
    child = replace(CHILD, local_ts=(TrafficSelector(PATH.local, PATH.local),))
    (run,) = environments("down", IKE, child, tunnel("true"), "eth0")
    assert run["PLUTO_VERB"] == "down-host"
    assert run["PLUTO_MY_CLIENT"] == "203.0.113.10/32"


def test_a_range_is_told_as_the_network_that_holds_it_and_icmp_as_type_and_code() -> None:
    some = TrafficSelector(ip_address("10.10.0.5"), ip_address("10.10.0.9"), 1, 0x0803, 0x0803)
    (run,) = environments("up", IKE, replace(CHILD, local_ts=(some,)), tunnel("true"), "eth0")
    assert run["PLUTO_MY_CLIENT"] == "10.10.0.0/28"
    assert (run["PLUTO_MY_PORT"], run["PLUTO_PEER_PORT"]) == ("8", "3")


def test_marks_interface_ids_and_encapsulation_are_told_where_they_are() -> None:
    marked = tunnel("true", mark_in=(0x42, 0xFF), if_id_out=9, hostaccess=True)
    (run,) = environments("up", IKE, replace(CHILD, udp_encap=True), marked, "eth0")
    assert run["PLUTO_MARK_IN"] == "66/0x000000ff"
    assert run["PLUTO_IF_ID_OUT"] == "9"
    assert run["PLUTO_UDP_ENC"] == "4500"
    assert run["PLUTO_HOST_ACCESS"] == "1"
    assert not {"PLUTO_MARK_OUT", "PLUTO_IF_ID_IN"} & run.keys()


def test_what_a_peer_calls_itself_cannot_break_the_environment() -> None:
    nasty = replace(IKE, remote_id=Identity(2, b"x\0\nPATH=/tmp"))
    (run,) = environments("up", nasty, CHILD, tunnel("true"), "eth0")
    assert run["PLUTO_PEER_ID"].isprintable()


async def test_down_waits_for_up(tmp_path: File, book: Book) -> None:
    file = tmp_path / "said"
    scripts = book.updown()
    slow = tunnel(f'[ "$PLUTO_VERB" = up-client ] && sleep 0.3; echo $PLUTO_VERB >>{file}')
    scripts.came(IKE, CHILD, slow)
    scripts.went(IKE, CHILD, slow)
    await scripts.finish()
    assert file.read_text().split() == ["up-client", "down-client"]
    assert book.lines == []


def alive(group: int) -> list[int]:
    """Processes of a group that have not ended."""
    found = []
    for stat in File("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                found.append(int(stat.parent.name))
    return found


async def test_a_script_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: File, book: Book) -> None:
    scripts = book.updown(time_limit=0.3)
    began = time.monotonic()
    scripts.came(IKE, CHILD, tunnel(f"echo $$ >{tmp_path}/pid; sleep 300 & sleep 300"))
    await scripts.finish()
    assert time.monotonic() - began < 100
    assert "not done after 0.3 s" in book.lines[-1].text
    assert (book.lines[-1].level, book.lines[-1].connection, book.lines[-1].ike_id) == (0, "site", 7)
    while alive(int((tmp_path / "pid").read_text())):
        await asyncio.sleep(0.05)


async def test_output_beyond_a_measure_is_dropped_and_what_a_script_leaves_running_is_not_waited_for(
    tmp_path: File, book: Book
) -> None:
    began = time.monotonic()
    scripts = book.updown()
    scripts.came(IKE, CHILD, tunnel(f"yes | head -c 1000000; sleep 300 & echo $! >{tmp_path}/pid"))
    await scripts.finish()
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
    assert time.monotonic() - began < 100
    assert len(book.lines) == OUTPUT // 2


async def test_many_children_run_a_few_scripts_at_once(tmp_path: File, book: Book) -> None:
    scripts = book.updown()
    for number in range(20):
        one = tunnel(f"mkdir {tmp_path}/{number}; ls {tmp_path} | wc -l; sleep 0.05; rmdir {tmp_path}/{number}")
        one.policy = TrapPolicy(f"site/net{number}", 5, (), PolicyAction.PROTECT)
        scripts.came(IKE, CHILD, one)
    await scripts.finish()
    assert max(int(line.text.removeprefix("updown: ")) for line in book.lines) <= 8
