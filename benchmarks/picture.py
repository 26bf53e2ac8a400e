"""One picture and one table of all results: ``python -m benchmarks.picture DIRECTORY`` reads the *.json of runs.

Writes ``report.png`` and ``report.md`` beside them. A benchmark that was not run is left out of both.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.axes import Axes

NAMES = ("engine", "tunnel", "handshake", "steering", "kernel")
PROVIDERS = ("ipsec-mb", "openssl")
OURS, THEIRS = "#1f6f8b", "#b8b8b8"

Results = dict[str, Any]


def main() -> int:
    """0; 2 where the directory holds no results."""
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
    runs = {name: json.loads(path.read_text()) for name in NAMES if (path := directory / f"{name}.json").exists()}
    if not runs:
        print(f"{directory}: no results there; `make bench` makes them", file=sys.stderr)
        return 2
    _draw(runs, directory / "report.png")
    (directory / "report.md").write_text(table(runs))
    print(f"written to {directory / 'report.png'} and {directory / 'report.md'}")
    return 0


def table(runs: dict[str, Results]) -> str:
    """Every figure with the spread of its samples, as Markdown, under the machine that it was measured on."""
    lines = []
    for name, run in runs.items():
        machine = run["machine"]
        flags = " ".join(machine["flags"])
        lines += [f"## {name}", ""]
        lines += [
            f"{machine['cpu']} ({machine['cores']} cores; {flags}), Linux {machine['kernel']}, {machine['openssl']}",
            "",
        ]
        lines += ["Quick rounds: for trying, not for quoting.", ""] if run["quick"] else []
        lines += ["| figure | median | lowest | highest | unit | beside |", "|---|---:|---:|---:|---|---|"]
        for figure, of in run["figures"].items():
            low, high = min(of["samples"]), max(of["samples"])
            lines.append(f"| {figure} | {of['value']:.3f} | {low:.3f} | {high:.3f} | {of['unit']} | {of['beside']} |")
        lines += [f"| {figure} | left out: {why} | | | | |" for figure, why in run["left_out"].items()]
        lines.append("")
        for title, rows in run["tables"].items():
            lines += [*_markdown(title, rows), ""]
    return "\n".join(lines)


def _markdown(title: str, rows: list[dict[str, object]]) -> list[str]:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [f"### {title}", "", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return lines + ["| " + " | ".join(str(row.get(column, "")) for column in columns) + " |" for row in rows]


def _draw(runs: dict[str, Results], path: Path) -> None:
    mpl.use("Agg")
    panels = [panel for panel in PANELS if panel[1] in runs]
    columns = 2
    height = (len(panels) + 1) // columns
    figure, axes = pyplot.subplots(height, columns, figsize=(13, 4.2 * height), squeeze=False)
    for axis, (title, name, draw) in zip(axes.flat, panels, strict=False):
        draw(axis, runs[name])
        axis.set_title(title, loc="left", fontsize=11)
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_axis_off()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _engine(way: str) -> Callable[[Axes, Results], None]:
    def draw(axis: Axes, run: Results) -> None:
        for provider in PROVIDERS:
            prefix = f"{way}.{provider}."
            found = {int(n.removeprefix(prefix)): f for n, f in run["figures"].items() if n.startswith(prefix)}
            sizes = sorted(found)
            axis.plot(range(len(sizes)), [found[s]["value"] for s in sizes], marker="o", label=provider)
            axis.set_xticks(range(len(sizes)), [str(s) for s in sizes])
        axis.axhline(1.0, color="black", linewidth=0.8)
        axis.set(xlabel="bytes of inner packet", ylabel="packet rate, raw primitive = 1", ylim=(0, 1.1))
        axis.legend(loc="lower right")

    return draw


def _curves(axis: Axes, run: Results) -> None:
    for title, column, share in (("policies", "policies", "of one policy"), ("sas", "SAs", "of one SA")):
        rows = run["tables"].get(title, [])
        axis.plot([row[column] for row in rows], [row[share] for row in rows], marker="o", label=column)
    axis.set(xscale="log", xlabel="number", ylabel="packet rate, one = 1", ylim=(0, 1.1))
    axis.legend(loc="lower left")


def _bars(column: str, unit: str) -> Callable[[Axes, Results], None]:
    def draw(axis: Axes, run: Results) -> None:
        rows = [row for row in run["tables"].get("tunnels", []) if column in row]
        names = [row["tunnel"] for row in rows]
        values = [row[column] for row in rows]
        axis.barh(names, values, color=[OURS if name.startswith("ours") else THEIRS for name in names])
        for at, value in enumerate(values):
            axis.text(value, at, f" {value:,}", va="center", fontsize=9)
        axis.invert_yaxis()
        axis.set(xlabel=unit)
        axis.margins(x=0.15)

    return draw


def _handshakes(axis: Axes, run: Results) -> None:
    kinds = [kind for kind in ("psk", "ecdsa", "rsa") if f"{kind}.ours" in run["samples"]]
    for offset, who, colour in ((-0.2, "ours", OURS), (0.2, "charon", THEIRS)):
        values = [_median(run["samples"][f"{kind}.{who}"]["values"]) for kind in kinds]
        axis.bar([at + offset for at in range(len(kinds))], values, width=0.4, color=colour, label=who)
    axis.set_xticks(range(len(kinds)), kinds)
    axis.set(ylabel="handshakes/s of one core")
    axis.legend()


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


PANELS: tuple[tuple[str, str, Callable[[Axes, Results], None]], ...] = (
    ("Seal, AES-256-GCM, one core, in memory", "engine", _engine("seal")),
    ("Open, AES-256-GCM, one core, in memory", "engine", _engine("open")),
    ("Many policies, many SAs", "engine", _curves),
    ("TCP, one stream through the tunnel", "tunnel", _bars("tcp1 Mbit/s", "Mbit/s")),
    ("UDP, 64 bytes", "tunnel", _bars("UDP 64 kpps", "1,000 packets/s that arrive")),
    ("Ping through an idle tunnel", "tunnel", _bars("ping ms", "ms")),
    ("IKEv2 handshakes", "handshake", _handshakes),
)


if __name__ == "__main__":
    sys.exit(main())
