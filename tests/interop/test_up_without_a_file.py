"""``fastesp up --to``: a tunnel to a strongSwan without any configuration file on our side."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tunnels import Pair, configure, hosts_reach_each_other, pair

from fastesp.lab import Lab
from fastesp.lab.ours import Outcome

pytestmark = [pytest.mark.root, pytest.mark.peer]

SECRET = "a secret for an afternoon"


@pytest.fixture
def both(lab: Lab) -> Pair:
    """charon knows us by our address; ours knows nothing."""
    one = pair(lab)
    a, b = one.sites.a, one.sites.b
    configure(one, theirs={"local_id": b.outer, "remote_id": a.outer, "proposals": "default"})
    one.ours.swanctl.configure("connections {\n}\n")
    one.start()
    return one


def secret_file(both: Pair, text: str, mode: int = 0o600) -> Path:
    file = both.ours.directory / "k"
    file.write_text(text)
    file.chmod(mode)
    return file


def up(both: Pair, file: Path, *more: str) -> Outcome:
    """The five lines that the documentation promises, on one."""
    a, b = both.sites.a, both.sites.b
    words = ["up", "--to", b.outer, "--psk-file", str(file), "--local", a.net, "--remote", b.net]
    return both.ours.command(*words, *more, timeout=60.0)


def test_it_comes_up_carries_traffic_and_goes_again(both: Pair) -> None:
    outcome = up(both, secret_file(both, f"{SECRET}\n"))
    assert outcome.exit_code == 0, outcome
    assert "to-198.51.100.20/net is up after" in outcome.output
    assert "10.10.0.0/24 === 10.20.0.0/24" in outcome.output
    assert SECRET not in outcome.output + outcome.errors + both.ours.log()
    hosts_reach_each_other(both)
    assert both.ours.command("down", "to-198.51.100.20").exit_code == 0
    both.theirs.wait_nothing()


def test_where_it_does_not_come_up_nothing_stays(both: Pair) -> None:
    outcome = up(both, secret_file(both, "0x00112233445566778899aabbccddeeff"))
    assert outcome.exit_code == 6, outcome
    assert "peer-auth-failed" in outcome.errors
    with both.ours.session() as session:
        assert session.get_conns() == {"conns": []}
        assert session.get_shared() == {"keys": []}


def test_a_secret_that_everybody_may_read_is_used_with_a_warning(both: Pair) -> None:
    outcome = up(both, secret_file(both, SECRET, 0o644))
    assert outcome.exit_code == 0, outcome
    assert "everybody may read this secret" in outcome.errors
