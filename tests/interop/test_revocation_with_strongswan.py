"""Certificates that their CA revoked, between ours and strongSwan: by CRL and by OCSP, either side the judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from support.ca_server import WebServer, ocsp_responder
from support.tunnels import Pair, configure, hosts_reach_each_other, pair

from fastesp.lab import Lab
from fastesp.lab.peer import RefusedError
from fastesp.lab.pki import Authority, published
from fastesp.lab.process import wait_until
from fastesp.pki import Certified

pytestmark = [pytest.mark.root, pytest.mark.peer]

WEB = "203.0.113.1"
"""The router between the gateways is the Web, too."""


@dataclass(frozen=True, slots=True)
class Bed:
    """Two gateways, their CA and its server."""

    both: Pair
    web: WebServer
    authority: Authority

    def certify(self, *, crl: str = "/ca.crl", ocsp: str = "") -> dict[str, Certified]:
        """A certificate for each side that says where its status is published."""
        extensions = published(crl=self.web.uri(crl) if crl else "", ocsp=ocsp)
        made = {name: self.authority.issue(f"CN=site-{name}", extensions=extensions) for name in ("a", "b")}
        for peer, name in ((self.both.ours, "a"), (self.both.theirs, "b")):
            peer.swanctl.trust(self.authority)
            peer.swanctl.own(made[name])
        return made

    def start(self, revocation: str = "strict") -> None:
        configure(self.both, auth="pubkey", connection="send_cert = always", remote=f"revocation = {revocation}")
        self.both.start()

    def comes_up(self, initiator: str) -> None:
        self.both.side(initiator).initiate("net")
        self.both.ours.wait_child("net")
        hosts_reach_each_other(self.both)

    def ours_refuses(self, initiator: str) -> Mapping[str, Any]:
        """Ours refuses strongSwan's certificate; the one record of it."""
        if initiator == "ours":
            assert self.both.ours.command("up", "net", "--json").exit_code == 6
        else:
            with pytest.raises(RefusedError):
                self.both.theirs.initiate("net", timeout=20.0)
        assert self.both.ours.children() == []
        entries = self.both.ours.command("show", "failures", "--json").json()["entries"]
        assert isinstance(entries, dict)
        (record,) = entries.values()
        return record  # type: ignore[no-any-return]

    def theirs_refuses(self, initiator: str) -> None:
        """strongSwan refuses ours."""
        if initiator == "ours":
            assert self.both.ours.command("up", "net").exit_code == 6
        else:
            with pytest.raises(RefusedError):
                self.both.theirs.initiate("net", timeout=20.0)
        self.both.ours.wait_no_child()
        assert self.both.theirs.children() == []


@pytest.fixture
def bed(lab: Lab) -> Bed:
    both = pair(lab, router=True)
    assert both.sites.internet is not None
    return Bed(both, WebServer(lab, both.sites.internet, WEB), Authority("lab CA"))


ROLES = pytest.mark.parametrize("initiator", ["ours", "theirs"])


@ROLES
def test_a_crl_that_both_fetch_vouches_for_both(bed: Bed, initiator: str) -> None:
    bed.certify()
    bed.web.pages["/ca.crl"] = bed.authority.crl()
    bed.start()
    bed.comes_up(initiator)
    for site in (bed.both.sites.a, bed.both.sites.b):
        assert bed.web.asked_by(site.outer) == ["/ca.crl"]
    with bed.both.ours.session() as session:
        (listed,) = list(session.list_certs({"type": "X509_CRL"}))
    assert listed["data"] == bed.web.pages["/ca.crl"]


@ROLES
@pytest.mark.parametrize("revocation", ["strict", "relaxed"])
def test_ours_finds_strongswans_certificate_on_the_crl(bed: Bed, initiator: str, revocation: str) -> None:
    made = bed.certify()
    bed.web.pages["/ca.crl"] = bed.authority.crl(made["b"])
    bed.start(revocation)
    record = bed.ours_refuses(initiator)
    assert record["code"] == "cert-revoked"
    assert "CN=site-b" in record["summary"]
    assert "swanctl.conf:" in record["change"]


@ROLES
def test_strongswan_finds_our_certificate_on_the_crl(bed: Bed, initiator: str) -> None:
    made = bed.certify()
    bed.web.pages["/ca.crl"] = bed.authority.crl(made["a"])
    bed.start()
    bed.theirs_refuses(initiator)
    assert "certificate was revoked" in bed.both.theirs.log()


@ROLES
def test_an_ocsp_responder_vouches_for_both(bed: Bed, lab: Lab, initiator: str) -> None:
    uri = f"http://{WEB}:2560/"
    made = bed.certify(crl="", ocsp=uri)
    assert bed.both.sites.internet is not None
    assert ocsp_responder(lab, bed.both.sites.internet, WEB, bed.authority, list(made.values()), []) == uri
    bed.start()
    bed.comes_up(initiator)
    assert f"fetching {uri}" in bed.both.ours.log()


