"""Priorities as a configuration may write them: 32 bits, doubled where traps stand between SAs."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from support.engines import any_packet, selector

from fastesp.dataplane.base import PolicyAction
from fastesp.engine.policy import Policies

HIGHEST = 2 * 0xFFFFFFFF + 1


def met(policies: Policies) -> int | None:
    return policies.match(4, ip_address("10.0.0.1"), ip_address("10.0.0.2"), 17, 1, 2)


def test_priorities_of_33_bits_are_ranked() -> None:
    policies = Policies(8, 2, None)
    last = policies.add(any_packet(), PolicyAction.TRAP, priority=HIGHEST)
    assert met(policies) == last
    before = policies.add(any_packet(), PolicyAction.TRAP, priority=HIGHEST - 1)
    assert met(policies) == before
    first = policies.add(any_packet(), PolicyAction.TRAP, priority=1 << 31)
    assert met(policies) == first


def test_a_narrow_selector_does_not_outrank_a_priority() -> None:
    policies = Policies(8, 2, None)
    wide = policies.add(any_packet(), PolicyAction.TRAP, priority=HIGHEST - 1)
    policies.add([selector("10.0.0.1", "10.0.0.2", protocol=17)], PolicyAction.TRAP, priority=HIGHEST)
    assert met(policies) == wide


def test_more_than_ranks_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="priority is at most"):
        Policies(8, 2, None).add(any_packet(), PolicyAction.TRAP, priority=1 << 48)
