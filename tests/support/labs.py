"""The ``lab`` fixture, and what every program of the lab said where a test that used it fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fastesp.lab import Lab

FAILED = pytest.StashKey[bool]()


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A fresh lab; its logs are shown with a failure, and all is gone afterwards."""
    with Lab("test") as fresh:
        yield fresh
        if request.node.stash.get(FAILED, False):
            print(fresh.logs())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Remember a failure for the fixture, which is torn down later."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report
