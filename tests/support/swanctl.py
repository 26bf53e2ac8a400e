"""Debian's swanctl against any gateway of the lab, and what it prints as values."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastesp.lab.peer import Peer
from fastesp.lab.strongswan import SWANCTL, unconfined

Tree = dict[str, Any]
"""A VICI message: text, lists of text, and sections, in their order."""


@dataclass(frozen=True, slots=True)
class Said:
    """How a call of swanctl ended."""

    code: int
    output: str
    errors: str

    @property
    def text(self) -> str:
        """All it said."""
        return self.output + self.errors


def swanctl(peer: Peer, *words: str, timeout: float = 60.0) -> Said:
    """``swanctl WORDS`` against a gateway of ours or a charon, with the peer's own directory."""
    argv = ["env", f"SWANCTL_DIR={peer.swanctl.path}", "TZ=UTC", *unconfined(), SWANCTL]
    done = subprocess.run(
        peer.namespace.argv([*argv, *words, "--uri", f"unix://{peer.socket_path}"]),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def messages(pretty: str) -> list[tuple[str, Tree]]:
    """What ``--raw --pretty`` printed: each message with its title (``list-sa event``)."""
    lines = iter(pretty.splitlines())
    found = []
    for line in lines:
        title = re.fullmatch(r"([a-z-]+ (?:event|reply)) \{", line)
        assert title is not None, line
        found.append((title[1], _section(lines)))
    return found


def _section(lines: Iterator[str]) -> Tree:
    tree: Tree = {}
    for line in map(str.strip, lines):
        if line == "}":
            return tree
        key, _, value = line.partition(" = ")
        if line.endswith(" {") or line == "{":
            tree[line[:-1].strip()] = _section(lines)
        elif value == "[":
            tree[key] = list(iter(lambda: next(lines).strip(), "]"))
        else:
            tree[key.removesuffix(" =")] = value
    raise AssertionError("a section without an end")


def one_line(title: str, tree: Tree) -> str:
    """The same message as ``--raw`` alone prints it."""
    return f"{title} {{{_joined(tree)}}}"


def _joined(tree: Tree) -> str:
    parts = []
    for key, value in tree.items():
        if isinstance(value, dict):
            parts.append(f"{key} {{{_joined(value)}}}")
        else:
            parts.append(f"{key}=[{' '.join(value)}]" if isinstance(value, list) else f"{key}={value}")
    return " ".join(parts)
