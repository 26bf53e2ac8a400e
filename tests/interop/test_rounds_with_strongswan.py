"""Several rounds of authentication (RFC 4739) with strongSwan 5.9.8, which has them by the same sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from support.tunnels import Pair, certify, hosts_reach_each_other, pair

from fastesp.lab import Lab, Site
from fastesp.lab.configurations import configuration
from fastesp.lab.peer import RefusedError
from fastesp.lab.process import wait_until

pytestmark = [pytest.mark.root, pytest.mark.peer]

SECRET = "a secret for the second round"


def second(me: Site, peer: Site, auth: str, *, ours: bool = True, theirs: bool = True) -> str:
    """Sections of a second round with ``auth``, of this side and of the peer."""
    certs = "certs = second.pem" if auth == "pubkey" else ""
    sections = []
    if ours:
        sections.append(f'local-2 {{ round = 2\n auth = {auth}\n id = "{named(me.name, auth)}"\n {certs} }}')
    if theirs:
        sections.append(f'remote-2 {{ round = 2\n auth = {auth}\n id = "{named(peer.name, auth)}" }}')
    return "\n".join(sections)


def named(site: str, auth: str) -> str:
    return f"CN=user-{site}" if auth == "pubkey" else f"user-{site}.example.org"


def secrets(secret: str = SECRET) -> str:
    """The shared key of the second round: found by the identity of either side in that round."""
    ids = "\n".join(f'id-{site} = "{named(site, "psk")}"' for site in ("a", "b"))
    return f'secrets {{ ike-second {{ {ids}\n secret = "{secret}" }} }}\n'


def rounds(lab: Lab, first: str, then: str, *, only: str = "") -> Pair:
    """Ours and strongSwan with two rounds each; ``only``: with a second one of that side alone."""
    both = pair(lab)
    authority = certify(both)
    for peer, me, other, name in (
        (both.ours, both.sites.a, both.sites.b, "ours"),
        (both.theirs, both.sites.b, both.sites.a, "theirs"),
    ):
        peer.swanctl.own(authority.issue(f"CN=user-{me.name}"), "second.pem")
        peer.swanctl.own(authority.issue(f"CN=other-{me.name}"), "other.pem")
        sections = second(me, other, then, ours=only in ("", name), theirs=only != name)
        peer.swanctl.configure(configuration(me, other, auth=first, connection=sections) + secrets())
    return both


ORDERS = [("psk", "pubkey"), ("pubkey", "psk"), ("pubkey", "pubkey"), ("psk", "psk")]


@pytest.mark.parametrize(
    ("initiator", "first", "then"),
    # strongSwan cannot begin with a shared key where the responder has more than one round: it counts them too early.
    [("ours", *order) for order in ORDERS] + [("theirs", *order) for order in ORDERS if order[0] == "pubkey"],
)
def test_both_sides_do_two_rounds(lab: Lab, initiator: str, first: str, then: str) -> None:
    both = rounds(lab, first, then)
    both.start()
    both.side(initiator).initiate("net")
    hosts_reach_each_other(both)
    (ours,), (theirs,) = both.ours.ike_sas(), both.theirs.ike_sas()
    assert (ours.raw["local-id"], ours.raw["remote-id"]) == (theirs.raw["remote-id"], theirs.raw["local-id"])
    assert ours.raw["local-id"] == named("a", then).encode()


@pytest.mark.parametrize(
    ("initiator", "only", "first", "then"),
    [
        ("ours", "ours", "pubkey", "psk"),
        ("ours", "theirs", "pubkey", "psk"),
        ("theirs", "ours", "pubkey", "psk"),
        ("theirs", "theirs", "psk", "pubkey"),
    ],
)
def test_one_side_alone_does_a_second_round(lab: Lab, initiator: str, only: str, first: str, then: str) -> None:
    both = rounds(lab, first, then, only=only)
    both.start()
    both.side(initiator).initiate("net")
    hosts_reach_each_other(both)


def test_what_came_up_in_rounds_is_rekeyed_by_either_side(lab: Lab) -> None:
    both = rounds(lab, "psk", "pubkey")
    both.start()
    both.ours.initiate("net")
    first = both.ours.ike_sas()[0].raw["initiator-spi"]
    assert both.ours.command("rekey", "site").exit_code == 0
    wait_until(lambda: first not in [sa.raw["initiator-spi"] for sa in both.ours.ike_sas()], "our rekeying", 20.0)
    both.theirs.command("--rekey", "--ike", "site")
    hosts_reach_each_other(both)


# What does not fit.


def last_failure(both: Pair) -> Mapping[str, Any]:
    """The newest record, which the log has once."""
    entries = both.ours.command("show", "failures", "--json").json()["entries"]
    assert isinstance(entries, dict)
    record = list(entries.values())[-1]
    assert both.ours.log().count(f"[{record['code']}]") == 1
    return record


def fails(both: Pair, initiator: str) -> Mapping[str, Any]:
    both.start()
    with pytest.raises(RefusedError):
        both.side(initiator).initiate("net", timeout=10.0)
    assert both.ours.children() == []
    return last_failure(both)


def test_a_wrong_secret_in_strongswans_second_round(lab: Lab) -> None:
    both = rounds(lab, "pubkey", "psk")
    b, a = both.sites.b, both.sites.a
    text = configuration(b, a, auth="pubkey", connection=second(b, a, "psk")) + secrets("another secret")
    both.theirs.swanctl.configure(text)
    record = fails(both, "theirs")
    assert record["code"] == "auth-psk-mismatch"
    assert record["summary"].startswith("round 2 of 2: ")
    assert record["remote_id"] == "user-b.example.org"


def test_a_wrong_secret_in_our_second_round(lab: Lab) -> None:
    both = rounds(lab, "pubkey", "psk")
    a, b = both.sites.a, both.sites.b
    text = configuration(a, b, auth="pubkey", connection=second(a, b, "psk")) + secrets("another secret")
    both.ours.swanctl.configure(text)
    record = fails(both, "ours")
    assert record["code"] == "peer-auth-failed"
    assert record["summary"] == "round 2 of 2: the peer does not accept us as user-a.example.org"


def with_another_certificate(lab: Lab) -> Pair:
    """strongSwan shows in its second round somebody else's, of the same authority."""
    both = rounds(lab, "pubkey", "pubkey")
    b, a = both.sites.b, both.sites.a
    text = second(b, a, "pubkey").replace("CN=user-b", "CN=other-b").replace("second.pem", "other.pem")
    both.theirs.swanctl.configure(configuration(b, a, auth="pubkey", connection=text))
    return both


def test_a_wrong_certificate_in_strongswans_second_round_as_responder(lab: Lab) -> None:
    record = fails(with_another_certificate(lab), "theirs")
    assert record["code"] == "no-connection-for-identity"
    assert record["summary"].startswith("round 2 of 2: ")
    assert "remote-2.id" in record["change"]


def test_a_wrong_certificate_in_strongswans_second_round_as_initiator(lab: Lab) -> None:
    """Asked for another one, strongSwan gives up by itself."""
    record = fails(with_another_certificate(lab), "ours")
    assert record["code"] == "peer-auth-failed"
    assert record["summary"] == "round 2 of 2: the peer does not accept us as CN=user-a"


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
def test_a_second_round_that_strongswan_does_not_do(lab: Lab, initiator: str) -> None:
    both = rounds(lab, "pubkey", "psk")
    b, a = both.sites.b, both.sites.a
    sections = second(b, a, "psk", ours=False)
    both.theirs.swanctl.configure(configuration(b, a, auth="pubkey", connection=sections) + secrets())
    record = fails(both, initiator)
    assert record["code"] == "auth-rounds"
