"""``fastesp show``: everything that a gateway knows, subject by subject."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from .client import Answer, GatewayClient
from .names import missing
from .output import Output
from .record import show_record
from .sas import counts, typed
from .verb import verb


@click.command()
@click.argument("subject", type=click.Choice(
    ("connections", "sas", "policies", "certificates", "authorities", "pools", "failures", "counters", "algorithms",
     "stats", "version")
))  # fmt: skip
@click.argument("name", required=False)
@verb()
def show(out: Output, socket: Path, subject: str, name: str | None) -> None:
    """Show a SUBJECT; for those that have names, the one with NAME."""
    with GatewayClient(socket) as client:
        entries = SUBJECTS[subject](client)
    if name is not None:
        if name not in entries:
            raise missing(subject.removesuffix("s"), name, entries)
        entries = {name: entries[name]}
    typed_by = counts if subject == "counters" else typed
    view = {key: typed_by(value) if isinstance(value, dict) else value for key, value in entries.items()}
    out.result("show", {"subject": subject, "entries": view})
    if not entries:
        out.say(f"no {subject}")
    for key, value in entries.items():
        if subject == "failures":
            show_record(out, value)
        else:
            _show(out, key, value, 0)


def _streamed(command: str, event: str, **message: str) -> Callable[[GatewayClient], Answer]:
    return lambda client: {k: v for entry in client.stream(command, event, message) for k, v in entry.items()}


def _certificates(client: GatewayClient) -> Answer:
    """Certificates have no names in VICI: their subject serves, with a number where two share it."""
    from cryptography import x509

    found: Answer = {}
    request = {"type": "ANY", "flag": "ANY"}
    for number, entry in enumerate(client.stream_raw("list-certs", "list-cert", request)):
        data = entry.pop("data", b"")
        view: dict[str, Any] = {
            key: value.decode("utf-8", "replace") for key, value in entry.items() if isinstance(value, bytes)
        }
        label = f"{view.get('type', '')} {number}"
        if view.get("type") == "X509":
            certificate = x509.load_der_x509_certificate(data)
            label = certificate.subject.rfc4514_string()
            view |= {
                "issuer": certificate.issuer.rfc4514_string(),
                "serial": f"{certificate.serial_number:x}",
                "not_before": certificate.not_valid_before_utc.isoformat(),
                "not_after": certificate.not_valid_after_utc.isoformat(),
            }
        found[label if label not in found else f"{label} ({number})"] = view
    return found


SUBJECTS: dict[str, Callable[[GatewayClient], Answer]] = {
    "connections": _streamed("list-conns", "list-conn"),
    "sas": _streamed("list-sas", "list-sa"),
    "policies": _streamed("list-policies", "list-policy", **{"trap": "yes", "drop": "yes", "pass": "yes"}),
    "certificates": _certificates,
    "authorities": _streamed("list-authorities", "list-authority"),
    "pools": lambda client: client.request("get-pools", {"leases": "yes"}),
    "failures": _streamed("list-failures", "list-failure"),
    "counters": lambda client: client.request("get-counters", {"all": "yes"}).get("counters") or {},
    "algorithms": lambda client: client.request("get-algorithms"),
    "stats": lambda client: client.request("stats"),
    "version": lambda client: client.request("version"),
}


def _show(out: Output, key: str, value: Any, depth: int) -> None:
    """A VICI tree as indented lines."""
    indent = "  " * depth
    if isinstance(value, dict):
        out.say(Text(f"{indent}{key or '(all)'}", style="bold" if depth == 0 else ""))
        for inner, below in value.items():
            _show(out, inner, below, depth + 1)
    else:
        text = ", ".join(value) if isinstance(value, list) else str(value)
        if text:
            out.say(Text(f"{indent}{key}: ", style="dim") + Text(text))
