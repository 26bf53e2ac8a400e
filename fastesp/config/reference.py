"""The tables of ``docs/swanctl-conf.md`` out of the schema; ``python -m fastesp.config.reference`` writes them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from .schema import ROOT, Key, SectionRule
from .strongswan_conf import defaults

KEYS = ("<!-- keys: begin -->", "<!-- keys: end -->")
DAEMON = ("<!-- daemon: begin -->", "<!-- daemon: end -->")
PLACEHOLDERS = {
    "connections": "<conn>",
    "children": "<child>",
    "secrets": "",
    "pools": "<name>",
    "authorities": "<name>",
}


def keys(rule: SectionRule = ROOT, path: str = "", parent: str = "") -> Iterator[tuple[str, Key | None, SectionRule]]:
    """Every documented name in dot notation, with its key, or ``None`` for a section."""
    for key in rule.keys:
        yield f"{path}.{key.name}{'<suffix>' if key.prefix and key.name == 'id' else ''}", key, rule
    if rule.other_key is not None:
        yield f"{path}.{rule.other_key.name}", rule.other_key, rule
    for name, below in rule.sections.items():
        shown = PLACEHOLDERS.get(parent, "<name>") if name == "*" else name.replace("*", "<suffix>")
        here = f"{path}.{shown}" if path else shown
        yield here, None, below
        yield from keys(below, here, name.rstrip("*"))


def status(key: Key, rule: SectionRule) -> str:
    """``honoured``, what is refused and why, or ``without effect``: such a key is named when it is read."""
    if rule.refused:
        return f"refused: {rule.refused}"
    if "*" in key.refused:
        return f"refused: {key.refused['*']}"
    if key.about.startswith("Read and without effect"):
        return "without effect"
    if key.fixed:
        return f"refused but for `{key.default}`: {key.fixed}"
    refused = [f"`{value}` is refused: {why}" for value, why in key.refused.items()]
    return "; ".join(["honoured", *refused])


def tables() -> str:
    """One table a section."""
    lines: list[str] = []
    for name, key, rule in keys():
        if key is None:
            lines += ["", f"### `{name}`", "", rule.about, ""] if rule.about else ["", f"### `{name}`", ""]
            if rule.refused:
                lines += [f"Refused: {rule.refused}.", ""]
            if rule.keys:
                lines += ["| key | takes | default | | |", "|---|---|---|---|---|"]
            continue
        takes = f"list of {key.kind.label}" if key.many else key.kind.label
        default = f"`{key.default}`" if key.default else ""
        lines.append(f"| `{name.rpartition('.')[2]}` | {takes} | {default} | {key.about} | {status(key, rule)} |")
    return "\n".join(lines).strip() + "\n"


def daemon_table() -> str:
    """The options of strongswan.conf that are read."""
    lines = ["| key of `charon` | default |", "|---|---|"]
    for name, default in defaults().items():
        shown = ("yes" if default else "no") if isinstance(default, bool) else default
        lines.append(f"| `{name}` | {f'`{shown}`' if shown != '' else ''} |")
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """``text`` with the tables between their marks."""
    for (begin, end), table in ((KEYS, tables()), (DAEMON, daemon_table())):
        head, _, rest = text.partition(begin)
        _, _, tail = rest.partition(end)
        text = f"{head}{begin}\n\n{table}\n{end}{tail}"
    return text


def main(path: str = "docs/swanctl-conf.md") -> None:
    """Write the page."""
    file = Path(path)
    file.write_text(page(file.read_text()))


if __name__ == "__main__":
    main(*sys.argv[1:])
