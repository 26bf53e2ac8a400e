"""A message that cannot be judged yet: kept while something is looked up, then handled again from its start.

The peer's repetitions are passed over meanwhile, and a request of ours that has its answer is not sent again. Handlers
of IKE_AUTH change nothing that a second run would not change the same way before they have verified the peer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .lookups import Awaiting, Question

if TYPE_CHECKING:
    from .ike_sa import IkeSa


class Patience:
    """What one IKE SA waits for while it is set up, and how long."""

    __slots__ = ("again", "asked", "deadline", "is_over", "open")

    def __init__(self) -> None:
        self.again: Callable[[float], None] | None = None
        """Handles the message that is held; ``None``: none is."""
        self.asked: set[Question] = set()
        self.open: set[Question] = set()
        self.deadline = 0.0
        """For all look-ups of this IKE SA together; set by the first one."""
        self.is_over = False

    def may_ask(self, question: Question) -> bool:
        """Whether it is worth waiting for: each is asked once, and none when time is up."""
        return not self.is_over and question not in self.asked


def is_held(sa: IkeSa) -> bool:
    """Whether a message of this IKE SA waits."""
    return sa.setup is not None and sa.setup.patience.again is not None


def keep(sa: IkeSa, awaiting: Awaiting, again: Callable[[float], None], now: float) -> None:
    """Have the questions looked up; ``again`` handles the message once they are answered, or at once if none can be."""
    patience = sa.in_setup.patience
    patience.deadline = patience.deadline or now + sa.core.timing.lookup_timeout
    patience.asked.update(awaiting.questions)
    patience.open = {q for q in awaiting.questions if sa.core.lookups.ask(q, sa.ike_id, now)}
    if patience.open:
        patience.again = again
    else:
        again(now)


def answered(sa: IkeSa, question: Question, now: float) -> None:
    """One of them is, for better or worse."""
    if sa.setup is None:
        return
    patience = sa.setup.patience
    patience.open.discard(question)
    if not patience.open:
        _go_on(sa, now)


def run_out(sa: IkeSa, now: float) -> None:
    """The time that a look-up may take is over: judge by what is known."""
    sa.in_setup.patience.is_over = True
    _go_on(sa, now)


def _go_on(sa: IkeSa, now: float) -> None:
    patience = sa.in_setup.patience
    again, patience.again = patience.again, None
    if again is not None:
        again(now)
