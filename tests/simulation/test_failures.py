"""Every failed negotiation ends in one record on each side that knows of it, and the record says what to change."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from support.peers import A, B, Peer, World, assert_mirrored, both, connection, esp, ike, net, psk, psk_pair

from ike.config import AddressTemplate, AuthRound, Child, Unique
from ike.errors import LocalError
from ike.events import FailureRecord, IkeSaDeleted, IkeSaEstablished, Path
from ike.wire.identity import Identity

WHERE = {
    "": "gw.conf:1",
    "proposals": "gw.conf:2",
    "remote.id": "gw.conf:3",
    "local.id": "gw.conf:4",
    "remote.auth": "gw.conf:5",
    "unique": "gw.conf:6",
    "remote_addrs": "gw.conf:7",
    "children.net.local_ts": "gw.conf:10",
    "children.net.remote_ts": "gw.conf:11",
    "children.net.esp_proposals": "gw.conf:12",
}


def fails(a: dict | None = None, b: dict | None = None, seconds: float = 5.0) -> tuple[Peer, Peer]:
    world = psk_pair(a={"where": WHERE, **(a or {})}, b={"where": WHERE, **(b or {})})
    left, right = both(world)
    world.initiate(left)
    world.run(seconds)
    return left, right


def only_child(child: Child) -> dict:
    return {"children": (child,)}


def complete(record: FailureRecord) -> None:
    assert record.code
    assert record.summary
    assert record.hint
    assert record.exchange
    assert record.role in ("initiator", "responder")
    assert record.peer.endswith("]")


def test_no_common_ike_proposal() -> None:
    a, b = fails({"proposals": ike("aes256-sha384-modp3072")}, {"proposals": ike("aes256-sha256-modp3072")})
    ours = b.failure
    complete(ours)
    assert (ours.code, ours.role, ours.exchange) == ("no-proposal-chosen", "responder", "IKE_SA_INIT")
    assert ours.offered == ("aes256-sha384-prfsha384-modp3072",)
    assert ours.allowed == ("aes256-sha256-modp3072",)
    assert "integrity" in ours.mismatch
    assert [t.connection for t in ours.tried] == ["site"]
    assert ours.change == "gw.conf:2: proposals"
    theirs = a.failure
    complete(theirs)
    assert (theirs.code, theirs.role) == ("no-proposal-chosen", "initiator")
    assert theirs.allowed == ("aes256-sha384-modp3072",)
    assert theirs.change == "gw.conf:2: proposals"
    assert [e.reason for e in a.of(IkeSaDeleted)] == ["no-proposal-chosen"]


def test_no_common_esp_proposal_leaves_the_ike_sa() -> None:
    child = net("10.20.0.0/24", "10.10.0.0/24", esp_proposals=esp("aes128gcm16"))
    a, b = fails(b=only_child(child))
    ours, theirs = b.failure, a.failure
    complete(ours)
    complete(theirs)
    assert (ours.code, ours.child, ours.change) == (
        "no-proposal-chosen",
        "net",
        "gw.conf:12: children.net.esp_proposals",
    )
    assert ours.offered == ("aes256gcm16-noesn",)
    assert ours.allowed == ("aes128gcm16",)
    assert (theirs.code, theirs.child, theirs.change) == (
        "no-proposal-chosen",
        "net",
        "gw.conf:12: children.net.esp_proposals",
    )
    assert len(a.established()) == len(b.established()) == 1
    assert a.installed == b.installed == {}


def test_selectors_that_do_not_mirror() -> None:
    a, b = fails(b=only_child(net("10.30.0.0/24", "10.10.0.0/24")))
    ours, theirs = b.failure, a.failure
    complete(ours)
    complete(theirs)
    assert (ours.code, ours.child, ours.change) == ("ts-unacceptable", "net", "gw.conf:10: children.net.local_ts")
    assert ours.offered == ("local_ts = 10.20.0.0/24, remote_ts = 10.10.0.0/24",)
    assert ours.allowed == ("net: local_ts = 10.30.0.0/24, remote_ts = 10.10.0.0/24",)
    assert "10.20.0.0/24" in ours.mismatch
    assert (theirs.code, theirs.role, theirs.change) == (
        "ts-unacceptable",
        "initiator",
        "gw.conf:11: children.net.remote_ts",
    )
    assert len(a.established()) == len(b.established()) == 1


def test_the_other_side_of_the_selectors_is_named_where_it_differs() -> None:
    _, b = fails(b=only_child(net("10.20.0.0/24", "10.99.0.0/24")))
    assert b.failure.change == "gw.conf:11: children.net.remote_ts"


def test_a_wrong_shared_key() -> None:
    left = connection("site-a", "site-b", net("10.10.0.0/24", "10.20.0.0/24"))
    right = connection("site-b", "site-a", net("10.20.0.0/24", "10.10.0.0/24"))
    world = World(
        Peer(A, [left], psk(b"zebra", "a.conf:30"), 1),
        Peer(B, [right], psk(b"quagga", "b.conf:31"), 2),
    )
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    ours, theirs = b.failure, a.failure
    complete(ours)
    complete(theirs)
    assert (ours.code, ours.role, ours.exchange) == ("auth-psk-mismatch", "responder", "IKE_AUTH")
    assert (ours.local_id, ours.remote_id) == ("site-b", "site-a")
    assert ours.change == "b.conf:31: secret"
    assert (theirs.code, theirs.role) == ("peer-auth-failed", "initiator")
    assert theirs.change == "a.conf:30: secret"
    assert "secret" in theirs.hint
    for peer in (a, b):
        assert peer.of(IkeSaEstablished) == []
        assert peer.endpoint.ike_sas() == []
        for event in peer.events:
            assert "zebra" not in repr(event)
            assert "quagga" not in repr(event)


def test_no_shared_key_for_this_peer() -> None:
    world = psk_pair()
    a, b = both(world)
    b.credentials.shared.clear()
    b.credentials.add_shared_key(b"x", [Identity.parse("somebody-else")])
    world.initiate(a)
    world.run(1)
    assert b.failure.code == "no-shared-key"
    assert b.failure.change == "secrets.ike: id = site-a"
    assert a.failure.code == "peer-auth-failed"


def test_no_shared_key_of_our_own() -> None:
    world = psk_pair()
    a, b = both(world)
    a.credentials.shared.clear()
    world.initiate(a)
    world.run(100)
    assert a.failure.code == "no-shared-key"
    assert a.endpoint.ike_sas() == []
    assert b.failure.code == "half-open-timeout"


def test_an_initiator_that_nobody_expects() -> None:
    a, b = fails(a={"local": (AuthRound(auth="psk", id=Identity.parse("intruder")),)})
    ours = b.failure
    complete(ours)
    assert ours.code == "no-connection-for-identity"
    assert ours.remote_id == "intruder"
    assert ours.change == "gw.conf:3: remote.id"
    assert "intruder" in ours.offered[0]
    assert "site-a" in ours.mismatch
    assert [(t.connection, "site-a" in t.why) for t in ours.tried] == [("site", True)]
    assert a.failure.code == "peer-auth-failed"


def test_an_initiator_that_wants_somebody_else() -> None:
    _, b = fails(a={"remote": (AuthRound(auth="psk", id=Identity.parse("site-c")),)})
    assert b.failure.code == "no-connection-for-identity"
    assert b.failure.change == "gw.conf:4: local.id"
    assert "site-c" in b.failure.offered[0]


def test_a_responder_that_is_somebody_else() -> None:
    # The initiator names nobody in IDr, for a pattern cannot be named, and finds out only from the answer.
    pattern = {"remote": (AuthRound(auth="psk", id=Identity.parse("*.example.org")),)}
    a, b = fails(a=pattern)
    ours = a.failure
    complete(ours)
    assert (ours.code, ours.role) == ("peer-identity-mismatch", "initiator")
    assert ours.offered == ("site-b",)
    assert ours.allowed == ("*.example.org",)
    assert ours.change == "gw.conf:3: remote.id"
    assert b.failure.code == "peer-auth-failed"
    assert b.endpoint.ike_sas() == a.endpoint.ike_sas() == []


def test_another_way_of_authentication() -> None:
    _, b = fails(b={"remote": (AuthRound(auth="pubkey", id=Identity.parse("site-a")),)})
    assert b.failure.code == "auth-method"
    assert b.failure.change == "gw.conf:5: remote.auth"
    assert "psk" in b.failure.offered[0]


def test_a_responder_without_a_connection_for_the_address() -> None:
    a, b = fails(b={"remote_addrs": (AddressTemplate(address=B),)})
    assert b.failure.code == "no-connection-for-address"
    assert b.failure.tried[0].connection == "site"
    assert str(A) in b.failure.hint
    assert a.failure.code == "no-proposal-chosen"
    assert "addresses" in a.failure.summary


def test_an_unreachable_peer() -> None:
    world = psk_pair(a={"where": WHERE}, loss=1.0)
    a, _ = both(world)
    world.initiate(a)
    world.run(164)
    assert a.failures == []
    world.run(2)
    ours = a.failure
    complete(ours)
    assert ours.code == "peer-unreachable"
    assert ours.exchange == "IKE_SA_INIT"
    assert ours.fields == {"local": f"{A}[500]", "remote": f"{B}[500]", "sent": "6", "seconds": "165"}
    assert ours.change == "gw.conf:7: remote_addrs"
    assert [e.reason for e in a.of(IkeSaDeleted)] == ["peer-unreachable"]
    world.run(60)
    assert a.endpoint.next_timeout() is None


def test_a_path_that_loses_ike_auth_names_port_4500_and_fragments() -> None:
    def edit(data: bytes, path: Path) -> bytes | None:
        return data if path.local_port == 500 else None

    world = psk_pair(edit=edit)
    a, b = both(world)
    world.initiate(a)
    world.run(200)
    assert (a.failure.code, a.failure.exchange) == ("peer-unreachable", "IKE_AUTH")
    assert "4500" in a.failure.hint
    assert b.failure.code == "half-open-timeout"
    assert b.endpoint.half_open == 0


def test_an_unauthenticated_refusal_does_not_stop_what_may_still_succeed() -> None:
    world = psk_pair(delay=(0.1, 0.1))
    a, b = both(world)
    world.initiate(a)
    world.run(0.05)
    request = world.wire.log[0][1]
    # Somebody on the path answers NO_PROPOSAL_CHOSEN before the responder does.
    forged = (
        request[:8]
        + bytes(8)
        + bytes((41, 0x20, 34, 0x20))
        + bytes(4)
        + (36).to_bytes(4)
        + bytes((0, 0, 0, 8, 0, 0, 0, 14))
    )
    world.inject(forged, Path(A, 500, B, 500))
    world.run(5)
    assert a.failures == b.failures == []
    assert_mirrored(a, b)
    assert len(a.installed) == 1


def test_keep_refuses_a_second_ike_sa_of_the_same_peer() -> None:
    world = psk_pair(a={"unique": Unique.NEVER}, b={"unique": Unique.KEEP, "where": WHERE})
    a, b = both(world)
    world.initiate(a)
    world.run(1)
    second = elsewhere(world)
    world.initiate(second)
    world.run(1)
    assert b.failure.code == "duplicate-peer"
    assert b.failure.change == "gw.conf:6: unique"
    assert len(b.established()) == len(a.established()) == 1
    assert second.established() == []


def elsewhere(world: World) -> Peer:
    """The peer's identity at another address: from the same one it may be about to reauthenticate."""
    a, _ = both(world)
    second = Peer(IPv4Address("192.0.2.9"), a.connections, a.credentials, 9)
    second._spi = 0x7000
    world.peers[second.address] = second
    return second


