"""What the data plane cannot do is neither offered nor accepted, and said."""

from __future__ import annotations

from dataclasses import replace

from fastesp.gateway.ability import Ability
from ike.config import Child, Connection
from ike.crypto.proposal import ProposalSpec, default_esp
from ike.wire.constants import ProtocolId

GCM_ONLY = Ability(frozenset({"esp", "tunnel", "aes-gcm-16"}))


def site(*proposals: str, protocol: ProtocolId = ProtocolId.ESP, **words: object) -> Connection:
    specs = tuple(ProposalSpec.parse(text, protocol) for text in proposals)
    kind = "ah_proposals" if protocol is ProtocolId.AH else "esp_proposals"
    child = Child("net", (), (), where={kind: "gw.conf:9"}, **{kind: specs})  # type: ignore[arg-type]
    return Connection("site", children=(child,), **words)  # type: ignore[arg-type]


def texts(connection: Connection) -> list[list[str]]:
    return [[f"{t.type}/{t.id}/{t.key_length}" for t in spec.transforms] for spec in connection.children[0].proposals]


def test_what_can_be_done_is_left_as_it_is() -> None:
    connection = site("aes256gcm16-x25519")
    assert GCM_ONLY.limit(connection) is connection
    assert GCM_ONLY.complaints(connection) == []


def test_an_alternative_that_cannot_be_done_is_left_out_and_named_with_its_line() -> None:
    connection = site("aes256gcm16-aes256gcm8", "aes128-sha256")
    assert texts(GCM_ONLY.limit(connection)) == [["1/20/256", "5/0/None"]]
    assert GCM_ONLY.complaints(connection) == [
        "gw.conf:9: site/net: the data plane does not do AES_GCM_8_256 of aes256gcm16-aes256gcm8",
        "gw.conf:9: site/net: the data plane does not do AES_CBC_128, HMAC_SHA2_256_128 of aes128-sha256",
    ]


def test_one_child_sa_a_worker_becomes_a_number() -> None:
    connection = site("aes256gcm16-x25519")
    (child,) = connection.children
    for written, meant in ((-1, 4), (0, 0), (7, 7)):
        wished = replace(connection, children=(replace(child, per_cpu_sas=written),))
        limited = replace(GCM_ONLY, workers=4).limit(wished)
        assert limited == replace(connection, children=(replace(child, per_cpu_sas=meant),))
    assert GCM_ONLY.limit(replace(connection, children=(replace(child, per_cpu_sas=-1),))).children[0].per_cpu_sas == 1


def test_nothing_left_is_said_and_never_becomes_the_defaults() -> None:
    connection = site("aes128-sha256")
    assert GCM_ONLY.limit(connection) == connection
    assert GCM_ONLY.complaints(connection)[-1] == (
        "site/net: nothing of its proposals can be done here, so it will not come up"
    )


def test_ah_needs_a_data_plane_that_does_it() -> None:
    connection = site("sha256", protocol=ProtocolId.AH)
    assert len(GCM_ONLY.complaints(connection)) == 2
    able = Ability(frozenset({"esp", "ah", "tunnel", "hmac-sha2-256"}))
    assert able.complaints(connection) == []


def test_encapsulation_can_be_forced_for_all() -> None:
    connection = site("aes256gcm16")
    assert not GCM_ONLY.limit(connection).encap
    assert Ability(GCM_ONLY.names, "always").limit(connection).encap


def test_defaults_shrink_to_what_can_be_done() -> None:
    connection = Connection("site", children=(Child("net", (), (), esp_proposals=default_esp()),))
    assert len(GCM_ONLY.limit(connection).children[0].esp_proposals) == 1
