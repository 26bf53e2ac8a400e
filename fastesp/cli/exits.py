"""How a command ends: the documented exit codes, and the error that carries one."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """The interface that scripts rely on."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    INVALID = 4
    NO_SUCH_OBJECT = 5
    REFUSED = 6
    TIMEOUT = 7


OUTCOMES: Mapping[str, Exit] = {
    "failed": Exit.FAILED,
    "invalid": Exit.INVALID,
    "not-found": Exit.NO_SUCH_OBJECT,
    "refused": Exit.REFUSED,
    "timeout": Exit.TIMEOUT,
}
"""The word ``outcome`` in the gateway's answers."""


class CommandError(Exception):
    """A command did not do what it was asked: what, and the next step. ``code`` is known to ``fastesp explain``.

    ``details`` is more of it for programs; for a failed negotiation ``failure``, its whole record.
    """

    def __init__(
        self,
        exit_code: Exit,
        message: str,
        *,
        code: str = "",
        hint: str = "",
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.code = code
        self.hint = hint
        self.details: dict[str, Any] = dict(details or {})


def refusal(answer: Mapping[str, object], what: str) -> CommandError:
    """The error behind an answer whose ``success`` is no."""
    code = str(answer.get("code", ""))
    outcome = "invalid" if code.startswith("config-") else str(answer.get("outcome", ""))
    reason = str(answer.get("reason") or answer.get("errmsg") or "no reason given")
    return CommandError(
        OUTCOMES.get(outcome, Exit.FAILED),
        f"{what}: {reason}",
        code=code,
        hint=str(answer.get("hint", "")),
        details={key: answer[key] for key in ("failure", "problems") if key in answer},
    )