def test_keep_and_replace_leave_a_second_ike_sa_from_the_same_place_in_peace_for_a_while() -> None:
    for unique in (Unique.KEEP, Unique.REPLACE):
        world = psk_pair(a={"unique": Unique.NEVER}, b={"unique": unique})
        a, b = both(world)
        world.initiate(a)
        world.run(1)
        a.connections.append(replace(a.connections[0], name="again"))
        world.initiate(a, name="again")
        world.run(5)
        assert len(b.established()) == len(a.established()) == 2
        world.run(10)
        assert len(b.established()) == len(a.established()) == (2 if unique is Unique.KEEP else 1)
        assert a.failures == b.failures == []


def test_replace_closes_the_first_ike_sa_of_the_same_peer() -> None:
    world = psk_pair(a={"unique": Unique.NEVER}, b={"unique": Unique.REPLACE})
    a, b = both(world)
    first = world.initiate(a)
    world.run(1)
    second = elsewhere(world)
    world.initiate(second)
    world.run(1)
    assert [e.ike_id for e in a.of(IkeSaDeleted)] == [first]
    assert len(b.established()) == 1
    assert_mirrored(second, b)


def test_childless_never_refuses_an_ike_sa_without_child() -> None:
    world = psk_pair(b={"childless": "never"})
    a, b = both(world)
    world.initiate(a, child=None)
    world.run(100)
    assert a.failure.code == "not-childless"
    assert b.failure.code == "half-open-timeout"


