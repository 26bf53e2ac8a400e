"""The events of one tunnel's life, as our end tells them and as charon's end does: the same keys in the same order.

Each side hears of everything: the tunnel comes up, both its SAs are rekeyed, an end of it moves, and it goes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from support.monitor import Monitor
from support.tunnels import certify, configure, hosts_reach_each_other, pair

from fastesp.lab import Lab
from fastesp.lab.peer import Peer
from fastesp.lab.process import wait_until
from fastesp.lab.sites import WAN
from fastesp.lab.traffic import ping

pytestmark = [pytest.mark.root, pytest.mark.peer]

PATIENCE = 40.0
"""Seconds: charon waits for up to 15 before it asks again where the other side was busy."""
KINDS = ("ike-updown", "child-updown", "child-rekey", "ike-rekey", "ike-update")

OURS_ALONE = ("placement", "placement-why", "drops", "reason")
"""What stands behind charon's keys of a CHILD_SA, and of an IKE SA that went (docs/vici.md)."""
ONE_SIDED = ("initiator", "nat-local", "nat-remote", "tasks-active", "tasks-passive", "tasks-queued")
"""Keys that depend on which end it is, or on what it is doing at that moment."""
WHEN_USED = ("use-in", "use-out")
"""Keys that are there once a packet has come through."""

Heard = dict[str, list[Mapping[str, Any]]]


@pytest.fixture(scope="module")
def heard() -> Iterator[tuple[Heard, Heard]]:
    """What ours and charon told, by kind of event."""
    with Lab("test") as lab:
        both = pair(lab, router=True)
        configure(both, auth="pubkey", connection="encap = yes")
        certify(both)
        both.start()
        monitors = [Monitor(peer, *KINDS) for peer in (both.ours, both.theirs)]

        def all_heard(kind: str, count: int) -> None:
            wait_until(lambda: all(len(monitor.of(kind)) >= count for monitor in monitors), f"{count} {kind}", PATIENCE)

        both.ours.initiate("net")
        all_heard("child-updown", 1)
        hosts_reach_each_other(both)
        for number, peer in enumerate((both.ours, both.theirs), 1):
            for words, kind in (({"child": "net"}, "child-rekey"), ({"ike": "site"}, "ike-rekey")):
                wait_until(lambda: settled(both.ours) and settled(both.theirs), "both to be at rest", PATIENCE)
                with peer.session() as session:
                    session.rekey(words)
                all_heard(kind, number)
        wait_until(lambda: settled(both.ours) and settled(both.theirs), "both to be at rest", PATIENCE)
        gateway = both.sites.a.gateway
        gateway.ip("address", "del", f"{both.sites.a.outer}/24", "dev", WAN)
        gateway.address(WAN, "203.0.113.77/24")
        gateway.route("default", via="203.0.113.1")
        wait_until(lambda: all(map(moves, monitors)), "both to tell of the move", PATIENCE)
        a, b = both.sites.a, both.sites.b
        wait_until(lambda: ping(a.host, b.host_address).received == 3, "the hosts to reach each other again", PATIENCE)
        both.ours.terminate(ike="site")
        all_heard("ike-updown", 2)
        all_heard("child-updown", 2)
        wait_until(lambda: not both.theirs.ike_sas(), "the end at charon", PATIENCE)
        ours, theirs = ({kind: monitor.of(kind) for kind in KINDS} for monitor in monitors)
        for told, monitor in ((ours, monitors[0]), (theirs, monitors[1])):
            told["ike-update"] = moves(monitor)
        # Who rekeys tells it otherwise than who is asked to: like is held against like.
        for kind in ("child-rekey", "ike-rekey"):
            theirs[kind].reverse()
        yield ours, theirs


def settled(peer: Peer) -> bool:
    """One SA of each kind and nothing under way: who is asked in the middle of something says that it is busy."""
    sas = peer.ike_sas()
    return (
        [sa.state for sa in sas] == ["ESTABLISHED"]
        and len(sas[0].children) == 1
        and not any(key.startswith("tasks-") for key in sas[0].raw)
    )


def moves(monitor: Monitor) -> list[dict[str, Any]]:
    """Updates of an IKE SA that is up: charon tells of the change to port 4500 within IKE_AUTH as well."""
    return [update for update in monitor.of("ike-update") if update.get("site", {}).get("state") == b"ESTABLISHED"]


def keys(message: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Every key of a tree with its path, in order. A CHILD_SA's number is each daemon's own."""
    found = []
    for key, value in message.items():
        if key in ONE_SIDED or key in WHEN_USED or key in OURS_ALONE:
            continue
        name = prefix + re.sub(r"^net-\d+$", "net", key)
        found.append(name)
        if isinstance(value, Mapping):
            found += keys(value, f"{name}/")
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_has_charons_keys_in_charons_order(heard: tuple[Heard, Heard], kind: str) -> None:
    ours, theirs = (told[kind] for told in heard)
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert keys(one) == keys(other)


def test_an_update_says_where_the_tunnel_is_now(heard: tuple[Heard, Heard]) -> None:
    (ours,), (theirs,) = (told["ike-update"] for told in heard)
    assert (ours["local-host"], ours["remote-host"]) == (b"203.0.113.77", b"198.51.100.20")
    assert (theirs["local-host"], theirs["remote-host"]) == (b"198.51.100.20", b"203.0.113.77")
    # Within its section the IKE SA is told as it was before.
    for told, key in ((ours, "local-host"), (theirs, "remote-host")):
        assert told["site"][key] == b"203.0.113.10"


def test_what_stands_behind_charons_keys_is_ours_alone(heard: tuple[Heard, Heard]) -> None:
    (up, _) = heard[0]["child-updown"]
    (child,) = up["site"]["child-sas"].values()
    own = [key for key in child if key in OURS_ALONE]
    assert own
    assert list(child)[-len(own) :] == own
