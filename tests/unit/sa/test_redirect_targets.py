"""Where a REDIRECT may lead: to a gateway that can be one."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ike.sa.redirect import KINDS, target
from ike.wire.constants import IdType, NotifyType
from ike.wire.payloads import NotifyPayload


def naming(address: str) -> NotifyPayload:
    packed = ip_address(address).packed
    kind = KINDS[IdType.IPV4_ADDR if len(packed) == 4 else IdType.IPV6_ADDR]
    return NotifyPayload(NotifyType.REDIRECT, bytes((kind, len(packed))) + packed)


@pytest.mark.parametrize("address", ["192.0.2.1", "10.0.0.1", "2001:db8::1", "fe80::1"])
def test_an_address_of_somebody_is_a_gateway(address: str) -> None:
    assert target(naming(address)) is not None


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:0.0.0.0",
    ],
)
def test_an_address_of_nobody_or_of_ourselves_is_none(address: str) -> None:
    assert target(naming(address)) is None
