"""Every stable code: what it means, why it comes about, and what to do. ``fastesp explain CODE`` reads it from here.

A code is kebab-case and never changes its meaning. It stands in failure records, in the answers of the control
socket, in JSON and in counters; a test holds this table against what the source raises.
"""

from __future__ import annotations

from collections.abc import Mapping

from .authentication import AUTHENTICATION, CERTIFICATES
from .code import Code
from .configuration import CONFIGURATION
from .drops import DROPS
from .local import INTERNAL, LOCAL
from .negotiation import NEGOTIATION, SILENCE

__all__ = ["CODES", "Code"]

CODES: Mapping[str, Code] = {
    **NEGOTIATION,
    **SILENCE,
    **AUTHENTICATION,
    **CERTIFICATES,
    **LOCAL,
    **CONFIGURATION,
    **DROPS,
    **INTERNAL,
}
