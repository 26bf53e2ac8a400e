"""Native peers: everything here needs root and strongSwan, and says so by failing where they are missing."""

from __future__ import annotations

from support.labs import lab, pytest_runtest_makereport

__all__ = ["lab", "pytest_runtest_makereport"]
