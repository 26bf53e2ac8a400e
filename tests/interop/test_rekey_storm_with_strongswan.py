"""Both sides rekey everything every few seconds, each in its own rhythm, while traffic flows: no packet is lost."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest
from support.living import configured, living_pair
from support.tunnels import Pair

from fastesp.lab.process import wait_until
from fastesp.lab.traffic import Pings, ping

pytestmark = [pytest.mark.root, pytest.mark.peer]

SECONDS, INTERVAL = 11.0, 0.02
LIVES = "rand_time = 0\n        life_time = 60s\n        rekey_time = {}s"
IKE_LIVES = "rand_time = 0\n    over_time = 60s\n    rekey_time = {}s"


@pytest.fixture(scope="module")
def both() -> Iterator[Pair]:
    with living_pair() as made:
        yield made


def rekeyed(both: Pair) -> tuple[int, int]:
    """How many CHILD_SAs and IKE SAs were replaced so far, by charon's log."""
    log = both.theirs.log()
    return len(re.findall(r"CREATE_CHILD_SA request .*N\(REKEY_SA\)", log)), len(
        re.findall(r"IKE_SA site\[\d+\] rekeyed between", log)
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "esp"),
    [
        (("2", "5"), ("3", "7"), "aes256gcm16"),
        (("3", "7"), ("2", "5"), "aes256gcm16-x25519"),
        (("2", "5"), ("2", "5"), "aes256gcm16-x25519"),
    ],
    ids=["two-rhythms", "two-rhythms-with-pfs", "the-same-rhythm-with-pfs"],
)
def test_no_packet_is_lost_in_a_storm_of_rekeys(
    both: Pair, ours: tuple[str, str], theirs: tuple[str, str], esp: str
) -> None:
    sides = {
        name: {"child": LIVES.format(child), "connection": IKE_LIVES.format(ike)}
        for name, (child, ike) in (("ours", ours), ("theirs", theirs))
    }
    with configured(both, ours=sides["ours"], theirs=sides["theirs"], esp_proposals=esp):
        before = rekeyed(both)
        both.ours.initiate("net")
        both.theirs.wait_child("net")
        a, b = both.sites.a, both.sites.b
        results: list[Pings] = []
        count = int(SECONDS / INTERVAL)
        flows = [
            threading.Thread(target=lambda s=s, t=t: results.append(ping(s, t, count=count, interval=INTERVAL)))
            for s, t in ((a.host, b.host_address), (b.host, a.host_address))
        ]
        for flow in flows:
            flow.start()
        for flow in flows:
            flow.join()
        assert [result.sent - result.received for result in results] == [0, 0]
        children, ikes = (now - then for now, then in zip(rekeyed(both), before, strict=True))
        assert children >= 4
        assert ikes >= 1
        wait_until(lambda: settled(both), "one and the same CHILD_SA on both sides", 10.0)


def settled(both: Pair) -> bool:
    """Whether both hold one IKE SA with one CHILD_SA, the same one; between two rekeys they do."""
    ours, theirs = both.ours.ike_sas(), both.theirs.ike_sas()
    if [len(sa.children) for sa in (*ours, *theirs)] != [1, 1]:
        return False
    mine, other = ours[0].children[0], theirs[0].children[0]
    return (mine.spi_in, mine.spi_out) == (other.spi_out, other.spi_in)
