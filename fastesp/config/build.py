"""Typed values into the connections that :mod:`ike` negotiates, with strongSwan's defaults where nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar

from ike.config import (
    AddressTemplate,
    Child,
    Connection,
    DeadAction,
    Fragmentation,
    Mode,
    SendCert,
    StartAction,
    TsTemplate,
    Unique,
)
from ike.crypto.proposal import ProposalSpec, default_ah, default_esp, default_ike
from ike.errors import LocalError
from ike.wire.constants import ProtocolId

from .problems import Place, Problems
from .reading import Item, Values
from .rounds import CertificateSource, auth_rounds

CHILD_REKEY_TIME = 3600
IKE_REKEY_TIME = 4 * 3600

_DEFAULTS: Mapping[ProtocolId, Callable[[], tuple[ProposalSpec, ...]]] = MappingProxyType(
    {ProtocolId.IKE: default_ike, ProtocolId.ESP: default_esp, ProtocolId.AH: default_ah}
)
_DEAD = {"clear": DeadAction.CLEAR, "trap": DeadAction.TRAP, "restart": DeadAction.RESTART}
_CLOSE = {"none": None, "trap": DeadAction.TRAP, "start": DeadAction.RESTART}
T = TypeVar("T")


def connections(section: Values, source: CertificateSource, problems: Problems) -> tuple[Connection, ...]:
    """Every connection of a ``connections`` section."""
    return tuple(connection(values, source, problems) for values in section.sections.values())


def connection(values: Values, source: CertificateSource, problems: Problems) -> Connection:
    """One ``connections.<conn>`` section. What is wrong in it is noted, and a default stands in for it meanwhile."""
    any_address = (AddressTemplate(),)
    rekey, reauth, over, rand = _ike_times(values)
    if values.get("fragmentation") == "force":
        hint = "write yes"
        problems.inform(values.place("fragmentation"), "fragmentation = force means yes: IKEv2 cannot force it", hint)
    if values.get("dpd_timeout"):
        hint = "retransmission decides when a peer is dead: retransmit_tries in strongswan.conf"
        problems.inform(values.place("dpd_timeout"), "dpd_timeout has no effect with IKEv2", hint)
    children = values.section("children")
    return Connection(
        name=values.name,
        local_addrs=values.all("local_addrs") or any_address,
        remote_addrs=values.all("remote_addrs") or any_address,
        local_port=values.get("local_port", 500),
        remote_port=values.get("remote_port", 500),
        proposals=proposals(values, "proposals", ProtocolId.IKE, problems) or default_ike(),
        local=auth_rounds(values, "local", source, problems),
        remote=auth_rounds(values, "remote", source, problems),
        children=tuple(child(below, values, problems) for below in children.sections.values()),
        vips=values.all("vips"),
        pools=values.all("pools"),
        dpd_delay=float(values.get("dpd_delay", 0)),
        dpd_timeout=float(values.get("dpd_timeout", 0)),
        rekey_time=rekey,
        reauth_time=reauth,
        over_time=over,
        rand_time=rand,
        keyingtries=values.get("keyingtries", 1),
        unique=Unique(values.get("unique", "no")),
        mobike=values.get("mobike", True),
        encap=values.get("encap", False),
        session_resumption=values.get("session_resumption", False),
        fragmentation=Fragmentation(values.get("fragmentation", "yes")),
        childless=values.get("childless", "allow"),
        send_certreq=values.get("send_certreq", True),
        send_cert=SendCert(values.get("send_cert", "ifasked")),
        ppk_id=values.get("ppk_id"),
        ppk_required=values.get("ppk_required", False),
        dscp=values.get("dscp", 0),
        if_id_in=values.get("if_id_in", 0),
        if_id_out=values.get("if_id_out", 0),
        where=MappingProxyType(_where(values)),
    )


def _ike_times(values: Values) -> tuple[float, float, float, float]:
    """rekey, reauth, over and rand: four hours where neither of the first two is written, a tenth over the longer."""
    rekey, reauth = values.get("rekey_time"), values.get("reauth_time")
    if rekey is None:
        rekey = IKE_REKEY_TIME if reauth is None else 0
    reauth = reauth or 0
    over = values.get("over_time", max(rekey, reauth) // 10)
    shorter = min(rekey, reauth) if rekey and reauth else max(rekey, reauth)
    rand = values.get("rand_time", min(over, shorter // 2))
    return float(rekey), float(reauth), float(over), float(rand)


def child(values: Values, parent: Values, problems: Problems) -> Child:
    """One ``children.<child>`` section."""
    time = _limits(values, "time", CHILD_REKEY_TIME)
    volume = _limits(values, "bytes", 0)
    packets = _limits(values, "packets", 0)
    ah = proposals(values, "ah_proposals", ProtocolId.AH, problems)
    esp = proposals(values, "esp_proposals", ProtocolId.ESP, problems)
    if ah and esp:
        why = "a CHILD_SA is either AH or ESP"
        problems.add(values.place("ah_proposals"), why, "keep ah_proposals or esp_proposals", code="config-conflict")
    dynamic = (TsTemplate(None, dynamic=True),)
    return Child(
        name=values.name,
        local_ts=values.all("local_ts") or dynamic,
        remote_ts=values.all("remote_ts") or dynamic,
        esp_proposals=esp or (() if ah else default_esp()),
        ah_proposals=ah,
        mode=Mode(values.get("mode", "tunnel")),
        start_action=StartAction(values.get("start_action", "none")),
        close_action=_CLOSE[values.get("close_action", "none")],
        dpd_action=_DEAD[values.get("dpd_action", "clear")],
        rekey_time=float(time[0]),
        life_time=float(time[1]),
        rand_time=float(time[2]),
        rekey_bytes=volume[0],
        life_bytes=volume[1],
        rand_bytes=volume[2],
        rekey_packets=packets[0],
        life_packets=packets[1],
        rand_packets=packets[2],
        updown=values.get("updown", ""),
        hostaccess=values.get("hostaccess", False),
        inactivity=float(values.get("inactivity", 0)),
        reqid=values.get("reqid", 0),
        priority=values.get("priority", 0),
        interface=values.get("interface", ""),
        mark_in=values.get("mark_in", (0, 0)),
        mark_out=values.get("mark_out", (0, 0)),
        mark_in_sa=values.get("mark_in_sa", False),
        set_mark_in=values.get("set_mark_in", (0, 0)),
        set_mark_out=values.get("set_mark_out", (0, 0)),
        if_id_in=values.get("if_id_in", parent.get("if_id_in", 0)),
        if_id_out=values.get("if_id_out", parent.get("if_id_out", 0)),
        tfc_padding=values.get("tfc_padding", 0),
        replay_window=values.get("replay_window", 32),
        hw_offload=values.get("hw_offload", "no"),
        copy_df=values.get("copy_df", True),
        copy_ecn=values.get("copy_ecn", True),
        copy_dscp=values.get("copy_dscp", "out"),
        policies=values.get("policies", True),
        policies_fwd_out=values.get("policies_fwd_out", False),
        sha256_96=values.get("sha256_96", False),
        per_cpu_sas=values.get("per_cpu_sas", 0),
        where=MappingProxyType(dict(_places(values))),
    )


def _limits(values: Values, unit: str, default: int) -> tuple[int, int, int]:
    """Soft limit, hard limit and jitter of ``time``, ``bytes`` or ``packets``: 10 % more, and the difference.

    Where the difference exceeds half of the soft limit, that half is the jitter: rekeying shall not begin at once.
    """
    rekey = values.get(f"rekey_{unit}", default)
    life = values.get(f"life_{unit}", rekey * 110 // 100)
    rand = values.get(f"rand_{unit}", min(life - min(life, rekey), rekey // 2))
    return rekey, life, rand


def proposals(values: Values, key: str, protocol: ProtocolId, problems: Problems) -> tuple[ProposalSpec, ...]:
    """The proposals of a key, ``default`` expanded. A bad word is pointed at; a weak one is warned of."""
    specs: list[ProposalSpec] = []
    for item in values.items(key):
        if item.text.lower() == "default":
            specs += _DEFAULTS[protocol]()
            continue
        try:
            spec = ProposalSpec.parse(item.text, protocol)
        except LocalError as error:
            position = error.fields.get("position", 0)
            at = _moved(item, position if isinstance(position, int) else 0)
            message = str(error).replace(f" ({error.hint})", "") if error.hint else str(error)
            problems.add(at, message, error.hint, code="config-proposal")
            continue
        specs.append(spec)
        for warning in spec.warnings:
            problems.warn(item.at, warning, "use it only for a peer that has nothing better", code="config-weak")
    return tuple(dict.fromkeys(specs))


def _moved(item: Item, offset: int) -> Place:
    at = item.at
    return Place(at.file, at.line, at.column + offset) if at.line else at


def _places(values: Values) -> Iterable[tuple[str, str]]:
    """Key -> place for a section; the section itself under the empty name."""
    yield "", values.at.short
    for key, (at, _) in values.keys.items():
        yield key, at.short


def _where(values: Values) -> dict[str, str]:
    """Every key of a connection by its relative name; ``local`` and ``remote`` also stand for a side's first round."""
    out = dict(_places(values))
    for name, below in values.sections.items():
        out[name] = below.at.short
        for side in ("local", "remote"):
            if name.lower().startswith(side):
                for key, place in _places(below):
                    out[f"{name}.{key}" if key else name] = place
                    out.setdefault(f"{side}.{key}" if key else side, place)
    for name, below in values.section("children").sections.items():
        for key, place in _places(below):
            out[f"children.{name}.{key}" if key else f"children.{name}"] = place
    return out
