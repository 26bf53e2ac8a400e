"""What an SA adds to a packet, in bytes: so that what enters a tunnel fits the path outside."""

from __future__ import annotations

from fastesp.dataplane.base import ChildSa, SaMode, SaProtocol, Suite
from fastesp.engine.suites import ENCRYPTION, INTEGRITY

IP_HEADER = {4: 20, 6: 40}
UDP_HEADER = 8
ESP_HEADER = 8
AH_HEADER = 12
AH_UNIT = {4: 4, 6: 8}
"""AH is filled up to a multiple of this (RFC 4302 section 2.2)."""
TRAILER = 2
"""Pad length and next header (RFC 4303 section 2)."""
ICV_MIN = 8
TCP_HEADER = 20
MTU_MIN = {4: 68, 6: 1280}


def inner_mtu(sa: ChildSa, path_mtu: int) -> int:
    """The longest inner packet whose ESP or AH packet fits ``path_mtu`` (transport mode: with its own IP header).

    Never below what the inner protocol promises to carry (RFC 791: 68, RFC 8200 section 5: 1,280 bytes): on a path
    that is smaller, such packets go in fragments outside.
    """
    room = path_mtu - IP_HEADER[sa.path.remote.version]
    longest = room - _ah_length(sa) if sa.protocol is SaProtocol.AH else _longest_in_esp(sa, room)
    if sa.mode is SaMode.TRANSPORT:
        longest += IP_HEADER[sa.path.remote.version]
    return max(longest, MTU_MIN[max(selector.local_start.version for selector in sa.selectors)])


def tcp_mss(sa: ChildSa, mtu: int) -> int:
    """The longest TCP payload that inner packets of ``mtu`` bytes carry, whichever IP version of the SA's they are."""
    version = max(selector.local_start.version for selector in sa.selectors)
    return mtu - IP_HEADER[version] - TCP_HEADER


def _ah_length(sa: ChildSa) -> int:
    unit = AH_UNIT[sa.path.remote.version]
    row = INTEGRITY.get(sa.outbound.suite.integrity)
    length = AH_HEADER + (row.iv + row.icv if row is not None else 0)
    return (length + unit - 1) // unit * unit


def _longest_in_esp(sa: ChildSa, room: int) -> int:
    cipher = ENCRYPTION[sa.outbound.suite.encryption]
    room -= (UDP_HEADER if sa.path.udp_encap else 0) + ESP_HEADER + cipher.iv + _icv(sa.outbound.suite)
    align = max(cipher.block, 4)
    return room // align * align - TRAILER


def _icv(suite: Suite) -> int:
    """Zero for what the engine refuses anyway."""
    if suite.integrity in INTEGRITY:
        return INTEGRITY[suite.integrity].icv
    return ENCRYPTION[suite.encryption].icv if suite.encryption in ENCRYPTION else 0


def fits_joined(sa: ChildSa) -> bool:
    """Whether packets of this SA may lie side by side when they arrive (UDP GRO).

    Transport mode puts an IP header before what was sealed, in place. Where ESP header and IV are shorter than that, it
    reaches into the packet before, whose ICV alone is of no use any more.
    """
    if sa.mode is SaMode.TUNNEL or not sa.path.udp_encap:
        return True
    before = ESP_HEADER + ENCRYPTION[sa.inbound.suite.encryption].iv
    return IP_HEADER[sa.path.remote.version] - before <= ICV_MIN
