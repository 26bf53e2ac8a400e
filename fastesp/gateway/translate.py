"""From what IKE agreed on to what a data plane installs: pure functions between the two sides' values."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

from fastesp.dataplane.base import (
    Address,
    ChildSa,
    DataPlaneError,
    Lifetime,
    OuterPath,
    SaHalf,
    SaMode,
    SaProtocol,
    Selector,
    Suite,
)
from ike.config import Child, Mode, TsTemplate
from ike.crypto.transforms import encr_key_bits, transform_name
from ike.events import ChildSaEstablished, Path
from ike.events import SaHalf as NegotiatedHalf
from ike.wire.constants import Encr, Integ, ProtocolId, TransformType
from ike.wire.payloads import Transform
from ike.wire.selectors import TrafficSelector

ENCRYPTION = {
    Encr.NULL: "null",
    Encr.AES_CBC: "aes-cbc",
    Encr.AES_CTR: "aes-ctr",
    Encr.AES_GCM_8: "aes-gcm-8",
    Encr.AES_GCM_12: "aes-gcm-12",
    Encr.AES_GCM_16: "aes-gcm-16",
    Encr.NULL_AES_GMAC: "aes-gmac",
    Encr.CHACHA20_POLY1305: "chacha20-poly1305",
}

INTEGRITY = {
    Integ.HMAC_SHA1_96: "hmac-sha1",
    Integ.HMAC_SHA2_256_128: "hmac-sha2-256",
    Integ.HMAC_SHA2_384_192: "hmac-sha2-384",
    Integ.HMAC_SHA2_512_256: "hmac-sha2-512",
    Integ.AES_128_GMAC: "aes-128-gmac",
    Integ.AES_192_GMAC: "aes-192-gmac",
    Integ.AES_256_GMAC: "aes-256-gmac",
}

PROTOCOLS = {ProtocolId.ESP: SaProtocol.ESP, ProtocolId.AH: SaProtocol.AH}


def suite_of(transforms: Iterable[Transform]) -> Suite:
    """The engine's name for a negotiated suite; :class:`DataPlaneError` where it has none for an algorithm of it."""
    encryption, key_bits, integrity = "", 0, ""
    for transform in transforms:
        if transform.type == TransformType.ENCR:
            if transform.id not in ENCRYPTION:
                raise DataPlaneError(
                    f"no data plane here does {transform_name(transform)}: leave it out of esp_proposals"
                )
            encryption, key_bits = ENCRYPTION[Encr(transform.id)], encr_key_bits(transform)
        elif transform.type == TransformType.INTEG and transform.id != Integ.NONE:
            if transform.id not in INTEGRITY:
                raise DataPlaneError(
                    f"no data plane here does {transform_name(transform)}: leave it out of the proposals"
                )
            integrity = INTEGRITY[Integ(transform.id)]
    return Suite(encryption, key_bits, integrity)


def selectors_of(local: Sequence[TrafficSelector], remote: Sequence[TrafficSelector]) -> tuple[Selector, ...]:
    """Every pair of a local and a remote selector that can hold one packet (RFC 7296 section 2.9: any with any)."""
    return tuple(
        Selector(
            ours.start,
            ours.end,
            theirs.start,
            theirs.end,
            ours.protocol or theirs.protocol,
            ours.start_port,
            ours.end_port,
            theirs.start_port,
            theirs.end_port,
        )
        for ours in local
        for theirs in remote
        if ours.version == theirs.version
        and (not ours.protocol or not theirs.protocol or ours.protocol == theirs.protocol)
    )


def configured_selectors(child: Child, local_host: Address | None, remote_host: Address | None) -> tuple[Selector, ...]:
    """A child's configured pairs; ``dynamic`` is the host where that is known, and left out where it is not."""
    return selectors_of(_resolved(child.local_ts, local_host), _resolved(child.remote_ts, remote_host))


def _resolved(templates: Iterable[TsTemplate], host: Address | None) -> list[TrafficSelector]:
    found: list[TrafficSelector] = []
    for template in templates:
        if template.selector is not None:
            found.append(template.selector)
        elif host is not None:
            found.append(template.resolve(host))
    return found


def outer_path(path: Path, udp_encap: bool) -> OuterPath:
    """Ports only where packets travel in UDP."""
    if not udp_encap:
        return OuterPath(path.local, path.remote)
    return OuterPath(path.local, path.remote, path.local_port, path.remote_port)


def lifetime_of(child: Child, uniform: Callable[[], float] = random.random) -> Lifetime:
    """Soft limits earlier by up to ``rand_*``, so that the ends of a tunnel do not rekey at the same packet."""
    return Lifetime(
        soft_bytes=_soft(child.rekey_bytes, child.rand_bytes, uniform),
        hard_bytes=child.life_bytes,
        soft_packets=_soft(child.rekey_packets, child.rand_packets, uniform),
        hard_packets=child.life_packets,
    )


def _soft(limit: int, spread: int, uniform: Callable[[], float]) -> int:
    return max(1, limit - int(spread * uniform())) if limit else 0


def child_sa(event: ChildSaEstablished, child: Child, reqid: int) -> ChildSa:
    """The one value that crosses the border, from what was negotiated and how the child is configured."""
    if event.protocol not in PROTOCOLS:
        raise DataPlaneError(f"CHILD_SA {event.child} has protocol {event.protocol}, which is neither ESP nor AH")
    suite = suite_of(event.suite)
    return ChildSa(
        name=f"{event.connection}/{event.child}",
        child_id=event.child_id,
        reqid=reqid,
        protocol=PROTOCOLS[ProtocolId(event.protocol)],
        mode=SaMode.TRANSPORT if event.mode is Mode.TRANSPORT else SaMode.TUNNEL,
        selectors=selectors_of(event.local_ts, event.remote_ts),
        path=outer_path(event.path, event.udp_encap),
        inbound=_half(event.inbound, suite),
        outbound=_half(event.outbound, suite),
        esn=event.esn,
        replay_window=child.replay_window,
        lifetime=lifetime_of(child),
        mark_in=child.mark_in,
        mark_out=child.mark_out,
        tfc_padding=child.tfc_padding if event.peer_supports_tfc else 0,
        copy_df=child.copy_df,
        copy_ecn=child.copy_ecn,
        copy_dscp=child.copy_dscp,
        priority=child.priority,
        placement="userspace" if child.hw_offload == "userspace" else "auto",
        resource=event.resource,
    )


def _half(half: NegotiatedHalf, suite: Suite) -> SaHalf:
    return SaHalf(half.spi, suite, half.encryption_key, half.integrity_key if len(half.integrity_key) else None)


def as_traffic_selectors(selectors: Iterable[Selector]) -> tuple[list[TrafficSelector], list[TrafficSelector]]:
    """The local and the remote sides of pairs, each once, as IKE writes them."""
    local: dict[TrafficSelector, None] = {}
    remote: dict[TrafficSelector, None] = {}
    for s in selectors:
        local[TrafficSelector(s.local_start, s.local_end, s.protocol, s.local_port_start, s.local_port_end)] = None
        remote[TrafficSelector(s.remote_start, s.remote_end, s.protocol, s.remote_port_start, s.remote_port_end)] = None
    return list(local), list(remote)
