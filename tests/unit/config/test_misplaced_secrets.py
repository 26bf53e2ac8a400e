"""A secret that slipped to where no secret belongs is reported by its place and length, never by its letters."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastesp.config import ConfigurationError, load

SECRET = "aGVsbG8Kd29ybGQK"


@pytest.mark.parametrize(
    "body",
    [
        f"secret =\n {SECRET}",
        SECRET,
        f"{SECRET} = x",
        f"{SECRET} {{\n}}",
        f"secret = x\n {SECRET}",
        f"secret {SECRET}",
        f'secret = "{SECRET}',
        f"secret = 0x{SECRET}",
        f"secret = 0s{SECRET}!",
    ],
)
def test_it_is_not_shown(tmp_path: Path, body: str) -> None:
    file = tmp_path / "swanctl.conf"
    file.write_text(f"secrets {{\n ike {{\n {body}\n }}\n}}\n")
    with pytest.raises(ConfigurationError) as caught:
        load(file)
    told = [str(problem) for problem in caught.value.problems]
    assert told
    assert SECRET not in " ".join((*told, str(caught.value), repr(caught.value)))


def test_a_name_that_is_only_misspelt_is(tmp_path: Path) -> None:
    file = tmp_path / "swanctl.conf"
    file.write_text("secrets {\n ike {\n secrett = x\n }\n}\n")
    with pytest.raises(ConfigurationError, match=r"unknown key 'secrett'.*did you mean 'secret'"):
        load(file)
