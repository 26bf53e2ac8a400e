"""The SA table beside a dictionary: installing, finding and removing, many and in any order; and callers' mistakes."""

from __future__ import annotations

import os
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engines import GCM, Pair, any_packet, selector, udp

from fastesp.dataplane.base import SaMode, SaProtocol, Suite
from fastesp.engine import Engine
from fastesp.engine.providers import open_providers
from fastesp.engine.sa import SaTable

KEY = bytes(36)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.booleans(), st.one_of(st.integers(1, 60), st.integers(1, 2**32 - 1))), max_size=200),
    st.sampled_from([1, 2, 7, 64]),
)
def test_the_index_agrees_with_a_dictionary(actions: list[tuple[bool, int]], capacity: int) -> None:
    table = SaTable(capacity, True, open_providers("openssl"))
    known: dict[int, int] = {}
    for install, spi in actions:
        if install and spi not in known and len(known) < capacity:
            known[spi] = table.add(table.prepare(spi, GCM, KEY))
        elif install:
            with pytest.raises(ValueError if spi in known and len(known) < capacity else MemoryError):
                table.add(table.prepare(spi, GCM, KEY))
        elif spi in known:
            table.remove(known.pop(spi))
        assert table.find(spi) == known.get(spi)
    assert {spi: table.find(spi) for spi in known} == known
    assert len(set(known.values())) == len(known) == table.count


def test_a_hundred_thousand_sas_are_found() -> None:
    table = SaTable(131072, True, open_providers("auto"))
    slots = [table.add(table.prepare(0x1000 + at * 41, GCM, KEY)) for at in range(100_000)]
    assert all(table.find(0x1000 + at * 41) == slots[at] for at in range(0, 100_000, 97))
    for at in range(0, 100_000, 2):
        table.remove(slots[at])
    assert table.count == 50_000
    assert all((table.find(0x1000 + at * 41) is None) == (at % 2 == 0) for at in range(0, 100_000, 97))


def test_a_slot_taken_over_begins_with_nothing_of_the_one_before() -> None:
    two = Pair()
    two.open(*two.seal(udp(), udp()))
    two.a.remove_outbound(two.out)
    slot = two.a.install_outbound(77, GCM, os.urandom(36), epoch=1)
    assert slot == two.out
    assert two.a.outbound.views[0][slot].tolist() == (0, 0, 0)
    assert two.a.outbound.sequence(slot) == 0
    assert two.a.outbound.views[1][slot].sum() == 0


def test_sas_come_and_go_while_traffic_flows() -> None:
    two = Pair()
    for spi in range(1, 200):
        slot = two.b.install_inbound(spi, GCM, KEY, selectors=any_packet())
        packet = udp()
        assert two.open(*two.seal(packet)) == [packet]
        two.b.remove_inbound(slot)


def test_a_prepared_sa_is_added_once() -> None:
    table = SaTable(4, True, open_providers("auto"))
    prepared = table.prepare(5, GCM, KEY)
    table.add(prepared)
    with pytest.raises(ValueError, match="added before"):
        table.add(prepared)


class Material:
    """Key material as key management has it: bytes() is the one way in."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __bytes__(self) -> bytes:
        return self.data

    def __len__(self) -> int:
        return len(self.data)

    def wipe(self) -> None:
        self.data = b""


def test_keys_come_as_buffers_or_as_key_material_and_stay_as_they_were() -> None:
    two = Pair()
    for key in (two.key, bytearray(two.key), memoryview(two.key), Material(bytes(bytearray(two.key)))):
        before = bytes(key)
        engine = Engine(max_sas=2, max_policies=2, flows=2)
        slot = engine.install_inbound(two.spi, GCM, key, selectors=any_packet())
        assert bytes(key) == before
        assert "key" not in repr(engine.inbound.prepare(9, GCM, key))
        engine.remove_inbound(slot)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spi": 0}, "SPI 0"),
        ({"key": bytes(32)}, "takes 32 bytes of key and 4 of salt, not 32 bytes"),
        ({"integrity_key": bytes(32)}, "takes 0 bytes of integrity key"),
        ({"suite": Suite("aes-gcm-16", 512)}, "not 512"),
        ({"suite": Suite("rot13", 8)}, "unknown encryption 'rot13'"),
        ({"suite": Suite("aes-cbc", 128)}, "needs an integrity algorithm"),
        ({"suite": Suite("aes-gcm-16", 256, "hmac-sha1")}, "authenticates by itself"),
        ({"suite": Suite("aes-cbc", 128, "crc32")}, "needs an integrity algorithm, not 'crc32'"),
        (
            {"protocol": SaProtocol.AH, "local": ip_address("1.1.1.1"), "remote": ip_address("1.1.1.2")},
            "AH does not encrypt",
        ),
        ({"protocol": 17}, "unknown protocol 17"),
        ({"mode": "beet"}, "unknown mode 'beet'"),
        ({"mode": SaMode.TRANSPORT}, "need the outer addresses"),
        ({"local": ip_address("1.1.1.1"), "remote": ip_address("::1")}, "two families"),
        ({"epoch": 65536}, "epoch 65536"),
        ({"mtu": 70000}, "MTU 70000"),
        ({"dscp": 64}, "DSCP 64"),
        ({"selectors": [selector("1.1.1.1", "2.2.2.2")] * 256}, "at most 255"),
    ],
)
def test_callers_mistakes_are_named(change: dict[str, object], words: str) -> None:
    table = SaTable(4, False, open_providers("auto"))
    values = {"spi": 7, "suite": GCM, "key": KEY} | change
    with pytest.raises(ValueError, match=words):
        table.prepare(values.pop("spi"), values.pop("suite"), values.pop("key"), **values)
    assert table.count == 0


def test_slots_without_an_sa_are_named() -> None:
    table = SaTable(4, False, open_providers("auto"))
    for call in (table.remove, table.retire, table.sequence, table.provider_of):
        with pytest.raises(KeyError, match="no SA in slot 3"):
            call(3)


def test_close_forgets_every_sa() -> None:
    two = Pair()
    two.b.close()
    assert two.b.inbound.count == 0
    assert two.b.inbound.find(two.spi) is None
