"""``fastesp gateway``'s options against what the daemon takes: same names, same defaults, and they arrive."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastesp.cli.gateway import DEFAULT_FILE, gateway
from fastesp.gateway import daemon
from fastesp.gateway.options import DEFAULT_CONFIGURATION, DEFAULT_SOCKET, Options


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """The options that the daemon would run with; it ends at once with 4."""
    seen: list[Options] = []

    def run(options: Options) -> int:
        seen.append(options)
        return 4

    monkeypatch.setattr(daemon, "run", run)
    return seen


def test_without_words_the_daemon_has_its_own_defaults(started: list[Options]) -> None:
    result = CliRunner().invoke(gateway, [])
    assert result.exit_code == 4
    (options,) = started
    assert options == Options(config=DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    assert options.socket == DEFAULT_SOCKET
    assert DEFAULT_FILE == DEFAULT_CONFIGURATION


def test_every_option_is_one_of_the_daemons() -> None:
    names = [parameter.name for parameter in gateway.params]
    assert len(set(names)) == len(names)
    assert set(names) <= {field.name for field in fields(Options)}


def test_what_is_said_arrives(started: list[Options], tmp_path: Path) -> None:
    words = {
        "--config": str(tmp_path / "gw.conf"),
        "--socket": f"unix://{tmp_path}/vici",
        "--socket-mode": "600",
        "--log-level": "3",
        "--encap": "always",
        "--mtu": "1300",
        "--tun": "secure0",
        "--port": "5000",
        "--strongswan-conf": str(tmp_path / "s.conf"),
    }
    CliRunner().invoke(gateway, [*(word for pair in words.items() for word in pair), "--no-gso", "--no-guard"])
    assert started == [
        Options(
            config=tmp_path / "gw.conf",
            socket=tmp_path / "vici",
            socket_mode=0o600,
            log_level=3,
            encap="always",
            mtu=1300,
            tun="secure0",
            port=5000,
            strongswan_conf=tmp_path / "s.conf",
            gso=False,
            guard=False,
        )
    ]


@pytest.mark.parametrize("mode", ["888", "1777", "rw"])
def test_a_mode_that_is_none_is_wrong_usage(started: list[Options], mode: str) -> None:
    assert CliRunner().invoke(gateway, ["--socket-mode", mode]).exit_code == 2
    assert started == []
