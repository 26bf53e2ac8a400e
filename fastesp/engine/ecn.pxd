"""Explicit congestion notification through a tunnel (RFC 6040), and changing the TOS byte of an inner packet."""

from libc.stdint cimport uint8_t, uint16_t

from fastesp.engine.checksum cimport mended
from fastesp.engine.hints cimport load16, store16

cdef enum:
    ECN_MASK = 3
    ECN_NOT_CAPABLE = 0
    ECN_ECT_1 = 1
    ECN_ECT_0 = 2
    ECN_CE = 3


cdef inline int ecn_decapsulated(uint8_t inner, uint8_t outer) noexcept nogil:
    """The inner ECN field after the tunnel (RFC 6040 figure 4); -1: drop."""
    if outer == ECN_CE:
        return -1 if inner == ECN_NOT_CAPABLE else ECN_CE
    if outer == ECN_ECT_1 and inner == ECN_ECT_0:
        return ECN_ECT_1
    return inner


cdef inline void set_tos(uint8_t* packet, uint8_t tos) noexcept nogil:
    """Of an IPv4 or IPv6 header; IPv4's checksum is mended by the difference (RFC 1624)."""
    cdef uint16_t before, after
    if packet[0] >> 4 == 6:
        store16(packet, (load16(packet) & 0xf00f) | <uint16_t>(tos << 4))
        return
    before = load16(packet)
    packet[1] = tos
    after = load16(packet)
    store16(packet + 10, mended(load16(packet + 10), before, after))
