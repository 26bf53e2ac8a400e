"""fastesp itself as a gateway in the lab: a process of its own, started the way an operator starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .errors import LabError
from .namespace import Namespace
from .peer import Peer
from .process import wait_until
from .topology import Lab

PROJECT = Path(__file__).resolve().parent.parent.parent
START_TIMEOUT = 240.0
"""Seconds until the control socket must answer; an emulated machine needs most of them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a ``fastesp`` command ended."""

    exit_code: int
    output: str
    errors: str

    def json(self) -> dict[str, object]:
        """What ``--json`` printed."""
        value = json.loads(self.output)
        if not isinstance(value, dict):
            raise LabError(f"expected a JSON object, not {self.output[:80]!r}")
        return value


class OurGateway(Peer):
    """``fastesp gateway`` with its own configuration, control socket and log; nothing of /etc is read.

    ``options`` are further words for it, ``settings`` lines for the ``charon`` section of its strongswan.conf.
    """

    kind = "fastesp"

    def __init__(
        self,
        lab: Lab,
        namespace: Namespace,
        *,
        options: tuple[str, ...] = (),
        settings: str = "",
        name: str = "",
    ) -> None:
        super().__init__(lab, namespace, name=name)
        self.options = options
        self.settings = settings

    def start(self) -> None:
        """Start it and wait until its control socket answers; a refused configuration raises with what it said."""
        settings = self.directory / "strongswan.conf"
        settings.write_text(f"charon {{\n  {self.settings}\n}}\n")
        words = ["gateway", "-c", str(self.swanctl.file), "--socket", str(self.socket_path)]
        words += ["--strongswan-conf", str(settings), "--state", str(self.directory / "state"), *self.options]
        self.process = self.lab.start(
            self.namespace, [*command_line(), *words], name="fastesp", environment=_environment()
        )
        wait_until(self._answers, f"the control socket of fastesp in {self.namespace.role}", START_TIMEOUT)

    def command(self, *words: str, timeout: float = 60.0) -> Outcome:
        """``fastesp WORDS`` against this gateway, to its end; every exit code is an outcome."""
        return fastesp(self.namespace, *words, "--socket", str(self.socket_path), timeout=timeout)

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.exit_code is not None:
            raise LabError(f"fastesp ended with {self.process.exit_code}:\n{self.process.text()}")
        try:
            with self.session(5.0) as session:
                session.version()
        except (TimeoutError, OSError):
            return False
        return True


def fastesp(namespace: Namespace, *words: str, timeout: float = 60.0) -> Outcome:
    """``fastesp WORDS`` in a namespace, to its end; every exit code is an outcome."""
    done = subprocess.run(
        namespace.argv([*command_line(), *words]),
        capture_output=True,
        text=True,
        timeout=timeout,
        start_new_session=True,
        env={**os.environ, **_environment()},
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def command_line() -> list[str]:
    """The ``fastesp`` of this very checkout."""
    return [sys.executable, "-m", "fastesp"]


def _environment() -> dict[str, str]:
    """Found without being installed, and never writing colour into a log."""
    path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH", "")]))
    return {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "COLUMNS": "160"}
