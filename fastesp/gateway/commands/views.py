"""SAs and connections as VICI shows them: keys and their order are strongSwan's, because scripts match them in order.

What is ours alone (``placement``, ``placement-why``, ``drops``) stands behind everything of strongSwan's.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from functools import lru_cache

from cryptography.x509 import Certificate

from fastesp.dataplane.base import SaCounters
from ike.config import AddressTemplate, AuthRound, Child, Connection, DeadAction, TsTemplate, Unique
from ike.crypto.transforms import ENCR, INTEG, KE_NAMES, PRF
from ike.status import ChildSaInfo, IkeSaInfo
from ike.wire.constants import Esn, Integ, Ke, ProtocolId, TransformType
from ike.wire.identity import Identity
from ike.wire.payloads import Transform
from ike.wire.selectors import TrafficSelector

from ..tunnels import Tunnel

View = dict[str, object]

INSTALLED_STATES = frozenset({"INSTALLED", "REKEYING", "REKEYED"})
PROTOCOL_NAMES = {ProtocolId.ESP: "ESP", ProtocolId.AH: "AH"}
UNIQUE_NAMES = {
    Unique.NEVER: "UNIQUE_NEVER",
    Unique.NO: "UNIQUE_NO",
    Unique.KEEP: "UNIQUE_KEEP",
    Unique.REPLACE: "UNIQUE_REPLACE",
}
ACTION_NAMES = {DeadAction.CLEAR: "none", DeadAction.TRAP: "trap", DeadAction.RESTART: "start", None: "none"}
CLASS_NAMES = {"psk": "pre-shared key", "pubkey": "public key", "null": "none", "xauth": "XAuth"}
EAP_NAMES = {
    "eap-identity": "EAP_IDENTITY",
    "eap-md5": "EAP_MD5",
    "eap-mschapv2": "EAP_MSCHAPV2",
    "eap-gtc": "EAP_GTC",
    "eap-tls": "EAP_TLS",
    "eap-ttls": "EAP_TTLS",
    "eap-peap": "EAP_PEAP",
    "eap-aka": "EAP_AKA",
    "eap-sim": "EAP_SIM",
    "eap-radius": "EAP_RADIUS",
}
IP_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp", 132: "sctp"}


@lru_cache(maxsize=4096)
def selector_text(selector: TrafficSelector) -> str:
    """As strongSwan prints it, which calls a port by the name of its service: ``10.9.0.0/24[tcp/http]``."""
    if selector.start_port != selector.end_port or not (service := _service(selector.protocol, selector.start_port)):
        return str(selector)
    hosts = str(TrafficSelector(selector.start, selector.end))
    return f"{hosts}[{IP_PROTOCOLS[selector.protocol]}/{service}]"


def _service(protocol: int, port: int) -> str:
    """What getservbyport(3) calls a port of TCP or UDP; empty where it has no name."""
    if protocol not in (6, 17):
        return ""
    try:
        return socket.getservbyport(port, IP_PROTOCOLS[protocol])
    except OSError:
        return ""


def template_text(template: TsTemplate) -> str:
    """A configured selector; ``dynamic`` with its protocol and ports."""
    if template.selector is not None:
        return selector_text(template.selector)
    protocol, first, last = template.protocol, template.start_port, template.end_port
    if not protocol and (first, last) == (0, 65535):
        return "dynamic"
    name = IP_PROTOCOLS.get(protocol, str(protocol))
    if (first, last) == (0, 65535):
        return f"dynamic[{name}]"
    if first == last:
        return f"dynamic[{name}/{_service(protocol, first) or first}]"
    return f"dynamic[{name}/{first}-{last}]"


def ike_view(sa: IkeSaInfo, now: float) -> View:
    """An IKE SA without its children: what ``ike-updown`` carries, and how a ``list-sa`` begins."""
    view: View = {
        "uniqueid": str(sa.ike_id),
        "version": "2",
        "state": "DELETING" if sa.state == "DEAD" else sa.state,
        "local-host": str(sa.path.local),
        "local-port": str(sa.path.local_port),
        "local-id": _identity(sa.local_id),
        "remote-host": str(sa.path.remote),
        "remote-port": str(sa.path.remote_port),
        "remote-id": _identity(sa.remote_id),
    }
    if sa.initiator:
        view["initiator"] = "yes"
    view["initiator-spi"] = sa.spi_i.hex()
    view["responder-spi"] = sa.spi_r.hex()
    if sa.nat_local:
        view["nat-local"] = "yes"
    if sa.nat_remote:
        view["nat-remote"] = "yes"
    if sa.nat_fake:
        view["nat-fake"] = "yes"
    if sa.nat_local or sa.nat_remote or sa.nat_fake:
        view["nat-any"] = "yes"
    if sa.ppk:
        view["ppk"] = "yes"
    view.update(_suite(sa.suite))
    if sa.established_at is not None and sa.state == "ESTABLISHED":
        view["established"] = _seconds(now - sa.established_at)
        if sa.rekey_at is not None:
            view["rekey-time"] = _seconds(sa.rekey_at - now)
        if sa.reauth_at is not None:
            view["reauth-time"] = _seconds(sa.reauth_at - now)
    if sa.tasks:
        view["tasks-active"] = list(sa.tasks)
    return view


def child_view(sa: ChildSaInfo, tunnel: Tunnel | None, counters: SaCounters | None, now: float) -> View:
    """A CHILD_SA. ``now`` is the monotonic clock, which the data plane counts by too."""
    view: View = {
        "name": sa.name,
        "uniqueid": str(sa.child_id),
        "reqid": str(tunnel.reqid if tunnel else 0),
        "state": sa.state,
        "mode": sa.mode.value.upper(),
    }
    if sa.state in INSTALLED_STATES:
        view["protocol"] = PROTOCOL_NAMES.get(ProtocolId(sa.protocol), str(sa.protocol))
        if sa.udp_encap:
            view["encap"] = "yes"
        view["spi-in"] = f"{sa.spi_in:08x}"
        view["spi-out"] = f"{sa.spi_out:08x}"
        if tunnel is not None:
            view.update(_marks(tunnel.config))
            if tunnel.config.per_cpu_sas:
                view["per-cpu-sas"] = "yes"
        if sa.resource:
            view["cpu"] = str(sa.resource)
        view.update(_suite(sa.suite, child=True))
        if counters is not None:
            view.update(_traffic(counters, now))
        if sa.rekey_at is not None:
            view["rekey-time"] = _seconds(sa.rekey_at - now)
        if sa.expires_at is not None:
            view["life-time"] = _seconds(sa.expires_at - now)
        view["install-time"] = _seconds(now - sa.installed_at)
    view["local-ts"] = [selector_text(ts) for ts in sa.local_ts]
    view["remote-ts"] = [selector_text(ts) for ts in sa.remote_ts]
    if tunnel is not None:
        view["placement"] = tunnel.placement.where
        if tunnel.placement.why:
            view["placement-why"] = list(tunnel.placement.why)
    if counters is not None and any(counters.drops.values()):
        view["drops"] = {reason: str(count) for reason, count in counters.drops.items() if count}
    return view


def _identity(identity: Identity | None) -> str:
    return str(identity) if identity is not None else "%any"


def _seconds(value: float) -> str:
    return str(int(value))


def _suite(transforms: Iterable[Transform], *, child: bool = False) -> View:
    """``encr-alg`` and its sisters. A CHILD_SA has no PRF, a key exchange only from PFS, ``esn`` where it has it."""
    by_type = {transform.type: transform for transform in transforms}
    view: View = {}
    if (encr := by_type.get(TransformType.ENCR)) is not None:
        view["encr-alg"] = ENCR[encr.id].name
        if encr.key_length:
            view["encr-keysize"] = str(encr.key_length)
    if (integ := by_type.get(TransformType.INTEG)) is not None and integ.id != Integ.NONE:
        view["integ-alg"] = INTEG[integ.id].name
    if not child and (prf := by_type.get(TransformType.PRF)) is not None:
        view["prf-alg"] = PRF[prf.id].name
    if (kex := by_type.get(TransformType.KE)) is not None and kex.id != Ke.NONE:
        view["dh-group"] = KE_NAMES.get(kex.id, str(kex.id))
    for kind in range(TransformType.ADDKE1, TransformType.ADDKE7 + 1):
        if (extra := by_type.get(kind)) is not None and extra.id != Ke.NONE:
            view[f"ke{kind - TransformType.ADDKE1 + 1}-alg"] = KE_NAMES.get(extra.id, str(extra.id))
    if child and (esn := by_type.get(TransformType.ESN)) is not None and esn.id == Esn.YES:
        view["esn"] = "1"
    return view


def _marks(config: Child) -> View:
    view: View = {}
    for name, (value, mask) in (("in", config.mark_in), ("out", config.mark_out)):
        if value or mask:
            view[f"mark-{name}"] = f"{value:08x}"
            if mask != 0xFFFFFFFF:
                view[f"mark-mask-{name}"] = f"{mask:08x}"
    for name, number in (("in", config.if_id_in), ("out", config.if_id_out)):
        if number:
            view[f"if-id-{name}"] = f"{number:08x}"
    return view


def _traffic(counters: SaCounters, now: float) -> View:
    view: View = {"bytes-in": str(counters.bytes_in), "packets-in": str(counters.packets_in)}
    if counters.last_in:
        view["use-in"] = _seconds(max(0.0, now - counters.last_in))
    view["bytes-out"] = str(counters.bytes_out)
    view["packets-out"] = str(counters.packets_out)
    if counters.last_out:
        view["use-out"] = _seconds(max(0.0, now - counters.last_out))
    return view


def connection_view(connection: Connection) -> View:
    """A loaded connection, as ``list-conn`` carries it."""
    view: View = {
        "local_addrs": addresses_text(connection.local_addrs),
        "remote_addrs": addresses_text(connection.remote_addrs),
        "version": "IKEv2",
        "reauth_time": _seconds(connection.reauth_time),
        "rekey_time": _seconds(connection.rekey_time),
        "unique": UNIQUE_NAMES[connection.unique],
    }
    if connection.dpd_delay:
        view["dpd_delay"] = _seconds(connection.dpd_delay)
    if connection.dpd_timeout:
        view["dpd_timeout"] = _seconds(connection.dpd_timeout)
    if connection.ppk_id is not None:
        view["ppk_id"] = str(connection.ppk_id)
    if connection.ppk_required:
        view["ppk_required"] = "yes"
    for side, rounds in (("local", connection.local), ("remote", connection.remote)):
        for number, auth in enumerate(rounds, 1):
            view[f"{side}-{number}"] = _auth_view(auth, own=side == "local")
    view["children"] = {child.name: _child_config_view(child) for child in connection.children}
    return view


def _auth_view(auth: AuthRound, *, own: bool) -> View:
    view: View = {}
    if auth.eap_id is not None:
        view["eap_id"] = str(auth.eap_id)
    if auth.id is not None:
        view["id"] = str(auth.id)
    elif own and auth.certs:
        view["id"] = subject_of(auth.certs[0])  # who we then are
    method = "eap" if auth.auth.startswith("eap") else auth.auth
    if auth.auth in EAP_NAMES:
        view["eap-type"] = EAP_NAMES[auth.auth]
    view["class"] = "EAP" if method == "eap" else CLASS_NAMES.get(method, method)
    if auth.revocation != "relaxed":
        view["revocation"] = {"strict": "GOOD", "ifuri": "SKIPPED"}.get(auth.revocation, auth.revocation)
    view["groups"] = list(auth.groups)
    view["cert_policy"] = list(auth.cert_policy)
    view["certs"] = [subject_of(certificate) for certificate in auth.certs]
    view["cacerts"] = [subject_of(certificate) for certificate in auth.cacerts]
    return view


def _child_config_view(child: Child) -> View:
    view: View = {"mode": child.mode.value.upper()}
    if child.label:
        view["label"] = child.label
    view["rekey_time"] = _seconds(child.rekey_time)
    view["rekey_bytes"] = str(child.rekey_bytes)
    view["rekey_packets"] = str(child.rekey_packets)
    view["dpd_action"] = ACTION_NAMES[child.dpd_action]
    view["close_action"] = ACTION_NAMES[child.close_action]
    view["local-ts"] = [template_text(ts) for ts in child.local_ts]
    view["remote-ts"] = [template_text(ts) for ts in child.remote_ts]
    if child.interface:
        view["interface"] = child.interface
    if child.priority:
        view["priority"] = str(child.priority)
    return view


def subject_of(certificate: Certificate) -> str:
    """The subject as strongSwan prints a DN."""
    return str(Identity.of_name(certificate.subject))


def addresses_text(templates: Sequence[AddressTemplate]) -> list[str]:
    """``local_addrs`` and ``remote_addrs`` as they are written."""
    return [address_text(template) for template in templates] or ["%any"]


def address_text(template: AddressTemplate) -> str:
    """One entry."""
    if template.name is not None:
        return template.name
    if template.address is not None:
        return f"{template.address}-{template.last}" if template.last is not None else str(template.address)
    if template.network is not None:
        return str(template.network)
    return f"%any{template.version}" if template.version else "%any"
