"""What fits a path: the longest inner packet, sealed by a real engine, is just as long as the path takes."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from support.engines import LEFT, LEFT6, RIGHT, RIGHT6, SUITES, Pair, suite_id, udp
from support.plane_process import child

from fastesp.dataplane.base import ChildSa, OuterPath, SaMode, SaProtocol, Suite
from fastesp.dataplane.overhead import fits_joined, inner_mtu, tcp_mss
from fastesp.engine import INTEGRITY

PATH_MTU = 1400
IP_HEADER = {4: 20, 6: 40}
ENDS = {4: (LEFT, RIGHT), 6: (LEFT6, RIGHT6)}


def sa(suite: Suite, *, protocol: int = 50, mode: str = "tunnel", version: int = 4, port: int = 0) -> ChildSa:
    near, far = ENDS[version]
    return child(
        {
            "child_id": 1,
            "selectors": [["10.1.0.0-10.1.255.255", "10.2.0.0-10.2.255.255"]],
            "path": [near, far, port, port],
            "spi_in": 256,
            "spi_out": 257,
            "suite": [suite.encryption, suite.key_bits, suite.integrity],
            "protocol": protocol,
            "mode": mode,
        }
    )


def on_the_wire(made: ChildSa, inner: int) -> int:
    """Bytes of the outer packet that an inner one of ``inner`` bytes becomes."""
    version = made.path.remote.version
    near, far = (str(made.path.local), str(made.path.remote))
    options = {
        "protocol": made.protocol.value,
        "mode": made.mode.value,
        "local": ip_address(near),
        "remote": ip_address(far),
    }
    pair = Pair(made.outbound.suite, options=options)
    family = version if made.mode is SaMode.TRANSPORT else 4
    ends = {"source": near, "destination": far} if made.mode is SaMode.TRANSPORT else {}
    packet = udp(inner - IP_HEADER[family] - 8, family=family, **ends)
    assert len(packet) == inner
    sealed = len(pair.seal(packet)[0])
    if made.protocol is SaProtocol.AH:
        return sealed
    return IP_HEADER[version] + (8 if made.path.udp_encap else 0) + sealed


@pytest.mark.parametrize("port", [0, 4500], ids=["protocol-50", "udp"])
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("mode", ["tunnel", "transport"])
@pytest.mark.parametrize("suite", SUITES, ids=suite_id)
def test_the_longest_packet_fits_in_esp_and_the_next_one_does_not(
    suite: Suite, mode: str, version: int, port: int
) -> None:
    made = sa(suite, mode=mode, version=version, port=port)
    longest = inner_mtu(made, PATH_MTU)
    assert on_the_wire(made, longest) <= PATH_MTU < on_the_wire(made, longest + 1)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("mode", ["tunnel", "transport"])
@pytest.mark.parametrize("integrity", INTEGRITY)
def test_the_longest_packet_fits_in_ah_to_the_byte(integrity: str, mode: str, version: int) -> None:
    made = sa(Suite("", 0, integrity), protocol=51, mode=mode, version=version)
    assert on_the_wire(made, inner_mtu(made, PATH_MTU)) == PATH_MTU


def test_what_ip_promises_to_carry_is_never_too_long() -> None:
    assert inner_mtu(sa(Suite("aes-gcm-16", 256)), 60) == 68


def test_joined_datagrams_leave_room_for_what_transport_mode_puts_before_them() -> None:
    gcm, null = Suite("aes-gcm-16", 256), Suite("null", 0, "hmac-sha1")
    assert fits_joined(sa(gcm, version=6, port=4500))
    assert fits_joined(sa(gcm, mode="transport", port=4500))
    assert fits_joined(sa(null, mode="transport", version=6))
    assert not fits_joined(sa(null, mode="transport", port=4500))
    assert not fits_joined(sa(gcm, mode="transport", version=6, port=4500))
    moved = replace(sa(gcm, mode="transport"), path=OuterPath(ip_address(LEFT), ip_address(RIGHT), 4500, 4500))
    assert fits_joined(moved)


@pytest.mark.parametrize(("selectors", "mss"), [((4,), 1360), ((6,), 1340), ((4, 6), 1340)])
def test_tcp_is_told_what_fits_both_ip_versions(selectors: tuple[int, ...], mss: int) -> None:
    ranges = {4: ["10.1.0.0-10.1.0.9", "10.2.0.0-10.2.0.9"], 6: ["fd01::-fd01::9", "fd02::-fd02::9"]}
    made = child(
        {
            "child_id": 1,
            "selectors": [ranges[version] for version in selectors],
            "path": [LEFT, RIGHT, 0, 0],
            "spi_in": 256,
            "spi_out": 257,
        }
    )
    assert tcp_mss(made, 1400) == mss
