"""``fastesp up --to``: what may be said on the command line, and what goes to the gateway."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.vici_thread import ViciThread

from fastesp.cli import main
from fastesp.gateway.vici.server import RefusedError, Request


class Gateway(ViciThread):
    """Takes what it is told; initiating fails where ``refuses`` is set."""

    def __init__(self, path: Path) -> None:
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.refuses = False
        names = ("load-shared", "load-conn", "unload-conn", "unload-shared", "initiate", "list-sas")
        super().__init__(path, dict.fromkeys(names, self._take))

    async def _take(self, request: Request) -> Mapping[str, object]:
        self.asked.append((request.command, request.message))
        if request.command == "initiate" and self.refuses:
            raise RefusedError("no", code="peer-auth-failed", outcome="refused")
        return {"success": True}

    def commands(self) -> list[str]:
        return [command for command, _ in self.asked if command != "list-sas"]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    server = Gateway(tmp_path / "vici")
    with server:
        yield server


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "k"
    file.write_text("0s" + "c2VjcmV0\n")
    file.chmod(0o600)
    return file


def up(gateway: Gateway, *words: str | Path) -> Result:
    return CliRunner().invoke(main, ["up", "--socket", str(gateway.path), *map(str, words)])


def test_a_connection_has_what_was_said_and_no_more(gateway: Gateway, key: Path) -> None:
    nets = ["--local", "10.1.0.0/24", "--local", "10.2.0.0/24", "--remote", "10.3.0.0/24"]
    assert up(gateway, "--to", "192.0.2.1", "--psk-file", key, *nets).exit_code == 0
    assert gateway.commands() == ["load-shared", "load-conn", "initiate"]
    (_, secret), (_, connection), *_ = gateway.asked
    assert secret == {"id": b"to-192.0.2.1", "type": b"IKE", "data": b"secret", "owners": [b"192.0.2.1"]}
    assert connection == {
        "to-192.0.2.1": {
            "version": b"2",
            "remote_addrs": [b"192.0.2.1"],
            "local": {"auth": b"psk"},
            "remote": {"auth": b"psk", "id": b"192.0.2.1"},
            "children": {"net": {"local_ts": [b"10.1.0.0/24", b"10.2.0.0/24"], "remote_ts": [b"10.3.0.0/24"]}},
        }
    }


def test_identities_may_be_given(gateway: Gateway, key: Path) -> None:
    who = ["--id", "a.example.org", "--peer-id", "b.example.org"]
    assert up(gateway, "--to", "gw.example.org", "--psk-file", key, *who).exit_code == 0
    (_, secret), (_, connection), *_ = gateway.asked
    assert secret["owners"] == [b"b.example.org"]
    assert connection["to-gw.example.org"]["local"]["id"] == b"a.example.org"
    assert connection["to-gw.example.org"]["remote"]["id"] == b"b.example.org"


def test_what_does_not_come_up_is_taken_back(gateway: Gateway, key: Path) -> None:
    gateway.refuses = True
    assert up(gateway, "--to", "192.0.2.1", "--psk-file", key).exit_code == 6
    assert gateway.commands()[-2:] == ["unload-conn", "unload-shared"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "say what to bring up"),
        (["net", "--to", "192.0.2.1"], "either a NAME or --to"),
        (["--to", "192.0.2.1"], "--to needs --psk-file"),
        (["net", "--local", "10.1.0.0/24"], "net is configured"),
    ],
)
def test_a_contradiction_is_wrong_usage(gateway: Gateway, words: list[str], said: str) -> None:
    result = up(gateway, *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert gateway.asked == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "one line"),
        (b"two\nlines\n", "one line"),
        (b"x" * 5000, "one line"),
        (b"\xff\xfe", "no text"),
        (b"0xzz", "not valid hexadecimal"),
    ],
)
def test_a_file_that_is_no_secret_is_refused_and_never_shown(
    gateway: Gateway, key: Path, content: bytes, said: str
) -> None:
    key.write_bytes(content)
    result = up(gateway, "--to", "192.0.2.1", "--psk-file", key)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "zz" not in result.output
    assert gateway.asked == []


def test_a_file_that_is_not_there_is_named(gateway: Gateway, tmp_path: Path) -> None:
    result = up(gateway, "--to", "192.0.2.1", "--psk-file", tmp_path / "none")
    assert result.exit_code == 2
    assert "none: No such file" in result.stderr
