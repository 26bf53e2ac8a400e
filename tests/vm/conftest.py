"""Tests in this directory run inside a virtual machine with a real kernel: one boot for all that were selected.

Outside, each test is replaced by an item of the same name that boots the machine if it is the first, and waits for
what its twin inside reports. Inside (``FASTESP_VM_RESULTS`` names a file) they are ordinary tests, and report to it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.labs import lab
from support.labs import pytest_runtest_makereport as remember_failure
from support.living import living_pair
from support.tunnels import Pair, certify

from fastesp.lab.vm import VirtualMachine

__all__ = ["lab"]

RESULTS = os.environ.get("FASTESP_VM_RESULTS")
HERE = Path(__file__).parent
TEST_TIMEOUT = 1200
"""Seconds for one test inside."""
WAIT_TIMEOUT = 1500.0
"""Seconds that one item waits for its report; the first one waits for the boot as well."""

JUMBO = 9000
"""The MTU under which much travels: what a packet costs, an emulated CPU pays thirty times over."""


@pytest.fixture(scope="session")
def jumbo() -> Iterator[Pair]:
    """Ours and strongSwan between wires of a large MTU: to start the two is what costs most in there."""
    with living_pair(kernel=True, mtu=JUMBO) as both:
        certify(both)
        yield both


if RESULTS:
    pytest_runtest_makereport = remember_failure

    def pytest_runtest_logreport(report: pytest.TestReport) -> None:
        """Inside: one line a phase of a test."""
        record = {
            "nodeid": report.nodeid,
            "when": report.when,
            "outcome": report.outcome,
            "text": "" if report.passed else report.longreprtext,
            # What the programs of a failed test said is printed when its lab is taken down.
            "sections": report.sections if report.failed or report.when == "teardown" else [],
        }
        with Path(RESULTS).open("a") as file:
            file.write(json.dumps(record) + "\n")

else:

    def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
        """Outside: every test here becomes one that runs elsewhere."""
        twins = [item for item in items if HERE in item.path.parents]
        boot = Boot([item.nodeid for item in twins])
        replaced = {id(item): Twin.of(item, boot) for item in twins}
        items[:] = [replaced.get(id(item), item) for item in items]


class Boot:
    """The one machine, started by whoever asks first, and what it has reported."""

    def __init__(self, nodeids: list[str]) -> None:
        self._nodeids = nodeids
        self._machine: VirtualMachine | None = None
        self._results = Path()

    def report(self, nodeid: str, config: pytest.Config) -> list[dict[str, Any]]:
        """All phases of one test; the machine's console where it ended without them."""
        if self._machine is None:
            self._start(config)
        assert self._machine is not None
        deadline = time.monotonic() + WAIT_TIMEOUT
        while True:
            running = self._machine.running()
            phases = [record for record in self._records() if record["nodeid"] == nodeid]
            if any(phase["when"] == "teardown" for phase in phases):
                return phases
            if not running:
                pytest.fail(
                    f"the virtual machine ended without this test's report:\n{self._machine.tail()}", pytrace=False
                )
            if time.monotonic() > deadline:
                pytest.fail(f"no report within {WAIT_TIMEOUT:g} s:\n{self._machine.tail()}", pytrace=False)
            time.sleep(0.5)

    def _start(self, config: pytest.Config) -> None:
        shared = config._tmp_path_factory.mktemp("vm")
        self._results = shared / "results.jsonl"
        self._machine = VirtualMachine(shared)
        config.add_cleanup(self._machine.stop)
        words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-o", f"timeout={TEST_TIMEOUT}"]
        self._machine.start([*words, *self._nodeids], {"FASTESP_VM_RESULTS": str(self._results)})

    def _records(self) -> Iterator[dict[str, Any]]:
        if not self._results.exists():
            return
        for line in self._results.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)


class Twin(pytest.Item):
    """Outside: a test whose body runs in the machine."""

    boot: Boot

    @classmethod
    def of(cls, item: pytest.Item, boot: Boot) -> Twin:
        """In the place and under the name of ``item``."""
        twin: Twin = cls.from_parent(item.parent, name=item.name)
        twin.boot = boot
        twin.own_markers = [*item.own_markers, pytest.mark.timeout(int(WAIT_TIMEOUT) + 60).mark]
        twin._where = item.reportinfo()
        return twin

    def runtest(self) -> None:
        """Wait for the report, and fail as the twin inside did."""
        phases = self.boot.report(self.nodeid, self.config)
        for phase in phases:
            if phase["outcome"] == "skipped":
                pytest.skip(phase["text"])
            if phase["outcome"] == "failed":
                for when, name, text in ((p["when"], *section) for p in phases for section in p["sections"]):
                    self.add_report_section(when, f"vm: {name}", text)
                pytest.fail(f"in the virtual machine, {phase['when']}:\n{phase['text']}", pytrace=False)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Where the test itself stands."""
        return self._where
