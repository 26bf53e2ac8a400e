"""What is said of an SA's limits is said of that SA, also where another one has its slot by then."""

from __future__ import annotations

import os

from support.engines import GCM, Pair, any_packet, udp

from fastesp.dataplane.base import Lifetime


def test_a_limit_that_nobody_heard_of_is_not_told_of_the_sa_that_takes_the_slot_over() -> None:
    two = Pair(options={"lifetime": Lifetime(soft_packets=1, hard_packets=2)})
    two.open(*two.seal(udp(), udp()))
    two.a.remove_outbound(two.out)
    two.b.remove_inbound(two.into)
    assert two.a.install_outbound(77, GCM, os.urandom(36), epoch=1) == two.out
    assert two.b.install_inbound(77, GCM, os.urandom(36), selectors=any_packet()) == two.into
    assert two.a.events() == []
    assert two.b.events() == []


def test_limits_of_the_other_sas_stay_to_be_told() -> None:
    two = Pair(options={"lifetime": Lifetime(soft_packets=1)})
    two.open(*two.seal(udp()))
    gone = two.a.install_outbound(77, GCM, os.urandom(36), epoch=1)
    two.a.remove_outbound(gone)
    assert two.a.events() == [("out", two.out, "soft", "packets")]
    assert two.b.events() == [("in", two.into, "soft", "packets")]