def test_the_best_of_several_connections_is_found() -> None:
    world = psk_pair()
    a, b = both(world)
    road = connection("site-b", "*.example.org", net("10.20.0.0/24", "0.0.0.0/0"), name="road")
    weak = replace(b.connections[0], name="weak", proposals=ike("aes128-sha256-ecp256"))
    far = replace(b.connections[0], name="far", remote_addrs=(AddressTemplate(address=B),))
    b.connections[:0] = [road, weak, far]
    world.initiate(a)
    world.run(1)
    assert b.of(IkeSaEstablished)[0].connection == "site"
    assert_mirrored(a, b)


def test_every_connection_that_lost_is_named_with_its_reason() -> None:
    world = psk_pair(a={"local": (AuthRound(auth="psk", id=Identity.parse("intruder")),)})
    a, b = both(world)
    b.connections.append(replace(b.connections[0], name="weak", proposals=ike("aes128-sha256-ecp256")))
    b.connections.append(
        replace(b.connections[0], name="other", remote=(AuthRound(auth="psk", id=Identity.parse("x")),))
    )
    world.initiate(a)
    world.run(1)
    assert b.failure.connection == ""
    assert {t.connection: t.why.split()[0] for t in b.failure.tried} == {
        "weak": "no",
        "site": "remote.id",
        "other": "remote.id",
    }


@pytest.mark.parametrize(
    ("connection_name", "child", "code"),
    [("nowhere", "net", "no-such-connection"), ("site", "nothing", "no-such-child")],
)
def test_commands_name_what_does_not_exist(connection_name: str, child: str, code: str) -> None:
    a, _ = both(psk_pair())
    with pytest.raises(LocalError) as caught:
        a.endpoint.initiate(connection_name, child, 0.0, local=A, remote=B)
    assert caught.value.code == code


def test_commands_on_sas_that_do_not_exist() -> None:
    a, _ = both(psk_pair())
    for command in (a.endpoint.terminate_ike, a.endpoint.rekey_ike, a.endpoint.check_liveness):
        with pytest.raises(LocalError, match="no IKE SA 7"):
            command(7, 0.0)
    for command in (a.endpoint.terminate_child, a.endpoint.rekey_child, a.endpoint.expire_child):
        with pytest.raises(LocalError, match="no CHILD_SA 7"):
            command(7, 0.0)
