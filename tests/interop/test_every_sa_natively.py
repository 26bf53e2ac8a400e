"""Every algorithm and mode between two data planes of ours: raw sockets, UDP, and the TUN of both sides."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from support.exchange import datagrams, pings, stream
from support.sa_cases import AH_GMAC, CASES, Case
from support.sides import Bed, bed

from fastesp.io.sockets import IP_MTU_DISCOVER, PMTUDISC_DONT

pytestmark = pytest.mark.root

SIZES = (0, 1, 2, 3, 15, 16, 17, 511, 1001, 1337)
"""Payload bytes; the largest fits the TUN with either IP version's headers."""


@pytest.fixture(scope="module")
def sides() -> Iterator[Bed]:
    with bed(kernel=False) as made:
        yield made


@pytest.mark.parametrize("case", [*CASES, *AH_GMAC], ids=str)
def test_packets_of_all_sizes_and_tcp_arrive_both_ways(sides: Bed, case: Case) -> None:
    with sides.connected(case):
        for near, far in sides.ends(case):
            pings(near, far, SIZES)
            pings(far, near, SIZES)
            datagrams(near, far, SIZES)
            stream(near, far, 200_000)


@pytest.fixture
def narrow(sides: Bed) -> Iterator[Bed]:
    """A wire that no packet of full length fits."""
    for side in (sides.a, sides.b):
        side.namespace.ip("link", "set", "dev", "wire", "mtu", "1300")
    yield sides
    for side in (sides.a, sides.b):
        side.namespace.ip("link", "set", "dev", "wire", "mtu", "1500")


@pytest.mark.parametrize("ah", [False, True], ids=["esp", "ah"])
@pytest.mark.parametrize("outer", [4, 6], ids=["over-ipv4", "over-ipv6"])
def test_without_df_what_is_too_long_crosses_in_fragments(narrow: Bed, outer: int, ah: bool) -> None:
    case = Case(("", 0, "hmac-sha2-256"), ah=True, outer=outer) if ah else Case(outer=outer)
    with narrow.connected(case):
        (near, far), _ = narrow.ends(case)
        for source, target in ((near, far), (far, near)):
            with source.socket(socket.SOCK_DGRAM) as out, target.socket(socket.SOCK_DGRAM) as into:
                out.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DONT)
                for size in (1200, 1301, 1372):
                    out.sendto(bytes([size % 256]) * size, into.getsockname())
                    assert into.recv(2000) == bytes([size % 256]) * size


@pytest.mark.parametrize("ah", [False, True], ids=["esp", "ah"])
@pytest.mark.parametrize("outer", [4, 6], ids=["over-ipv4", "over-ipv6"])
def test_ipv6_gets_its_1280_bytes_through_a_narrow_path(narrow: Bed, outer: int, ah: bool) -> None:
    case = Case(("", 0, "hmac-sha2-512"), ah=True, outer=outer) if ah else Case(outer=outer)
    with narrow.connected(case):
        _, (near, far) = narrow.ends(case)
        pings(near, far, [1280 - 40 - 8])
        pings(far, near, [1280 - 40 - 8])


TCP_MAXSEG = 2
TCP_TIMESTAMPS = 12


@pytest.mark.parametrize("index", [0, 1], ids=["ipv4", "ipv6"])
def test_tcp_learns_from_its_handshake_what_fits_the_path(narrow: Bed, index: int) -> None:
    """Its own device has 1,400 bytes, too: routers further off might not answer what is too big."""
    for side in (narrow.a, narrow.b):
        side.namespace.ip("link", "set", "dev", "wire", "mtu", "1400")
    with narrow.connected(Case(outer=6)):
        near, far = list(narrow.ends(Case(outer=6)))[index]
        for source, target in ((near, far), (far, near)):
            with target.socket(socket.SOCK_STREAM) as server, source.socket(socket.SOCK_STREAM) as client:
                server.listen(1)
                client.connect(server.getsockname())
                segment = client.getsockopt(socket.IPPROTO_TCP, TCP_MAXSEG)
        pings(near, far, [10])
        # 1,400 less IPv6, ESP, IV, trailer and ICV, less IPv6 and TCP.
        most = 1400 - 40 - 8 - 8 - 2 - 16 - 40 - 20
        assert most - TCP_TIMESTAMPS - 4 < segment <= most - TCP_TIMESTAMPS
