"""A PPK is agreed on in the first round; connections that differ only in later ones must not lead around it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.peers import A, B, Peer, World, both, connection, net, psk_pair

from ike.config import AuthRound
from ike.credentials import CredentialStore
from ike.wire.identity import Identity

NAME = Identity.parse("hub@example.org")
OTHER = Identity.parse("lab@example.org")


def section(name: str) -> AuthRound:
    return AuthRound(auth="psk", id=Identity.parse(name))


def store() -> CredentialStore:
    made = CredentialStore()
    made.add_shared_key(b"a secret of two sites")
    made.add_ppk(bytes(range(32)), (NAME,))
    return made


def hub(first: dict, second: dict, *, client: dict) -> World:
    """The hub's two connections differ in the second round of the client, who comes as ``site``, then as ``bob``."""
    child = net("10.1.0.0/24", "10.2.0.0/24")
    a = replace(
        connection("site", "hub", child), local=(section("site"), section("bob")), remote=(section("hub"),), **client
    )
    b = replace(connection("hub", "site", net("10.2.0.0/24", "10.1.0.0/24")), local=(section("hub"),))
    rounds = {"alice": first, "bob": second}
    connections = [
        replace(b, name=f"for-{who}", remote=(section("site"), section(who)), **more) for who, more in rounds.items()
    ]
    return World(Peer(A, [a], store(), 1), Peer(B, connections, store(), 2))


def up(world: World) -> list[str]:
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    return [info.connection for info in b.endpoint.ike_sas() if info.children]


def test_the_last_rounds_connection_may_require_a_ppk_that_the_first_ones_does_not() -> None:
    world = hub({}, {"ppk_required": True}, client={})
    assert up(world) == []
    assert [record.code for record in both(world)[1].failures] == ["no-connection-for-identity"]


def test_the_last_rounds_connection_may_want_another_ppk() -> None:
    world = hub({}, {"ppk_required": True, "ppk_id": OTHER}, client={"ppk_id": NAME})
    assert up(world) == []


def test_who_used_the_ppk_gets_to_the_connection_that_requires_it() -> None:
    world = hub({}, {"ppk_required": True, "ppk_id": NAME}, client={"ppk_id": NAME})
    assert up(world) == ["for-bob"]


def test_who_uses_none_gets_to_the_connection_that_requires_none() -> None:
    world = hub({"ppk_id": NAME}, {}, client={})
    assert up(world) == ["for-bob"]


@pytest.mark.parametrize("required", [True, False])
def test_a_ppk_that_goes_while_the_ike_sa_is_set_up_is_missed_where_it_is_required(*, required: bool) -> None:
    world = psk_pair(1, a={"ppk_id": NAME, "ppk_required": required})
    a, b = both(world)
    for peer in (a, b):
        peer.credentials.add_ppk(bytes(range(32)), (NAME,))
    world.initiate(a)
    a.credentials.post_quantum.clear()
    world.run(5)
    assert len(a.installed) == int(not required)
    assert [record.code for record in a.failures] == ["no-ppk"] * int(required)
