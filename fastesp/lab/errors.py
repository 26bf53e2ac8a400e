"""What goes wrong in a lab."""

from __future__ import annotations


class LabError(Exception):
    """A command, a peer or a check in the lab failed; the message holds the command and what it said."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP, unwound the way Ctrl-C is, so that ``with Lab(...)`` cleans up."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number
