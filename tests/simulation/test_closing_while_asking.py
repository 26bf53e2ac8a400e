"""An IKE SA that is to be closed, and cannot say so yet because a request is under way, takes nothing new."""

from __future__ import annotations

from support.peers import A, B, both, psk_pair

from ike.events import IkeSaRedirected, Path
from ike.wire.identity import Identity

ELSEWHERE = Identity.parse("203.0.113.77")


def test_a_tunnel_that_is_wanted_again_does_not_go_onto_the_ike_sa_that_is_about_to_go() -> None:
    world = psk_pair(1)
    a, _ = both(world)
    world.initiate(a)
    world.run(1)
    (old,) = a.established()
    a.endpoint.check_liveness(old, world.now)
    a.endpoint.terminate_ike(old, world.now)
    assert world.initiate(a) != old
    world.run(3)
    assert len(a.installed) == 1
    assert old not in a.established()


def test_who_is_redirected_while_it_asks_something_goes_on_elsewhere() -> None:
    world = psk_pair(1)
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    (old,) = a.established()
    a.endpoint.check_liveness(old, world.now)
    b.endpoint.redirect_ike(b.established()[0], ELSEWHERE, world.now)
    ((request, _),) = b.endpoint.datagrams_to_send(world.now)
    a.endpoint.receive_datagram(request, a.endpoint.ike_sa(old).path, world.now)  # type: ignore[union-attr]
    events = iter(a.endpoint.next_event, None)
    assert [event.gateway for event in events if isinstance(event, IkeSaRedirected)] == [ELSEWHERE]
    assert a.endpoint.ike_sa(old).state == "ESTABLISHED"  # type: ignore[union-attr]
    new = a.endpoint.initiate("site", "net", world.now, local=A, remote=B, redirected_from=B)
    assert new != old


def test_who_is_redirected_twice_before_it_can_leave_goes_where_it_was_sent_first() -> None:
    world = psk_pair(1)
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    (old,) = a.established()
    a.endpoint.check_liveness(old, world.now)
    path = a.endpoint.ike_sa(old).path  # type: ignore[union-attr]
    gateways = []
    for gateway in (ELSEWHERE, Identity.parse("203.0.113.78")):
        b.endpoint.redirect_ike(b.established()[0], gateway, world.now)
        ((request, _),) = b.endpoint.datagrams_to_send(world.now)
        a.endpoint.receive_datagram(request, path, world.now)
        ((answer, _),) = a.endpoint.datagrams_to_send(world.now)[-1:]
        b.endpoint.receive_datagram(answer, Path(path.remote, path.remote_port, path.local, path.local_port), world.now)
        events = iter(a.endpoint.next_event, None)
        gateways += [event.gateway for event in events if isinstance(event, IkeSaRedirected)]
    assert gateways == [ELSEWHERE]
