"""``python -m fastesp.lab.sweep``: remove what labs left behind whose owner was killed."""

from __future__ import annotations

from .topology import sweep


def main() -> None:
    """Remove and name them; says nothing where there is nothing."""
    for name in sweep():
        print(f"removed the stale lab {name}")


if __name__ == "__main__":
    main()
