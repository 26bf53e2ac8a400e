"""Packets that met a trap and wait for their SA."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastesp.engine.batch cimport packet_t

cdef enum:
    HELD_MAX = 512              # packets over all policies
    HELD_PER_POLICY = 64


cdef struct held_t:
    uint8_t* data               # its own copy
    uint32_t length
    uint32_t policy


cdef class Held:
    cdef held_t ring[HELD_MAX]  # a queue: oldest at `first`
    cdef uint32_t first
    cdef readonly uint32_t count

    cdef uint32_t keep(self, const uint8_t* data, uint32_t length, uint32_t policy) noexcept nogil
    cdef held_t* oldest(self) noexcept nogil
    cdef void drop_oldest(self) noexcept nogil
    cdef uint32_t forget(self, uint32_t policy) noexcept nogil
    cdef held_t* _at(self, uint32_t place) noexcept nogil
    cdef void _drop(self, uint32_t place) noexcept nogil
