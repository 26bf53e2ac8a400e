"""Post-quantum preshared keys (RFC 8784) with strongSwan 5.9.8: required or not, the same or not, either initiator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from support.tunnels import Pair, certify, hosts_reach_each_other, pair

from fastesp.lab import Lab
from fastesp.lab.configurations import configuration
from fastesp.lab.peer import RefusedError
from fastesp.lab.process import wait_until

pytestmark = [pytest.mark.root, pytest.mark.peer]

NAME = "hub@example.org"
SECRET = "0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
OTHER = "0x0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"


def using(name: str = NAME, *, required: bool = False) -> str:
    """Lines of the connection."""
    return (f"ppk_id = {name}\n" if name else "") + ("ppk_required = yes\n" if required else "")


def held(secret: str = SECRET, name: str = NAME) -> str:
    """A secrets section."""
    return f"secrets {{ ppk-hub {{ id = {name}\n secret = {secret} }} }}\n"


def ppks(
    lab: Lab,
    ours: str,
    theirs: str,
    *,
    our_keys: str = held(),
    their_keys: str = held(),
    auth: str = "psk",
) -> Pair:
    """Ours and strongSwan with these lines in their connections, and these secrets."""
    both = pair(lab)
    if auth == "pubkey":
        certify(both)
    a, b = both.sites.a, both.sites.b
    both.ours.swanctl.configure(configuration(a, b, auth=auth, connection=ours) + our_keys)
    both.theirs.swanctl.configure(configuration(b, a, auth=auth, connection=theirs) + their_keys)
    both.start()
    return both


def came_up(both: Pair, initiator: str, *, used: bool) -> None:
    both.side(initiator).initiate("net")
    hosts_reach_each_other(both)
    said = [sa.raw.get("ppk") for peer in (both.ours, both.theirs) for sa in peer.ike_sas()]
    assert said == ([b"yes", b"yes"] if used else [None, None])


INITIATORS = pytest.mark.parametrize("initiator", ["ours", "theirs"])


@INITIATORS
@pytest.mark.parametrize("auth", ["psk", "pubkey"])
@pytest.mark.parametrize("required", [False, True], ids=["optional", "required"])
def test_a_key_that_both_have_is_used(lab: Lab, required: bool, auth: str, initiator: str) -> None:
    lines = using(required=required)
    came_up(ppks(lab, lines, lines, auth=auth), initiator, used=True)


@INITIATORS
def test_a_responder_allows_several_by_a_pattern(lab: Lab, initiator: str) -> None:
    pattern, name = using("*@example.org", required=True), using(required=True)
    ours, theirs = (name, pattern) if initiator == "ours" else (pattern, name)
    came_up(ppks(lab, ours, theirs), initiator, used=True)


@INITIATORS
@pytest.mark.parametrize("lacking", ["ours", "theirs"])
def test_without_it_where_one_side_lacks_it_and_neither_requires_it(lab: Lab, lacking: str, initiator: str) -> None:
    """The responder has another key, so that it takes part in the beginning; the initiator then cannot go on."""
    other = held(OTHER, "other@example.org")
    both = ppks(lab, "", using(), our_keys=other) if lacking == "ours" else ppks(lab, using(), "", their_keys=other)
    came_up(both, initiator, used=False)


def test_it_goes_into_what_is_rekeyed_by_either_side(lab: Lab) -> None:
    lines = using(required=True)
    both = ppks(lab, lines, lines)
    came_up(both, "ours", used=True)
    first = both.ours.ike_sas()[0].raw["initiator-spi"]
    assert both.ours.command("rekey", "site").exit_code == 0
    wait_until(lambda: first not in [sa.raw["initiator-spi"] for sa in both.ours.ike_sas()], "our rekeying", 20.0)
    both.theirs.command("--rekey", "--child", "net")
    hosts_reach_each_other(both)
    both.theirs.command("--rekey", "--ike", "site")
    assert both.ours.command("rekey", "net").exit_code == 0
    hosts_reach_each_other(both)
    assert both.ours.command("show", "failures", "--json").json()["entries"] == {}


# What does not fit.


def fails(both: Pair, initiator: str) -> Mapping[str, Any]:
    """The one record of ours."""
    with pytest.raises(RefusedError):
        both.side(initiator).initiate("net", timeout=10.0)
    assert both.ours.children() == []
    (record,) = both.ours.command("show", "failures", "--json").json()["entries"].values()
    assert isinstance(record, dict)
    assert both.ours.log().count(f"[{record['code']}]") == 1
    return record


def test_secrets_that_differ_as_responder(lab: Lab) -> None:
    both = ppks(lab, using(), using(), their_keys=held(OTHER))
    record = fails(both, "theirs")
    assert record["code"] == "ppk-mismatch"
    assert record["hint"] == f"give both sides one and the same secret for {NAME}"
    lines = both.ours.swanctl.file.read_text().splitlines()
    number = next(n for n, line in enumerate(lines, 1) if SECRET in line)
    assert f"swanctl.conf:{number}: secret" in record["change"]
    assert "0102030405060708" not in both.ours.log()


def test_secrets_that_differ_as_initiator(lab: Lab) -> None:
    both = ppks(lab, using(), using(), their_keys=held(OTHER))
    record = fails(both, "ours")
    assert record["code"] == "peer-auth-failed"
    assert NAME in record["hint"]


def test_another_name_than_ours_as_responder(lab: Lab) -> None:
    both = ppks(lab, using(), using("spoke@example.org"), their_keys=held(SECRET, "spoke@example.org"))
    record = fails(both, "theirs")
    assert record["code"] == "ppk-id-mismatch"
    assert (record["offered"], record["allowed"]) == (["spoke@example.org"], [NAME])
    assert "ppk_id" in record["change"]


def test_a_strongswan_that_uses_none_is_refused_where_one_is_required(lab: Lab) -> None:
    both = ppks(lab, using(required=True), "", their_keys="")
    assert fails(both, "theirs")["code"] == "ppk-unsupported"


def test_a_strongswan_that_has_none_is_given_up_where_one_is_required(lab: Lab) -> None:
    both = ppks(lab, using(required=True), "", their_keys="")
    record = fails(both, "ours")
    assert record["code"] == "ppk-unsupported"
    assert "ppk_required" in record["change"]


def test_strongswan_requires_one_that_we_do_not_use(lab: Lab) -> None:
    both = ppks(lab, "", using(required=True), our_keys="")
    assert fails(both, "ours")["code"] == "peer-auth-failed"
