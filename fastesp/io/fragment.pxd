"""A packet with its IP header, cut for a path that is too narrow (RFC 791 section 3.2, RFC 8200 section 4.5)."""

from libc.stdint cimport uint8_t, uint32_t

from fastesp.io.linux cimport iovec

cdef enum:
    PIECES_MAX = 64             # a path that wants more of them is none


cdef struct fragments_t:
    const uint8_t* packet       # whoever began the cut keeps it alive
    uint32_t length
    uint32_t header             # bytes of the packet's own IP header
    uint32_t pieces
    uint32_t size               # payload bytes of each piece but the last: a multiple of eight
    uint32_t at                 # payload bytes that have left
    uint32_t identification     # IPv6: of this packet
    uint8_t head[48]            # of the piece at hand


cdef bint fragments_begin(
    fragments_t* cut, const uint8_t* packet, uint32_t length, uint32_t identification
) noexcept nogil
cdef bint fragments_shorter(fragments_t* cut) noexcept nogil
cdef bint fragments_next(fragments_t* cut, iovec* pieces) noexcept nogil
