"""The house rules that a machine can check: who may import whom, how long a file may be, what a file must say first."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINES = 700
SUFFIXES = {".py", ".pyx", ".pxd", ".pyi", ".c", ".h"}

ENGINE_SIDE = ("fastesp.engine", "fastesp.io", "fastesp.dataplane", "fastesp.steering")

FORBIDDEN: dict[str, tuple[str, ...]] = {
    "ike": ("fastesp",),
    **dict.fromkeys(ENGINE_SIDE, ("ike", "fastesp.gateway", "fastesp.config", "fastesp.cli", "fastesp.lab")),
    "fastesp.config": ("fastesp.gateway", "fastesp.cli", "fastesp.lab", *ENGINE_SIDE),
    "fastesp.gateway": ("fastesp.cli", "fastesp.lab"),
    "fastesp.cli": ("ike", *ENGINE_SIDE),
    "fastesp.lab": ("ike", "fastesp.gateway", "fastesp.config", *ENGINE_SIDE),
}
"""Package -> what nothing in it may import. The lab drives gateways as processes, the command line over the socket."""

ALLOWED: dict[str, tuple[str, ...]] = {
    "fastesp.cli.gateway": ("fastesp.gateway",),
    "fastesp.cli": ("fastesp.gateway.vici",),
}

CIMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\b|c?import\s+([\w.]+(?:\s*,\s*[\w.]+)*))", re.MULTILINE)


def sources(*suffixes: str) -> list[Path]:
    """Files of the two packages with one of these endings; what Cython generated has no source of ours in it."""
    found = [p for top in ("ike", "fastesp") for p in (ROOT / top).rglob("*") if p.suffix in suffixes]
    return sorted(found)


def module_of(path: Path) -> str:
    """``fastesp/engine/esp.pyx`` -> ``fastesp.engine.esp``; a package for its ``__init__``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def absolute(name: str, level: int, path: Path) -> str:
    """A relative import as an absolute name."""
    if level == 0:
        return name
    package = path.relative_to(ROOT).parent.parts
    base = package[: len(package) - (level - 1)]
    return ".".join([*base, name] if name else base)


def imports_of(path: Path) -> set[str]:
    """Every module that a file names in an import, at any depth: an import inside a function counts too."""
    text = path.read_text()
    found: set[str] = set()
    if path.suffix in {".py", ".pyi"}:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = absolute(node.module or "", node.level, path)
                found.update({base, *(f"{base}.{alias.name}" for alias in node.names)})
        return found
    for source, names in CIMPORT.findall(text):
        for name in re.split(r"\s*,\s*", source or names):
            stripped = name.lstrip(".")
            found.add(absolute(stripped, len(name) - len(stripped), path))
    return found


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def offences(path: Path) -> list[str]:
    """What a file imports and may not."""
    module = module_of(path)
    bad = []
    for package, forbidden in FORBIDDEN.items():
        if within(module, (package,)):
            allowed = tuple(name for owner, names in ALLOWED.items() if within(module, (owner,)) for name in names)
            bad += [n for n in imports_of(path) if within(n, forbidden) and not within(n, allowed)]
    return sorted(bad)


@pytest.mark.parametrize("path", sources(".py", ".pyx", ".pxd", ".pyi"), ids=module_of)
def test_a_module_imports_only_what_its_package_may_know(path: Path) -> None:
    assert offences(path) == []


def test_an_offence_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    for directory in ("ike/sa", "fastesp/engine"):
        (tmp_path / directory).mkdir(parents=True)
    inside = tmp_path / "ike/sa/late.py"
    inside.write_text("def late():\n    from fastesp.dataplane import base\n    return base\n")
    cython = tmp_path / "fastesp/engine/hot.pyx"
    cython.write_text("from ike.crypto cimport secret\ncimport ike.wire, libc.stdint\nfrom .batch cimport Batch\n")
    relative = tmp_path / "fastesp/engine/up.py"
    relative.write_text("from ..gateway import tunnels\n")
    assert offences(inside) == ["fastesp.dataplane", "fastesp.dataplane.base"]
    assert offences(cython) == ["ike.crypto", "ike.wire"]
    assert offences(relative) == ["fastesp.gateway", "fastesp.gateway.tunnels"]


def own_files() -> list[Path]:
    """Every file that a person wrote: what Cython generated stands beside its ``.pyx``."""
    tops = ("ike", "fastesp", "bpf", "benchmarks", "tests", "ci")
    found = [p for top in tops for p in (ROOT / top).rglob("*") if p.suffix in SUFFIXES and p.is_file()]
    return sorted(p for p in found if not (p.suffix == ".c" and p.with_suffix(".pyx").exists()))


def test_no_file_is_longer_than_a_person_reads() -> None:
    long = {str(p.relative_to(ROOT)): n for p in own_files() if (n := len(p.read_text().splitlines())) > LINES}
    assert long == {}


@pytest.mark.parametrize("path", sources(".py"), ids=module_of)
def test_a_module_says_first_what_it_is_for(path: Path) -> None:
    text = path.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text))


def test_every_directory_with_modules_is_a_package() -> None:
    """Otherwise ``packages.find`` leaves it out of what is installed."""
    directories = {p.parent for p in sources(".py", ".pyx")}
    assert [str(d.relative_to(ROOT)) for d in sorted(directories) if not (d / "__init__.py").exists()] == []


def test_the_protocol_library_is_importable_on_its_own() -> None:
    """Nothing of sockets, threads, clocks or netlink: time comes from outside, and so do the datagrams."""
    banned = ("socket", "threading", "asyncio", "time", "random", "subprocess", "pyroute2", "select")
    found = {
        module_of(p): sorted(n for n in imports_of(p) if within(n, banned))
        for p in sources(".py")
        if module_of(p).startswith("ike")
    }
    assert {module: names for module, names in found.items() if names} == {}
