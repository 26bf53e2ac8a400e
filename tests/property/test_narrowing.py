"""Narrowing beside a model that counts the packets of a small world (RFC 7296 section 2.9, RFC 4301 section 4.4.1)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import given, settings
from hypothesis import strategies as st

from ike.wire.selectors import TrafficSelector, narrow

SIZE = 4
PROTOCOLS = (0, 6, 17)
PORTS = (0, 1, 80, 443, 65535)
OPAQUE = -1
"""The port of a packet whose ports cannot be seen, such as a fragment."""


@st.composite
def selectors(draw: st.DrawFn) -> TrafficSelector:
    family = draw(st.sampled_from((IPv4Address, IPv6Address)))
    start, end = sorted(draw(st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1))))
    first, last = draw(
        st.sampled_from([(a, b) for a in PORTS for b in PORTS if a <= b] + [(0, 65535), (0, 65535), (65535, 0)])
    )
    return TrafficSelector(family(start), family(end), draw(st.sampled_from(PROTOCOLS)), first, last)


Packet = tuple[int, int, int, int]


def packets(selector: TrafficSelector) -> set[Packet]:
    """(family, address, protocol, port) of everything that lies within."""
    if selector.is_opaque:
        ports = {OPAQUE}
    else:
        ports = {port for port in PORTS if selector.start_port <= port <= selector.end_port}
        if (selector.start_port, selector.end_port) == (0, 65535):
            ports.add(OPAQUE)
    protocols = {selector.protocol} if selector.protocol else {1, 6, 17}
    addresses = range(int(selector.start), int(selector.end) + 1)
    return {(selector.version, at, protocol, port) for at in addresses for protocol in protocols for port in ports}


def all_packets(found: tuple[TrafficSelector, ...]) -> set[Packet]:
    return set().union(*map(packets, found))


some = st.lists(selectors(), min_size=1, max_size=4).map(tuple)


@settings(deadline=None)
@given(selectors(), selectors())
def test_an_intersection_is_what_lies_in_both(a: TrafficSelector, b: TrafficSelector) -> None:
    common = a.intersection(b)
    assert common == b.intersection(a)
    assert (packets(common) if common is not None else set()) == packets(a) & packets(b)
    assert a.contains(b) == (packets(b) <= packets(a) and (b.protocol == a.protocol or not a.protocol))


@settings(deadline=None)
@given(some, some)
def test_narrowing_leaves_what_both_sides_have_and_nothing_else(
    offered: tuple[TrafficSelector, ...], allowed: tuple[TrafficSelector, ...]
) -> None:
    found = narrow(offered, allowed)
    assert all_packets(found) == all_packets(offered) & all_packets(allowed)
    for one in found:
        assert any(theirs.contains(one) for theirs in offered)
        assert any(ours.contains(one) for ours in allowed)
        assert sum(other.contains(one) for other in found) == 1


@settings(deadline=None)
@given(some)
def test_what_is_allowed_whole_comes_back_without_what_is_said_twice(offered: tuple[TrafficSelector, ...]) -> None:
    found = narrow(offered, offered)
    assert all_packets(found) == all_packets(offered)
    assert set(found) <= set(offered)
    assert narrow(found, found) == found
