"""Sending a client to another gateway while its IKE SA is up (RFC 5685 section 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import LocalError
from ..wire.constants import ExchangeType, IdType, NotifyType
from ..wire.identity import Identity
from ..wire.payloads import NotifyPayload
from .task import Asking, Purpose, Task

if TYPE_CHECKING:
    from .ike_sa import IkeSa

KINDS: dict[int, int] = {IdType.IPV4_ADDR: 1, IdType.IPV6_ADDR: 2, IdType.FQDN: 3}
"""How a gateway is named -> GW Identity Type (RFC 5685 section 7.2)."""


class Redirect(Task):
    """Name the other gateway. The client answers, closes this IKE SA, and connects there."""

    __slots__ = ("gateway",)
    purpose = Purpose.INFORM

    def __init__(self, gateway: Identity) -> None:
        super().__init__()
        self.gateway = gateway

    def ask(self, sa: IkeSa, now: float) -> Asking | None:
        """REDIRECT without the nonce, which only IKE_SA_INIT has."""
        return ExchangeType.INFORMATIONAL, [NotifyPayload(NotifyType.REDIRECT, named(self.gateway))]


def named(gateway: Identity) -> bytes:
    """Type, length and identity. Raises :class:`LocalError` where it is neither an address nor a host name."""
    kind = KINDS.get(gateway.id_type)
    if kind is None or not 0 < len(gateway.data) < 256:
        raise LocalError("redirect-gateway", f"{gateway} names no gateway: write an address or a host name")
    return bytes((kind, len(gateway.data))) + gateway.data
