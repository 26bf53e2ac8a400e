"""Reauthentication (RFC 7296 section 2.8.3) with strongSwan: by either side, before or after the break."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.living import configured, living_pair
from support.swanctl import swanctl
from support.tunnels import Pair, hosts_reach_each_other

from fastesp.lab.capture import Capture
from fastesp.lab.ours import OurGateway
from fastesp.lab.peer import Peer
from fastesp.lab.process import wait_until
from fastesp.lab.sites import WAN
from fastesp.lab.traffic import Pings, ping

pytestmark = [pytest.mark.root, pytest.mark.peer]

BEFORE = "make_before_break = yes"
SOON = "retransmit_timeout = 1.0"
LIMIT = 20.0
INTERVAL = 0.02
PINGS = 300
TIMES = 2


@pytest.fixture(scope="module")
def beside() -> Iterator[Pair]:
    """Both make before they break."""
    with living_pair(options=f"{BEFORE}\n  {SOON}", settings=f"{BEFORE}\n  {SOON}") as made:
        yield made


@pytest.fixture(scope="module")
def after() -> Iterator[Pair]:
    """Both break before they make, as strongSwan does unless it is told otherwise."""
    with living_pair(options=SOON, settings=SOON) as made:
        yield made


def spis(peer: Peer) -> set[bytes]:
    """The initiator's SPIs of what is up."""
    return {sa.raw["initiator-spi"] for sa in peer.ike_sas() if sa.state == "ESTABLISHED"}  # type: ignore[misc]


def is_whole(both: Pair) -> bool:
    """Whether both hold one IKE SA with one CHILD_SA, the same one."""
    ours, theirs = both.ours.ike_sas(), both.theirs.ike_sas()
    if [len(sa.children) for sa in (*ours, *theirs)] != [1, 1]:
        return False
    mine, other = ours[0].children[0], theirs[0].children[0]
    return (mine.spi_in, mine.spi_out) == (other.spi_out, other.spi_in)


def renewed(both: Pair, before: set[bytes]) -> None:
    """Another IKE SA than before, one on each side, and no more."""
    wait_until(
        lambda: spis(both.ours).isdisjoint(before) and spis(both.ours) == spis(both.theirs) and is_whole(both),
        "a new IKE SA in the place of the old one",
        LIMIT,
    )


def is_back(both: Pair, before: set[bytes]) -> bool:
    """Whether the old IKE SA is gone on both sides, and a new one is there."""
    now = spis(both.ours)
    return bool(now) and now.isdisjoint(before) and now == spis(both.theirs) and bool(both.ours.children())


@contextmanager
def pinging(both: Pair, results: list[Pings], *, ways: int = 2, count: int = PINGS) -> Iterator[None]:
    """Hosts ping each other meanwhile."""
    a, b = both.sites.a, both.sites.b
    flows = [
        threading.Thread(target=lambda s=s, t=t: results.append(ping(s, t, count=count, interval=INTERVAL)))
        for s, t in ((a.host, b.host_address), (b.host, a.host_address))[:ways]
    ]
    for flow in flows:
        flow.start()
    try:
        yield
    finally:
        for flow in flows:
            flow.join()


def drops(gateway: OurGateway) -> Counter[str]:
    """By reason, so far."""
    found = gateway.command("status", "--json").json()["drops"]
    assert isinstance(found, dict)
    return Counter(found)


