"""What strongswan.conf says of the life of an IKE SA reaches the endpoint; what is due is shown as charon shows it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from fastesp.config.strongswan_conf import load_strongswan_conf
from fastesp.gateway.commands.views import ike_view
from fastesp.gateway.options import Options
from fastesp.gateway.tuning import timing_of, tuned
from ike.events import Path as Way
from ike.status import IkeSaInfo

INFO = IkeSaInfo(
    ike_id=1,
    connection="site",
    state="ESTABLISHED",
    initiator=True,
    spi_i=b"a" * 8,
    spi_r=b"b" * 8,
    local_id=None,
    remote_id=None,
    path=Way(ip_address("203.0.113.10"), 500, ip_address("198.51.100.20"), 500),
    suite=(),
    nat_local=False,
    nat_remote=False,
    established_at=100.0,
    rekey_at=400.0,
    tasks=(),
    children=(),
    reauth_at=900.5,
)


def test_retransmission_order_of_breaking_and_windows_are_read(tmp_path: Path) -> None:
    file = tmp_path / "strongswan.conf"
    file.write_text(
        "charon {\n retransmit_jitter = 20\n retransmit_limit = 7.5\n make_before_break = yes\n}\n"
        "fastesp {\n window_size = 3\n quick_crash_detection = no\n}\n"
    )
    daemon = load_strongswan_conf(file)
    assert daemon.remarks == ()
    timing = timing_of(daemon)
    assert (timing.retransmit_jitter, timing.retransmit_limit) == (20, 7.5)
    assert (timing.make_before_break, timing.window_size) == (True, 3)
    assert [timing.wait(n) for n in range(3)] == [4.0, 7.2, 7.5]
    assert timing.wait(2, 0.5) == 7.5 * 0.9
    assert not tuned(Options(), daemon).quick_crash_detection


def test_the_defaults_are_strongswans_where_strongswan_has_them(tmp_path: Path) -> None:
    file = tmp_path / "strongswan.conf"
    file.write_text("")
    timing = timing_of(load_strongswan_conf(file))
    assert (timing.retransmit_jitter, timing.retransmit_limit, timing.make_before_break) == (0, 0.0, False)


def test_when_it_is_reauthenticated_stands_behind_when_it_is_rekeyed() -> None:
    view = ike_view(INFO, 200.0)
    keys = list(view)
    assert keys[keys.index("established") :] == ["established", "rekey-time", "reauth-time"]
    assert view["reauth-time"] == "700"
    assert "reauth-time" not in ike_view(replace(INFO, reauth_at=None), 200.0)
