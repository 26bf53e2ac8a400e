"""A gateway sends its client to another one, at every time at which it may (RFC 5685)."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address

import pytest
from support.peers import A, B, Peer, World, assert_mirrored, assert_usable, connection, net, psk

from ike.events import IkeSaDeleted, IkeSaEstablished, IkeSaRedirected, Path
from ike.sa import first_child, redirect
from ike.timing import Timing
from ike.wire.constants import ExchangeType, HeaderFlag, NotifyType
from ike.wire.header import pull_header
from ike.wire.identity import Identity
from ike.wire.message import Message, pull_message, push_message
from ike.wire.payloads import NoncePayload, NotifyPayload

C = IPv4Address("198.51.100.30")
ELSEWHERE = Identity.of_address(C)
Edit = Callable[[bytes, Path], bytes | None]


class Client(Peer):
    """A peer whose program follows redirects, as a gateway process does; a host name leads to C."""

    world: World

    def drain(self) -> None:
        before = len(self.of(IkeSaRedirected))
        super().drain()
        for event in self.of(IkeSaRedirected)[before:]:
            remote = redirect.address_of(event.gateway) or C
            for child in event.children or (None,):
                self.endpoint.initiate(
                    event.connection,
                    child,
                    self.world.now,
                    local=self.address,
                    remote=remote,
                    redirected_from=event.redirected_from,
                )


def go(world: World, seconds: float) -> None:
    """Let time pass, in steps: what the client's program does at the end of one goes out with the next."""
    for _ in range(int(seconds * 5)):
        world.run(0.2)


def three(edit: Edit | None = None, **timing: object) -> tuple[World, Client, Peer, Peer]:
    """A client, the gateway that it knows, and another one with the same identity."""
    left = connection("site-a", "site-b", net("10.10.0.0/24", "10.20.0.0/24"))
    right = connection("site-b", "site-a", net("10.20.0.0/24", "10.10.0.0/24"))
    client = Client(A, [left], psk(), 1, Timing(**timing))  # type: ignore[arg-type]
    first, second = Peer(B, [right], psk(), 2), Peer(C, [right], psk(), 3)
    world = World(client, first, second)
    world.wire.edit = edit
    client.world = world
    return world, client, first, second


def moved(client: Peer, first: Peer, second: Peer) -> None:
    """The client has its tunnel with the second gateway, and nothing with the first."""
    assert first.established() == []
    assert first.installed == {}
    assert len(client.established()) == len(second.established()) == 1
    assert_mirrored(client, second)
    assert_usable(client, second)


def answers_with(notify: bytes, *, to: IPv4Address = B) -> Edit:
    """Every answer of ``to`` to an IKE_SA_INIT is a REDIRECT; ``%`` stands for the client's nonce."""
    nonces: dict[bytes, bytes] = {}

    def edit(data: bytes, path: Path) -> bytes:
        header = pull_header(data)
        if header.exchange != ExchangeType.IKE_SA_INIT:
            return data
        if not header.is_response:
            nonce = pull_message(data).one(NoncePayload)
            assert nonce is not None
            nonces[header.spi_i] = nonce.data
            return data
        if path.local != to:
            return data
        return push_message(
            spi_i=header.spi_i,
            spi_r=bytes(8),
            exchange=header.exchange,
            flags=HeaderFlag.RESPONSE,
            message_id=0,
            payloads=[NotifyPayload(NotifyType.REDIRECT, notify.replace(b"%", nonces[header.spi_i]))],
        )

    return edit


def first_messages(world: World) -> list[Message]:
    """The IKE_SA_INIT requests, in order."""
    opened = [pull_message(d) for _, d, _ in world.wire.log if pull_header(d).exchange == ExchangeType.IKE_SA_INIT]
    return [message for message in opened if not message.header.is_response]


def test_a_client_is_sent_on_before_anything_else() -> None:
    world, client, _, second = three(answers_with(redirect.named(ELSEWHERE) + b"%"))
    world.initiate(client)
    go(world, 1)
    assert client.failures == second.failures == []
    assert len(client.established()) == len(second.established()) == 1
    assert_mirrored(client, second)
    assert [e.reason for e in client.of(IkeSaDeleted)] == ["redirected"]
    one, other = first_messages(world)
    assert one.notify(NotifyType.REDIRECT_SUPPORTED) is not None
    came_from = other.notify(NotifyType.REDIRECTED_FROM)
    assert came_from is not None
    assert came_from.data == bytes((1, 4)) + B.packed
    assert other.notify(NotifyType.REDIRECT_SUPPORTED) is None


def test_a_gateway_may_be_named() -> None:
    name = b"\x03\x0fgw2.example.org%"
    world, client, _, second = three(answers_with(name))
    world.initiate(client)
    go(world, 1)
    (event,) = client.of(IkeSaRedirected)
    assert str(event.gateway) == "gw2.example.org"
    assert len(client.established()) == len(second.established()) == 1


