"""The control socket of ours beside charon's: for the same tunnel the same keys in the same order."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping
from typing import Any

import pytest
from support.tunnels import Pair, certify, configure, hosts_reach_each_other, pair

from fastesp.lab import Lab
from fastesp.lab.peer import Peer

pytestmark = [pytest.mark.root, pytest.mark.peer]

OURS_ALONE = frozenset({"placement", "placement-why", "drops", "dataplane", "childsas", "failures"})
"""Keys that stand behind charon's."""

ONE_SIDED = frozenset(
    {
        "initiator",
        "nat-local",
        "nat-remote",
        "nat-fake",
        "use-in",
        "use-out",
        "tasks-active",
        "tasks-passive",
        "tasks-queued",
    }
)
"""Keys that depend on which end, or on when one looks."""


def keys(message: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Every key of a tree with its path, in order."""
    found = []
    for key, value in message.items():
        if key in ONE_SIDED or key in OURS_ALONE:
            continue
        key = re.sub(r"^net-\d+$", "net-N", key)  # a trap takes a number of its own with charon
        found.append(prefix + key)
        if isinstance(value, Mapping):
            found += keys(value, f"{prefix}{key}/")
    return found


def swanctl(peer: Peer, *words: str, directory: str = "") -> str:
    """Debian's swanctl against a gateway."""
    environment = {"SWANCTL_DIR": directory} if directory else None
    done = subprocess.run(
        peer.namespace.argv(["swanctl", *words, "--uri", f"unix://{peer.socket_path}"]),
        capture_output=True,
        text=True,
        timeout=60,
        env=environment and {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment},
        check=False,
    )
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture
def both(lab: Lab) -> Pair:
    made = pair(lab)
    configure(made, auth="pubkey", connection="dpd_delay = 30s", start_action="trap")
    certify(made)
    made.start()
    made.ours.initiate("net")
    hosts_reach_each_other(made)
    return made


def test_every_listing_has_charons_keys_in_charons_order(both: Pair) -> None:
    listings = {
        "list_sas": (),
        "list_conns": (),
        "list_policies": ({"trap": "yes", "pass": "yes", "drop": "yes"},),
        "list_authorities": (),
    }
    for command, words in listings.items():
        trees = []
        for peer in (both.ours, both.theirs):
            with peer.session() as session:
                trees.append([keys(entry) for entry in getattr(session, command)(*words)])
        assert trees[0] == trees[1], command


@pytest.mark.parametrize("command", ["stats", "get_counters", "version", "get_pools", "get_authorities", "get_conns"])
def test_every_answer_has_charons_keys_in_charons_order(both: Pair, command: str) -> None:
    answers = []
    for peer in (both.ours, both.theirs):
        with peer.session() as session:
            call = getattr(session, command)
            answers.append(keys(call({}) if command in ("get_counters", "get_pools") else call()))
    assert answers[0] == answers[1]


def test_certificates_come_in_charons_order_with_charons_keys(both: Pair) -> None:
    for peer in (both.ours, both.theirs):
        with peer.session() as session:
            certificates = [
                {key: value for key, value in entry.items() if key != "data"} for entry in session.list_certs()
            ]
        own = {"type": b"X509", "flag": b"NONE", "has_privkey": b"yes"}
        assert [entry for entry in certificates if "has_privkey" in entry] == [own]
        assert certificates[-1] == {"type": b"X509", "flag": b"CA"}


def test_swanctl_prints_the_same_of_both_but_for_numbers_and_sides(both: Pair) -> None:
    words = ("--list-conns", "--list-pols", "--counters")
    shapes = []
    for peer in (both.ours, both.theirs):
        text = "".join(swanctl(peer, word) for word in words)
        shapes.append([line.split(":")[0] for line in text.splitlines()])
    assert shapes[0] == shapes[1]


def test_events_carry_charons_keys(both: Pair) -> None:
    heard = []
    for peer in (both.ours, both.theirs):
        listener = subprocess.Popen(
            peer.namespace.argv(
                ["stdbuf", "-oL", "swanctl", "--monitor-sa", "--raw", "--uri", f"unix://{peer.socket_path}"]
            ),
            stdout=subprocess.PIPE,
            text=True,
        )
        heard.append(listener)
    try:
        time.sleep(1.0)  # swanctl does not say when it listens
        both.ours.terminate(ike="site")
        both.ours.initiate("net")
        texts = []
        for listener in heard:
            assert listener.stdout is not None
            texts.append([listener.stdout.readline() for _ in range(4)])
    finally:
        for listener in heard:
            listener.terminate()
            listener.wait(10)
    kinds = [[line.split(" ", 1)[0] for line in text] for text in texts]
    assert sorted(kinds[0]) == sorted(kinds[1]) == ["child-updown", "child-updown", "ike-updown", "ike-updown"]


def test_swanctl_loads_a_whole_directory_into_ours_and_unloads_what_is_gone(lab: Lab) -> None:
    both = pair(lab)
    configure(both, auth="pubkey")
    certify(both)
    text = both.ours.swanctl.file.read_text()
    both.ours.swanctl.configure("")
    both.start()
    assert both.ours.ike_sas() == []
    both.ours.swanctl.configure(
        text
        + 'secrets {\n  ike-other {\n    id = "other.example.org"\n    secret = "something for the weekend"\n  }\n}\n'
        + "pools {\n  clients {\n    addrs = 10.77.0.0/24\n    dns = 10.10.0.1\n  }\n}\n"
    )
    loaded = swanctl(both.ours, "--load-all", directory=str(both.ours.swanctl.path))
    assert "successfully loaded 1 connections, 0 unloaded" in loaded
    assert "successfully loaded 1 pools, 0 unloaded" in loaded
    both.ours.initiate("net")
    hosts_reach_each_other(both)
    both.ours.swanctl.configure("")
    loaded = swanctl(both.ours, "--load-all", directory=str(both.ours.swanctl.path))
    assert "unloaded" in loaded
    with both.ours.session() as session:
        assert session.get_conns()["conns"] == []
        assert session.get_shared()["keys"] == []
        assert session.get_pools({}) == {}
    assert both.ours.children() == ["net"], "an SA outlives its connection's configuration"
