"""How a tunnel with strongSwan ends and what follows: dead peers, closed children, idle ones, peers that come twice.

One pair of gateways lives through all of it. A peer dies by silence: its host passes no IKE any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.living import configured, living_pair, load, loaded
from support.swanctl import swanctl
from support.tunnels import Pair, configure, hosts_reach_each_other

from fastesp.lab.peer import Peer
from fastesp.lab.process import wait_until
from fastesp.lab.sites import WAN, Site
from fastesp.lab.traffic import ping

pytestmark = [pytest.mark.root, pytest.mark.peer]

QUICK = "retransmit_tries = 2\n  retransmit_timeout = 0.5\n  retransmit_base = 1"
SILENCE = """
table inet silence {
  chain in { type filter hook input priority 0
    udp dport { 500, 4500 } drop
  }
  chain out { type filter hook output priority 0
    udp sport { 500, 4500 } drop
  }
}
"""
LIMIT = 20.0


@pytest.fixture(scope="module")
def both() -> Iterator[Pair]:
    """With a router in between that knows nothing of what is behind the gateways: in the clear nothing arrives."""
    with living_pair(options=QUICK, settings=QUICK, router=True) as made:
        for site in (made.sites.a, made.sites.b):
            site.gateway.address(WAN, f"{second(site)}/24")
        yield made


def second(site: Site) -> str:
    """Another outer address of a gateway."""
    return site.outer.rpartition(".")[0] + ".66"


@contextmanager
def silent(peer: Peer) -> Iterator[None]:
    """Nothing of IKE or ESP reaches the peer or leaves it, for the time of the block."""
    peer.namespace.run("nft", "-f", "-", stdin=SILENCE)
    try:
        yield
    finally:
        peer.namespace.run("nft", "delete", "table", "inet", "silence")


def other(both: Pair, side: str) -> Peer:
    return both.side("theirs" if side == "ours" else "ours")


def up(both: Pair, side: str = "ours") -> None:
    both.side(side).initiate("net")
    both.ours.wait_child("net")
    both.theirs.wait_child("net")
    hosts_reach_each_other(both)


def ids(peer: Peer) -> set[str]:
    """Of all installed CHILD_SAs: one that came up anew has another."""
    return {child.unique_id for sa in peer.ike_sas() for child in sa.children}


@pytest.mark.parametrize("action", ["clear", "trap", "restart"])
def test_a_strongswan_that_fell_silent_is_noticed_and_dpd_action_follows(both: Pair, action: str) -> None:
    ours = {"connection": "dpd_delay = 1s\n    keyingtries = 0", "child": f"dpd_action = {action}"}
    with configured(both, ours=ours):
        up(both)
        before = ids(both.ours)
        with silent(both.theirs):
            wait_until(lambda: not before & ids(both.ours), "the dead peer to be noticed", LIMIT)
        if action == "restart":
            both.ours.wait_child("net", LIMIT)
        result = ping(both.sites.a.host, both.sites.b.host_address, count=2)
        assert result.received == (0 if action == "clear" else 2)
        assert bool(ids(both.ours)) == (action != "clear")


@pytest.mark.parametrize("action", ["clear", "restart"])
def test_where_we_fell_silent_strongswan_comes_again_or_does_not(both: Pair, action: str) -> None:
    theirs = {"connection": "dpd_delay = 1s\n    keyingtries = 0", "child": f"dpd_action = {action}"}
    with configured(both, theirs=theirs):
        up(both, "theirs")
        before = ids(both.theirs)
        with silent(both.ours):
            wait_until(lambda: not before & ids(both.theirs), "charon to notice", LIMIT)
        if action == "restart":
            both.theirs.wait_child("net", LIMIT)
            hosts_reach_each_other(both)
            # INITIAL_CONTACT: what we still held of the one that fell silent is gone.
            assert len(both.ours.ike_sas()) == 1
        else:
            assert both.theirs.ike_sas() == []


@pytest.mark.parametrize("what", ["child", "ike"])
@pytest.mark.parametrize("action", ["none", "trap", "start"])
def test_what_strongswan_closes_is_left_trapped_or_brought_up_again(both: Pair, action: str, what: str) -> None:
    with configured(both, ours={"child": f"close_action = {action}"}):
        up(both)
        before = ids(both.ours)
        both.theirs.terminate(**{what: "net" if what == "child" else "site"})
        if action == "start":
            wait_until(lambda: bool(ids(both.ours) - before), "another child", LIMIT)
        else:
            both.ours.wait_no_child()
        result = ping(both.sites.a.host, both.sites.b.host_address, count=2)
        assert result.received == (0 if action == "none" else 2)


def test_what_we_close_strongswan_brings_up_again_where_it_shall(both: Pair) -> None:
    with configured(both, theirs={"child": "close_action = start"}):
        up(both)
        before = ids(both.theirs)
        both.ours.terminate(child="net")
        wait_until(lambda: bool(ids(both.theirs) - before), "another child", LIMIT)
        hosts_reach_each_other(both)


@pytest.mark.parametrize("tries", ["2", "0"], ids=["keyingtries-2", "keyingtries-forever"])
def test_an_initiation_is_tried_as_often_as_keyingtries_says(both: Pair, tries: str) -> None:
    configure(both, ours={"connection": f"keyingtries = {tries}", "start_action": "start"})
    said = both.ours.log().count("[peer-unreachable]")

    def failures() -> int:
        return both.ours.log().count("[peer-unreachable]") - said

    with silent(both.theirs), loaded(both):
        wait_until(lambda: failures() >= 2, "two failures", LIMIT)
        if tries == "2":
            both.ours.wait_nothing()
            assert failures() == 2
        else:
            both.theirs.namespace.run("nft", "flush", "table", "inet", "silence")
            both.ours.wait_child("net", LIMIT)
            hosts_reach_each_other(both)


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_a_child_that_nobody_uses_is_closed(both: Pair, side: str) -> None:
    with configured(both, **{side: {"child": "inactivity = 2s"}}):
        both.ours.initiate("net")
        hosts_reach_each_other(both)
        both.ours.wait_no_child(LIMIT)
        both.theirs.wait_no_child(LIMIT)


AGAIN = """connections {{
  again {{
    version = 2
    local_addrs = {local}
    remote_addrs = {remote}
    proposals = aes256gcm16-prfsha384-x25519
    unique = never
    local {{
      auth = psk
      id = {me}.example.org
    }}
    remote {{
      auth = psk
      id = {peer}.example.org
    }}
    children {{
      second {{
        local_ts = {inner}/32
        remote_ts = {net}
        esp_proposals = aes256gcm16
      }}
    }}
  }}
}}
"""
"""A second way to the same peer, between the same two identities, from another address: no reauthentication."""

LEFT = {"never": {"site", "again"}, "no": {"site", "again"}, "keep": {"site"}, "replace": {"again"}}


@pytest.mark.parametrize("unique", LEFT)
@pytest.mark.parametrize("comes", ["ours", "theirs"])
def test_a_peer_that_comes_twice_is_what_unique_says(both: Pair, comes: str, unique: str) -> None:
    """Who comes says nothing about what it had before (``unique = never``); the other side has the say."""
    me, asked = both.side(comes), other(both, comes)
    here, there = (both.sites.a, both.sites.b) if comes == "ours" else (both.sites.b, both.sites.a)
    says = f"unique = {unique}\n    remote_addrs = {here.outer}, {second(here)}"
    configure(both, **{comes: {"connection": "unique = never"}}, connection=says)
    more = AGAIN.format(
        local=second(here),
        remote=there.outer,
        me=f"site-{here.name}",
        peer=f"site-{there.name}",
        inner=here.gateway_address,
        net=there.net,
    )
    me.swanctl.configure(me.swanctl.file.read_text() + more)
    with loaded(both):
        me.initiate("net")
        said = swanctl(me, "--initiate", "--child", "second", "--timeout", "10")
        assert (said.code == 0) == (unique != "keep"), said.text
        wait_until(lambda: {sa.name for sa in me.ike_sas()} == LEFT[unique], f"{LEFT[unique]} at {comes}", LIMIT)
        wait_until(lambda: len(asked.ike_sas()) == len(LEFT[unique]), "as many at the other side", LIMIT)


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_an_ike_sa_comes_up_without_a_child_and_gets_one_later(both: Pair, side: str) -> None:
    with configured(both, connection="childless = force"):
        said = swanctl(both.side(side), "--initiate", "--ike", "site", "--timeout", "10")
        assert said.code == 0, said.text
        assert [len(peer.ike_sas()) for peer in (both.ours, both.theirs)] == [1, 1]
        assert both.ours.children() == both.theirs.children() == []
        both.side(side).initiate("net")
        hosts_reach_each_other(both)
        assert [len(peer.ike_sas()) for peer in (both.ours, both.theirs)] == [1, 1]


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_who_wants_no_childless_ike_sa_gets_none(both: Pair, side: str) -> None:
    never = {"ours": "theirs", "theirs": "ours"}[side]
    with configured(both, **{never: {"connection": "childless = never"}}, connection="childless = force"):
        said = swanctl(both.side(side), "--initiate", "--ike", "site", "--timeout", "10")
        assert said.code != 0, said.text
        both.side(side).wait_nothing()
        assert [sa for sa in other(both, side).ike_sas() if sa.state == "ESTABLISHED"] == []


def test_a_strongswan_that_starts_over_replaces_what_was_left_of_it(both: Pair) -> None:
    """INITIAL_CONTACT (RFC 7296 section 2.4), after an end that told nobody."""
    with configured(both):
        up(both, "theirs")
        (sa,) = both.theirs.ike_sas()
        with silent(both.theirs):
            swanctl(both.theirs, "--terminate", "--ike-id", sa.unique_id, "--force", "--timeout", "1")
            both.theirs.wait_nothing()
        load(both.theirs)
        up(both, "theirs")
        assert len(both.ours.ike_sas()) == 1
