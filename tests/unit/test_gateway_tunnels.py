"""From what IKE agreed on to what the data plane installs, and the life of SAs and traps in between."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from support.dataplanes import MemoryDataPlane
from support.events import LOCAL, NET, PATH, REMOTE, SITE, established

from fastesp.dataplane.base import DataPlaneError, OuterPath, PolicyAction, SaMode, Selector, Suite
from fastesp.gateway.translate import child_sa, lifetime_of, selectors_of, suite_of
from fastesp.gateway.tunnels import Tunnels
from ike.config import Child, Mode, TsTemplate
from ike.crypto.proposal import ProposalSpec
from ike.wire.constants import Encr, ProtocolId, TransformType
from ike.wire.payloads import Transform
from ike.wire.selectors import TrafficSelector


@pytest.mark.parametrize(
    ("text", "suite"),
    [
        ("aes256gcm16", Suite("aes-gcm-16", 256)),
        ("aes128gcm8", Suite("aes-gcm-8", 128)),
        ("aes192-sha512", Suite("aes-cbc", 192, "hmac-sha2-512")),
        ("aes128ctr-sha384", Suite("aes-ctr", 128, "hmac-sha2-384")),
        ("chacha20poly1305", Suite("chacha20-poly1305", 256)),
        ("null-sha256", Suite("null", 0, "hmac-sha2-256")),
    ],
)
def test_a_negotiated_suite_has_the_engines_name(text: str, suite: Suite) -> None:
    assert suite_of(ProposalSpec.parse(text, ProtocolId.ESP).transforms) == suite


def test_an_algorithm_that_no_engine_has_is_named() -> None:
    with pytest.raises(DataPlaneError, match="CAMELLIA_CBC_128"):
        suite_of((Transform(TransformType.ENCR, Encr.CAMELLIA_CBC, 128),))


def test_every_local_selector_goes_with_every_remote_one_of_its_family_and_protocol() -> None:
    six = TrafficSelector.of_network(ip_network("2001:db8::/64"))
    web = TrafficSelector.of_network(ip_network("10.30.0.0/24"), 6, 443, 443)
    name = TrafficSelector.of_network(ip_network("10.40.0.0/24"), 17, 53, 53)
    pairs = selectors_of((LOCAL, name), (REMOTE, six, web))
    assert [(p.protocol, str(p.remote_start), p.local_port_start, p.remote_port_start) for p in pairs] == [
        (0, "10.20.0.0", 0, 0),
        (6, "10.30.0.0", 0, 443),
        (17, "10.20.0.0", 53, 0),
    ]


def test_ports_are_there_exactly_when_packets_travel_in_udp() -> None:
    plain = child_sa(established(), NET, 1)
    assert plain.path == OuterPath(PATH.local, PATH.remote)
    assert not plain.path.udp_encap
    wrapped = child_sa(established(udp_encap=True), NET, 1)
    assert wrapped.path == OuterPath(PATH.local, PATH.remote, 4500, 4500)
    assert wrapped.mode is SaMode.TUNNEL
    assert wrapped.inbound.integrity_key is None


def test_tfc_padding_needs_a_peer_that_takes_it() -> None:
    padded = replace(NET, tfc_padding=1200)
    assert child_sa(established(), padded, 1).tfc_padding == 1200
    assert child_sa(established(peer_supports_tfc=False), padded, 1).tfc_padding == 0


def test_soft_limits_come_earlier_by_chance_and_hard_ones_do_not() -> None:
    limited = replace(NET, rekey_bytes=1000, rand_bytes=100, life_bytes=1100, rekey_packets=50, life_packets=60)
    assert lifetime_of(limited, lambda: 0.0).soft_bytes == 1000
    late = lifetime_of(limited, lambda: 1.0)
    assert (late.soft_bytes, late.hard_bytes, late.soft_packets, late.hard_packets) == (900, 1100, 50, 60)


def tunnels() -> tuple[Tunnels, MemoryDataPlane, list[str]]:
    dataplane = MemoryDataPlane()
    changes: list[str] = []
    live = Tunnels(dataplane, lambda p: changes.append(f"+{p.name}"), lambda p: changes.append(f"-{p.name}"))
    return live, dataplane, changes


def test_a_rekey_moves_traffic_when_the_peer_is_ready_and_keeps_the_reqid() -> None:
    live, dataplane, _ = tunnels()
    first = live.install(established(1), NET)
    live.send_on(1)
    second = live.install(established(2, replaces=1), NET)
    live.replace(1, 2)
    assert (dataplane.sending, dataplane.retired) == ([1], [])
    live.send_on(2)
    assert (dataplane.sending, dataplane.retired) == ([1, 2], [1])
    live.remove(1)
    assert first.reqid == second.reqid
    assert list(dataplane.sas) == [2]


def test_a_trap_shares_its_reqid_with_the_tunnel_it_brings_up_and_stays_when_that_goes() -> None:
    live, dataplane, _ = tunnels()
    trap = live.set_trap(SITE, NET, None, None)
    assert trap is not None
    assert trap.policy.action is PolicyAction.TRAP
    tunnel = live.install(established(), NET)
    assert tunnel.reqid == trap.policy.reqid
    live.remove(1)
    assert dataplane.traps == {"site/net": trap.policy}
    assert live.policies() == (trap.policy,)


def test_other_selectors_get_another_reqid_and_a_free_one_is_used_again() -> None:
    live, _, _ = tunnels()
    first = live.install(established(1), NET)
    other = live.install(established(2, remote_ts=(LOCAL,)), NET)
    assert first.reqid != other.reqid
    fixed = live.install(established(3, local_ts=(REMOTE,)), replace(NET, reqid=77))
    assert fixed.reqid == 77


def test_pass_and_drop_are_policies_of_their_own() -> None:
    live, dataplane, _ = tunnels()
    for mode, action in ((Mode.PASS, PolicyAction.BYPASS), (Mode.DROP, PolicyAction.DISCARD)):
        live.set_trap(SITE, replace(NET, name=mode.value, mode=mode), None, None)
        assert dataplane.traps[f"site/{mode.value}"].action is action
    assert live.clear_trap("site/pass")
    assert not live.clear_trap("site/pass")
    assert list(dataplane.traps) == ["site/drop"]


def test_dynamic_selectors_are_the_tunnels_ends_or_no_trap_at_all() -> None:
    live, dataplane, _ = tunnels()
    dynamic = Child("host", (TsTemplate(None, dynamic=True),), (TsTemplate(None, dynamic=True),))
    assert live.set_trap(SITE, dynamic, None, None) is None
    trap = live.set_trap(SITE, dynamic, PATH.local, PATH.remote)
    assert trap is not None
    assert trap.policy.selectors == (Selector(PATH.local, PATH.local, PATH.remote, PATH.remote),)
    assert list(dataplane.traps) == ["site/host"]


def test_a_refused_install_leaves_nothing_behind() -> None:
    live, dataplane, changes = tunnels()
    dataplane.refuse = "no AES here"
    with pytest.raises(DataPlaneError, match="no AES here"):
        live.install(established(), NET)
    assert list(live) == []
    assert live.policies() == ()
    assert not changes


def test_a_peer_that_moves_takes_all_sas_of_its_ike_sa_along() -> None:
    live, dataplane, _ = tunnels()
    live.install(established(1), NET)
    live.install(established(2, ike_id=9), NET)
    moved = replace(PATH, remote=ip_address("192.0.2.99"), remote_port=1024)
    live.move(1, moved, udp_encap=True)
    assert dataplane.paths[1] == OuterPath(PATH.local, ip_address("192.0.2.99"), 4500, 1024)
    assert dataplane.paths[2] == OuterPath(PATH.local, PATH.remote)
    live.adopt(9, 10)
    live.move(10, moved, udp_encap=True)
    assert dataplane.paths[2].remote_port == 1024


def test_every_change_of_policies_is_told() -> None:
    live, _, changes = tunnels()
    live.set_trap(SITE, NET, None, None)
    live.set_trap(SITE, NET, None, None)  # the same again changes nothing
    live.install(established(), NET)
    live.remove(1)
    live.remove(1)
    live.clear_trap("site/net")
    assert changes == ["+site/net", "+site/net", "-site/net", "-site/net"]
