"""What an SA adds to a packet, in bytes: so that what enters a tunnel fits the path outside."""

from __future__ import annotations

from fastesp.dataplane.base import ChildSa, SaMode
from fastesp.engine.suites import ENCRYPTION, INTEGRITY

UDP_HEADER = 8
ESP_HEADER = 8
TRAILER = 2
"""Pad length and next header (RFC 4303 section 2)."""
MTU_MIN = {4: 68, 6: 1280}


def inner_mtu(sa: ChildSa, path_mtu: int) -> int:
    """The longest inner packet whose ESP packet fits ``path_mtu`` (transport mode: with its own IP header).

    Never below IPv4's minimum of 68: such a path cannot carry the SA without fragments outside.
    """
    ip_header = 20 if sa.path.remote.version == 4 else 40
    cipher = ENCRYPTION[sa.outbound.suite.encryption]
    icv = cipher.icv or (INTEGRITY[sa.outbound.suite.integrity].icv if sa.outbound.suite.integrity else 0)
    room = path_mtu - ip_header - (UDP_HEADER if sa.path.udp_encap else 0) - ESP_HEADER - cipher.iv - icv
    align = max(cipher.block, 4)
    longest = room // align * align - TRAILER
    if sa.mode is SaMode.TRANSPORT:
        longest += ip_header
    return max(longest, MTU_MIN[4])
