"""Datagrams in: recvmmsg into a region of our own, one descriptor an ESP packet."""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastesp.engine.batch cimport WORKERS_MAX, Batch
from fastesp.io.linux cimport iovec, mmsghdr, sockaddr_storage
from fastesp.io.mailbox cimport Mailbox
from fastesp.io.path cimport path_t


cdef enum:
    SLOTS = 64              # messages a system call; each has a buffer of its own
    SLOT_HEAD = 64          # bytes before a datagram: transport mode and AH put an IP header there
    SLOT_ROOM = 1 << 16     # bytes: the largest datagram, or what GRO makes of many
    SLOT_SIZE = SLOT_HEAD + SLOT_ROOM


cdef class Receiver:
    cdef readonly Batch batch
    cdef readonly int fd
    cdef path_t* peers          # SLOTS of them: packet_t.peer is an index
    cdef uint8_t* region
    cdef uint64_t* counts       # VERDICT_COUNT of them, the worker's: what ends here
    cdef mmsghdr* messages
    cdef iovec* vectors
    cdef sockaddr_storage* names
    cdef uint8_t* controls
    cdef uint32_t received      # messages of the last call
    cdef uint32_t next          # the first of them that is not yet described wholly
    cdef uint32_t at            # how far that one is
    cdef uint16_t local_port
    cdef readonly uint64_t calls
    cdef readonly uint64_t copied   # bytes: by the kernel

    cdef uint8_t* data(self, uint32_t slot) noexcept nogil
    cdef bint fill(self) noexcept nogil
    cdef int _receive(self) noexcept nogil
    cdef void _describe(self, uint32_t slot) noexcept nogil
    cdef void _add(self, uint32_t slot, int32_t offset, uint32_t length, uint8_t tos, uint8_t flags) noexcept nogil


cdef class UdpReceiver(Receiver):
    cdef Mailbox ike
    cdef uint32_t worker        # whose socket this is, of so many
    cdef uint32_t workers
    cdef list _mailboxes        # keeps those below
    cdef void* to_others[WORKERS_MAX]   # by worker: a Mailbox, or NULL
    cdef readonly uint64_t handed
    cdef void _sort(self, uint32_t slot, uint32_t offset, uint32_t length, uint8_t tos) noexcept nogil
    cdef void _hand_over(
        self, uint32_t owner, uint32_t slot, const uint8_t* data, uint32_t length, uint8_t tos
    ) noexcept nogil


cdef class RawReceiver(Receiver):
    cdef int family
    cdef int protocol
    cdef void _add_ah6(self, uint32_t slot, uint32_t length, uint8_t tos) noexcept nogil
