"""What this side wants of its peer: one value a wish, waiting for the window to open."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

from ..events import Path
from ..wire.constants import ExchangeType
from ..wire.message import Message
from ..wire.payloads import Payload

if TYPE_CHECKING:
    from .ike_sa import IkeSa

Asking = tuple[ExchangeType, list[Payload]]


class Purpose(Enum):
    """What an exchange is for. The first message of a peer's request tells it by its payloads; ours by its task."""

    CONNECT = "set up the IKE SA"
    RESUME = "bring the IKE SA back"
    NEW_CHILD = "create a CHILD_SA"
    REKEY_CHILD = "rekey a CHILD_SA"
    REKEY_IKE = "rekey the IKE SA"
    FOLLOW_UP = "finish several key exchanges"
    INFORM = "tell or ask something"
    DELETE_CHILD = "delete CHILD_SAs"
    DELETE_IKE = "delete the IKE SA"


SIDE_BY_SIDE = frozenset({Purpose.NEW_CHILD, Purpose.REKEY_CHILD, Purpose.DELETE_CHILD, Purpose.INFORM})


class Task:
    """Base of all wishes. Each is asked to put itself into a request once the window is free."""

    __slots__ = ("not_before",)
    purpose: ClassVar[Purpose]

    def __init__(self) -> None:
        self.not_before = 0.0

    @property
    def subject(self) -> int | None:
        """The CHILD_SA that it is about: a second wish about the same one waits for the first."""
        return None

    @property
    def goes_alone(self) -> bool:
        """Whether nothing else may be under way with it: what is asked for on an IKE SA that goes would be lost."""
        return self.purpose not in SIDE_BY_SIDE

    def goes_beside(self, other: Task) -> bool:
        """Whether it may be under way together with ``other``, where the peer's window lets it (RFC 7296 2.3)."""
        if self.goes_alone or other.goes_alone:
            return False
        return self.subject is None or self.subject != other.subject

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """The request; ``None`` where it has become pointless. May raise :class:`LocalError`."""
        raise TypeError(f"{type(self).__name__} asks nothing")

    def answered(self, sa: IkeSa, turn: Turn) -> None:
        """What comes of the answer to an INFORMATIONAL, where more counts than that there is one."""

    def refused(self, sa: IkeSa, now: float) -> None:
        """The IKE SA ended before an answer came: undo what was prepared."""

    def __str__(self) -> str:
        return self.purpose.value


@dataclass(slots=True)
class Turn:
    """One message being handled: opened, matched with a row, and with what asked for it if it is a response."""

    message: Message
    path: Path
    now: float
    task: Task | None = None
