"""A tunnel between ours and strongSwan 5.9.8, natively: ESP in UDP, because that is all kernel-libipsec has."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address

import pytest
from support.peers import Peer as InMemoryPeer
from support.peers import connection, ike, psk
from support.tunnels import (
    MEGABYTE,
    Pair,
    carries_traffic_and_is_deleted,
    certify,
    configure,
    hosts_reach_each_other,
    pair,
)

from fastesp.lab import Lab, Site
from fastesp.lab.capture import Capture
from fastesp.lab.configurations import example
from fastesp.lab.sites import WAN
from fastesp.lab.traffic import ping

pytestmark = [pytest.mark.root, pytest.mark.peer]

PROPOSAL = "aes256gcm16-prfsha384-x25519"


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
@pytest.mark.parametrize("auth", ["psk", "pubkey"])
def test_a_tunnel_carries_100_megabytes_each_way_and_is_deleted_from_either_side(
    lab: Lab, auth: str, initiator: str
) -> None:
    both = pair(lab)
    configure(both, auth=auth)
    if auth == "pubkey":
        certify(both)
    both.start()
    carries_traffic_and_is_deleted(both, initiator, wire="ESP in UDP", size=100 * MEGABYTE, timeout=100.0)


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
@pytest.mark.parametrize("kind", ["rsa-2048", "ecdsa-384", "ecdsa-521", "ed25519"])
def test_certificates_of_every_kind_authenticate_both_ways(lab: Lab, kind: str, initiator: str) -> None:
    both = pair(lab)
    configure(both, auth="pubkey")
    certify(both, kind)
    both.start()
    both.side(initiator).initiate("net")
    hosts_reach_each_other(both)


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
def test_rsa_signs_with_pss_where_the_peer_wants_it(lab: Lab, initiator: str) -> None:
    both = pair(lab, options="rsa_pss = yes")
    configure(both, ours={"auth": "pubkey"}, theirs={"auth": "rsa/pss"}, auth="pubkey")
    certify(both, "rsa-2048")
    both.start()
    both.side(initiator).initiate("net")
    hosts_reach_each_other(both)
    assert "RSA_EMSA_PSS" in both.theirs.log()


@pytest.mark.parametrize(
    "proposals",
    [
        "aes256-sha384-modp3072",
        "aes128-sha256-modp2048",
        "aes192-sha512-modp4096",
        "aes128gcm16-prfsha256-ecp256",
        "aes256gcm16-prfsha384-ecp384",
        "aes256gcm16-prfsha512-ecp521",
        "default",
    ],
)
@pytest.mark.parametrize("initiator", ["ours", "theirs"])
def test_proposals_written_the_strongswan_way_agree(lab: Lab, proposals: str, initiator: str) -> None:
    both = pair(lab)
    configure(both, proposals=proposals, esp_proposals="aes256gcm16" if proposals != "default" else "default")
    both.start()
    both.side(initiator).initiate("net")
    hosts_reach_each_other(both)


@pytest.mark.parametrize("bits", ["128", "192", "256"])
def test_esp_uses_the_key_length_that_was_agreed(lab: Lab, bits: str) -> None:
    both = pair(lab)
    configure(both, esp_proposals=f"aes{bits}gcm16")
    both.start()
    both.ours.initiate("net")
    hosts_reach_each_other(both)
    assert both.theirs.child_sa("net").raw["encr-keysize"] == bits.encode()


def test_another_dh_group_is_asked_for_and_given(lab: Lab) -> None:
    """Our first group is not theirs: INVALID_KE_PAYLOAD, and a second try in the same exchange."""
    both = pair(lab)
    configure(
        both,
        ours={"proposals": "aes256gcm16-prfsha384-x25519-ecp384"},
        theirs={"proposals": "aes256gcm16-prfsha384-ecp384"},
    )
    both.start()
    both.ours.initiate("net")
    hosts_reach_each_other(both)
    assert "INVAL_KE" in both.theirs.log()


def half_open(both: Pair, target: Site) -> None:
    """A stranger begins an IKE SA with the gateway of ``target`` and says no more."""
    own = both.sites.b if target is both.sites.a else both.sites.a
    ends = {"local": IPv4Address(own.outer), "remote": IPv4Address(target.outer)}
    asks = connection("stranger.example.org", "%any", None, proposals=ike(PROPOSAL))
    stranger = InMemoryPeer(ends["local"], [asks], psk(), seed=1)
    stranger.endpoint.initiate("site", None, 0.0, **ends)
    ((datagram, _),) = stranger.endpoint.datagrams_to_send(0.0)
    with own.gateway.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(10.0)
        sender.sendto(datagram, (target.outer, 500))
        assert sender.recv(4096)


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
def test_a_responder_with_half_open_sas_wants_a_cookie_and_gets_it(lab: Lab, initiator: str) -> None:
    few = "cookie_threshold = 1\n  cookie_threshold_ip = 1"
    both = pair(lab, options=few)
    both.ours.settings = few
    configure(both, proposals=PROPOSAL)
    both.start()
    half_open(both, both.sites.b if initiator == "ours" else both.sites.a)
    both.side(initiator).initiate("net")
    hosts_reach_each_other(both)
    asked = "generating" if initiator == "ours" else "parsed"
    assert f"{asked} IKE_SA_INIT response 0 [ N(COOKIE) ]" in both.theirs.log()


@pytest.mark.parametrize("narrower", ["ours", "theirs"])
def test_the_smaller_selectors_win(lab: Lab, narrower: str) -> None:
    both = pair(lab)
    small = {"local_ts": "10.10.0.0/28"} if narrower == "ours" else {"remote_ts": "10.10.0.0/28"}
    configure(both, ours=small if narrower == "ours" else {}, theirs=small if narrower == "theirs" else {})
    both.start()
    both.ours.initiate("net")
    assert both.ours.child_sa("net").raw["local-ts"] == [b"10.10.0.0/28"]
    assert both.theirs.child_sa("net").raw["remote-ts"] == [b"10.10.0.0/28"]
    hosts_reach_each_other(both)


def test_the_promised_configuration_runs_as_it_stands(lab: Lab) -> None:
    """The first packet springs our trap, brings the tunnel up and is not lost."""
    both = pair(lab)
    both.ours.swanctl.configure(example(both.sites.a, both.sites.b))
    both.theirs.swanctl.configure(example(both.sites.b, both.sites.a))
    certify(both)
    both.start()
    assert not both.ours.ike_sas()
    result = ping(both.sites.a.host, both.sites.b.host_address, count=3)
    assert result.received == result.sent == 3
    assert both.ours.child_sa("net").packets_out == 3


def test_the_promised_configuration_runs_when_the_peer_begins(lab: Lab) -> None:
    both = pair(lab)
    both.ours.swanctl.configure(example(both.sites.a, both.sites.b))
    both.theirs.swanctl.configure(example(both.sites.b, both.sites.a))
    certify(both)
    both.start()
    both.theirs.initiate("net")
    hosts_reach_each_other(both)


def test_with_a_trap_set_nothing_leaves_in_the_clear_though_no_peer_answers(lab: Lab) -> None:
    both = pair(lab)
    configure(both, start_action="trap")
    both.sites.b.gateway.ip("route", "del", "default")  # not even its kernel answers
    both.ours.start()
    with Capture(lab, both.sites.a.gateway, WAN) as wan:
        assert ping(both.sites.a.host, both.sites.b.host_address).received == 0
    assert wan.check()["IKE"] > 0


@pytest.mark.parametrize("deleter", ["ours", "theirs"])
def test_a_child_alone_is_deleted_from_either_side_and_comes_up_again(lab: Lab, deleter: str) -> None:
    both = pair(lab)
    configure(both)
    both.start()
    both.ours.initiate("net")
    both.side(deleter).terminate(child="net")
    both.ours.wait_no_child()
    both.theirs.wait_no_child()
    assert len(both.ours.ike_sas()) == len(both.theirs.ike_sas()) == 1
    both.side(deleter).initiate("net")
    hosts_reach_each_other(both)
    assert len(both.ours.ike_sas()) == len(both.theirs.ike_sas()) == 1


def test_liveness_checks_are_answered_while_nothing_else_is_said(lab: Lab) -> None:
    both = pair(lab)
    configure(both, connection="dpd_delay = 1s")
    both.start()
    both.ours.initiate("net")
    both.theirs.process.wait_for(r"parsed INFORMATIONAL response \d+ \[ \]", log=both.theirs.charon_log)
    both.theirs.process.wait_for(r"parsed INFORMATIONAL request \d+ \[ \]", log=both.theirs.charon_log)
    hosts_reach_each_other(both)
