"""Which netlink messages the watch over the host's addresses heeds."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink import rtnl

from fastesp.gateway.addresses import concerns_us


def message(kind: int, body: bytes) -> bytes:
    """A netlink message, padded as the next one wants it."""
    data = struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body
    return data + bytes(-len(data) % 4)


def route(table: int, kind: int = rtnl.RTM_NEWROUTE) -> bytes:
    return message(kind, bytes([2, 24, 0, 0, table, 3, 0, 1]) + bytes(4))


@pytest.mark.parametrize("kind", [rtnl.RTM_NEWADDR, rtnl.RTM_DELADDR, rtnl.RTM_NEWLINK, rtnl.RTM_DELLINK])
def test_addresses_and_links_concern_us(kind: int) -> None:
    assert concerns_us(message(kind, bytes(16)))


def test_a_route_of_the_main_table_concerns_us_and_one_of_ours_does_not() -> None:
    assert concerns_us(route(254))
    assert concerns_us(route(254, rtnl.RTM_DELROUTE))
    assert not concerns_us(route(220))


def test_one_message_among_others_is_found_behind_padding() -> None:
    odd = message(rtnl.RTM_NEWROUTE, bytes([2, 24, 0, 0, 220, 3, 0]))
    assert not concerns_us(odd + route(220))
    assert concerns_us(odd + route(220) + message(rtnl.RTM_NEWADDR, bytes(8)))


def test_a_route_that_is_cut_short_concerns_nobody() -> None:
    assert not concerns_us(route(254)[:20])


@given(st.binary(max_size=200))
def test_any_bytes_come_to_an_end(data: bytes) -> None:
    assert concerns_us(data) in (True, False)


def test_a_message_that_claims_no_length_comes_to_an_end() -> None:
    assert not concerns_us(bytes(400))
