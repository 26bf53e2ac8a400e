"""VICI messages for any tree, any bytes and any mutation, beside the PyPI ``vici`` package."""

from __future__ import annotations

import vici.protocol
from hypothesis import given
from hypothesis import strategies as st

from fastesp.gateway.vici.codec import ViciError, pull_message, pull_packet, push_message

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
values = st.binary(max_size=40)
trees = st.recursive(
    st.dictionaries(names, values | st.lists(values, max_size=4), max_size=5),
    lambda inner: st.dictionaries(names, values | st.lists(values, max_size=3) | inner, max_size=4),
    max_leaves=12,
)


@given(trees)
def test_a_tree_reads_back_as_it_was_written(tree: dict[str, object]) -> None:
    assert pull_message(push_message(tree)) == tree


@given(trees)
def test_the_vici_package_reads_and_writes_the_same(tree: dict[str, object]) -> None:
    encoded = push_message(tree)
    assert vici.protocol.Message.serialize(tree) == encoded
    assert vici.protocol.Message.deserialize(vici.protocol.FiniteStream(encoded)) == tree


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    for read in (pull_message, pull_packet):
        try:
            read(data)
        except ViciError:
            continue


@given(trees, st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_mutated_message_is_a_message_or_refused(tree: dict[str, object], changes: list[tuple[int, int]]) -> None:
    data = bytearray(push_message(tree) or b"\x02")
    for position, value in changes:
        data[position % len(data)] = value
    try:
        read = pull_message(bytes(data))
    except ViciError:
        return
    assert pull_message(push_message(read)) == read
