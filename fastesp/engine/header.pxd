"""IP headers that the engine writes: around AH, and in front of what transport mode brought."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from fastesp.engine.checksum cimport ipv4_checksum
from fastesp.engine.hints cimport store16, store32

cdef enum:
    HOP_LIMIT = 64
    DONT_FRAGMENT = 0x4000


cdef inline uint32_t ip_header_length(uint8_t family) noexcept nogil:
    return 20 if family == 4 else 40


cdef inline void write_ip_header(
    uint8_t* p, uint8_t family, const uint8_t* source, const uint8_t* destination, uint8_t protocol, uint8_t tos,
    uint32_t length, uint16_t identification, bint dont_fragment
) noexcept nogil:
    """Of a whole packet of `length` bytes. Raw sockets fill in an IPv4 identification of zero."""
    if family == 4:
        p[0] = 0x45
        p[1] = tos
        store16(p + 2, <uint16_t>length)
        store16(p + 4, identification)
        store16(p + 6, DONT_FRAGMENT if dont_fragment else 0)
        p[8] = HOP_LIMIT
        p[9] = protocol
        memcpy(p + 12, source, 4)
        memcpy(p + 16, destination, 4)
        ipv4_checksum(p)
    else:
        store32(p, <uint32_t>0x60000000 | <uint32_t>tos << 20)
        store16(p + 4, <uint16_t>(length - 40))
        p[6] = protocol
        p[7] = HOP_LIMIT
        memcpy(p + 8, source, 16)
        memcpy(p + 24, destination, 16)
