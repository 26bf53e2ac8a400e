"""The secret of quick crash detection: it outlives the process, and nobody else has seen it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from fastesp.gateway.state import DIRECTORY, SECRET_FILE, directory_of, token_secret
from ike.sa.quick_crash import SECRET_LENGTH


def test_the_secret_is_made_once_and_read_from_then_on(tmp_path: Path) -> None:
    state = tmp_path / "lib" / "fastesp"
    first = token_secret(state)
    assert first is not None
    assert len(first) == SECRET_LENGTH
    assert token_secret(state) == first
    file = state / SECRET_FILE
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in state.iterdir()] == [SECRET_FILE]


@pytest.mark.parametrize("spoil", ["mode", "short", "long"])
def test_a_secret_that_others_may_know_is_replaced(tmp_path: Path, spoil: str) -> None:
    first = token_secret(tmp_path)
    assert first is not None
    file = tmp_path / SECRET_FILE
    if spoil == "mode":
        file.chmod(0o644)
    else:
        file.write_bytes(first[:-1] if spoil == "short" else first + b"x")
    second = token_secret(tmp_path)
    assert second not in (None, first)
    assert file.stat().st_mode & 0o777 == 0o600
    assert token_secret(tmp_path) == second


def test_a_link_is_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "elsewhere").write_bytes(b"x" * SECRET_LENGTH)
    (tmp_path / SECRET_FILE).symlink_to(tmp_path / "elsewhere")
    with caplog.at_level(logging.WARNING):
        assert token_secret(tmp_path) is None
    assert SECRET_FILE in caplog.text


def test_where_nothing_can_be_kept_there_is_none_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        assert token_secret(tmp_path / "file") is None
    assert "--state" in caplog.text


def test_the_directory_is_the_options_else_systemds_else_the_usual_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert directory_of(None) == DIRECTORY
    monkeypatch.setenv("STATE_DIRECTORY", os.pathsep.join((str(tmp_path / "a"), str(tmp_path / "b"))))
    assert directory_of(None) == tmp_path / "a"
    assert directory_of(tmp_path) == tmp_path
