"""The three ways in which an exchange goes wrong, told apart by whose fault it is and what may be answered.

A message of an error names the thing, the place and the next step; it never holds key material.
"""

from __future__ import annotations

from collections.abc import Mapping

from .wire.constants import NotifyType


class IkeError(Exception):
    """Base of all of them: a stable ``code`` (kebab-case, known to ``fastesp explain``), ``fields`` and a ``hint``."""

    def __init__(self, code: str, message: str, *, hint: str = "", fields: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint
        self.fields: dict[str, object] = dict(fields or {})


class PeerError(IkeError):
    """The peer sent what we must refuse; ``notify`` is what to answer (``None``: nothing may be answered)."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        notify: NotifyType | None = None,
        notify_data: bytes = b"",
        hint: str = "",
        fields: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(code, message, hint=hint, fields=fields)
        self.notify = notify
        self.notify_data = notify_data


class LocalError(IkeError):
    """Our configuration, our credentials or our caller."""


class SilentDrop(IkeError):  # noqa: N818 - reads as what happens
    """Unauthenticated garbage: counted under ``code``, never answered, never logged one by one."""
