"""Every configuration in README and docs is one: it loads as it stands, without a warning."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastesp.cli import main
from fastesp.config import load

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = {
    f"{page.name} {number}": block
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    for number, block in enumerate(re.findall(r"^```\n(connections \{.*?)^```$", page.read_text(), re.M | re.S), 1)
}


def test_there_are_some() -> None:
    assert {name.split()[0] for name in EXAMPLES} >= {"README.md", "swanctl-conf.md"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_loads_as_it_stands(site, name: str) -> None:
    settings = load(site.conf(EXAMPLES[name]))
    assert settings.warnings == ()
    assert settings.connections


@pytest.mark.parametrize("name", EXAMPLES)
def test_check_explains_an_example_and_finds_nothing_wrong(site, name: str) -> None:
    said = CliRunner().invoke(main, ["check", str(site.conf(EXAMPLES[name]))])
    assert said.exit_code == 0, said.output
    assert "10.10.0.0/24" in said.output