def reauthenticate(peer: Peer) -> None:
    """As an operator does it, with the stock command."""
    said = swanctl(peer, "--rekey", "--ike", "site", "--reauth")
    assert said.code == 0, said.text


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_make_before_break_loses_no_packet(beside: Pair, side: str) -> None:
    with configured(beside):
        peer = beside.side(side)
        peer.initiate("net")
        beside.ours.wait_child("net")
        beside.theirs.wait_child("net")
        hosts_reach_each_other(beside)
        results: list[Pings] = []
        dropped = drops(beside.ours)
        with pinging(beside, results):
            for _ in range(TIMES):
                before = spis(beside.ours)
                reauthenticate(peer)
                renewed(beside, before)
        dropped = drops(beside.ours) - dropped
        # charon's user-space ESP drops the packet that it is about to send on an SA in the moment in which that goes.
        # As responder it sends on the new SA before its answer can have told us the keys.
        assert all(result.sent - result.received <= TIMES for result in results), results
        assert dropped["no-sa"] == 0
        assert dropped["unknown-spi"] <= 2 * TIMES, dropped


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_break_before_make_comes_back_and_only_esp_crosses_the_wire(after: Pair, side: str) -> None:
    # A trap is what keeps packets back where the peer breaks; where we do, nothing has to be configured for it.
    with configured(after, ours={"start_action": "trap" if side == "theirs" else "none"}):
        peer = after.side(side)
        peer.initiate("net")
        after.ours.wait_child("net")
        after.theirs.wait_child("net")
        hosts_reach_each_other(after)
        results: list[Pings] = []
        before = spis(after.ours)
        with Capture(after.lab, after.sites.a.gateway, WAN) as wire, pinging(after, results, ways=1):
            reauthenticate(peer)
            if side == "ours":
                renewed(after, before)
            else:
                # The trap and charon may both bring it back.
                wait_until(lambda: is_back(after, before), "a new IKE SA after the old one", LIMIT)
        wire.check(dropped_allowed=True)
        (result,) = results
        assert result.received >= PINGS * 0.8
        hosts_reach_each_other(after)


@pytest.mark.parametrize("side", ["ours", "theirs"])
@pytest.mark.parametrize("order", ["beside", "after"])
def test_it_comes_on_time_and_shows_when(request: pytest.FixtureRequest, order: str, side: str) -> None:
    both: Pair = request.getfixturevalue(order)
    times = "reauth_time = 4s\n    rand_time = 0\n    over_time = 30s\n    rekey_time = 0"
    with configured(both, **{side: {"connection": times}}):  # type: ignore[arg-type]
        peer = both.side(side)
        peer.initiate("net")
        before = spis(both.ours)
        (sa,) = peer.ike_sas()
        assert 0 <= int(sa.raw["reauth-time"]) <= 4  # type: ignore[call-overload]
        renewed(both, before)
        hosts_reach_each_other(both)


def test_strongswan_obeys_the_lifetime_that_we_allow(beside: Pair) -> None:
    times = "rekey_time = 1h\n    rand_time = 0\n    over_time = "
    ours, theirs = f"{times}5s\n    reauth_time = 60s", f"{times}55s"
    with configured(beside, ours={"connection": ours}, theirs={"connection": theirs}):
        beside.theirs.initiate("net")
        before = spis(beside.ours)
        (sa,) = beside.ours.ike_sas()
        assert 50 <= int(sa.raw["reauth-time"]) <= 60  # type: ignore[call-overload]
        # A minute less charon's over_time.
        renewed(beside, before)
        assert "scheduling reauthentication in 4s" in beside.theirs.log() or "in 5s" in beside.theirs.log()


def test_a_strongswan_that_answered_may_be_the_one_that_begins(beside: Pair) -> None:
    # It tells its lifetime only to clients of EAP or virtual addresses; from others it does not wait for anything.
    times = "rekey_time = 0\n    rand_time = 0\n    over_time = 30s\n    reauth_time = 4s"
    with configured(beside, theirs={"connection": times}):
        beside.ours.initiate("net")
        before = spis(beside.ours)
        renewed(beside, before)
        hosts_reach_each_other(beside)


def test_the_rekey_verb_sets_a_connection_up_anew(beside: Pair) -> None:
    with configured(beside):
        beside.ours.initiate("net")
        before = spis(beside.ours)
        refused = beside.ours.command("rekey", "net", "--reauth")
        assert refused.exit_code == 2
        done = beside.ours.command("rekey", "site", "--reauth")
        assert (done.exit_code, done.errors) == (0, "")
        renewed(beside, before)
