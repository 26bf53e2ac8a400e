"""Outbound: TUN to wire."""

from libc.stdint cimport uint32_t, uint64_t

from fastesp.engine.batch cimport WORKERS_MAX, packet_t
from fastesp.io.coalesce cimport TunWriter
from fastesp.io.held cimport Held
from fastesp.io.mailbox cimport Mailbox
from fastesp.io.send cimport Sender
from fastesp.io.tun cimport TunReader
from fastesp.io.worker cimport Worker


cdef class Outbound(Worker):
    cdef TunReader reader
    cdef Sender sender
    cdef TunWriter errors
    cdef Held held
    cdef uint32_t to_release    # packets of `held` that are to be tried again
    cdef list _mailboxes        # keeps those below
    cdef void* to_others[WORKERS_MAX]   # by worker: a Mailbox, or NULL
    cdef void* from_others[WORKERS_MAX]
    cdef uint32_t senders       # how many `from_others` has
    cdef uint32_t next_sender   # whom to look at first
    cdef bint others_turn
    cdef uint64_t* asked        # by policy: when Acquire was told last, nanoseconds; 0: never
    cdef uint64_t next_error    # no ICMP error before
    cdef uint64_t next_mtu      # no NOTE_PATH_MTU before

    cdef void _device_gone(self) noexcept nogil
    cdef bint _fill(self) noexcept nogil
    cdef void _release(self) noexcept nogil
    cdef bint _take_over(self) noexcept nogil
    cdef void _take_from(self, Mailbox mailbox) noexcept nogil
    cdef void _hand_over(self, packet_t* packet) noexcept nogil
    cdef void _process(self, uint64_t now) noexcept nogil
    cdef void _exception(self, packet_t* packet, uint64_t now) noexcept nogil
    cdef void _hold(self, packet_t* packet, uint64_t now) noexcept nogil
    cdef void _too_big(self, packet_t* packet, uint64_t now) noexcept nogil
    cdef void _path_mtu(self, uint64_t now) noexcept nogil
