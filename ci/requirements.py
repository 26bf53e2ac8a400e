#!/usr/bin/python3
"""Prints what pip must install for work on the project, from pyproject.toml: to build it, to run it, and each extra."""

from __future__ import annotations

import tomllib
from pathlib import Path


def requirements(pyproject: Path) -> list[str]:
    """Requirement lines, each once, sorted."""
    project = tomllib.loads(pyproject.read_text())
    lines = set(project["build-system"]["requires"]) | set(project["project"]["dependencies"])
    for extra in project["project"]["optional-dependencies"].values():
        lines.update(extra)
    return sorted(lines)


if __name__ == "__main__":
    print("\n".join(requirements(Path(__file__).resolve().parent.parent / "pyproject.toml")))