@ROLES
@pytest.mark.parametrize("judge", ["ours", "theirs"])
def test_an_ocsp_responder_says_revoked(bed: Bed, lab: Lab, initiator: str, judge: str) -> None:
    uri = f"http://{WEB}:2560/"
    made = bed.certify(crl="", ocsp=uri)
    bad = made.pop("b" if judge == "ours" else "a")
    assert bed.both.sites.internet is not None
    ocsp_responder(lab, bed.both.sites.internet, WEB, bed.authority, list(made.values()), [bad])
    bed.start()
    if judge == "ours":
        record = bed.ours_refuses(initiator)
        assert record["code"] == "cert-revoked"
        assert "keyCompromise" in record["summary"]
    else:
        bed.theirs_refuses(initiator)
        assert "certificate was revoked" in bed.both.theirs.log()


@pytest.mark.parametrize("server", ["gone", "silent", "without-the-page", "stale"])
def test_strict_wants_an_answer_and_says_what_it_got(bed: Bed, server: str) -> None:
    bed.certify()
    if server == "gone":
        bed.web.close()
    elif server == "silent":
        bed.web.silent.add("/ca.crl")
    elif server == "stale":
        bed.web.pages["/ca.crl"] = bed.authority.crl(starts=-10, days=5)
    bed.start("relaxed")
    text = bed.both.ours.swanctl.file.read_text().replace("revocation = relaxed", "revocation = strict")
    bed.both.ours.swanctl.configure(text)
    assert bed.both.ours.command("load").exit_code == 0
    record = bed.ours_refuses("ours")
    assert record["code"] == ("cert-status-stale" if server == "stale" else "cert-status-unknown")
    said = {
        "gone": "Connect call failed",
        "silent": "no answer within 5 s",
        "without-the-page": "HTTP status 404",
        "stale": "a CRL that is out of date",
    }
    assert said[server] in record["summary"]
    assert bed.web.uri("/ca.crl") in record["summary"]


def test_an_authorities_section_says_where_the_crl_is(bed: Bed) -> None:
    made = bed.certify(crl="")
    bed.web.pages["/other.crl"] = bed.authority.crl(made["b"])
    configure(bed.both, auth="pubkey", remote="revocation = ifuri")
    for peer in (bed.both.ours, bed.both.theirs):
        section = (
            f"authorities {{\n  lab {{\n    cacert = ca.pem\n    crl_uris = {bed.web.uri('/other.crl')}\n  }}\n}}\n"
        )
        peer.swanctl.configure(peer.swanctl.file.read_text() + section)
    bed.both.start()
    assert bed.ours_refuses("ours")["code"] == "cert-revoked"
    configure(bed.both, auth="pubkey", remote="revocation = ifuri")
    assert bed.both.ours.command("load").exit_code == 0
    with bed.both.ours.session() as session:
        assert session.get_authorities() == {"authorities": []}


def test_while_a_peer_waits_for_its_crl_the_gateway_serves_others(bed: Bed) -> None:
    bed.certify()
    bed.web.silent.add("/ca.crl")
    bed.start("relaxed")
    with bed.both.ours.session() as session:
        # It does not wait for the end: the answer comes while the CRL does not.
        session.request("initiate", {"child": "net", "timeout": "-1"})
        wait_until(lambda: bool(bed.web.asked), "a request for the CRL", 20.0)
        assert [sa.state for sa in bed.both.ours.ike_sas()] == ["CONNECTING"]
    bed.both.ours.wait_child("net", timeout=30.0)
    hosts_reach_each_other(bed.both)


@ROLES
@pytest.mark.parametrize("revoked", [False, True], ids=["good", "revoked"])
def test_a_chain_of_cas_is_judged_link_by_link(bed: Bed, initiator: str, revoked: bool) -> None:
    web = bed.web
    middle = Authority("lab middle CA", under=bed.authority, extensions=published(crl=web.uri("/ca.crl")))
    low = Authority("lab low CA", under=middle, extensions=published(crl=web.uri("/middle.crl")))
    for peer, name in ((bed.both.ours, "a"), (bed.both.theirs, "b")):
        peer.swanctl.trust(bed.authority)
        signer = low if name == "b" else bed.authority
        status = "/low.crl" if name == "b" else "/ca.crl"
        peer.swanctl.own(signer.issue(f"CN=site-{name}", extensions=published(crl=web.uri(status))))
    web.pages |= {"/ca.crl": bed.authority.crl(), "/low.crl": low.crl()}
    web.pages["/middle.crl"] = middle.crl(low.certified) if revoked else middle.crl()
    bed.start()
    if revoked:
        record = bed.ours_refuses(initiator)
        assert record["code"] == "cert-revoked"
        assert "lab low CA" in record["summary"]
    else:
        bed.comes_up(initiator)
    assert sorted(web.asked_by(bed.both.sites.a.outer)) == ["/ca.crl", "/low.crl", "/middle.crl"]
