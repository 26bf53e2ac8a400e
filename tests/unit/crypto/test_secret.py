"""A secret can be read in one way only, and can be forgotten."""

import pickle

import pytest

from ike.crypto.secret import Secret


def test_neither_repr_nor_str_nor_format_shows_anything():
    secret = Secret(b"hunter2-and-more")
    for text in (repr(secret), str(secret), f"{secret}", f"{[secret]}"):
        assert "hunter2" not in text
        assert b"hunter2-and-more".hex() not in text


def test_bytes_and_length_are_those_given():
    assert bytes(Secret(b"abc")) == b"abc"
    assert len(Secret(bytearray(5))) == 5


def test_a_wiped_secret_is_empty_and_its_buffer_was_overwritten():
    secret = Secret(b"abc")
    buffer = secret._buffer
    buffer.extend(b"")
    secret.wipe()
    assert bytes(secret) == b""
    assert len(secret) == 0
    assert b"abc" not in bytes(buffer)


def test_changing_the_source_does_not_change_the_secret():
    source = bytearray(b"abc")
    secret = Secret(source)
    source[:] = b"xyz"
    assert bytes(secret) == b"abc"


def test_equality_is_by_value_and_only_among_secrets():
    assert Secret(b"a") == Secret(b"a")
    assert Secret(b"a") != Secret(b"b")
    assert Secret(b"a") != b"a"


def test_a_secret_is_neither_hashed_nor_pickled():
    with pytest.raises(TypeError):
        hash(Secret(b"a"))
    with pytest.raises(TypeError):
        pickle.dumps(Secret(b"a"))
