"""The configuration reader on any input: it ends, it never crashes, and what was written comes back."""

from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from fastesp.config import ConfigurationError, Problem, load, vici
from fastesp.config.problems import Problems
from fastesp.config.reading import read
from fastesp.config.reference import keys
from fastesp.config.schema import ROOT
from fastesp.config.syntax import parse_text
from fastesp.config.tree import Section, resolve

Tree = dict[str, object]

NAMES = st.text(string.ascii_letters + string.digits + "-_*%/", min_size=1, max_size=8).filter(lambda n: n != "include")
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), min_size=1, max_size=20)
TREES: st.SearchStrategy[Tree] = st.recursive(
    st.dictionaries(NAMES, VALUES, max_size=4),
    lambda below: st.dictionaries(NAMES, VALUES | below, max_size=4),
    max_leaves=20,
)
GRAMMAR = st.lists(
    st.sampled_from(
        [*'{}=:,.#"\\\n\r\t x', "include ", "connections", "local", "children", "a.b", " = ", "\\\n", "0x", "é", "\0"]
    ),
    max_size=60,
).map("".join)
KEY_NAMES = sorted(
    {name.rpartition(".")[2].replace("<suffix>", "-1") for name, _, _ in keys()} | {"x", "net", "local-2"}
)


def quoted(value: str) -> str:
    """A value in quotes."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def told(call: Callable[[], object]) -> list[Problem] | None:
    """The errors that a call is refused with; ``None`` where it is not."""
    try:
        call()
    except ConfigurationError as error:
        return error.errors
    return None


def written(tree: Tree, depth: int = 0) -> str:
    """A tree as a file."""
    pad = " " * depth
    lines = [
        f"{pad}{name} {{\n{written(value, depth + 1)}{pad}}}"
        if isinstance(value, dict)
        else f"{pad}{name} = {quoted(str(value))}"
        for name, value in tree.items()
    ]
    return "\n".join(lines) + "\n"


def plain(section: Section) -> Tree:
    """A section as a tree."""
    own: Tree = {name: setting.items[0] for name, setting in section.settings.items()}
    return own | {name: plain(below) for name, below in section.sections.items()}


def ordered(tree: Tree) -> Tree:
    """Keys before sections, as the reader keeps them."""
    own = {name: value for name, value in tree.items() if not isinstance(value, dict)}
    return own | {name: ordered(value) for name, value in tree.items() if isinstance(value, dict)}


@given(TREES)
def test_what_is_written_is_read_again(tree: Tree) -> None:
    problems = Problems()
    root = parse_text(written(tree), problems)
    assert plain(root) == ordered(tree)
    assert all(problem.severity == "warning" for problem in problems.sorted())


@given(TREES)
def test_every_place_points_at_its_key(tree: Tree) -> None:
    text = written(tree)
    lines = text.split("\n")
    for section in parse_text(text, Problems()).walk():
        for setting in section.settings.values():
            assert lines[setting.at.line - 1][setting.at.column - 1 :].startswith(setting.name)


@given(GRAMMAR | st.text(max_size=200))
@settings(max_examples=400)
def test_any_text_ends_and_every_problem_has_a_place_in_it(text: str) -> None:
    problems = Problems()
    root = resolve(parse_text(text, problems, "t.conf"), problems)
    read(root, ROOT, problems)
    lines = text.count("\n") + 1
    for problem in problems.sorted():
        assert problem.file == "t.conf"
        assert 1 <= problem.line <= lines
        assert problem.column >= 1
        assert problem.message


@given(
    st.recursive(
        st.dictionaries(st.sampled_from(KEY_NAMES), VALUES, max_size=5),
        lambda below: st.dictionaries(st.sampled_from(KEY_NAMES), VALUES | below, max_size=5),
        max_leaves=25,
    )
)
@settings(max_examples=200)
def test_known_keys_with_any_values_are_taken_or_told(tmp_path_factory, tree: Tree) -> None:
    directory = tmp_path_factory.getbasetemp() / "property"
    directory.mkdir(exist_ok=True)
    path = Path(directory / "swanctl.conf")
    path.write_text(
        written(
            {"connections": {"c": tree}, "secrets": {"ike-1": tree}, "pools": {"p": tree}, "authorities": {"a": tree}}
        )
    )
    errors = told(lambda: load(path))
    assert errors is None or errors


WIRE = st.recursive(
    st.binary(max_size=12) | st.lists(st.binary(max_size=12), max_size=3),
    lambda below: st.dictionaries(st.sampled_from(KEY_NAMES), below, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(KEY_NAMES), WIRE, max_size=4))
@settings(max_examples=300)
def test_any_vici_message_is_taken_or_told(message: dict[str, object]) -> None:
    for call in (
        vici.load_connections,
        vici.load_pools,
        vici.load_authorities,
        vici.load_shared,
        vici.load_key,
        vici.load_certificate,
    ):
        problems = told(lambda call=call: call(message))
        assert problems is None or problems
        assert all(problem.line == 0 for problem in problems or ())
