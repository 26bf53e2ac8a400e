"""Configurations come and go while traffic flows and SAs are rekeyed: nothing is lost, and memory stays where it is."""

from __future__ import annotations

import re
import threading

import pytest
from support.tunnels import Pair, configure, pair

from fastesp.lab import Lab
from fastesp.lab.namespace import Namespace
from fastesp.lab.process import wait_until

pytestmark = [pytest.mark.root, pytest.mark.peer]

ROUNDS = 200
WARM = 60
"""Rounds after which memory must stay: caches have filled by then."""

GROWTH = 2 << 20
"""Bytes: much less than 140 connections with their policies would take."""

REKEY_EVERY = 20


class Stream(threading.Thread):
    """A ping every 10 ms in the background; :meth:`end` says how many were sent and how many came back."""

    def __init__(self, source: Namespace, address: str) -> None:
        super().__init__(daemon=True)
        self._source, self._address = source, address
        self._printed = ""
        self.start()

    def run(self) -> None:
        """Until it is interrupted, as with Ctrl-C: ping then prints its summary."""
        words = ["timeout", "-s", "INT", "120", "ping", "-n", "-q", "-i", "0.01", self._address]
        self._printed = self._source.run("sh", "-c", f"{' '.join(words)} || true", timeout=150)

    def end(self) -> tuple[int, int]:
        """Stop it by its process id."""
        for pid in self._source.pids():
            self._source.run("sh", "-c", f"grep -qx ping /proc/{pid}/comm && kill -INT {pid} || true")
        self.join(10)
        found = re.search(r"(\d+) packets transmitted, (\d+) received", self._printed)
        assert found is not None, self._printed
        return int(found[1]), int(found[2])


def other(number: int, local: str = "10.10.0.0/24") -> dict[str, object]:
    """Another connection, with a trap and a shunt: policies come and go with it."""
    return {
        "version": "2",
        "remote_addrs": [f"192.0.2.{number % 200 + 1}"],
        "local": {"auth": "psk", "id": "site-a.example.org"},
        "remote": {"auth": "psk", "id": f"site-{number}.example.org"},
        "children": {
            "trapped": {"local_ts": [local], "remote_ts": [f"10.77.{number % 200}.0/24"], "start_action": "trap"},
            "clear": {
                "local_ts": [local],
                "remote_ts": [f"10.78.{number % 200}.0/24"],
                "mode": "pass",
                "start_action": "trap",
            },
        },
    }


def rounds(both: Pair) -> list[int]:
    """Load and unload, the live connection itself among them; resident memory of the gateway after each round."""
    assert both.ours.process is not None
    memory = []
    with both.ours.session() as session:
        site = dict(next(iter(session.list_conns()))["site"])
        assert site["children"]["net"]["mode"] == b"TUNNEL"
        for number in range(ROUNDS):
            name = f"other-{number}"
            session.load_conn({name: other(number)})
            session.load_shared({"id": name, "type": "IKE", "data": b"for a while", "owners": [f"{name}.example.org"]})
            if number % REKEY_EVERY == 5:
                assert session.rekey({"child": "net"})["matches"] >= b"1"
            if number % REKEY_EVERY == 15:
                assert session.rekey({"ike": "site"})["matches"] == b"1"
            if number % REKEY_EVERY == 10:
                session.reload_settings()
            session.unload_conn({"name": name})
            session.unload_shared({"id": name})
            memory.append(both.ours.process.rss())
    return memory


def test_200_loads_and_unloads_lose_no_packet_and_no_memory(lab: Lab) -> None:
    both = pair(lab)
    configure(both)
    both.start()
    both.ours.initiate("net")
    first = both.ours.child_sa("net")
    forth = Stream(both.sites.a.host, both.sites.b.host_address)
    back = Stream(both.sites.b.host, both.sites.a.host_address)
    memory = rounds(both)
    wait_until(lambda: len(both.ours.children()) == 1, "the last rekey to be done", 10.0)
    for stream in (forth, back):
        sent, received = stream.end()
        assert sent > 100
        assert sent - received <= 1, f"{sent} sent, {received} came back"  # one may still be on its way
    with both.ours.session() as session:
        assert session.get_conns() == {"conns": [b"site"]}
        assert session.get_shared() == {"keys": []}
        counters = session.get_counters()["counters"][""]
        assert int(counters["child-rekey"]) == int(counters["ike-rekey-init"]) == ROUNDS // REKEY_EVERY
        assert list(session.list_policies({"trap": "yes", "pass": "yes", "drop": "yes"})) == []
    assert both.ours.child_sa("net").spi_in != first.spi_in
    grown = sorted(memory[-20:])[10] - sorted(memory[WARM - 20 : WARM])[10]
    assert grown < GROWTH, f"{grown} bytes in {ROUNDS - WARM} rounds"
