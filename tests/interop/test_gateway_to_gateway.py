"""Two gateways of ours: what an operator does with them, from the first packet to the last route."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from vici.exception import EventUnknownException

from fastesp.lab import Lab, Sites, two_sites
from fastesp.lab.capture import Capture
from fastesp.lab.configurations import configuration, example
from fastesp.lab.namespace import Namespace
from fastesp.lab.ours import OurGateway
from fastesp.lab.pki import Authority
from fastesp.lab.process import wait_until
from fastesp.lab.sites import WAN
from fastesp.lab.traffic import Pings, iperf, ping, transfer

pytestmark = pytest.mark.root

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Ours:
    """A gateway of ours at each site."""

    lab: Lab
    sites: Sites
    a: OurGateway
    b: OurGateway

    def configure(self, make: Callable[..., str] = configuration, **words: str) -> None:
        """Mirrored configurations."""
        self.a.swanctl.configure(make(self.sites.a, self.sites.b, **words))
        self.b.swanctl.configure(make(self.sites.b, self.sites.a, **words))

    def certify(self) -> None:
        """One authority for both."""
        authority = Authority("lab CA")
        for gateway, name in ((self.a, "a"), (self.b, "b")):
            gateway.swanctl.trust(authority)
            gateway.swanctl.own(authority.issue(f"CN=site-{name}"))

    def start(self) -> None:
        """Both."""
        self.a.start()
        self.b.start()

    def reach(self, count: int = 3) -> None:
        """A ping from site to site, nothing lost."""
        result = ping(self.sites.a.host, self.sites.b.host_address, count=count)
        assert result.received == count, result


@pytest.fixture
def both(lab: Lab) -> Ours:
    """Two sites with a router in between that knows nothing of what is behind them."""
    sites = two_sites(lab, router=True)
    return Ours(lab, sites, OurGateway(lab, sites.a.gateway), OurGateway(lab, sites.b.gateway))


def left_behind(space: Namespace) -> str:
    """What a gateway put on its host: rules, routes, tables, interfaces."""
    return "\n".join(
        subprocess.run(space.argv(words.split()), capture_output=True, text=True, check=False).stdout
        for words in (
            "ip -4 rule",
            "ip -6 rule",
            "ip -4 route show table 220",
            "ip -6 route show table 220",
            "nft list tables",
            "ls /sys/class/net",
        )
    )


def test_the_promised_configuration_carries_traffic_and_only_esp_and_ike_cross_the_wire(both: Ours) -> None:
    both.configure(example)
    both.certify()
    both.start()
    with Capture(both.lab, both.sites.a.gateway, WAN) as wire:
        both.reach()
        transfer(both.sites.a.host, both.sites.b.host, both.sites.b.host_address, 20 * MEGABYTE)
        transfer(both.sites.b.host, both.sites.a.host, both.sites.a.host_address, 20 * MEGABYTE)
        iperf(both.lab, both.sites.a.host, both.sites.b.host, both.sites.b.host_address, seconds=1.0)
    wire.check(dropped_allowed=True)
    ours, theirs = both.a.child_sa("net"), both.b.child_sa("net")
    assert ours.spi_in == theirs.spi_out
    assert ours.bytes_out >= theirs.bytes_in > 20 * MEGABYTE
    status = both.a.command("status", "--json").json()
    assert status["ike_sas"][0]["state"] == "ESTABLISHED"  # type: ignore[index]
    child = status["ike_sas"][0]["children"][0]  # type: ignore[index]
    assert child["placement"] == "userspace/0"
    assert (child["local_ts"], child["remote_ts"]) == (["10.10.0.0/24"], ["10.20.0.0/24"])


def test_the_trap_stays_when_the_peer_closes_and_the_next_packet_brings_the_tunnel_up_again(both: Ours) -> None:
    both.configure(start_action="trap")
    both.start()
    both.reach()
    first = both.a.child_sa("net").unique_id
    both.b.terminate(ike="site")
    both.a.wait_nothing()
    both.reach()
    assert both.a.child_sa("net").unique_id != first


def test_prometheus_reads_the_numbers_of_status(both: Ours) -> None:
    both.configure(start_action="trap")
    both.a.options = ("--metrics", "127.0.0.1:9469")
    both.start()
    both.reach()
    page = both.sites.a.gateway.run("curl", "-sS", "http://127.0.0.1:9469/metrics")
    assert 'fastesp_ike_sas{state="ESTABLISHED"} 1.0' in page
    assert 'fastesp_child_packets{child="net",connection="site",direction="out"} 3.0' in page
    drops = both.a.command("status", "--json").json()["drops"]
    for reason, count in drops.items():  # type: ignore[attr-defined]
        assert f'fastesp_drops_total{{reason="{reason}"}} {count}.0' in page
    assert 'reason="unprotected"' in page


def test_start_brings_the_tunnel_up_at_load(both: Ours) -> None:
    both.configure(start_action="none")
    both.b.start()
    both.a.swanctl.configure(configuration(both.sites.a, both.sites.b, start_action="start"))
    both.a.start()
    both.a.wait_child("net")
    both.reach()


def test_udp_encapsulation_on_demand(both: Ours) -> None:
    both.configure(connection="encap = yes")
    both.start()
    with Capture(both.lab, both.sites.a.gateway, WAN) as wire:
        assert both.a.command("up", "net").exit_code == 0
        both.reach()
    assert both.a.child_sa("net").encap
    assert wire.check(dropped_allowed=True)["ESP in UDP"] >= 6


def test_a_wrong_secret_is_one_record_and_exit_code_6(both: Ours) -> None:
    both.configure()
    both.b.swanctl.configure(configuration(both.sites.b, both.sites.a, secret="another one for an afternoon"))
    both.start()
    up = both.a.command("up", "net", "--timeout", "20")
    assert up.exit_code == 6, up
    for gateway in (both.a, both.b):
        shown = gateway.command("show", "failures", "--json")
        assert shown.exit_code == 0, shown
        assert shown.output.count('"code"') == 1, shown.output
        assert gateway.log().count("swanctl.conf:") == 1, gateway.log()
    assert "another one" not in both.a.log() + both.b.log()


def test_a_peer_that_is_not_there_is_exit_code_7(both: Ours) -> None:
    both.configure()
    both.a.start()
    assert both.a.command("up", "net", "--timeout", "2").exit_code == 7


def test_what_is_not_configured_is_exit_code_5(both: Ours) -> None:
    both.configure()
    both.a.start()
    for verb in ("up", "down"):
        assert both.a.command(verb, "nothing-of-that-name").exit_code == 5


def test_a_configuration_that_is_not_valid_stops_nothing_that_runs(both: Ours) -> None:
    both.configure(start_action="trap")
    both.start()
    both.reach()
    good = both.a.swanctl.file.read_text()
    before = both.a.child_sa("net").unique_id
    both.a.swanctl.configure(good.replace("esp_proposals", "esp_proposal"))
    loaded = both.a.command("load")
    assert loaded.exit_code != 0
    assert "esp_proposal" in loaded.output + loaded.errors
    assert both.a.process is not None
    for text, told in ((good.replace("esp_proposals", "esp_proposal"), "stays in force"), (good, "1 unchanged")):
        said = both.a.log().count(told)
        both.a.swanctl.configure(text)
        both.a.process.signal(signal.SIGHUP)
        wait_until(lambda told=told, said=said: both.a.log().count(told) > said, f"{told!r} in the log", 20.0)  # type: ignore[misc]
    both.reach()
    assert both.a.child_sa("net").unique_id == before


def test_a_changed_connection_takes_effect_at_the_next_negotiation_and_not_before(both: Ours) -> None:
    both.configure(start_action="trap")
    both.start()
    both.reach()
    for gateway in (both.a, both.b):
        gateway.swanctl.configure(gateway.swanctl.file.read_text().replace("aes256gcm16\n", "aes128gcm16\n"))
        assert gateway.command("load").exit_code == 0
    both.reach()
    assert both.a.child_sa("net").raw["encr-keysize"] == b"256"
    both.a.terminate(ike="site")
    both.reach()
    assert both.a.child_sa("net").raw["encr-keysize"] == b"128"


def test_what_arrives_in_the_clear_is_dropped_and_counted(both: Ours) -> None:
    both.configure(start_action="trap")
    both.a.start()
    # Gateway b runs nothing: its host's packets travel unprotected, as a forger's would.
    both.sites.internet.route(both.sites.a.net, via=both.sites.a.outer)  # type: ignore[union-attr]
    assert ping(both.sites.b.host, both.sites.a.host_address, count=3).received == 0
    drops = both.a.command("status", "--json").json()["drops"]
    assert drops["unprotected"] == 3  # type: ignore[index]


def test_stopping_tells_the_peer_and_takes_everything_back(both: Ours) -> None:
    both.configure(start_action="trap")
    before = left_behind(both.sites.a.gateway)
    both.start()
    both.reach()
    assert left_behind(both.sites.a.gateway) != before
    both.a.stop()
    both.b.wait_nothing()
    assert both.a.process is not None
    assert both.a.process.exit_code == 0, both.a.log()
    assert left_behind(both.sites.a.gateway) == before
    assert not both.a.socket_path.exists()


def test_swanctl_sees_and_commands_a_gateway_of_ours(both: Ours) -> None:
    both.configure()
    both.start()

    def swanctl(*words: str) -> str:
        uri = f"unix://{both.a.socket_path}"
        done = subprocess.run(
            both.sites.a.gateway.argv(["swanctl", *words, "--uri", uri]),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    assert "initiate completed successfully" in swanctl("--initiate", "--child", "net")
    both.reach()
    shown = swanctl("--list-sas")
    for part in (
        "site: #1, ESTABLISHED, IKEv2",
        "net: #1, reqid 1, INSTALLED, TUNNEL, ESP:AES_GCM_16-256",
        "10.20.0.0/24",
    ):
        assert part in shown, shown
    assert "net: TUNNEL" in swanctl("--list-conns")
    assert "uptime" in swanctl("--stats")
    assert "fastesp" in swanctl("--version", "--daemon")
    assert "terminate completed successfully" in swanctl("--terminate", "--ike", "site")
    assert swanctl("--list-sas") == ""


QUICK = "retransmit_timeout = 0.3\n retransmit_base = 1.0\n retransmit_tries = 2"
"""A peer that is gone is taken for dead within a second."""


def quick(gateway: OurGateway) -> None:
    """Give a gateway short retransmission times, the way a strongSwan site would."""
    gateway.settings = QUICK


def kill(gateway: OurGateway) -> None:
    """As a power cut would: nothing is said to the peer."""
    assert gateway.process is not None
    gateway.process.signal(signal.SIGKILL)
    wait_until(lambda: gateway.process is not None and gateway.process.exit_code is not None, "its end", 10.0)


def test_a_dead_peer_is_noticed_and_dpd_action_restart_brings_the_tunnel_up_again(both: Ours) -> None:
    both.configure(connection="dpd_delay = 1s\n keyingtries = 0", child="dpd_action = restart")
    quick(both.a)
    both.start()
    both.a.initiate("net")
    kill(both.b)
    wait_until(lambda: "dead" in both.a.log(), "the dead peer to be noticed", 15.0)
    both.b.start()
    both.a.wait_child("net", 20.0)
    both.reach()


def test_close_action_start_brings_up_what_the_peer_closed(both: Ours) -> None:
    both.configure(child="close_action = start")
    both.b.swanctl.configure(configuration(both.sites.b, both.sites.a))
    both.start()
    both.a.initiate("net")
    for what in ({"child": "net"}, {"ike": "site"}):
        before = both.a.child_sa("net").unique_id
        both.b.terminate(**what)
        wait_until(
            lambda before=before: both.a.children() and both.a.child_sa("net").unique_id != before, "a new one", 10.0
        )  # type: ignore[misc]
    both.reach()


def test_an_unanswered_initiation_is_tried_again_keyingtries_times(both: Ours) -> None:
    both.configure(start_action="start", connection="keyingtries = 3")
    quick(both.a)
    both.a.start()
    wait_until(lambda: both.a.log().count("[peer-unreachable]") == 3, "three records", 20.0)
    both.b.swanctl.configure(configuration(both.sites.b, both.sites.a, connection="keyingtries = 3"))
    assert both.a.command("show", "failures", "--json").output.count('"peer-unreachable"') == 3


def test_force_forgets_an_ike_sa_whose_peer_is_gone(both: Ours) -> None:
    both.configure()
    both.start()
    both.a.initiate("net")
    kill(both.b)
    down = both.a.command("down", "site", "--force", "--timeout", "20")
    assert down.exit_code == 0, down
    assert both.a.ike_sas() == []


class Listener(threading.Thread):
    """A VICI client that hears events in the background, as a monitor does."""

    def __init__(self, gateway: OurGateway, *events: str) -> None:
        super().__init__(daemon=True)
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._gateway, self._events = gateway, events
        self._ready = threading.Event()
        self.start()
        assert self._ready.wait(10.0)

    def run(self) -> None:
        """Until the gateway goes."""
        with self._gateway.session() as session, contextlib.suppress(OSError, EventUnknownException):
            for kind, message in session.listen(list(self._events), timeout=0.2):
                self._ready.set()
                if kind is not None:
                    self.heard.append((kind.decode(), message))

    def wait(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """The first ``count`` messages of a kind."""
        wait_until(lambda: sum(k == kind for k, _ in self.heard) >= count, f"{count} {kind}", 10.0)
        return [message for k, message in self.heard if k == kind]


def test_a_monitor_hears_what_comes_goes_and_is_rekeyed_while_traffic_flows_on(both: Ours) -> None:
    both.configure()
    both.start()
    listener = Listener(both.a, "ike-updown", "child-updown", "ike-rekey", "child-rekey")
    both.a.initiate("net")
    (up,) = listener.wait("ike-updown")
    assert up["up"] == b"yes"
    assert up["site"]["remote-id"] == b"site-b.example.org"
    (child,) = listener.wait("child-updown")
    assert child["site"]["child-sas"]["net-1"]["state"] == b"INSTALLED"

    flow = threading.Thread(
        target=lambda: flows.append(ping(both.sites.a.host, both.sites.b.host_address, count=60, interval=0.05))
    )
    flows: list[Pings] = []
    flow.start()
    assert both.a.command("rekey", "net").exit_code == 0
    (rekeyed,) = listener.wait("child-rekey")
    old_new = rekeyed["site"]["child-sas"]["net-1"]
    assert old_new["old"]["spi-in"] != old_new["new"]["spi-in"]
    assert both.b.command("rekey", "site").exit_code == 0
    (moved,) = listener.wait("ike-rekey")
    assert moved["site"]["old"]["initiator-spi"] != moved["site"]["new"]["initiator-spi"]
    flow.join()
    assert flows[0].received == 60, "a rekey loses nothing"

    both.a.terminate(ike="site")
    last = listener.wait("child-updown", 2)[-1]
    assert "up" not in last
    (gone,) = last["site"]["child-sas"].values()
    assert int(gone["packets-in"]) > 0
    assert "up" not in listener.wait("ike-updown", 2)[-1]
    counters = both.a.command("show", "counters", "--json").output
    assert '"child_rekey": 1' in counters or '"child-rekey": 1' in counters, counters


def test_a_failure_is_heard_as_an_alert(both: Ours) -> None:
    both.configure()
    both.b.swanctl.configure(configuration(both.sites.b, both.sites.a, secret="another one for an afternoon"))
    both.start()
    listener = Listener(both.b, "alert")
    both.a.command("up", "net", "--timeout", "20")
    (alert,) = listener.wait("alert")
    assert alert["type"] == alert["code"]
    assert b"swanctl.conf:" in alert["change"]


def test_a_gateway_behind_a_nat_keeps_it_awake_and_an_unused_child_is_closed(lab: Lab) -> None:
    sites = two_sites(lab, router=True)
    both = Ours(lab, sites, OurGateway(lab, sites.a.gateway), OurGateway(lab, sites.b.gateway))
    assert sites.internet is not None
    sites.internet.masquerade(sites.b.name)
    both.configure(child="inactivity = 4s")
    # Behind its NAT, b sees a as the router's address.
    text = both.b.swanctl.file.read_text().replace(f"remote_addrs = {sites.a.outer}", "remote_addrs = %any")
    both.b.swanctl.configure(text)
    both.a.settings = "keep_alive = 1s"
    both.start()
    with Capture(lab, sites.b.gateway, WAN) as wire:
        assert both.a.command("up", "net").exit_code == 0
        both.reach()
        assert both.a.child_sa("net").encap
        wait_until(lambda: not both.a.children(), "the unused child to be closed", 15.0)
    seen = wire.check(dropped_allowed=True)
    assert seen["NAT keepalive"] >= 2, seen
    assert both.a.ike_sas() == [] or both.a.ike_sas()[0].children == ()
