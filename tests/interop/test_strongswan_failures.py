"""What goes wrong between ours and strongSwan ends in one record: what was offered, what is allowed, what to change.

The mistake is the peer's or ours; either way the record is ours, and the command ends with its documented code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from support.tunnels import Pair, certify, configure, hosts_reach_each_other, pair

from fastesp.lab import Lab
from fastesp.lab.ours import fastesp
from fastesp.lab.peer import RefusedError
from fastesp.lab.pki import Authority

pytestmark = [pytest.mark.root, pytest.mark.peer]

PEER_REFUSED, TIMED_OUT = 6, 7


def up_fails(both: Pair, exit_code: int, *words: str) -> Mapping[str, Any]:
    """``fastesp up net`` fails with ``exit_code``; the record that it printed."""
    outcome = both.ours.command("up", "net", "--json", *words)
    assert outcome.exit_code == exit_code, outcome.output + outcome.errors
    record = outcome.json()["failure"]
    assert isinstance(record, dict)
    assert said_once(both, record["code"])
    assert both.ours.children() == []
    return record


def theirs_fails(both: Pair) -> Mapping[str, Any]:
    """strongSwan initiates and does not get its tunnel; the record of ours, the responder."""
    with pytest.raises(RefusedError):
        both.theirs.initiate("net", timeout=10.0)
    record = last_failure(both)
    assert record["role"] == "responder"
    assert said_once(both, record["code"])
    return record


def last_failure(both: Pair) -> Mapping[str, Any]:
    """The newest record, from ``fastesp show failures --json``."""
    entries = both.ours.command("show", "failures", "--json").json()["entries"]
    assert isinstance(entries, dict)
    return list(entries.values())[-1]


def said_once(both: Pair, code: str) -> bool:
    """The log has the record, one time."""
    return both.ours.log().count(f"[{code}]") == 1


def line_of(both: Pair, text: str) -> str:
    """``swanctl.conf:LINE`` of the first line of our configuration that holds ``text``."""
    lines = both.ours.swanctl.file.read_text().splitlines()
    return f"swanctl.conf:{next(n for n, line in enumerate(lines, 1) if text in line)}"


@pytest.fixture
def both(lab: Lab) -> Pair:
    return pair(lab, options="retransmit_tries = 1\n  retransmit_timeout = 1")


def test_selectors_that_do_not_mirror_as_initiator(both: Pair) -> None:
    configure(both, theirs={"local_ts": "10.99.0.0/24"})
    both.start()
    record = up_fails(both, PEER_REFUSED)
    assert record["code"] == "ts-unacceptable"
    assert "local_ts = 10.10.0.0/24, remote_ts = 10.20.0.0/24" in str(record["allowed"])
    assert line_of(both, "remote_ts") in record["change"]


def test_selectors_that_do_not_mirror_as_responder(both: Pair) -> None:
    configure(both, theirs={"local_ts": "10.99.0.0/24"})
    both.start()
    record = theirs_fails(both)
    assert record["code"] == "ts-unacceptable"
    assert "10.99.0.0/24" in str(record["offered"])
    assert "10.20.0.0/24" in str(record["allowed"])
    assert line_of(both, "remote_ts") in record["change"]


def test_a_wrong_pre_shared_key_as_initiator(both: Pair) -> None:
    configure(both, theirs={"secret": "another secret"})
    both.start()
    record = up_fails(both, PEER_REFUSED)
    assert record["code"] == "peer-auth-failed"
    assert f"{line_of(both, 'secret =')}: secret" in record["change"]
    assert "secret" in record["hint"]
    assert "afternoon" not in both.ours.log()


def test_a_wrong_pre_shared_key_as_responder(both: Pair) -> None:
    configure(both, theirs={"secret": "another secret"})
    both.start()
    record = theirs_fails(both)
    assert record["code"] == "auth-psk-mismatch"
    assert record["remote_id"] == "site-b.example.org"
    assert line_of(both, "secret =") in record["change"]
    assert "afternoon" not in both.ours.log()


def test_a_wrong_identity_as_initiator(both: Pair) -> None:
    configure(both, theirs={"local_id": "someone.example.org"})
    both.start()
    record = up_fails(both, PEER_REFUSED)
    assert record["code"] == "peer-auth-failed"
    assert record["remote_id"] == "site-b.example.org"
    assert "local.id" in record["hint"]


def test_a_wrong_identity_as_responder(both: Pair) -> None:
    configure(both, theirs={"local_id": "someone.example.org"})
    both.start()
    record = theirs_fails(both)
    assert record["code"] == "no-connection-for-identity"
    assert "someone.example.org" in str(record["offered"])
    assert "site-b.example.org" in str(record["allowed"])
    assert line_of(both, 'id = "site-b.example.org"') in record["change"]


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
def test_a_certificate_of_an_authority_that_we_do_not_trust(both: Pair, initiator: str) -> None:
    configure(both, auth="pubkey")
    certify(both)
    elsewhere = Authority("another CA")
    both.theirs.swanctl.own(elsewhere.issue("CN=site-b"))
    both.theirs.swanctl.trust(elsewhere, "another.pem")
    both.start()
    record = up_fails(both, PEER_REFUSED) if initiator == "ours" else theirs_fails(both)
    assert record["code"] == "cert-untrusted"
    assert "another CA" in str(record)
    assert "swanctl.conf:" in record["change"]


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
def test_a_certificate_that_has_expired(both: Pair, initiator: str) -> None:
    configure(both, auth="pubkey")
    authority = certify(both)
    both.theirs.swanctl.own(authority.issue("CN=site-b", starts=-10, days=5))
    both.start()
    record = up_fails(both, PEER_REFUSED) if initiator == "ours" else theirs_fails(both)
    assert record["code"] == "cert-expired"
    assert "CN=site-b" in str(record)


def test_no_common_ike_proposal_as_initiator(both: Pair) -> None:
    configure(both, theirs={"proposals": "aes128-sha256-modp2048"}, proposals="aes256-sha384-modp3072")
    both.start()
    record = up_fails(both, PEER_REFUSED)
    assert record["code"] == "no-proposal-chosen"
    assert record["allowed"] == ["aes256-sha384-modp3072"]
    assert line_of(both, "proposals =") in record["change"]


def test_no_common_ike_proposal_as_responder(both: Pair) -> None:
    configure(both, theirs={"proposals": "aes128-sha256-modp2048"}, proposals="aes256-sha384-modp3072")
    both.start()
    record = theirs_fails(both)
    assert record["code"] == "no-proposal-chosen"
    assert "modp2048" in str(record["offered"]).lower().replace("_", "")
    assert "modp3072" in str(record["allowed"]).lower().replace("_", "")
    assert record["mismatch"]
    assert line_of(both, "proposals =") in record["change"]


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
def test_no_common_esp_proposal(both: Pair, initiator: str) -> None:
    configure(both, theirs={"esp_proposals": "aes128gcm16"}, esp_proposals="aes256gcm16")
    both.start()
    record = up_fails(both, PEER_REFUSED) if initiator == "ours" else theirs_fails(both)
    assert record["code"] == "no-proposal-chosen"
    assert line_of(both, "esp_proposals") in record["change"]


def test_a_peer_that_cannot_be_reached(both: Pair) -> None:
    configure(both)
    both.ours.settings = "retransmit_tries = 2\n  retransmit_timeout = 1"
    both.ours.start()
    record = up_fails(both, TIMED_OUT)
    assert record["code"] == "peer-unreachable"
    assert record["peer"] == "198.51.100.20[500]"
    assert "sent 3 times in 6 s" in record["summary"]
    assert line_of(both, "remote_addrs") in record["change"]
    assert "capture UDP 500" in record["hint"]


def test_a_command_that_is_tired_of_waiting_ends_with_its_own_code(both: Pair) -> None:
    configure(both)
    both.ours.start()
    outcome = both.ours.command("up", "net", "--timeout", "2")
    assert outcome.exit_code == TIMED_OUT
    assert "2000ms" in outcome.errors


def test_after_a_failure_the_corrected_peer_gets_its_tunnel(both: Pair) -> None:
    configure(both, theirs={"secret": "another secret"})
    both.start()
    theirs_fails(both)
    configure(both)
    both.theirs.load()
    both.theirs.initiate("net")
    hosts_reach_each_other(both)


def test_a_misspelt_key_is_an_error_with_its_place_and_nothing_starts(both: Pair) -> None:
    configure(both)
    text = both.ours.swanctl.file.read_text().replace("esp_proposals", "esp_proposal")
    both.ours.swanctl.configure(text)
    outcome = fastesp(both.sites.a.gateway, "check", str(both.ours.swanctl.file))
    assert outcome.exit_code == 4
    assert f"{line_of(both, 'esp_proposal')}:9: " in outcome.errors + outcome.output
    assert "did you mean 'esp_proposals'" in outcome.errors + outcome.output