@pytest.mark.parametrize(
    "data",
    [
        redirect.named(ELSEWHERE),
        redirect.named(ELSEWHERE) + b"another nonce",
        redirect.named(ELSEWHERE) + b"%\0",
        b"",
        b"\x01",
        b"\x01\x00%",
        b"\x01\x05\xc6\x33\x64\x1e\x00%",
        b"\x02\x04\xc6\x33\x64\x1e%",
        b"\x01\xff\xc6\x33\x64\x1e%",
        b"\x07\x04\xc6\x33\x64\x1e%",
        b"\x03\x05a b/c%",
        b"\x01\x04\x00\x00\x00\x00%",
        b"\x01\x04\x7f\x00\x00\x01%",
        b"\x01\x04\xe0\x00\x00\x01%",
    ],
)
def test_a_redirect_that_makes_no_sense_or_lacks_our_nonce_is_passed_over(data: bytes) -> None:
    forge, sent = answers_with(data), 0

    def edit(datagram: bytes, path: Path) -> bytes:
        nonlocal sent
        forged = forge(datagram, path)
        assert forged is not None
        if forged == datagram:
            return datagram
        sent += 1
        # The true answer comes to the request that is sent again.
        return forged if sent == 1 else datagram

    world, client, first, second = three(edit)
    world.initiate(client)
    go(world, 10)
    assert client.endpoint.drops["bad-redirect"] == 1
    assert second.events == client.of(IkeSaRedirected) == []
    assert len(client.established()) == len(first.established()) == 1


def test_a_client_is_sent_on_once_it_has_shown_who_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(sa: object, *rest: object) -> list:
        if sa.path.local == B:  # type: ignore[attr-defined]
            return [NotifyPayload(NotifyType.REDIRECT, redirect.named(ELSEWHERE))]
        return answer(sa, *rest)  # type: ignore[arg-type]

    answer = first_child.answer
    monkeypatch.setattr(first_child, "answer", elsewhere)
    world, client, first, second = three()
    world.initiate(client)
    go(world, 2)
    assert client.failures == []
    assert len(client.of(IkeSaEstablished)) == 2
    assert [e.reason for e in first.of(IkeSaDeleted)] == ["peer-deleted"]
    moved(client, first, second)


def test_a_client_is_sent_away_from_an_ike_sa_that_is_up() -> None:
    world, client, first, second = three()
    world.initiate(client)
    go(world, 1)
    first.endpoint.redirect_ike(first.established()[0], ELSEWHERE, world.now)
    go(world, 2)
    assert client.failures == []
    moved(client, first, second)
    # And back again: who was sent on can be sent on.
    second.endpoint.redirect_ike(second.established()[0], Identity.of_address(B), world.now)
    go(world, 2)
    moved(client, second, first)


def test_a_client_that_does_not_follow_says_so_and_stays() -> None:
    world, client, first, second = three(follow_redirects=False)
    world.initiate(client)
    go(world, 1)
    (request,) = first_messages(world)
    assert request.notify(NotifyType.REDIRECT_SUPPORTED) is None
    with pytest.raises(Exception, match="no client that can be redirected"):
        first.endpoint.redirect_ike(first.established()[0], ELSEWHERE, world.now)
    sa = first.endpoint._core.by_id[first.established()[0]]
    sa.want(redirect.Redirect(ELSEWHERE), world.now)
    go(world, 2)
    assert len(client.established()) == len(first.established()) == 1
    assert second.events == []


def test_a_gateway_is_not_sent_away_by_its_client() -> None:
    world, client, first, _ = three()
    world.initiate(client)
    go(world, 1)
    sa = client.endpoint._core.by_id[client.established()[0]]
    sa.want(redirect.Redirect(ELSEWHERE), world.now)
    go(world, 2)
    assert first.of(IkeSaRedirected) == []
    assert len(client.established()) == len(first.established()) == 1


def test_gateways_that_send_a_client_round_lose_it_after_five_times() -> None:
    to_c, to_b = (answers_with(redirect.named(Identity.of_address(to)) + b"%", to=at) for to, at in ((C, B), (B, C)))

    def edit(data: bytes, path: Path) -> bytes | None:
        changed = to_c(data, path)
        return to_b(data, path) if changed == data else changed

    world, client, *_ = three(edit)
    world.initiate(client)
    go(world, 100)
    assert len(first_messages(world)) == 6
    assert client.failure.code == "redirect-loop"
    assert client.established() == []
    # Once that is five minutes ago, it may be tried again.
    go(world, 300)
    world.wire.edit = to_c
    world.initiate(client)
    go(world, 1)
    assert len(client.established()) == 1


@pytest.mark.parametrize("to", [A, B])
def test_a_gateway_that_sends_to_itself_or_to_ourselves_is_no_gateway(to: IPv4Address) -> None:
    world, client, *_ = three(answers_with(redirect.named(Identity.of_address(to)) + b"%"))
    world.initiate(client)
    go(world, 10)
    assert client.failure.code == "redirect-loop"
    assert len(first_messages(world)) == 1


def test_an_ike_sa_that_is_up_outlives_a_loop() -> None:
    world, client, first, second = three()
    world.initiate(client)
    go(world, 1)
    for _ in range(8):
        here, there = (first, C) if first.established() else (second, B)
        here.endpoint.redirect_ike(here.established()[0], Identity.of_address(there), world.now)
        go(world, 2)
    assert len(client.of(IkeSaRedirected)) == 5
    assert {f.code for f in client.failures} == {"redirect-loop"}
    assert len(client.established()) == 1
    assert_usable(client, first if first.established() else second)
