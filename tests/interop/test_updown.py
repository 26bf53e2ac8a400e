"""``updown`` scripts: charon's environment, variable by variable, and a gateway that no script can hold up."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tunnels import Pair, configure, hosts_reach_each_other, pair

from fastesp.lab import Lab
from fastesp.lab.peer import Peer
from fastesp.lab.process import wait_until
from fastesp.lab.sites import LAN

pytestmark = [pytest.mark.root, pytest.mark.peer]

OWN = {"PLUTO_REQID", "PLUTO_UNIQUEID"}
"""Numbers of each daemon's own."""


def script(peer: Peer, text: str) -> Path:
    """An executable of that text in the peer's directory."""
    file = peer.directory / "updown.sh"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


def recording(peer: Peer) -> str:
    """A script that writes down each of its runs: an empty line, then its environment."""
    runs = peer.directory / "runs"
    return f"updown = {script(peer, f'(echo; env | sort) >> {runs}')}"


def runs(peer: Peer) -> list[dict[str, str]]:
    """The environment of each run so far, PLUTO_ variables only."""
    file = peer.directory / "runs"
    text = file.read_text() if file.exists() else ""
    blocks = [[line.partition("=") for line in block.splitlines()] for block in text.split("\n\n")]
    return [{key: value for key, _, value in block if key.startswith("PLUTO_")} for block in blocks if block]


def waited(peer: Peer, count: int) -> list[dict[str, str]]:
    wait_until(lambda: len(runs(peer)) >= count, f"{count} runs of {peer.kind}'s script", 10.0)
    return runs(peer)


def mirrored(run: dict[str, str], both: Pair) -> dict[str, str]:
    """charon's run as ours should be."""
    a, b = both.sites.a, both.sites.b
    swaps = {a.outer: b.outer, "site-a": "site-b", "10.10.0.": "10.20.0."}
    swaps |= {new: old for old, new in swaps.items()}
    for place, word in enumerate(swaps):
        run = {key: value.replace(word, f"\0{place}\0") for key, value in run.items()}
    for place, word in enumerate(swaps):
        run = {key: value.replace(f"\0{place}\0", swaps[word]) for key, value in run.items()}
    return run


def test_the_environment_is_charons_at_up_and_at_down(lab: Lab) -> None:
    both = pair(lab)
    for site in (both.sites.a, both.sites.b):
        # kernel-libipsec needs an address of its own within each local selector.
        site.gateway.address(LAN, f"{site.net.removesuffix('0/24')}129/32")
    sides = {
        name: {
            "child": f"{recording(both.side(name))}\n        hostaccess = yes",
            "local_ts": f"{me}.0.0/25, {me}.0.128/26[tcp/22]",
            "remote_ts": f"{other}.0.0/25, {other}.0.128/26[tcp/22]",
        }
        for name, me, other in (("ours", "10.10", "10.20"), ("theirs", "10.20", "10.10"))
    }
    configure(both, ours=sides["ours"], theirs=sides["theirs"], connection="encap = yes")
    both.start()
    both.ours.initiate("net")
    ours_up, theirs_up = waited(both.ours, 4), waited(both.theirs, 4)
    both.ours.terminate(ike="site")
    ours, theirs = waited(both.ours, 8), waited(both.theirs, 8)
    assert {run["PLUTO_VERB"] for run in ours_up} == {"up-client"}
    assert {run["PLUTO_VERB"] for run in ours[len(ours_up) :]} == {"down-client"}
    assert len(theirs_up) == 4
    for one, other in zip(by_pair(ours), by_pair([mirrored(run, both) for run in theirs]), strict=True):
        assert {key: value for key, value in one.items() if key not in OWN} == {
            key: value for key, value in other.items() if key not in OWN
        }


def by_pair(found: list[dict[str, str]]) -> list[dict[str, str]]:
    return sorted(found, key=lambda run: (run["PLUTO_VERB"], run["PLUTO_MY_CLIENT"], run["PLUTO_PEER_CLIENT"]))


def test_a_rekey_runs_no_script_and_stopping_runs_the_last_one(lab: Lab) -> None:
    both = pair(lab)
    configure(both, ours={"child": recording(both.ours)})
    both.start()
    both.ours.initiate("net")
    waited(both.ours, 1)
    before = both.ours.child_sa("net").spi_in
    assert both.ours.command("rekey", "net").exit_code == 0
    wait_until(lambda: len(both.ours.children()) == 1 and both.ours.child_sa("net").spi_in != before, "the rekey", 10.0)
    hosts_reach_each_other(both)
    assert [run["PLUTO_VERB"] for run in runs(both.ours)] == ["up-client"]
    both.ours.stop()
    assert [run["PLUTO_VERB"] for run in runs(both.ours)] == ["up-client", "down-client"]


def test_what_a_script_says_and_how_it_fails_is_logged(lab: Lab) -> None:
    both = pair(lab)
    file = script(both.ours, 'echo "route for $PLUTO_PEER_CLIENT"; echo trouble >&2; sleep 60 & exit 3')
    configure(both, ours={"child": f"updown = {file}"})
    both.start()
    both.ours.initiate("net")
    wait_until(lambda: "exit code 3" in both.ours.log(), "the failure in the log", 10.0)
    log = both.ours.log()
    assert "updown: route for 10.20.0.0/24" in log
    assert "updown: trouble" in log
    (failure,) = [line for line in log.splitlines() if "exit code 3" in line]
    assert "up-client of site/net" in failure
    assert "swanctl.conf:" in failure


def test_a_script_that_never_ends_holds_nothing_up(lab: Lab) -> None:
    both = pair(lab)
    configure(both, ours={"child": f"updown = {script(both.ours, 'sleep 300')}"})
    both.start()
    both.ours.initiate("net", timeout=5.0)
    hosts_reach_each_other(both)
    both.ours.terminate(ike="site")
    both.ours.initiate("net", timeout=5.0)
    hosts_reach_each_other(both)
