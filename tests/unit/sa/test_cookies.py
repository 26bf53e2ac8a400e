"""Cookies (RFC 7296 section 2.6): good for one source, SPI and nonce, for a while."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from ike.sa.cookies import COOKIE_LENGTH, SECRET_LIFE, Doorkeeper
from ike.timing import Timing

A = IPv4Address("192.0.2.1")
SPI = b"12345678"
NONCE = bytes(range(32))


def keeper(**more: int) -> Doorkeeper:
    return Doorkeeper(random.Random(1).randbytes, Timing(**more))  # type: ignore[arg-type]


def test_a_cookie_is_good_for_what_it_was_made_for_alone() -> None:
    made = keeper()
    cookie = made.cookie(A, SPI, NONCE, 0.0)
    assert len(cookie) == COOKIE_LENGTH <= 64
    assert made.is_mine(cookie, A, SPI, NONCE, 0.0)
    assert not made.is_mine(cookie, IPv4Address("192.0.2.2"), SPI, NONCE, 0.0)
    assert not made.is_mine(cookie, IPv6Address("::c000:201"), SPI, NONCE, 0.0)
    assert not made.is_mine(cookie, A, b"12345679", NONCE, 0.0)
    assert not made.is_mine(cookie, A, SPI, NONCE[:-1], 0.0)


@pytest.mark.parametrize("at", range(COOKIE_LENGTH))
def test_a_changed_cookie_is_none(at: int) -> None:
    made = keeper()
    cookie = bytearray(made.cookie(A, SPI, NONCE, 0.0))
    cookie[at] ^= 1
    assert not made.is_mine(bytes(cookie), A, SPI, NONCE, 0.0)


@pytest.mark.parametrize("cookie", [b"", b"\1", bytes(COOKIE_LENGTH), bytes(64), bytes(COOKIE_LENGTH + 1)])
def test_garbage_is_no_cookie(cookie: bytes) -> None:
    assert not keeper().is_mine(cookie, A, SPI, NONCE, 0.0)


def test_a_cookie_outlives_one_change_of_the_secret_and_not_two() -> None:
    made = keeper()
    cookie = made.cookie(A, SPI, NONCE, 0.0)
    assert made.is_mine(cookie, A, SPI, NONCE, SECRET_LIFE + 1)
    assert not made.is_mine(cookie, A, SPI, NONCE, 2 * SECRET_LIFE + 2)


def test_a_cookie_does_not_outlive_a_long_silence() -> None:
    made = keeper()
    cookie = made.cookie(A, SPI, NONCE, 0.0)
    assert not made.is_mine(cookie, A, SPI, NONCE, 10 * SECRET_LIFE)


def test_a_source_is_asked_from_its_threshold_on_and_others_are_not() -> None:
    made = keeper(cookie_threshold_ip=2)
    made.enter(A)
    assert not made.wants_cookie(A)
    made.enter(A)
    assert made.wants_cookie(A)
    assert not made.wants_cookie(IPv4Address("192.0.2.2"))
    made.leave(A)
    assert not made.wants_cookie(A)


def test_everybody_is_asked_from_the_common_threshold_on() -> None:
    made = keeper(cookie_threshold=3)
    for number in range(3):
        assert not made.wants_cookie(A)
        made.enter(ip_address(number))
    assert made.wants_cookie(A)


def test_a_full_house_takes_nobody() -> None:
    made = keeper(half_open_limit=1)
    assert not made.turns_away(A)
    made.enter(A)
    assert made.turns_away(A)
    assert made.turns_away(IPv4Address("192.0.2.2"))
    made.leave(A)
    assert not made.turns_away(A)


@pytest.mark.parametrize(("own", "other"), [("192.0.2.{}", "198.51.100.1"), ("2001:db8::{}", "2001:db8:0:1::1")])
def test_one_source_takes_half_of_the_places_at_most(own: str, other: str) -> None:
    made = keeper(half_open_limit=8)
    addresses = [ip_address(own.format(1 if "." in own else number)) for number in range(1, 5)]
    for address in addresses:
        assert not made.turns_away(address)
        made.enter(address)
    assert made.turns_away(addresses[0])
    assert not made.turns_away(ip_address(other))
    for address in addresses:
        made.leave(address)
    assert made.half_open == 0
    assert not made.turns_away(addresses[0])
