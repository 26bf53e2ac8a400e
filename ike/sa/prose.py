"""One line of prose for a message, for people who watch: ``sent IKE_AUTH request 1 [ IDi CERT AUTH SA TSi TSr ]``."""

from __future__ import annotations

from collections.abc import Iterable

from ..wire.constants import ExchangeType, NotifyType, PayloadType
from ..wire.payloads import EapPayload, NotifyPayload, Payload, UnknownPayload

_NAMES = {
    PayloadType.NONCE: "No",
    PayloadType.ID_I: "IDi",
    PayloadType.ID_R: "IDr",
    PayloadType.TS_I: "TSi",
    PayloadType.TS_R: "TSr",
    PayloadType.DELETE: "D",
    PayloadType.VENDOR_ID: "V",
}


def payload_name(payload: Payload) -> str:
    """A payload's short name; a notify's type in brackets."""
    if isinstance(payload, NotifyPayload):
        return f"N({notify_name(payload.notify, without='')})"
    if isinstance(payload, UnknownPayload):
        return f"payload {payload.type}"
    if isinstance(payload, EapPayload):
        return "EAP"
    kind = PayloadType(payload.TYPE)
    return _NAMES.get(kind, kind.name)


def notify_name(number: int, *, without: str = "error ") -> str:
    """The notify's name; the number, with a word before it, where it has no name here."""
    try:
        return NotifyType(number).name
    except ValueError:
        return f"{without}{number}"


def exchange_name(exchange: int) -> str:
    """The exchange's name, its number where it has none here."""
    try:
        return ExchangeType(exchange).name
    except ValueError:
        return f"exchange {exchange}"


def line(verb: str, exchange: int, message_id: int, payloads: Iterable[Payload], *, response: bool) -> str:
    """``verb`` is ``sent`` or ``received``."""
    half = "response" if response else "request"
    inside = " ".join(payload_name(payload) for payload in payloads)
    return (
        f"{verb} {exchange_name(exchange)} {half} {message_id} [ {inside} ]"
        if inside
        else (f"{verb} {exchange_name(exchange)} {half} {message_id} [ ]")
    )
