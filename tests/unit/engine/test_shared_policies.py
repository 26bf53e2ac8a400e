"""A policy with several outbound SAs (RFC 9611): each flow has one of them, and keeps it."""

from __future__ import annotations

import os
from collections import Counter
from ipaddress import ip_address

import pytest
from support.engines import GCM, SPI, any_packet, batch_of, udp, verdicts

from fastesp.dataplane.base import PolicyAction
from fastesp.engine import Engine, Verdict
from fastesp.engine.policy import Policies


def engine_with(count: int) -> tuple[Engine, int, list[int]]:
    """An engine, its one policy, and the SAs that may send for it."""
    engine = Engine(max_sas=16, max_policies=4, flows=64)
    slots = [engine.install_outbound(SPI + at, GCM, os.urandom(36), b"", epoch=1, **ends()) for at in range(count)]
    return engine, engine.add_policy(any_packet(), PolicyAction.PROTECT, sa=slots[0]), slots


def ends() -> dict[str, object]:
    return {"local": ip_address("198.51.100.1"), "remote": ip_address("203.0.113.2")}


def chosen(engine: Engine, ports: range) -> list[int]:
    """The SA on which a packet of each flow left."""
    taken = []
    for port in ports:
        batch = batch_of(udp(sport=port))
        engine.encapsulate(batch, 1)
        assert verdicts(batch) == [Verdict.OK]
        taken.append(int(batch.view["sa"][0]))
    return taken


def test_flows_are_spread_over_all_of_them_and_each_keeps_its_own() -> None:
    engine, policy, slots = engine_with(4)
    engine.share_policy(policy, slots)
    # More flows than the cache has places: what is looked up anew is the same as what was cached.
    first = chosen(engine, range(1000, 1400))
    assert chosen(engine, range(1000, 1400)) == first
    shares = Counter(first)
    assert set(shares) == set(slots)
    assert all(60 <= count <= 140 for count in shares.values()), shares


def test_a_change_of_the_shares_counts_from_the_next_packet_on() -> None:
    engine, policy, slots = engine_with(3)
    assert set(chosen(engine, range(50))) == {slots[0]}
    engine.share_policy(policy, slots)
    assert set(chosen(engine, range(50))) == set(slots)
    engine.share_policy(policy, slots[1:])
    assert set(chosen(engine, range(50))) == set(slots[1:])
    assert engine.policies.sas_of(policy) == tuple(slots[1:])
    engine.change_policy(policy, sa=slots[2])
    assert set(chosen(engine, range(50))) == {slots[2]}
    assert engine.policies.sas_of(policy) == (slots[2],)


def test_a_removed_policy_shares_nothing_and_its_slot_starts_anew() -> None:
    policies = Policies(2, 2)
    slot = policies.add(any_packet(), "protect", sa=7)
    policies.share(slot, [7, 8, 9])
    policies.remove(slot)
    again = policies.add(any_packet(), "protect", sa=5)
    assert again == slot
    assert policies.sas_of(again) == (5,)


@pytest.mark.parametrize(("sas", "error"), [([], ValueError), ([-1], OverflowError), (["1"], TypeError)])
def test_callers_mistakes_leave_the_policy_as_it_was(sas: list, error: type[Exception]) -> None:
    policies = Policies(2, 2)
    slot = policies.add(any_packet(), "protect", sa=7)
    policies.share(slot, [3, 4])
    with pytest.raises(error):
        policies.share(slot, sas)
    assert policies.sas_of(slot) == (3, 4)
    with pytest.raises(KeyError):
        policies.share(slot + 1, [1])
