"""The guard where nft cannot be run, fails once, or is asked from two sides at once."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network
from pathlib import Path

import pytest

from fastesp.dataplane.base import Selector, TrapPolicy
from fastesp.gateway import plumbing as plumbing_module
from fastesp.gateway.guard import Guard
from fastesp.gateway.plumbing import Plumbing

NFT = """#!/bin/sh
cd {place}
case "$*" in
    "-f -") cat >>loaded; echo . >>loaded; test ! -e broken ;;
    *list*)
        if test -e gone; then exit 1; fi
        if test -e slow; then while test ! -e go; do sleep 0.01; done; fi
        echo '{{"nftables": [{{"counter": {{"packets": 8}}}}]}}' ;;
esac
"""


def policy(number: int) -> TrapPolicy:
    ours, theirs = ip_network("10.1.0.0/24"), ip_network(f"10.2.{number}.0/24")
    return TrapPolicy(f"a/{number}", number, (Selector(ours[0], ours[-1], theirs[0], theirs[-1]),))


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    """A guard whose nft writes down what it loads; files in ``tmp_path`` make it fail."""
    program = tmp_path / "nft"
    program.write_text(NFT.format(place=tmp_path))
    program.chmod(0o755)
    made = Guard("t", "tun0")
    made._nft = str(program)
    return made


def loads(place: Path) -> list[str]:
    return (place / "loaded").read_text().split(".\n")[:-1]


async def test_what_could_not_be_told_because_nft_does_not_start_is_told_later(guard: Guard, tmp_path: Path) -> None:
    guard.add(policy(1))
    await guard.apply()
    program, guard._nft = guard._nft, str(tmp_path / "nothing")
    guard.add(policy(2))
    await guard.apply()
    assert not guard.active
    guard._nft = program
    await guard.apply()
    assert guard.active
    assert "10.2.1.0 . 10.1.0.0, 10.2.2.0 . 10.1.0.0" in loads(tmp_path)[-1]


async def test_a_guard_that_could_not_be_set_up_is_tried_again_without_another_change(
    guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(plumbing_module, "LOOK", 0.02)
    (tmp_path / "broken").touch()
    plumbing = Plumbing(None, guard)
    await plumbing.start()
    try:
        plumbing.added(policy(1))
        while len(loads(tmp_path) if (tmp_path / "loaded").exists() else ()) < 4:
            await asyncio.sleep(0.01)
        assert not guard.active
        (tmp_path / "broken").unlink()
        while not guard.active:
            await asyncio.sleep(0.01)
        # Nobody asks for figures: that the ruleset was emptied is seen all the same.
        (tmp_path / "gone").touch()
        while guard.active:
            await asyncio.sleep(0.01)
        (tmp_path / "gone").unlink()
        while not guard.active:
            await asyncio.sleep(0.01)
    finally:
        await plumbing.stop()
    assert sum("cannot set up the inbound guard" in line for line in caplog.messages) == 1


async def test_what_is_counted_while_the_table_is_made_anew_counts_once(guard: Guard, tmp_path: Path) -> None:
    guard.add(policy(1))
    await guard.apply()
    assert await guard.dropped() == 8
    (tmp_path / "slow").touch()
    asked = asyncio.create_task(guard.dropped())
    await asyncio.sleep(0.1)
    (tmp_path / "broken").touch()
    guard.add(policy(2))
    applied = asyncio.create_task(guard.apply())
    await asyncio.sleep(0.1)
    (tmp_path / "go").touch()
    await applied
    assert await asked == 8
