"""The mailbox between a worker and the control plane."""

from __future__ import annotations

import os

import pytest

from fastesp.io.mailbox import Mailbox


@pytest.fixture
def bell() -> int:
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    yield fd
    os.close(fd)


def test_records_come_out_in_order_and_whole_over_the_ring_s_end(bell: int) -> None:
    mailbox = Mailbox(4096, bell)
    for number in range(300):
        record = bytes([number % 256]) * (number * 7 % 900)
        assert mailbox.put_record(record)
        assert mailbox.drain() == [record]


def test_a_full_mailbox_counts_what_it_loses(bell: int) -> None:
    mailbox = Mailbox(4096, bell)
    kept = sum(mailbox.put_record(bytes(1000)) for _ in range(10))
    assert kept == 4
    assert mailbox.lost == 6
    assert len(mailbox.drain()) == 4
    assert mailbox.put_record(b"again")


def test_the_bell_rings_once_until_the_next_drain(bell: int) -> None:
    mailbox = Mailbox(4096, bell)
    mailbox.put_record(b"one")
    mailbox.put_record(b"two")
    assert os.eventfd_read(bell) == 1
    assert mailbox.drain(limit=1) == [b"one"]
    mailbox.put_record(b"three")
    assert os.eventfd_read(bell) == 1
    assert mailbox.drain() == [b"two", b"three"]


def test_a_size_that_is_no_power_of_two_is_refused(bell: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        Mailbox(5000, bell)
