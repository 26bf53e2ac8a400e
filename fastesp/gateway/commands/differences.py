"""Where our answers over VICI differ from strongSwan's on purpose: ``docs/vici.md`` shows this list, a test holds it.

``python -m fastesp.gateway.commands.differences`` writes the table of that page.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

MARKS = ("<!-- differences: begin -->", "<!-- differences: end -->")


class Kind(Enum):
    """What differs of a key."""

    ADDED = "ours alone, behind all of strongSwan's"
    AMONG = "here always, with strongSwan only where it was written"
    LEFT_OUT = "strongSwan's alone"
    VALUE = "another value"


@dataclass(frozen=True, slots=True)
class Difference:
    """One of them. ``path`` and ``line`` are regular expressions, for the whole of what they match.

    ``path`` is of keys, joined with dots, as ``swanctl COMMAND --raw`` has them; ``line`` is of the lines that
    swanctl prints without ``--raw``, numbers replaced by ``#``, where the difference shows there at all.
    """

    command: str
    path: str
    kind: Kind
    why: str
    line: str = ""
    shown: str = ""
    """How the page writes ``path``, where that is not the expression itself."""

    def matches(self, command: str, path: str, kind: Kind) -> bool:
        """Whether this is the one that explains what was found."""
        return (command, kind) == (self.command, self.kind) and re.fullmatch(self.path, path) is not None


DIFFERENCES = (
    Difference(
        "--list-sas",
        r"[^.]+\.child-sas\.[^.]+\.(placement|placement-why|drops)",
        Kind.ADDED,
        "where the packets of a CHILD_SA go and why, and what was dropped of it by reason",
        shown="<ike>.child-sas.<child>.placement, placement-why, drops",
    ),
    Difference(
        "--list-conns",
        r"[^.]+\.version",
        Kind.VALUE,
        "IKEv1 is not spoken: a connection that leaves the version open is IKEv2, not IKEv1/2",
        line=r"[^ ]+: IKEv.*",
        shown="<conn>.version",
    ),
    Difference(
        "--list-conns",
        r"[^.]+\.(local|remote)-\d+\.class",
        Kind.AMONG,
        "auth that was not written is pubkey, as swanctl.conf(5) has it, and is shown as that",
        line=r"  (local|remote) (public key|unspecified) authentication:",
        shown="<conn>.local-<n>.class, <conn>.remote-<n>.class",
    ),
    Difference(
        "--list-certs",
        r"X509 NONE",
        Kind.LEFT_OUT,
        "certificates that peers sent are checked and not kept, so they are not listed either",
        line=r"  (subject|issuer|validity|serial|flags|authkeyId|subjkeyId|pubkey|keyid|subjkey):.*|  not after.*|",
        shown="certificates of peers",
    ),
    Difference(
        "--stats",
        r"plugins",
        Kind.VALUE,
        "names what the data plane can do: there are no plugins",
        line=r"loaded plugins: .*",
    ),
    Difference(
        "--stats",
        r"(dataplane|childsas|failures|drops)",
        Kind.ADDED,
        "the data plane, CHILD_SAs, failed negotiations, and packets dropped by reason",
        shown="dataplane, childsas, failures, drops",
    ),
)


def table() -> str:
    """The list as docs/vici.md shows it."""
    rows = [f"| `{d.command}` | `{d.shown or d.path}` | {d.kind.value} | {d.why} |" for d in DIFFERENCES]
    return "\n".join(["| swanctl | what | how | why |", "|---|---|---|---|", *rows]) + "\n"


def page(text: str) -> str:
    """``text`` with the table between its marks."""
    head, _, rest = text.partition(MARKS[0])
    _, _, tail = rest.partition(MARKS[1])
    return f"{head}{MARKS[0]}\n\n{table()}\n{MARKS[1]}{tail}"


def main(path: str = "docs/vici.md") -> None:
    """Write the page."""
    file = Path(path)
    file.write_text(page(file.read_text()))


if __name__ == "__main__":
    main(*sys.argv[1:])
