"""Certificates by reference between ours and strongSwan: each side sends hash and URL, each side fetches."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from support.ca_server import WebServer
from support.tunnels import Pair, certify, configure, hosts_reach_each_other, pair

from fastesp.lab import Lab
from fastesp.lab.peer import Peer
from fastesp.lab.pki import Authority
from fastesp.pki import Certified

pytestmark = [pytest.mark.root, pytest.mark.peer]

WEB = "203.0.113.1"
CERTS = "/certs/"


def publish(web: WebServer, *certified: Certified) -> None:
    """Each certificate under its hash."""
    for one in certified:
        der = one.certificate.public_bytes(Encoding.DER)
        web.pages[CERTS + hashlib.sha1(der, usedforsecurity=False).hexdigest()] = der


def refers(peer: Peer, web: WebServer) -> None:
    """Have a gateway send references to what its CA issued."""
    section = f"authorities {{\n  lab {{\n    cacert = ca.pem\n    cert_uri_base = {web.uri(CERTS)}\n  }}\n}}\n"
    peer.swanctl.configure(peer.swanctl.file.read_text() + section)


def bed(lab: Lab) -> tuple[Pair, WebServer]:
    """Both follow references, both trust one CA."""
    both = pair(lab, router=True, options="hash_and_url = yes")
    both.ours.settings = "hash_and_url = yes"
    assert both.sites.internet is not None
    configure(both, auth="pubkey", connection="send_cert = always")
    return both, WebServer(lab, both.sites.internet, WEB)


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
def test_both_send_references_and_follow_them(lab: Lab, initiator: str) -> None:
    both, web = bed(lab)
    authority = Authority("lab CA")
    made = {"a": authority.issue("CN=site-a"), "b": authority.issue("CN=site-b")}
    publish(web, *made.values())
    for peer, name in ((both.ours, "a"), (both.theirs, "b")):
        peer.swanctl.trust(authority)
        peer.swanctl.own(made[name])
        refers(peer, web)
    both.start()
    both.side(initiator).initiate("net")
    hosts_reach_each_other(both)
    assert len(web.asked_by(both.sites.a.outer)) == len(web.asked_by(both.sites.b.outer)) == 1
    assert f"fetching {web.uri(CERTS)}" in both.ours.log()


def test_a_reference_to_nothing_is_refused_with_its_url(lab: Lab) -> None:
    both, web = bed(lab)
    certify(both)
    refers(both.theirs, web)
    both.start()
    outcome = both.ours.command("up", "net", "--json")
    assert outcome.exit_code == 6
    record = outcome.json()["failure"]
    assert isinstance(record, dict)
    assert record["code"] == "cert-url-unfetched"
    assert f"{web.uri(CERTS)}" in record["summary"]
    assert "HTTP status 404" in record["summary"]


def test_by_default_no_reference_is_asked_for_or_followed(lab: Lab) -> None:
    both, web = bed(lab)
    both.ours.settings = ""
    certify(both)
    refers(both.theirs, web)
    both.start()
    both.ours.initiate("net")
    hosts_reach_each_other(both)
    assert web.asked == []
