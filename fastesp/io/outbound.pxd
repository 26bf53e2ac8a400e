"""Outbound: TUN to wire."""

from libc.stdint cimport uint32_t, uint64_t

from fastesp.engine.batch cimport packet_t
from fastesp.io.coalesce cimport TunWriter
from fastesp.io.held cimport Held
from fastesp.io.send cimport Sender
from fastesp.io.tun cimport TunReader
from fastesp.io.worker cimport Worker


cdef class Outbound(Worker):
    cdef TunReader reader
    cdef Sender sender
    cdef TunWriter errors
    cdef Held held
    cdef uint32_t to_release    # packets of `held` that are to be tried again
    cdef uint64_t* asked        # by policy: when Acquire was told last, nanoseconds; 0: never
    cdef uint64_t next_error    # no ICMP error before
    cdef uint64_t next_mtu      # no NOTE_PATH_MTU before

    cdef void _release(self) noexcept nogil
    cdef void _process(self, uint64_t now) noexcept nogil
    cdef void _exception(self, packet_t* packet, uint64_t now) noexcept nogil
    cdef void _hold(self, packet_t* packet, uint64_t now) noexcept nogil
    cdef void _too_big(self, packet_t* packet, uint64_t now) noexcept nogil
    cdef void _path_mtu(self, uint64_t now) noexcept nogil
