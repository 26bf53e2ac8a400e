"""What two sides with different selectors agree on (RFC 7296 section 2.9), or why they do not."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_network

import pytest
from support.peers import ESP, A, B, World, assert_mirrored, both, esp, psk_pair

from ike.config import Child, TsTemplate
from ike.wire.selectors import TrafficSelector

PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1}


def template(text: str) -> TsTemplate:
    """As in swanctl.conf: ``10.0.0.0/24[tcp/80-90]``, ``dynamic[udp/53]``, ``[tcp/opaque]``."""
    net, _, rest = text.rstrip("]").partition("[")
    name, _, ports = rest.partition("/")
    protocol = PROTOCOLS.get(name, 0)
    first, _, last = ports.partition("-")
    start, end = (65535, 0) if ports == "opaque" else (int(first), int(last or first)) if ports else (0, 65535)
    if net == "dynamic":
        return TsTemplate(None, dynamic=True, protocol=protocol, start_port=start, end_port=end)
    return TsTemplate(TrafficSelector.of_network(ip_network(net), protocol, start, end))


def child(local: str, remote: str, name: str = "net") -> Child:
    return Child(name, *(tuple(map(template, side.split())) for side in (local, remote)), esp(ESP))


def agreed(
    a: list[Child], b: list[Child], packet: tuple[TrafficSelector, TrafficSelector] | None = None
) -> tuple[World, str, str]:
    """What a has locally and remotely of what it asked for; empty where nothing came up."""
    world = psk_pair(a={"children": tuple(a)}, b={"children": tuple(b)})
    left, right = both(world)
    left.endpoint.initiate("site", a[0].name, world.now, local=A, remote=B, packet=packet)
    world.run(1)
    assert_mirrored(left, right)
    if not left.installed:
        return world, "", ""
    (made,) = left.installed.values()
    return world, " ".join(map(str, made.local_ts)), " ".join(map(str, made.remote_ts))


CASES = {
    "everything and one network": ("0.0.0.0/0", "0.0.0.0/0", "10.1.0.0/16", "0.0.0.0/0", "0.0.0.0/0", "10.1.0.0/16"),
    "everything on both sides": ("0.0.0.0/0", "0.0.0.0/0", "0.0.0.0/0", "0.0.0.0/0", "0.0.0.0/0", "0.0.0.0/0"),
    "several of several": (
        "10.1.0.0/16 10.2.0.0/16",
        "10.8.0.0/16",
        "10.8.1.0/24 10.8.2.0/24 10.9.0.0/16",
        "10.2.3.0/24 10.1.0.0/24",
        "10.1.0.0/24 10.2.3.0/24",
        "10.8.1.0/24 10.8.2.0/24",
    ),
    "any protocol and two of them": (
        "10.1.0.0/16",
        "10.8.0.0/16",
        "10.8.0.0/16[tcp] 10.8.0.0/16[udp/53]",
        "10.1.0.0/16",
        "10.1.0.0/16",
        "10.8.0.0/16[tcp] 10.8.0.0/16[udp/53]",
    ),
    "a range of ports": (
        "10.1.0.0/16[tcp]",
        "10.8.0.0/16[tcp/80-443]",
        "10.8.0.0/16[tcp/400-500]",
        "10.1.0.0/16",
        "10.1.0.0/16[tcp]",
        "10.8.0.0/16[tcp/400-443]",
    ),
    "fragments are among any port": (
        "10.1.0.0/16[tcp]",
        "10.8.0.0/16[tcp]",
        "10.8.0.0/16[tcp/opaque]",
        "10.1.0.0/16",
        "10.1.0.0/16[tcp]",
        "10.8.0.0/16[tcp/OPAQUE]",
    ),
    "one family of two": (
        "10.1.0.0/16 2001:db8:1::/48",
        "10.8.0.0/16 2001:db8:8::/48",
        "2001:db8:8::/48",
        "2001:db8:1::/48 10.1.0.0/16",
        "10.1.0.0/16 2001:db8:1::/48",
        "2001:db8:8::/48",
    ),
    "dynamic hosts": ("dynamic", "dynamic", "dynamic", "dynamic", f"{A}/32", f"{B}/32"),
    "dynamic with a protocol and a port": (
        "dynamic[tcp]",
        "dynamic[tcp/443]",
        "dynamic[tcp]",
        "dynamic",
        f"{A}/32[tcp]",
        f"{B}/32[tcp/443]",
    ),
    "dynamic and the network that it lies in": (
        "dynamic",
        "10.8.0.0/16",
        "10.8.0.0/16",
        "203.0.113.0/24",
        f"{A}/32",
        "10.8.0.0/16",
    ),
    "said twice, taken once": (
        "10.1.0.0/16 10.1.1.0/24",
        "10.8.0.0/16",
        "10.8.0.0/16 10.8.0.0/15",
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.8.0.0/16",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_both_agree_on_what_both_have(name: str) -> None:
    a_local, a_remote, b_local, b_remote, local, remote = CASES[name]
    world, has_local, has_remote = agreed([child(a_local, a_remote)], [child(b_local, b_remote)])
    assert (has_local, has_remote) == (local, remote)
    for peer in both(world):
        assert peer.failures == []


REFUSED = {
    "other networks": ("10.1.0.0/16", "10.8.0.0/16", "10.9.0.0/16", "10.1.0.0/16"),
    "other protocols": ("10.1.0.0/16[tcp]", "10.8.0.0/16[tcp]", "10.8.0.0/16[udp]", "10.1.0.0/16"),
    "other ports": ("10.1.0.0/16[tcp]", "10.8.0.0/16[tcp/80]", "10.8.0.0/16[tcp/81]", "10.1.0.0/16"),
    "fragments and a range of ports": (
        "10.1.0.0/16[tcp]",
        "10.8.0.0/16[tcp/1-65535]",
        "10.8.0.0/16[tcp/opaque]",
        "10.1.0.0/16",
    ),
    "other families": ("10.1.0.0/16", "10.8.0.0/16", "2001:db8:8::/48", "2001:db8:1::/48"),
    "another host": ("10.1.1.1/32", "dynamic", "dynamic", "dynamic"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_in_common_is_refused_and_both_say_why(name: str) -> None:
    a_local, a_remote, b_local, b_remote = REFUSED[name]
    world, local, remote = agreed([child(a_local, a_remote)], [child(b_local, b_remote)])
    assert (local, remote) == ("", "")
    for peer in both(world):
        assert peer.failure.code == "ts-unacceptable"
        assert len(peer.established()) == 1


def host(address: str, protocol: int = 0, port: int | None = None) -> TrafficSelector:
    first, last = (port, port) if port is not None else (0, 65535)
    return TrafficSelector(IPv4Address(address), IPv4Address(address), protocol, first, last)


@pytest.mark.parametrize(("to", "section"), [("10.8.1.7", "one"), ("10.8.2.7", "two"), ("10.8.3.7", "three")])
def test_the_packet_that_asked_decides_between_children_that_take_a_part(to: str, section: str) -> None:
    wide = child("10.1.0.0/16", "10.8.0.0/16")
    parts = [child(f"10.8.{n}.0/24", "10.1.0.0/16", name) for n, name in enumerate(("one", "two", "three"), 1)]
    world, _, remote = agreed([wide], parts, (host("10.1.0.5", 6, 40000), host(to, 6, 443)))
    (made,) = both(world)[1].installed.values()
    assert made.child == section
    assert remote == str(made.local_ts[0])
    assert made.local_ts[0].contains(host(to, 6, 443))


def test_a_child_that_takes_the_offer_whole_goes_before_one_that_takes_a_part() -> None:
    parts = [child("10.8.1.0/24", "10.1.0.0/16", "part"), child("10.8.0.0/16", "10.1.0.0/16", "whole")]
    world, _, remote = agreed([child("10.1.0.0/16", "10.8.0.0/16")], parts)
    assert remote == "10.8.0.0/16"
    assert next(iter(both(world)[1].installed.values())).child == "whole"


def test_a_packet_outside_of_the_selectors_does_not_lead_them() -> None:
    packet = (host("192.0.2.1", 6, 1), host("192.0.2.2", 6, 2))
    _, local, remote = agreed([child("10.1.0.0/16", "10.8.0.0/16")], [child("10.8.0.0/16", "10.1.0.0/16")], packet)
    assert (local, remote) == ("10.1.0.0/16", "10.8.0.0/16")
