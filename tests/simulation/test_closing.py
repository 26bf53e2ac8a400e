"""Closing an IKE SA whose peer is silent: it goes, whatever falls into that time."""

from __future__ import annotations

import pytest
from support.peers import A, both, psk_pair

from ike.timing import Timing
from ike.wire.constants import ExchangeType

QUICK = Timing(retransmit_timeout=4.0, retransmit_base=1.5, retransmit_tries=3)
LIMITS: dict[str, dict[str, float]] = {
    "rekey_time": {"rekey_time": 10.0, "rand_time": 0.0, "over_time": 0.0},
    "over_time": {"rekey_time": 10.0, "rand_time": 0.0, "over_time": 5.0},
    "reauth_time": {"rekey_time": 0.0, "reauth_time": 10.0, "rand_time": 0.0, "over_time": 0.0},
}


@pytest.mark.parametrize("limit", LIMITS)
def test_an_ike_sa_that_is_closed_goes_though_its_limit_passes_before_the_peer_is_given_up(limit: str) -> None:
    world = psk_pair(a=dict(LIMITS[limit]), timing=QUICK)
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    del world.peers[b.address]
    world.run(7)
    before = len(world.wire.log)
    for info in a.endpoint.ike_sas():
        a.endpoint.terminate_ike(info.ike_id, world.now)
    world.run(300)
    assert a.endpoint.ike_sas() == []
    assert a.installed == {}
    assert a.endpoint.next_timeout() is None
    sent = [data for _, data, path in world.wire.log[before:] if path.local == A]
    assert len(sent) >= QUICK.retransmit_tries
    assert {data[18] for data in sent} == {ExchangeType.INFORMATIONAL}
