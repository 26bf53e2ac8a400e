"""What one engine seals another opens, and scapy opens; and the reverse: every suite, provider, family and mode."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import ESP
from support.engines import GCM, LEFT, LEFT6, RIGHT, RIGHT6, SUITES, Pair, carried, suite_id, udp

from fastesp.dataplane.base import Suite
from fastesp.engine import available_providers

PROVIDERS = sorted(available_providers())
every_suite = pytest.mark.parametrize("suite", SUITES, ids=suite_id)
# scapy has AES-GCM with its full ICV only; the shorter ones are held against the full one in test_providers.py.
every_suite_of_scapy = pytest.mark.parametrize(
    "suite", [suite for suite in SUITES if suite.encryption not in ("aes-gcm-8", "aes-gcm-12")], ids=suite_id
)
every_provider = pytest.mark.parametrize("provider", PROVIDERS)


@pytest.fixture(params=["noesn", "esn"])
def esn(request: pytest.FixtureRequest) -> bool:
    return request.param == "esn"


def pair(suite: Suite, provider: str, **options: object) -> Pair:
    """With the provider where it has the suite, and with all of them where it has not."""
    try:
        return Pair(suite, provider, options=dict(options))
    except ValueError as error:
        if "no crypto provider" not in str(error):
            raise
        return Pair(suite, options=dict(options))


@every_provider
@every_suite
def test_what_is_sealed_opens_again_at_every_length(suite: Suite, provider: str, esn: bool) -> None:
    two = pair(suite, provider, esn=esn)
    packets = [udp(size) for size in (*range(40), 255, 1372)]
    sealed = two.seal(*packets)
    assert two.open(*sealed) == packets
    if suite.encryption not in ("null", "aes-gmac"):
        assert not any(inner[28:] in outer for inner, outer in zip(packets[8:], sealed[8:], strict=True))


@every_provider
@every_suite_of_scapy
def test_scapy_opens_what_the_engine_sealed(suite: Suite, provider: str, esn: bool) -> None:
    two = pair(suite, provider, esn=esn)
    packet = udp(77)
    opened = two.scapy().decrypt(carried(two.seal(packet)[0]), **({"esn": 0} if esn else {}))
    assert bytes(opened) == packet


@every_provider
@every_suite_of_scapy
def test_the_engine_opens_what_scapy_sealed(suite: Suite, provider: str, esn: bool) -> None:
    two = pair(suite, provider, esn=esn)
    packet = udp(77)
    sealed = two.scapy().encrypt(IP(packet), seq_num=1, **({"esn": 0} if esn else {}))
    assert two.open(bytes(sealed[ESP])) == [packet]


@pytest.mark.parametrize("inner", [4, 6])
def test_either_family_travels_through_a_tunnel(inner: int) -> None:
    two = Pair()
    packet = udp(60, family=inner)
    (sealed,) = two.seal(packet)
    assert two.open(sealed) == [packet]
    for family, header in ((4, IP(src=LEFT, dst=RIGHT)), (6, IPv6(src=LEFT6, dst=RIGHT6))):
        opened = two.scapy(tunnel_header=header).decrypt(carried(sealed, family=family))
        assert bytes(opened) == packet


@every_provider
@pytest.mark.parametrize("suite", [GCM, Suite("aes-cbc", 256, "hmac-sha2-256")], ids=suite_id)
@pytest.mark.parametrize("family", [4, 6])
def test_transport_mode_agrees_with_scapy(suite: Suite, provider: str, family: int) -> None:
    left, right = (LEFT, RIGHT) if family == 4 else (LEFT6, RIGHT6)
    two = pair(suite, provider, mode="transport", local=ip_address(left), remote=ip_address(right))
    packet = udp(50, family=family, source=left, destination=right)
    (sealed,) = two.seal(packet)
    header = IP if family == 4 else IPv6
    opened = two.scapy().decrypt(carried(sealed, family=family))
    # The outer header is whoever sends' own: what must agree is what was protected.
    assert bytes(opened.payload) == bytes(header(packet).payload)
    again = two.scapy().encrypt(header(packet), seq_num=2)
    (delivered,) = two.open(bytes(again[ESP]))
    assert bytes(header(delivered).payload) == bytes(header(packet).payload)
    assert (header(delivered).src, header(delivered).dst) == (left, right)
    checked = header(delivered)
    if family == 4:
        checked.chksum = None
        assert bytes(header(bytes(checked)))[:20] == delivered[:20]


def test_a_batch_of_many_sas_and_sizes_keeps_its_order() -> None:
    pairs = [Pair(suite) for suite in SUITES[::5]]
    for two in pairs:
        packets = [udp(size) for size in range(1, 130)]
        assert two.open(*two.seal(*packets)) == packets
