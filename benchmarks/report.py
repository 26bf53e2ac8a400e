"""One benchmark run as a value: the machine, the command, every raw sample, and figures made of them.

No figure is ever typed in: a :class:`Figure` is made from samples of the run it belongs to, and a peer that is
not installed leaves its figure out and says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import ssl
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

VERSION = 1
"""Of the JSON file; keys are only ever added within one version."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A median with the samples it was taken from. ``beside`` names the peer or limit of a ratio, else it is empty."""

    value: float
    unit: str
    samples: tuple[float, ...]
    beside: str = ""


@dataclass(slots=True)
class Report:
    """What a run found. Names of figures are part of the interface: scripts compare them over time."""

    name: str
    quick: bool
    figures: dict[str, Figure] = field(default_factory=dict)
    samples: dict[str, dict[str, object]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    tables: dict[str, list[dict[str, object]]] = field(default_factory=dict)

    def sample(self, name: str, values: Iterable[float], unit: str) -> None:
        """Keep raw samples, in the order they were taken."""
        self.samples[name] = {"unit": unit, "values": [float(v) for v in values]}

    def figure(self, name: str, values: Sequence[float], unit: str, beside: str = "") -> Figure:
        """The median of ``values`` under a fixed name."""
        made = Figure(statistics.median(values), unit, tuple(values), beside)
        self.figures[name] = made
        return made

    def ratio(self, name: str, ours: Sequence[float], theirs: Sequence[float], beside: str) -> Figure:
        """Ours divided by theirs, round by round of one interleaved run; above 1 we are faster.

        ``ours`` and ``theirs`` are rates (more is better), of equal length.
        """
        if len(ours) != len(theirs):
            raise ValueError(f"{name}: {len(ours)} rounds of ours, {len(theirs)} of {beside}")
        return self.figure(name, [o / t for o, t in zip(ours, theirs, strict=True)], "ratio", beside)

    def leave_out(self, name: str, why: str) -> None:
        """Say that a figure is missing, and why."""
        self.left_out[name] = why

    def as_json(self) -> dict[str, object]:
        """The file's content."""
        return {
            "version": VERSION,
            "benchmark": self.name,
            "quick": self.quick,
            "command": [Path(sys.argv[0]).stem, *sys.argv[1:]],
            "machine": machine(),
            "figures": {
                name: {"value": f.value, "unit": f.unit, "samples": list(f.samples), "beside": f.beside}
                for name, f in self.figures.items()
            },
            "left_out": self.left_out,
            "samples": self.samples,
            "tables": self.tables,
        }


def machine() -> dict[str, object]:
    """What the figures depend on: CPU, flags, kernel and library versions."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    fields = dict(
        (part.strip() for part in line.split(":", 1)) for line in cpuinfo.split("\n\n")[0].splitlines() if ":" in line
    )
    interesting = ("aes", "vaes", "vpclmulqdq", "avx2", "avx512f", "gfni", "sha_ni")
    flags = set(fields.get("flags", "").split())
    return {
        "cpu": fields.get("model name", platform.processor()),
        "cpu_family_model": f"{fields.get('cpu family', '?')}/{fields.get('model', '?')}",
        "cores": os.cpu_count(),
        "flags": [flag for flag in interesting if flag in flags],
        "memory_kib": int(Path("/proc/meminfo").read_text().split()[1]),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "libraries": {
            name: metadata.version(name) for name in ("fastesp", "cryptography", "numpy", "cython") if _there(name)
        },
    }


def _there(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def arguments(name: str, description: str, extra: argparse.ArgumentParser | None = None) -> argparse.Namespace:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", description=description, parents=[extra] if extra else []
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample and figure there")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: for trying, not for quoting")
    return parser.parse_args()


def finish(report: Report, path: Path | None) -> None:
    """Print the figures as a table, and write the file where one was asked for."""
    width = max((len(name) for name in report.figures), default=10)
    for name, figure in report.figures.items():
        low, high = min(figure.samples), max(figure.samples)
        beside = f"  beside {figure.beside}" if figure.beside else ""
        print(f"{name:<{width}}  {figure.value:>10.3f} {figure.unit:<8} [{low:.3f} .. {high:.3f}]{beside}")
    for name, why in report.left_out.items():
        print(f"{name:<{width}}  left out: {why}")
    for name, rows in report.tables.items():
        print(f"\n{name}")
        _print_table(rows)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report.as_json(), indent=1) + "\n")
        print(f"written to {path}")


def _print_table(rows: Sequence[dict[str, object]]) -> None:
    """Columns in the order of the first row that has them; words to the left, numbers to the right."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    widths = {c: max(len(c), *(len(_cell(row.get(c, ""))) for row in rows)) for c in columns}
    print("  ".join(f"{c:>{widths[c]}}" for c in columns).rstrip())
    for row in rows:
        cells = [
            f"{_cell(v):<{widths[c]}}" if isinstance(v, str) else f"{_cell(v):>{widths[c]}}"
            for c, v in ((c, row.get(c, "")) for c in columns)
        ]
        print("  ".join(cells).rstrip())


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
