"""Every VICI command and event, driven by the ``vici`` package of PyPI and by Debian's swanctl, with charon as peer."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from support.monitor import Monitor
from support.swanctl import Said, swanctl
from support.tunnels import Pair, certify, configure, hosts_reach_each_other, pair
from vici import Session
from vici.exception import CommandException

from fastesp.lab import Lab
from fastesp.lab.peer import Peer
from fastesp.lab.pki import Authority
from fastesp.lab.process import wait_until
from fastesp.lab.sites import WAN
from fastesp.lab.strongswan import SWANCTL

pytestmark = [pytest.mark.root, pytest.mark.peer]

SITE: dict[str, Any] = {
    "version": "2",
    "local_addrs": ["203.0.113.10"],
    "remote_addrs": ["198.51.100.20"],
    "proposals": ["aes256gcm16-prfsha384-x25519"],
    "local": {"auth": "psk", "id": "site-a.example.org"},
    "remote": {"auth": "psk", "id": "site-b.example.org"},
    "children": {
        "net": {"local_ts": ["10.10.0.0/24"], "remote_ts": ["10.20.0.0/24"], "esp_proposals": ["aes256gcm16"]}
    },
}
SECRET = {
    "id": "one",
    "type": "IKE",
    "data": b"a secret for an afternoon",
    "owners": ["site-b.example.org"],
}


@pytest.fixture
def both(lab: Lab) -> Pair:
    """charon is configured; ours has nothing, all comes over VICI."""
    one = pair(lab)
    configure(one)
    one.ours.swanctl.configure("connections {\n}\n")
    one.start()
    return one


@pytest.fixture
def session(both: Pair) -> Iterator[Session]:
    with both.ours.session() as opened:
        yield opened


def test_the_vici_package_runs_a_tunnel_through_its_whole_life(both: Pair, session: Session) -> None:
    told = ("log", "ike-updown", "child-updown", "ike-rekey", "child-rekey")
    monitor = Monitor(both.ours, *told)
    session.load_shared(SECRET)
    session.load_conn({"site": SITE})
    assert session.get_shared() == {"keys": [b"one"]}
    assert session.get_conns() == {"conns": [b"site"]}
    assert [list(entry) for entry in session.list_conns({"ike": "site"})] == [["site"]]

    session.install({"child": "net", "ike": "site"})
    assert [list(entry) for entry in session.list_policies({"trap": "yes"})] == [["site/net"]]
    session.uninstall({"child": "net", "ike": "site"})
    assert list(session.list_policies({"trap": "yes", "drop": "yes", "pass": "yes"})) == []

    lines = list(session.initiate({"child": "net", "ike": "site", "timeout": "10000", "loglevel": "1"}))
    assert any(b"CHILD_SA net{1} is up" in line["msg"] for line in lines)
    assert set(lines[-1]) == {"group", "level", "ikesa-name", "ikesa-uniqueid", "msg"}
    hosts_reach_each_other(both)
    (sa,) = session.list_sas({"ike": "site", "child": "net"})
    assert sa["site"]["child-sas"]["net-1"]["state"] == b"INSTALLED"

    assert session.rekey({"child": "net"})["matches"] == b"1"
    assert monitor.wait("child-rekey")[0]["site"]["child-sas"]["net-1"]["new"]["state"] == b"INSTALLED"
    assert session.rekey({"ike": "site"})["matches"] == b"1"
    assert set(monitor.wait("ike-rekey")[0]["site"]) == {"old", "new"}
    assert session.get_counters({"name": "site"})["counters"]["site"]["child-rekey"] == b"1"
    session.reset_counters({"all": "yes"})
    with pytest.raises(CommandException, match="no counters found"):
        session.get_counters({"name": "site"})
    hosts_reach_each_other(both)

    list(session.terminate({"ike": "site", "timeout": "5000"}))
    both.theirs.wait_nothing()
    assert [event.get("up") for event in monitor.wait("ike-updown", 2)] == [b"yes", None]
    assert [event.get("up") for event in monitor.wait("child-updown", 2)] == [b"yes", None]
    assert any(b"IKE SA is gone" in line["msg"] for line in monitor.of("log"))

    session.unload_conn({"name": "site"})
    session.unload_shared({"id": "one"})
    assert session.get_conns() == {"conns": []}
    assert session.get_shared() == {"keys": []}


def test_the_vici_package_loads_lists_and_unloads_credentials(session: Session) -> None:
    authority = Authority("lab CA")
    own = authority.issue("CN=site-a")
    name = session.load_key({"type": "any", "data": own.key_pem})["id"]
    assert session.get_keys() == {"keys": [name]}
    session.load_cert({"type": "X509", "flag": "CA", "data": authority.pem})
    session.load_cert({"type": "X509", "flag": "NONE", "data": own.certificate.public_bytes(Encoding.DER)})
    listed = list(session.list_certs({"type": "any"}))
    assert [(entry["flag"], entry.get("has_privkey")) for entry in listed] == [(b"NONE", b"yes"), (b"CA", None)]
    assert [entry["flag"] for entry in session.list_certs({"type": "x509", "flag": "CA"})] == [b"CA"]
    session.unload_key({"id": name.decode()})
    assert session.get_keys() == {"keys": []}
    session.flush_certs({"type": "X509"})
    session.clear_creds()
    assert list(session.list_certs()) == []
    with pytest.raises(CommandException, match="tokens are not used"):
        session.load_token({"handle": "00", "slot": "1"})


def test_the_vici_package_loads_lists_and_unloads_authorities_and_pools(session: Session) -> None:
    authority = Authority("lab CA")
    session.load_authority({"lab": {"cacert": authority.pem, "crl_uris": ["http://pki.example.org/ca.crl"]}})
    assert session.get_authorities() == {"authorities": [b"lab"]}
    (entry,) = session.list_authorities({"name": "lab"})
    assert entry["lab"]["cacert"] == b"CN=lab CA"
    session.unload_authority({"name": "lab"})
    assert session.get_authorities() == {"authorities": []}
    session.load_pool({"inside": {"addrs": "10.66.0.0/24", "dns": ["10.66.0.1"]}})
    assert session.get_pools({"leases": "yes"})["inside"]["size"] == b"254"
    session.unload_pool({"name": "inside"})
    assert session.get_pools() == {}


def test_the_vici_package_asks_for_version_statistics_and_algorithms(both: Pair, session: Session) -> None:
    assert session.version()["daemon"] == b"fastesp"
    assert session.stats()["ikesas"] == {"total": b"0", "half-open": b"0"}
    assert "AES_GCM_16" in session.get_algorithms()["aead"]
    session.reload_settings()
    both.ours.swanctl.configure("connections {\n  broken {\n    rekey_tim = 1h\n  }\n}\n")
    with pytest.raises(CommandException, match=r"swanctl.conf:3:5: unknown key 'rekey_tim'"):
        session.reload_settings()


def test_a_message_with_mistakes_changes_nothing_and_names_them_all(session: Session) -> None:
    session.load_conn({"site": SITE})
    before = list(session.list_conns())
    net = {**SITE["children"]["net"], "esp_proposals": ["aes256gmc16"], "mode": "tunel"}
    with pytest.raises(CommandException) as caught:
        session.load_conn({"site": {**SITE, "rekey_time": "2x", "children": {"net": net}}})
    for part in ("site.rekey_time", "site.children.net.mode", "site.children.net.esp_proposals"):
        assert part in str(caught.value)
    assert list(session.list_conns()) == before


def test_a_failed_negotiation_is_answered_with_its_record_and_heard_as_an_alert(both: Pair, session: Session) -> None:
    monitor = Monitor(both.ours, "alert")
    session.load_shared({**SECRET, "data": b"quite another secret"})
    session.load_conn({"site": SITE})
    with pytest.raises(CommandException, match="establishing CHILD_SA 'net' failed"):
        list(session.initiate({"child": "net", "timeout": "10000"}))
    (alert,) = monitor.wait("alert")
    assert alert["type"] == b"peer-auth-failed"


def test_a_command_that_cannot_wait_longer_says_so(both: Pair, session: Session) -> None:
    session.load_shared(SECRET)
    session.load_conn({"site": {**SITE, "remote_addrs": ["198.51.100.77"]}})
    with pytest.raises(CommandException, match="'net' not established after 300ms"):
        list(session.initiate({"child": "net", "timeout": "300"}))
    assert list(session.initiate({"child": "net", "timeout": "-1"})) == []
    list(session.terminate({"ike": "site", "force": "yes", "timeout": "1000"}))
    assert both.ours.ike_sas() == []


def test_a_client_is_redirected_to_another_address_and_follows(both: Pair, session: Session) -> None:
    both.sites.a.gateway.address(WAN, "203.0.113.11/32")
    session.load_shared(SECRET)
    session.load_conn({"site": {**SITE, "local_addrs": ["203.0.113.10", "203.0.113.11"]}})
    both.theirs.initiate("net")
    to = {"gateway": "203.0.113.11"}
    for nobody in ({"peer-id": "someone.example.org"}, {"peer-ip": "192.0.2.0/24"}, {"ike-id": "99"}):
        with pytest.raises(CommandException, match="no matching SAs to redirect found"):
            session.redirect({**to, **nobody})
    with pytest.raises(CommandException, match="names no gateway"):
        session.redirect({"ike": "site", "gateway": "@#00"})
    chosen = {"peer-id": "*.example.org", "peer-ip": "198.51.100.1-198.51.100.99"}
    assert session.redirect({**to, **chosen})["matches"] == b"1"
    wait_until(
        lambda: [sa.raw["remote-host"] for sa in both.theirs.ike_sas() if sa.children] == [b"203.0.113.11"],
        "charon to follow",
        10.0,
    )
    hosts_reach_each_other(both)


def test_a_peer_that_we_asked_ourselves_is_not_redirected(both: Pair, session: Session) -> None:
    session.load_shared(SECRET)
    session.load_conn({"site": SITE})
    both.ours.initiate("net")
    said = swanctl(both.ours, "--redirect", "--ike", "site", "--gateway", "203.0.113.11")
    assert said.code != 0
    assert "no client that can be redirected" in said.text


@contextlib.contextmanager
def watching(peer: Peer, *words: str) -> Iterator[list[str]]:
    """``swanctl --monitor-sa`` or ``--log`` in the background; its output is complete after the block."""
    command = peer.namespace.argv([SWANCTL, *words, "--uri", f"unix://{peer.socket_path}"])
    lines: list[str] = []
    before = len(peer.namespace.pids())
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as child:
        try:
            wait_until(lambda: len(peer.namespace.pids()) > before, "swanctl to run", 5.0)
            yield lines
        finally:
            child.terminate()
            assert child.stdout is not None
            lines += child.stdout.read().splitlines()


def test_swanctl_does_all_it_can(both: Pair) -> None:
    ours = both.ours
    configure(both)  # for swanctl to load; the gateway itself has read nothing
    certify(both)

    def ok(*words: str) -> str:
        said: Said = swanctl(ours, *words)
        assert said.code == 0, (words, said)
        return said.text

    assert "loaded connection 'site'" in ok("--load-all", "--noprompt")
    assert "loaded connection 'site'" in ok("--load-conns")
    assert "loaded certificate" in ok("--load-creds", "--noprompt")
    ok("--load-authorities")
    ok("--load-pools")
    assert "install completed" in ok("--install", "--child", "net")
    assert "site/net, TUNNEL" in ok("--list-pols")
    assert "uninstall completed" in ok("--uninstall", "--child", "net")
    with watching(ours, "--monitor-sa", "--raw") as monitored, watching(ours, "--log") as logged:
        assert "initiate completed" in ok("--initiate", "--child", "net", "--timeout", "10")
        hosts_reach_each_other(both)
        assert "net: #1, reqid" in ok("--list-sas")
        assert "rekey completed" in ok("--rekey", "--child", "net")
        assert "rekey completed" in ok("--rekey", "--ike", "site")
        hosts_reach_each_other(both)
        assert "terminate completed" in ok("--terminate", "--child", "net")
        assert "terminate completed" in ok("--terminate", "--ike", "site")
        wait_until(lambda: not ours.ike_sas(), "the end", 5.0)
    # swanctl asks for these two events; a rekey is neither.
    assert [line.partition(" ")[0] for line in monitored] == [
        "ike-updown",
        "child-updown",
        "child-updown",
        "ike-updown",
    ]
    assert any("CHILD_SA net{1} is up" in line for line in logged), logged
    assert "site: IKEv2" in ok("--list-conns")
    assert "CN=site-a" in ok("--list-certs")
    ok("--list-pools", "--leases")
    ok("--list-authorities")
    assert "AES_GCM_16[" in ok("--list-algs")
    assert "ike-init-out-req" in ok("--counters")
    assert "reset-counters completed" in ok("--counters", "--reset", "--all")
    assert "uptime" in ok("--stats")
    assert "fastesp" in ok("--version", "--daemon")
    ok("--reload-settings")
    ok("--flush-certs")


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
    loaded = swanctl(both.ours, "--load-all").text
    assert "successfully loaded 1 connections, 0 unloaded" in loaded
    assert "successfully loaded 1 pools, 0 unloaded" in loaded
    both.ours.initiate("net")
    hosts_reach_each_other(both)
    both.ours.swanctl.configure("")
    assert "unloaded" in swanctl(both.ours, "--load-all").text
    with both.ours.session() as session:
        assert session.get_conns()["conns"] == []
        assert session.get_shared()["keys"] == []
        assert session.get_pools({}) == {}
    assert both.ours.children() == ["net"], "an SA outlives its connection's configuration"
