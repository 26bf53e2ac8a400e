#!/usr/bin/python3
"""Prints what pip must install for work on the project, from pyproject.toml: to build it, to run it, and each extra.

With the name of an extra: only that. ``mlkem512`` is printed only so: it is not to be had for every machine.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

SPECIAL = ("mlkem512",)


def requirements(pyproject: Path, only: str = "") -> list[str]:
    """Requirement lines, each once, sorted."""
    project = tomllib.loads(pyproject.read_text())
    extras = project["project"]["optional-dependencies"]
    if only:
        return sorted(extras[only])
    lines = set(project["build-system"]["requires"]) | set(project["project"]["dependencies"])
    for name, extra in extras.items():
        if name not in SPECIAL:
            lines.update(extra)
    return sorted(lines)


if __name__ == "__main__":
    print("\n".join(requirements(Path(__file__).resolve().parent.parent / "pyproject.toml", *sys.argv[1:2])))
