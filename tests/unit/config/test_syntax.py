"""The syntax of strongswan.conf(5), as its manual has it and as real files use it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastesp.config.problems import Problems
from fastesp.config.syntax import MAX_INCLUDE_DEPTH, MAX_SECTION_DEPTH, parse_file, parse_text
from fastesp.config.tree import Section, resolve


def parsed(text: str, *, errors: int = 0) -> Section:
    problems = Problems()
    root = parse_text(text, problems, "t.conf")
    assert len(problems.sorted()) == errors, problems.sorted()
    return root


def plain(section: Section) -> dict[str, object]:
    """A section as nested dictionaries."""
    own = {name: None if s.cleared else s.items[0] for name, s in section.settings.items()}
    return own | {name: plain(below) for name, below in section.sections.items()}


def complaints(text: str) -> list[str]:
    problems = Problems()
    parse_text(text, problems, "t.conf")
    return [str(problem) for problem in problems.sorted()]


def test_sections_and_keys_on_one_line_and_on_many_are_the_same() -> None:
    one = parsed("a { b { x = 1\n y = 2 } } c = 3")
    many = parsed("a\n{\n  b\n  {\n    x = 1\n    y = 2\n  }\n}\nc = 3\n")
    assert plain(one) == plain(many) == {"c": "3", "a": {"b": {"x": "1", "y": "2"}}}


def test_every_key_knows_its_line_and_its_column() -> None:
    root = parsed("a { b { x = 1\n   yy =   22 # no\n } }")
    x, y = root.sections["a"].sections["b"].settings.values()
    assert (str(x.at), str(x.place())) == ("t.conf:1:9", "t.conf:1:13")
    assert (str(y.at), str(y.place())) == ("t.conf:2:4", "t.conf:2:11")
    assert str(root.sections["a"].sections["b"].at) == "t.conf:1:5"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("k = a b   c\n", "a b c"),
        ("k = a\t b # comment", "a b"),
        ("k=v", "v"),
        ("k = C=CH, O=x, CN=y }", "C=CH, O=x, CN=y"),
        ("k = keyid:#00", "keyid:"),
        ('k = "C=CH, CN=#1"', "C=CH, CN=#1"),
        ('k = "a \\"quoted\\" word"', 'a "quoted" word'),
        ('k = "tab\\there\\nand \\\\ there"', "tab\there\nand \\ there"),
        ('k = "one \\\n line"', "one  line"),
        ('k = one "two  three" four', "one two  three four"),
        ('k = ""', ""),
        ("k = a=b:c,d.e", "a=b:c,d.e"),
        ("k = v\r\n", "v"),
    ],
)
def test_a_value_is_words_and_strings_up_to_the_end_of_the_line(text: str, value: str) -> None:
    setting = parse_text(text, Problems()).settings["k"]
    assert setting.items == (value,)
    assert not setting.cleared


def test_the_end_of_a_section_ends_a_value() -> None:
    assert plain(parsed("a { k = v }\nb { l = w}")) == {"a": {"k": "v"}, "b": {"l": "w"}}


def test_an_empty_value_clears_and_an_empty_string_does_not() -> None:
    root = parsed('a =\nb = ""\n')
    assert root.settings["a"].cleared
    assert not root.settings["b"].cleared


def test_a_section_written_twice_is_extended() -> None:
    assert plain(parsed("a { x = 1 }\na { y = 2 }")) == {"a": {"x": "1", "y": "2"}}


def test_a_key_written_twice_in_one_block_is_a_warning_and_the_last_one_counts() -> None:
    assert complaints("a { x = 1\n x = 2 }") == [
        "t.conf:2:2: warning: 'x' was given before, on line 1; this value replaces it (keep one of them)"
    ]


def test_a_value_cut_at_a_number_sign_is_a_warning() -> None:
    (one,) = complaints("secret = abc#def")
    assert one.startswith("t.conf:1:13: warning: the value of 'secret' ends at '#'")
    assert complaints("secret = abc # def") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("}", "t.conf:1:1: '}' closes nothing"),
        ("a { b {\n}", "t.conf:1:1: section 'a' is never closed"),
        ('a = "b', "t.conf:1:5: the string that begins here has no closing"),
        ("a b = c", "t.conf:1:1: 'a' is followed by 'b'"),
        ("a.b = c", "t.conf:1:1: 'a' is followed by '.'"),
        ("= c", "t.conf:1:1: '=' where a key or a section's name is expected (the key is missing before '=')"),
        ('"a" = c', "t.conf:1:1: '\"' where a key"),
        ("a", "t.conf:1:1: 'a' is followed by the end of the file"),
        ("a : { }", "t.conf:1:5: the name of a section is missing behind ':'"),
        ("a : b = c", "t.conf:1:7: '{' is missing behind 'a'"),
        ("a = b { c = d }", "t.conf:1:7: '{' in the value of 'a'"),
        ("include\t", "t.conf:1:9: include names no file"),
        ('a = "x\ny"', "t.conf:1:5: warning: the string that begins here ends on line 2"),
    ],
)
def test_broken_text_is_told_where_it_breaks(text: str, message: str) -> None:
    assert any(one.startswith(message) for one in complaints(text)), complaints(text)


def test_reading_goes_on_behind_a_mistake() -> None:
    problems = Problems()
    root = parse_text("a { . = 1\n b = 2 }\nc { d = 3 }\n", problems)
    assert plain(root) == {"a": {"b": "2"}, "c": {"d": "3"}}
    assert len(problems.sorted()) == 1


def test_sections_too_deep_are_refused_and_not_a_crash() -> None:
    assert any(f"deeper than {MAX_SECTION_DEPTH}" in one for one in complaints("a {" * 5000))


# Includes.


def test_an_include_is_relative_to_its_file_and_takes_files_by_name(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "b.conf").write_text("x = b\ny = b\n")
    (tmp_path / "conf.d" / "a.conf").write_text("x = a\n")
    (tmp_path / "main.conf").write_text("x = before\ns { include conf.d/*.conf\n z = 1 }\ninclude none/*.conf\n")
    problems = Problems()
    root = parse_file(tmp_path / "main.conf", problems)
    assert plain(root) == {"x": "before", "s": {"x": "b", "y": "b", "z": "1"}}
    assert problems.sorted() == []
    assert root.sections["s"].settings["x"].at.file == str(tmp_path / "conf.d" / "b.conf")


def test_an_include_may_be_quoted_or_escaped(tmp_path: Path) -> None:
    (tmp_path / "with space.conf").write_text("x = 1\n")
    for spelling in ('include "with space.conf"', "include with\\ space.conf # here", "a { include with\\ space.conf}"):
        (tmp_path / "main.conf").write_text(spelling)
        problems = Problems()
        root = parse_file(tmp_path / "main.conf", problems)
        assert problems.sorted() == []
        assert next(iter(root.walk())).settings or root.sections["a"].settings


def test_a_key_may_be_called_include() -> None:
    assert plain(parsed("include = yes\nincluded = no\n")) == {"include": "yes", "included": "no"}


def test_a_file_that_includes_itself_is_told_and_ends(tmp_path: Path) -> None:
    main = tmp_path / "main.conf"
    main.write_text("a = 1\ninclude main.conf\nb = 2\n")
    problems = Problems()
    assert plain(parse_file(main, problems)) == {"a": "1", "b": "2"}
    (one,) = problems.sorted()
    assert (one.line, one.column) == (2, 9)
    assert "includes itself" in one.message


def test_includes_too_deep_are_told(tmp_path: Path) -> None:
    for number in range(MAX_INCLUDE_DEPTH + 2):
        (tmp_path / f"{number}.conf").write_text(f"include {number + 1}.conf\n")
    problems = Problems()
    parse_file(tmp_path / "0.conf", problems)
    (one,) = problems.sorted()
    assert "levels of includes" in one.message


def test_a_missing_file_is_told_where_it_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "main.conf").write_text("a { include gone.conf\n}")
    problems = Problems()
    parse_file(tmp_path / "main.conf", problems)
    (one,) = problems.sorted()
    assert (one.line, one.column) == (1, 13)
    assert "there is no file" in one.message
    problems = Problems()
    parse_file(tmp_path / "nowhere.conf", problems)
    assert "cannot read" in problems.sorted()[0].message


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "main.conf").write_bytes(b"a = \xff\xfe")
    problems = Problems()
    parse_file(tmp_path / "main.conf", problems)
    assert "not UTF-8" in problems.sorted()[0].message


# References.


def resolved(text: str) -> tuple[dict[str, object], list[str]]:
    problems = Problems()
    root = resolve(parse_text(text, problems, "t.conf"), problems)
    return plain(root), [str(problem) for problem in problems.sorted()]


def test_a_reference_inherits_keys_and_sub_sections_and_its_own_win() -> None:
    tree, told = resolved(
        """
        base { version = 2
          mobike = no
          local { auth = psk
            id = x } }
        connections { a : base { mobike = yes
            local { id = y } } }
        """
    )
    assert told == []
    assert tree["connections"] == {"a": {"mobike": "yes", "version": "2", "local": {"id": "y", "auth": "psk"}}}


def test_references_count_from_left_to_right_and_through_each_other() -> None:
    tree, told = resolved("a { x = a }\nb : a { y = b\n x = b }\nc { x = c\n z = c }\nd : c, b { }\n")
    assert told == []
    assert tree["d"] == {"x": "c", "z": "c", "y": "b"}


def test_a_reference_may_name_a_section_below_and_one_that_comes_later() -> None:
    tree, told = resolved("connections { b : connections.a { y = 2 }\n a : base { x = 1 } }\nbase { z = 0 }\n")
    assert told == []
    assert tree["connections"]["b"] == {"y": "2", "x": "1", "z": "0"}  # type: ignore[index]


def test_what_is_inherited_follows_what_is_written() -> None:
    tree, _ = resolved("base { remote-1 { a = 1 }\n remote-2 { a = 2 } }\nc : base { remote-3 { a = 3 } }\n")
    assert list(tree["c"]) == ["remote-3", "remote-1", "remote-2"]  # type: ignore[call-overload]


def test_an_empty_value_hides_an_inherited_one() -> None:
    tree, _ = resolved("base { x = 1 }\nc : base { x =\n }\n")
    assert tree["c"] == {"x": None}


def test_references_in_a_circle_end() -> None:
    tree, told = resolved("a : b { x = 1 }\nb : a { y = 2 }\n")
    assert told == []
    assert tree["a"] == {"x": "1", "y": "2"}


def test_a_reference_to_what_contains_it_is_refused() -> None:
    _, told = resolved("a { b : a { x = 1 } }\n")
    assert told == ["t.conf:1:9: 'b' refers to 'a', which contains it (refer to a section outside of it)"]


def test_references_that_multiply_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastesp.config.tree.MAX_SECTIONS", 1000)
    lines = [f"s{n} {{ a : s{n + 1} {{ }}\n b : s{n + 1} {{ }} }}" for n in range(30)]
    _, told = resolved("\n".join([*lines, "s30 { x = 1 }"]))
    assert any("references expand to more than" in one for one in told)


def test_a_message_is_one_line_and_carries_no_control_characters() -> None:
    (one,) = complaints("\x1b[31m\x07 x")
    assert one.isprintable()
    assert "\\x1b[31m" in one
