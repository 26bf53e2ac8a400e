"""Inbound: wire to TUN."""

from libc.stdint cimport uint32_t, uint64_t

from fastesp.io.coalesce cimport TunWriter
from fastesp.io.path cimport path_t
from fastesp.io.receive cimport Receiver
from fastesp.io.worker cimport INPUTS_MAX, Worker


cdef class Inbound(Worker):
    cdef list receivers
    cdef void* inputs[INPUTS_MAX]   # the receivers, borrowed from `receivers`
    cdef uint32_t input_count
    cdef TunWriter writer
    cdef uint64_t* moved            # by SA slot: when a move was told last, nanoseconds
    cdef uint64_t next_unknown      # no NOTE_UNKNOWN_SPI before

    cdef bint _serve(self, Receiver receiver) noexcept nogil
    cdef void _look(self, Receiver receiver, uint64_t now) noexcept nogil
    cdef void _compare(self, uint32_t slot, const path_t* peer, uint64_t now) noexcept nogil
    cdef void _note(self, uint32_t kind, uint32_t slot, uint32_t spi, const path_t* peer) noexcept nogil
