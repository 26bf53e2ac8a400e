"""docs/interop.md names tests that are there, and with real peers there are as many cases as it promises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "interop.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("| \n").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("|") and "::" in line
]
PEERS = ("strongSwan", "Libreswan", "kernel")
LEAST = 60


def test_the_table_has_rows_of_a_feature_a_role_and_a_test() -> None:
    assert len(ROWS) >= LEAST
    assert {len(row) for row in ROWS} == {3}
    assert all(all(row) for row in ROWS)
    assert all(peer in PAGE for peer in PEERS)


def test_every_test_that_the_table_names_is_there_and_has_a_real_peer() -> None:
    missing = []
    for _, _, named in ROWS:
        file, _, test = named.strip("`").partition("::")
        text = (ROOT / file).read_text() if (ROOT / file).is_file() else ""
        if not re.search(rf"def {test}\(", text) or not re.search(r"pytest\.mark\.(peer|vm)\b", text):
            missing.append(named)
    assert missing == []


def test_each_feature_is_tried_once_in_each_role() -> None:
    pairs = [(feature, role) for feature, role, _ in ROWS]
    assert len(set(pairs)) == len(pairs)


def test_there_are_enough_cases_with_a_strongswan() -> None:
    words = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-m",
        "peer",
        "-p",
        "no:cacheprovider",
        "tests/interop",
    ]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sum("::" in line for line in done.stdout.splitlines()) >= LEAST
