"""What the documentation calls honoured is used where tunnels are negotiated and carried, not only read and shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fastesp.config.reference import keys, status

ROOT = Path(__file__).resolve().parents[3]
SHOWN = ROOT / "fastesp" / "gateway" / "commands" / "views.py"
READ = {"round": "sorts the rounds while they are read", "policies": "has one value that is taken"}
READ |= {"file": "names a certificate", "version": "has one meaning", "aggressive": "has one value that is taken"}
READ |= dict.fromkeys(("pull", "mediation", "ipcomp", "sha256_96"), "has one value that is taken")

SOURCE = "".join(
    path.read_text()
    for top in ("ike", "fastesp/gateway")
    for path in sorted((ROOT / top).rglob("*.py"))
    if path != SHOWN and path.name != "config.py"
)
HONOURED = sorted(
    {
        name.rpartition(".")[2]
        for name, key, rule in keys()
        if key is not None and name.startswith("connections.") and status(key, rule).startswith("honoured")
    }
    - READ.keys()
)


def test_there_are_as_many_as_the_table_has() -> None:
    assert len(HONOURED) > 50


@pytest.mark.parametrize("name", HONOURED)
def test_a_key_that_is_honoured_is_used(name: str) -> None:
    assert re.search(rf"\.{name}\b", SOURCE), f"nothing asks for '{name}'"
