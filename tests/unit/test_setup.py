"""What ``make`` calls before anything of ours is there: it names what is missing, and does nothing twice."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETS = ("base", "peers", "vm", "bench")


def setup(*sets: str, directory: Path = ROOT / "ci", path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]}
    words = ["bash", str(directory / "setup-machine.sh"), *sets]
    return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=60, check=False)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A copy of ``ci`` with a set of its own, whose one package nobody has."""
    directory = tmp_path / "ci"
    shutil.copytree(ROOT / "ci", directory)
    (directory / "packages-rare.txt").write_text("# a comment\nno-such-package-of-ours\nbash\n")
    return directory


@pytest.mark.parametrize("name", SETS)
def test_each_set_lists_packages_once_and_in_order(name: str) -> None:
    lines = (ROOT / "ci" / f"packages-{name}.txt").read_text().splitlines()
    packages = [line for line in lines if not line.startswith("#")]
    assert lines[0].startswith("# ")
    assert packages
    assert packages == sorted(set(packages))


def test_an_unknown_set_is_a_usage_error_that_names_those_there_are() -> None:
    done = setup("nonsense")
    assert done.returncode == 2
    assert "no such set: nonsense" in done.stderr
    assert "packages-base.txt" in done.stderr


def test_no_set_at_all_is_a_usage_error() -> None:
    assert setup().returncode == 2


def test_where_all_is_installed_nothing_is_done_or_said(elsewhere: Path) -> None:
    (elsewhere / "packages-rare.txt").write_text("bash\ncoreutils\n")
    done = setup("rare", directory=elsewhere)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_root_it_says_which_packages_are_missing_and_what_to_do(elsewhere: Path, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "id").write_text("#!/bin/sh\necho 1000\n")
    (programs / "id").chmod(0o755)
    done = setup("rare", directory=elsewhere, path=str(programs))
    assert done.returncode == 1
    assert "needs root: no-such-package-of-ours" in done.stderr
    assert "sudo" in done.stderr


def test_requirements_are_those_of_the_project_with_all_its_extras() -> None:
    words = ["/usr/bin/python3", str(ROOT / "ci" / "requirements.py")]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\n")
    names = {line.split(">")[0].split("[")[0] for line in lines if line}
    assert {
        "cython",
        "numpy",
        "cryptography",
        "pyroute2",
        "vici",
        "pytest",
        "pytest-xdist",
        "ruff",
        "virtme-ng",
    } <= names
