"""The page about the states is what the table says now."""

from __future__ import annotations

import re
from pathlib import Path

from ike.sa.diagram import UNASKED, drawn, page
from ike.sa.state import State
from ike.sa.table import TABLE

PAGE = Path(__file__).resolve().parents[3] / "docs" / "ike-states.md"


def test_the_page_is_current() -> None:
    text = PAGE.read_text()
    assert page(text) == text, "the table has changed: run make docs"


def test_every_row_stands_in_the_list_of_its_state() -> None:
    text = drawn()
    sections = dict(re.findall(r"### (\w+)\n\n(.*?)(?=\n\n###|\Z)", text, re.DOTALL))
    assert set(sections) == {state.name for state in State} - {"DEAD"}
    for row in TABLE:
        assert row.story in sections[row.state.name]
    assert sum(section.count("\n| ") for section in sections.values()) == len(TABLE)


def test_arrows_are_the_steps_of_the_table_and_those_that_no_message_brings_about() -> None:
    drawn_ones = set(re.findall(r"^    (\w+) --> (\w+):", drawn(), re.MULTILINE))
    steps = {(row.state.name, after.name) for row in TABLE for after in row.then if after is not row.state}
    assert drawn_ones == steps | {(before.name, after.name) for before, after, _ in UNASKED}
