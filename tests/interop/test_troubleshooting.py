"""The cases of docs/troubleshooting.md that need more than a wrong line: wires that swallow, two tunnels at once.

Each is provoked with charon at the other end; the record of ours names cause and next step.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.firewall import drop
from support.tunnels import Pair, certify, configure, hosts_reach_each_other, pair

from fastesp.codes import CODES
from fastesp.lab import Lab
from fastesp.lab.configurations import configuration
from fastesp.lab.ours import OurGateway, Outcome, fastesp
from fastesp.lab.peer import RefusedError
from fastesp.lab.process import wait_until
from fastesp.lab.traffic import ping

pytestmark = [pytest.mark.root, pytest.mark.peer]

QUICK = "retransmit_timeout = 0.3\n retransmit_base = 1.0\n retransmit_tries = 2\n half_open_timeout = 2"


@pytest.fixture
def both(lab: Lab) -> Pair:
    """A router in between, and gateways that give up soon."""
    one = pair(lab, router=True, options="retransmit_tries = 2\n  retransmit_timeout = 0.5\n  retransmit_base = 1")
    one.ours.settings = QUICK
    return one


def record(outcome: Outcome) -> dict[str, str]:
    """The failure that ``up --json`` printed."""
    found = outcome.json()["failure"]
    assert isinstance(found, dict)
    return found


def explained(both: Pair, code: str) -> str:
    """What ``fastesp explain`` says of a code."""
    return fastesp(both.sites.a.gateway, "explain", code).output


def test_a_silent_peer_is_said_with_what_to_capture(both: Pair) -> None:
    configure(both)
    both.start()
    drop(both.sites.internet, "udp dport { 500, 4500 }")
    failed = both.ours.command("up", "net", "--json")
    assert failed.exit_code == 7
    assert record(failed)["code"] == "peer-unreachable"
    assert "capture UDP 500 here and there" in record(failed)["hint"]
    assert "swanctl.conf:5: remote_addrs" in record(failed)["change"]
    assert "tcpdump" in explained(both, "peer-unreachable")


def test_a_wire_that_drops_fragments_is_said_with_fragmentation_as_the_way_out(both: Pair) -> None:
    configure(both, auth="pubkey", connection="fragmentation = no\n    send_cert = always")
    certify_at_length(both)
    both.start()
    drop(both.sites.internet, "ip frag-off & 0x3fff != 0")
    failed = both.ours.command("up", "net", "--json")
    assert failed.exit_code == 7
    assert "no answer from 198.51.100.20[4500] to IKE_AUTH" in record(failed)["summary"]
    assert "fragmentation = yes" in record(failed)["hint"]
    configure(both, auth="pubkey", connection="send_cert = always")
    both.theirs.load()
    assert both.ours.command("load").exit_code == 0
    both.ours.initiate("net")
    hosts_reach_each_other(both)


def test_as_responder_too_a_wire_that_drops_fragments_is_said(both: Pair) -> None:
    configure(both, auth="pubkey", connection="fragmentation = no\n    send_cert = always")
    certify_at_length(both)
    both.start()
    drop(both.sites.internet, "ip frag-off & 0x3fff != 0")
    with pytest.raises(RefusedError):
        both.theirs.initiate("net", timeout=10.0)
    wait_until(lambda: "[half-open-timeout]" in both.ours.log(), "the record", 10.0)
    assert "fragmentation = yes" in explained(both, "half-open-timeout")


def certify_at_length(both: Pair) -> None:
    """Certificates with so many names that no datagram holds them."""
    authority = certify(both)
    for peer, name in ((both.ours, "a"), (both.theirs, "b")):
        many = [f"host-{number}.of.site-{name}.example.org" for number in range(60)]
        peer.swanctl.own(authority.issue(f"CN=site-{name}", names=many))


def test_two_tunnels_for_the_same_packets_are_found_by_check_and_said_at_load(both: Pair) -> None:
    configure(both)
    text = both.ours.swanctl.file.read_text()
    second = text.partition("secrets {")[0].replace("  site {", "  again {", 1)
    both.ours.swanctl.configure(text + second)
    checked = fastesp(both.sites.a.gateway, "check", str(both.ours.swanctl.file))
    said = "child 'net' has the selectors of 'site.net': only one of them gets the traffic"
    assert said in checked.output + checked.errors
    assert "change local_ts or remote_ts" in checked.output + checked.errors
    both.start()
    assert said in both.ours.log()


def test_tunnels_of_two_peers_that_collide_are_said_once_both_are_up(both: Pair) -> None:
    """No line of ours shows it: one connection lets both peers in, and charon is both of them."""
    configure(both)
    ours, theirs = (side.swanctl.file.read_text() for side in (both.ours, both.theirs))
    anyone = ours.replace('id = "site-b.example.org"', 'id = "*.example.org"', 1)
    both.ours.swanctl.configure(anyone.replace("    secret = ", '    id-2 = "twin.example.org"\n    secret = '))
    twin = theirs.partition("secrets {")[0].replace("  site {", "  twin {", 1).replace(" net {", " twin-net {", 1)
    both.theirs.swanctl.configure(theirs + twin.replace("site-b.example.org", "twin.example.org"))
    both.start()
    both.theirs.initiate("net")
    assert "[child-collision]" not in both.ours.log()
    both.theirs.initiate("twin-net")
    wait_until(lambda: "[child-collision]" in both.ours.log(), "the record", 10.0)
    (failure,) = both.ours.command("show", "failures", "--json").json()["entries"].values()  # type: ignore[attr-defined]
    assert failure["code"] == "child-collision"
    for part in ("with twin.example.org", "with site-b.example.org", "only one of them gets them"):
        assert part in failure["summary"]
    assert failure["fields"]["packets"] == "10.10.0.0/24 === 10.20.0.0/24"
    assert "children.net.remote_ts" in failure["change"]
    assert "networks of its own" in failure["hint"]
    assert "translate addresses" in explained(both, "child-collision")


def test_a_wire_that_passes_udp_alone_is_said_with_encap_as_the_way_out(both: Pair) -> None:
    """kernel-libipsec has ESP in UDP only, so the other end is ours here; in the virtual machine it is charon."""
    a, b = both.sites.a, both.sites.b
    other = OurGateway(both.lab, b.gateway)
    drop(both.sites.internet, "ip protocol esp")
    for encap in ("no", "yes"):
        both.ours.swanctl.configure(configuration(a, b, connection=f"encap = {encap}"))
        other.swanctl.configure(configuration(b, a, connection=f"encap = {encap}"))
        if encap == "no":
            other.start()
            both.ours.start()
        for gateway in (other, both.ours):
            assert gateway.command("load").exit_code == 0
        both.ours.initiate("net")
        received = ping(a.host, b.host_address).received
        assert received == (3 if encap == "yes" else 0)
        sa = both.ours.child_sa("net")
        assert (sa.packets_out, sa.packets_in) == (3, received)
        if encap == "no":
            wait_until(lambda: "[esp-unheard]" in both.ours.log(), "the record", 20.0)
        both.ours.terminate(ike="site")
    assert both.ours.log().count("[esp-unheard]") == 1
    assert "[esp-unheard]" not in other.log(), "whoever sends nothing misses nothing"
    assert "encap = yes" in explained(both, "esp-unheard")


def test_the_page_names_codes_that_there_are() -> None:
    page = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text()
    codes = re.findall(r"^\| [^|]+ \| `([a-z-]+)` \|", page, re.MULTILINE)
    assert len(codes) >= 12
    assert set(codes) <= CODES.keys()
