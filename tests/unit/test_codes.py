"""The table of codes against the source: what can be raised is explained, what is explained can be raised."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastesp.codes import CODES

ROOT = Path(__file__).resolve().parents[2]
CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
CARRIERS = frozenset(
    ("IkeError", "PeerError", "LocalError", "SilentDrop", "Failure", "FailureRecord", "Refused", "drop")
)
"""What takes a code first, beside functions whose first parameter is named so; other calls have the keyword."""


def sources() -> list[Path]:
    return [p for top in ("ike", "fastesp") for p in sorted((ROOT / top).rglob("*.py")) if p.parent.name != "codes"]


def literals(node: ast.expr) -> Iterator[str]:
    """Constants that an argument may be."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from literals(node.body)
        yield from literals(node.orelse)


def helpers(tree: ast.AST) -> set[str]:
    """Functions of a module whose first parameter is a code."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return {f.name for f in functions if [a.arg for a in f.args.args if a.arg != "self"][:1] == ["code"]}


def raised() -> dict[str, str]:
    """Code -> a place where it is raised."""
    found: dict[str, str] = {}
    for path in sources():
        tree = ast.parse(path.read_text())
        carriers = CARRIERS | helpers(tree)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            first = node.args[:1] if name in carriers else []
            keyed = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            for argument in (*first, *keyed):
                for code in literals(argument):
                    found.setdefault(code, f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


def test_every_code_that_is_raised_is_explained() -> None:
    assert {code: place for code, place in raised().items() if code not in CODES} == {}


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_code_is_kebab_case_and_says_what_why_and_what_to_do(code: str) -> None:
    assert CODE.fullmatch(code)
    entry = CODES[code]
    assert all(entry)
    assert not entry.title.endswith(".")
    assert not entry.action.endswith(".")
    assert entry.cause.endswith(".")


def test_the_search_sees_codes_in_every_form() -> None:
    seen = raised()
    assert {
        "invalid-syntax",
        "ikev1-refused",
        "not-ike",
        "cert-expired",
        "config-invalid",
        "gateway-unreachable",
    } <= set(seen)
