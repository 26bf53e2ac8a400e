"""Somebody on the way asks for one cookie after the other: that is heard a few times, in either exchange that opens."""

from __future__ import annotations

import pytest
from support.peers import A, B, Path, World, both, psk_pair

from ike.events import IkeSaDeleted
from ike.timing import Timing
from ike.wire.constants import ExchangeType, HeaderFlag, NotifyType
from ike.wire.header import pull_header
from ike.wire.message import push_message
from ike.wire.payloads import NotifyPayload

BRISK = Timing(retransmit_timeout=1.0, retransmit_base=1.2, retransmit_tries=3)


def resumable() -> World:
    more = {"session_resumption": True}
    return psk_pair(a={**more, "dpd_delay": 10.0}, b=more, timing=BRISK)


@pytest.mark.parametrize("exchange", [ExchangeType.IKE_SA_INIT, ExchangeType.IKE_SESSION_RESUME])
def test_cookies_are_given_back_a_few_times_only(exchange: ExchangeType) -> None:
    world = resumable()
    a, b = both(world)
    if exchange is ExchangeType.IKE_SESSION_RESUME:
        world.initiate(a)
        world.run(1)
        world.wire.loss = 1.0
        world.run(30)
        assert a.of(IkeSaDeleted)
    world.wire.loss = 1.0
    start = len(world.wire.log)
    world.initiate(a)
    for number in range(50):
        world.run(0.01)
        header = pull_header(world.wire.log[-1][1])
        if header.exchange == exchange:
            cookie = push_message(
                spi_i=header.spi_i,
                spi_r=bytes(8),
                exchange=header.exchange,
                flags=HeaderFlag.RESPONSE,
                message_id=0,
                payloads=[NotifyPayload(NotifyType.COOKIE, number.to_bytes(8, "big"))],
            )
            world.inject(cookie, Path(A, 500, B, 500))
    sent = [data for _, data, _ in world.wire.log[start:] if pull_header(data).exchange == exchange]
    assert 2 < len(sent) <= 10
    world.wire.loss = 0.0
    world.run(30)
    assert a.established()
    assert b.installed
