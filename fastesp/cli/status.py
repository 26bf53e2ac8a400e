"""``fastesp status``: what is up, what goes through it, where its packets go, and what was dropped and why."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from .client import GatewayClient
from .names import configured, missing
from .output import Output, duration, quantity, rate, size
from .sas import counts, due, list_sas, selectors, suite, transport, typed
from .verb import verb

STATES = {"ESTABLISHED": "green", "INSTALLED": "green", "CONNECTING": "yellow", "DELETING": "red"}
Rates = dict[int, tuple[float, float]]


@click.command()
@click.argument("name", required=False)
@click.option(
    "--interval",
    default=0.5,
    show_default=True,
    type=click.FloatRange(0, 60),
    help="Seconds over which rates are measured; 0: none.",
)
@verb()
def status(out: Output, socket: Path, name: str | None, interval: float) -> None:
    """Show tunnels, their traffic, and where their packets go.

    NAME (of a connection or a child) shows those alone.
    """
    with GatewayClient(socket) as client:
        sas = list_sas(client)
        rates: Rates = {}
        if out.for_people and interval and any(ike["children"] for ike in sas):
            started = time.monotonic()
            time.sleep(interval)
            before, sas = sas, list_sas(client)
            rates = _rates(before, sas, time.monotonic() - started)
        stats = client.request("stats")
        if name is not None:
            sas = _only(sas, name, client)
    drops = counts(stats.get("drops") or {})
    dataplane = typed(stats.get("dataplane") or {})
    out.result("status", {"ike_sas": sas, "drops": drops, "dataplane": dataplane})
    if not sas:
        out.say("no IKE SA is up (what is loaded: fastesp show connections)")
    for ike in sas:
        _show_ike(out, ike, rates)
    if dataplane and name is None:
        _show_dataplane(out, dataplane, drops)


def _only(sas: list[dict[str, Any]], name: str, client: GatewayClient) -> list[dict[str, Any]]:
    """The SAs of a connection or a child; a name that is loaded but not up is no error."""
    found = [ike for ike in sas if ike["name"] == name or any(child["name"] == name for child in ike["children"])]
    if not found:
        known = configured(client)
        names = [*known, *(child for body in known.values() for child in body.get("children") or ())]
        if name not in names:
            raise missing("connection or child", name, names)
    return found


def _rates(before: list[dict[str, Any]], after: list[dict[str, Any]], seconds: float) -> Rates:
    """Bits a second in and out, by the CHILD_SA's id."""
    old = {child["uniqueid"]: child for ike in before for child in ike["children"]}
    return {
        child["uniqueid"]: (
            8 * max(0, child.get("bytes_in", 0) - old[child["uniqueid"]].get("bytes_in", 0)) / seconds,
            8 * max(0, child.get("bytes_out", 0) - old[child["uniqueid"]].get("bytes_out", 0)) / seconds,
        )
        for ike in after
        for child in ike["children"]
        if child["uniqueid"] in old
    }


def _show_ike(out: Output, ike: dict[str, Any], rates: Rates) -> None:
    state = str(ike.get("state", ""))
    line = Text(f"{ike['name']}[{ike.get('uniqueid', '?')}] ", style="bold")
    line += Text(state, style=STATES.get(state, "yellow"))
    if isinstance(ike.get("established"), int):
        line += Text(f" for {duration(ike['established'])}")
    out.say(line)
    out.say(f"  {_end(ike, 'local')}  ...  {_end(ike, 'remote')}")
    facts = [
        f"IKE {suite(ike)}" if suite(ike) else "",
        due(ike.get("rekey_time"), "rekey"),
        due(ike.get("reauth_time"), "reauthentication"),
    ]
    facts += [f"NAT at the {side} end" for side in ("local", "remote") if ike.get(f"nat_{side}")]
    if any(facts):
        out.say("  " + ", ".join(fact for fact in facts if fact))
    for child in ike["children"]:
        _show_child(out, child, rates)


def _end(ike: dict[str, Any], side: str) -> str:
    host, port = ike.get(f"{side}_host", "?"), ike.get(f"{side}_port", "?")
    return f"{host}[{port}] {ike.get(f'{side}_id', '')}".rstrip()


def _show_child(out: Output, child: dict[str, Any], rates: Rates) -> None:
    state = str(child.get("state", ""))
    line = Text(f"  {child['name']}{{{child['uniqueid']}}} ", style="bold")
    line += Text(state, style=STATES.get(state, "yellow"))
    line += Text(f", {str(child.get('mode', '')).lower()}: {selectors(child)}")
    out.say(line)
    facts = [f"{transport(child)} {suite(child)}", due(child.get("rekey_time"), "rekey")]
    facts.append(due(child.get("life_time"), "expires"))
    if child.get("per_cpu_sas"):
        facts.append(f"number {child['cpu']} of several" if "cpu" in child else "the first of several")
    out.say("    " + ", ".join(fact for fact in facts if fact))
    measured = rates.get(child["uniqueid"])
    for index, way in enumerate(("in", "out")):
        out.say(f"    {way:<3} {_traffic(child, way, measured[index] if measured else None)}")
    if child.get("placement"):
        out.say(f"    packets go: {child['placement']}")
    for why in child.get("placement_why") or ():
        out.say(f"      {why}", style="dim")
    if child.get("drops"):
        out.say(Text(f"    dropped: {_reasons(child['drops'])}", style="yellow"))


def _traffic(child: dict[str, Any], way: str, bits: float | None) -> str:
    """``c0ffee01  1.2 GiB, 850 k packets, 1.1 Gbit/s, last 3 s ago``."""
    packets = child.get(f"packets_{way}", 0)
    facts = [size(child.get(f"bytes_{way}", 0)), f"{quantity(packets)} packets"]
    if bits is not None:
        facts.append(rate(bits))
    if isinstance(child.get(f"use_{way}"), int):
        facts.append(f"last {duration(child[f'use_{way}'])} ago")
    return f"{child.get(f'spi_{way}', ''):<8}  " + ", ".join(facts)


def _show_dataplane(out: Output, dataplane: dict[str, Any], drops: dict[str, int]) -> None:
    facts = [f"{key} {dataplane[key]}" for key in ("provider", "tun", "policies") if dataplane.get(key)]
    out.say(f"data plane: {dataplane.get('kind', 'unknown')}" + (f" ({', '.join(facts)})" if facts else ""))
    if drops:
        out.say(Text(f"dropped in all: {_reasons(drops)}", style="yellow"))


def _reasons(drops: dict[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(drops.items(), key=lambda item: -item[1]))
