"""The states of an IKE SA, and its two sides."""

from __future__ import annotations

from enum import Enum, auto


class Role(Enum):
    """Who opened the IKE SA. A replacement's initiator is who asked for the replacement (RFC 7296 section 2.18)."""

    INITIATOR = auto()
    RESPONDER = auto()
    EITHER = auto()


class State(Enum):
    """From the first message to the last."""

    NEW = "new"
    INIT_SENT = "init-sent"
    INIT_ANSWERED = "init-answered"
    MIXING = "mixing"
    RESUME_SENT = "resume-sent"
    RESUME_ANSWERED = "resume-answered"
    AUTH_SENT = "auth-sent"
    AUTH_ANSWERED = "auth-answered"
    ESTABLISHED = "established"
    REKEYED = "rekeyed"
    DELETING = "deleting"
    DEAD = "dead"

    @property
    def is_setting_up(self) -> bool:
        """Whether the peer is not authenticated yet."""
        return self in _SETTING_UP

    @property
    def word(self) -> str:
        """As ``swanctl --list-sas`` names it."""
        return "CONNECTING" if self in _SETTING_UP else self.value.upper()


_SETTING_UP = frozenset(
    {
        State.NEW,
        State.INIT_SENT,
        State.INIT_ANSWERED,
        State.MIXING,
        State.RESUME_SENT,
        State.RESUME_ANSWERED,
        State.AUTH_SENT,
        State.AUTH_ANSWERED,
    }
)
