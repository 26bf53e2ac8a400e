"""SAs as a gateway lists them, as values with numbers in them, and one line of prose for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .client import GatewayClient
from .output import duration

INTEGERS = frozenset(
    (
        "active",
        "bytes_in",
        "bytes_out",
        "cpu",
        "dpd_delay",
        "critical",
        "encr_keysize",
        "established",
        "free",
        "half_open",
        "high",
        "idle",
        "ike_id",
        "install_time",
        "integ_keysize",
        "life_time",
        "low",
        "medium",
        "mmap",
        "number",
        "offline",
        "online",
        "local_port",
        "packets_in",
        "packets_out",
        "policies",
        "priority",
        "reauth_time",
        "rekey_bytes",
        "rekey_packets",
        "rekey_time",
        "remote_port",
        "reqid",
        "sbrk",
        "scheduled",
        "size",
        "total",
        "uniqueid",
        "use_in",
        "use_out",
        "used",
        "version",
    )
)
"""Keys whose values are numbers: VICI carries text alone."""

COUNTS = frozenset(("drops", "counters"))
"""Sections of numbers by reason, whose names are left as they are."""

TRUTHS = frozenset(("encap", "initiator", "nat_local", "nat_remote", "nat_any", "nat_fake", "per_cpu_sas"))


def list_sas(client: GatewayClient) -> list[dict[str, Any]]:
    """Every IKE SA; its ``children`` are its CHILD_SAs. Keys are VICI's, with underscores."""
    found: dict[object, dict[str, Any]] = {}
    for event in client.stream("list-sas", "list-sa"):
        for name, body in event.items():
            ike = _ike(name, body)
            known = found.setdefault(ike.get("uniqueid"), ike)
            if known is not ike:
                # One with very many children comes in parts.
                known["children"] += ike["children"]
    return list(found.values())


def typed(message: Mapping[str, Any]) -> dict[str, Any]:
    """A VICI section for programs: underscores in names, numbers and truths where they are meant."""
    out: dict[str, Any] = {}
    for key, value in message.items():
        name = key.replace("-", "_")
        if isinstance(value, Mapping):
            out[name] = counts(value) if name in COUNTS else typed(value)
        elif name in INTEGERS and isinstance(value, str) and value.lstrip("-").isdigit():
            out[name] = int(value)
        elif name in TRUTHS:
            out[name] = value == "yes"
        else:
            out[name] = value
    return out


def counts(message: Mapping[str, Any]) -> dict[str, int]:
    """Numbers by reason; the reasons keep their spelling, which is the metric's label."""
    return {reason: int(count) for reason, count in message.items() if str(count).isdigit()}


def suite(sa: Mapping[str, Any]) -> str:
    """``AES_GCM_16_256/PRF_HMAC_SHA2_384/CURVE_25519``, as strongSwan writes it."""
    encryption = str(sa.get("encr_alg", ""))
    if encryption and sa.get("encr_keysize"):
        encryption += f"_{sa['encr_keysize']}"
    integrity = str(sa.get("integ_alg", ""))
    if integrity and sa.get("integ_keysize"):
        integrity += f"_{sa['integ_keysize']}"
    extra = [str(sa[key]) for key in (f"ke{number}_alg" for number in range(1, 8)) if key in sa]
    words = [encryption, integrity, str(sa.get("prf_alg", "")), str(sa.get("dh_group", "")), *extra]
    return "/".join(word for word in words if word) + ("/ESN" if sa.get("esn") in ("1", "yes") else "")


def selectors(child: Mapping[str, Any]) -> str:
    """``10.10.0.0/24 === 10.20.0.0/24``."""
    return " === ".join(" ".join(child.get(key) or ["(none)"]) for key in ("local_ts", "remote_ts"))


def transport(child: Mapping[str, Any]) -> str:
    """``ESP in UDP``, ``ESP``, ``AH``."""
    protocol = str(child.get("protocol", "ESP"))
    return f"{protocol} in UDP" if child.get("encap") else protocol


def due(seconds: object, what: str) -> str:
    """``rekey in 50 min``; empty where it is not scheduled."""
    if not isinstance(seconds, int):
        return ""
    return f"{what} in {duration(seconds)}" if seconds >= 0 else f"{what} due"


def _ike(name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    children = body.get("child-sas")
    ike = typed({key: value for key, value in body.items() if key != "child-sas"})
    listed = children.values() if isinstance(children, Mapping) else ()
    return {"name": name, **ike, "children": [typed(child) for child in listed]}
