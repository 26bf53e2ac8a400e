"""IKE messages too large for a datagram, both ways: long chains of certificates in fragments (RFC 7383)."""

from __future__ import annotations

import re

import pytest
from support.tunnels import Pair, configure, hosts_reach_each_other, pair

from fastesp.lab import Lab
from fastesp.lab.capture import Capture
from fastesp.lab.pki import Authority
from fastesp.lab.sites import WAN

pytestmark = [pytest.mark.root, pytest.mark.peer]

LINKS = 6
NAMES = [f"{'x' * 40}-{number}.example.org" for number in range(20)]
"""What makes a certificate long: charon puts at most 10,000 bytes together."""

MESSAGE = r"{what} IKE_AUTH {kind} 1 \[ EF\((\d+)/(\d+)\) \]"


def chain(root: Authority) -> Authority:
    """The last of several authorities, each under the one before."""
    made = root
    for number in range(LINKS):
        made = Authority(f"lab CA of rank {number}", kind="ecdsa-384", under=made)
    return made


def certified(both: Pair) -> None:
    """A certificate for each at the end of a chain of its own, whose root alone the other trusts."""
    roots = {"a": Authority("lab CA a"), "b": Authority("lab CA b")}
    for peer, name, other in ((both.ours, "a", "b"), (both.theirs, "b", "a")):
        peer.swanctl.own(chain(roots[name]).issue(f"CN=site-{name}", kind="rsa-3072", names=NAMES))
        peer.swanctl.trust(roots[name], "mine.pem")
        peer.swanctl.trust(roots[other], "theirs.pem")


def fragments(both: Pair, what: str, kind: str) -> int:
    """Into how many pieces an IKE_AUTH message was cut; charon ``generated`` or ``parsed`` it."""
    totals = {int(total) for _, total in re.findall(MESSAGE.format(what=what, kind=kind), both.theirs.log())}
    assert len(totals) == 1, totals
    return totals.pop()


@pytest.mark.parametrize(
    ("size", "least"), [("", 4), ("576", 8)], ids=["the-default-size", "the-smallest-datagram-of-ipv4"]
)
@pytest.mark.parametrize("initiator", ["ours", "theirs"])
def test_long_chains_travel_in_fragments_both_ways(lab: Lab, initiator: str, size: str, least: int) -> None:
    lines = f"fragment_size = {size}" if size else ""
    both = pair(lab, options=lines)
    both.ours.settings = lines
    configure(both, auth="pubkey", connection="send_cert = always")
    certified(both)
    both.start()
    with Capture(lab, both.sites.a.gateway, WAN) as wire:
        both.side(initiator).initiate("net")
        hosts_reach_each_other(both)
    wire.check(dropped_allowed=True)
    mine, others = ("request", "response") if initiator == "theirs" else ("response", "request")
    assert fragments(both, "generating", mine) >= least
    assert fragments(both, "parsed", others) >= least


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_where_one_side_speaks_no_fragments_long_chains_travel_whole(lab: Lab, side: str) -> None:
    both = pair(lab)
    configure(both, auth="pubkey", connection="send_cert = always")
    certified(both)
    text = both.side(side).swanctl.file.read_text().replace("send_cert", "fragmentation = no\n    send_cert")
    both.side(side).swanctl.configure(text)
    both.start()
    both.ours.initiate("net")
    hosts_reach_each_other(both)
    assert "EF(" not in both.theirs.log()
