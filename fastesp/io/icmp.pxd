"""ICMP "too big", as a router sends it."""

from libc.stdint cimport uint8_t, uint32_t

cdef enum:
    ICMP_ROOM = 1280            # bytes that an error takes at most


cdef uint32_t too_big(uint8_t* to, const uint8_t* packet, uint32_t length, uint32_t mtu) noexcept nogil
