"""docs/conformance.md names files and tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("| \n").split("|")]
    for line in (ROOT / "docs" / "conformance.md").read_text().splitlines()
    if re.match(r"\| \d", line)
]


def test_the_table_has_rows_of_four_cells() -> None:
    assert len(ROWS) > 50
    assert {len(row) for row in ROWS} == {4}


def test_every_file_and_every_test_that_the_table_names_is_there() -> None:
    missing = []
    for _, what, code, test in ROWS:
        files = re.findall(r"`([^`]+)`", code)
        tests = [name.split("::") for name in re.findall(r"`([^`]+)`", test)]
        assert files, what
        assert tests, what
        missing += [name for name in files if not (ROOT / name).is_file()]
        for file, name in tests:
            if not (ROOT / file).is_file() or not re.search(rf"def {name}\(", (ROOT / file).read_text()):
                missing.append(f"{file}::{name}")
    assert missing == []
