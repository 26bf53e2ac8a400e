"""Several CHILD_SAs with the same selectors, so that each worker that carries packets has one of its own (RFC 9611).

1. The first one says SA_RESOURCE_INFO, and where the answer says it too, more may follow. It belongs to no worker.
2. Who asked for the first asks for the others, one after another, each with a number of its own.
3. The other side counts. Beyond what its configuration allows it answers TS_MAX_QUEUE, and nobody asks on.

The number is a label: each side chooses its own, and what the peer says is not used (RFC 9611 section 5.1). Each of
them is rekeyed and deleted by itself, and its replacement keeps the number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config import Child
from ..errors import PeerError
from ..wire.constants import NotifyType
from ..wire.message import Message
from ..wire.payloads import NotifyPayload, Payload
from ..wire.selectors import TrafficSelector

if TYPE_CHECKING:
    from .child import ChildSa
    from .ike_sa import IkeSa

ENOUGH = (NotifyType.TS_MAX_QUEUE, NotifyType.NO_ADDITIONAL_SAS)
"""What ends the asking: not a failure, the SAs that are up carry all traffic."""


def announce(config: Child, number: int) -> list[Payload]:
    """SA_RESOURCE_INFO: empty for the first, with four bytes of label for the others (RFC 9611 section 5.1)."""
    if not config.per_cpu_sas:
        return []
    return [NotifyPayload(NotifyType.SA_RESOURCE_INFO, number.to_bytes(4, "big") if number else b"")]


def announced(config: Child, message: Message) -> bool:
    """Whether the peer says it and we are configured for it."""
    return config.per_cpu_sas > 0 and message.notify(NotifyType.SA_RESOURCE_INFO) is not None


def number_for(
    sa: IkeSa, config: Child, local: tuple[TrafficSelector, ...], remote: tuple[TrafficSelector, ...]
) -> int:
    """The peer asks for one: 0 for the first, the lowest free number for a further one.

    Raises :class:`PeerError` with TS_MAX_QUEUE (RFC 9611 section 5.2) where ``per_cpu_sas`` allows no more.
    """
    taken = _numbers(sa, config, local, remote)
    if 0 not in taken:
        return 0
    number = _free(taken, config.per_cpu_sas)
    if not number:
        raise PeerError(
            "ts-max-queue",
            f"children.{config.name}.per_cpu_sas allows {config.per_cpu_sas} CHILD_SAs beside the first one",
            notify=NotifyType.TS_MAX_QUEUE,
        )
    return number


def next_number(sa: IkeSa, like: ChildSa) -> int:
    """Of the next one that we ask for; 0 where there are enough, or where all of them are gone."""
    taken = _numbers(sa, like.config, like.local_ts, like.remote_ts)
    return _free(taken, like.config.per_cpu_sas) if taken else 0


def ask_for_more(sa: IkeSa, child: ChildSa) -> None:
    """One came up that we asked for: the next one."""
    from .create_child_sa import CreateAnother

    if child.shared and next_number(sa, child):
        sa.tasks.append(CreateAnother(child))


def _numbers(
    sa: IkeSa, config: Child, local: tuple[TrafficSelector, ...], remote: tuple[TrafficSelector, ...]
) -> set[int]:
    return {
        child.resource
        for child in sa.children.values()
        if child.config.name == config.name
        and child.is_current
        and (set(child.local_ts), set(child.remote_ts)) == (set(local), set(remote))
    }


def _free(taken: set[int], most: int) -> int:
    return next((number for number in range(1, most + 1) if number not in taken), 0)
