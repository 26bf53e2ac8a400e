"""Datagrams out: sealed packets into as few system calls as the kernel allows."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastesp.engine.batch cimport Batch, packet_t
from fastesp.io.linux cimport iovec, mmsghdr, sockaddr_storage
from fastesp.io.path cimport path_t


cdef class Sender:
    cdef readonly int udp4
    cdef readonly int udp6
    cdef readonly int raw4
    cdef readonly int raw6
    cdef readonly int ah4       # both want packets with their IP header
    cdef readonly int ah6
    cdef public bint gso
    cdef int fragment[4]        # what IP_MTU_DISCOVER says now: 1 DF, 0 none, -1 not set yet
    cdef mmsghdr* messages
    cdef iovec* vectors         # one a packet
    cdef sockaddr_storage* names
    cdef uint8_t* controls
    cdef uint32_t* first        # the packet that a message begins with
    cdef uint32_t* order        # packet of each vector
    cdef uint32_t used          # vectors
    cdef uint32_t bytes_joined  # in the last message
    cdef bint joinable          # whether the last message may take one more
    cdef int waits_left         # for room in a full socket buffer, for the rest of this batch
    cdef uint64_t* counts       # [verdict], the worker's: what could not be sent
    cdef uint32_t too_big       # SA of a packet that its path has no room for; NO_SLOT: none since the worker looked
    cdef readonly uint64_t calls
    cdef readonly uint64_t datagrams
    cdef readonly uint64_t copied   # bytes: by the kernel
    cdef readonly uint64_t gso_refused
    cdef readonly uint64_t fragmented
    cdef uint32_t next_identification

    cdef void send(self, Batch batch, const path_t* paths, uint32_t path_count) noexcept nogil
    cdef int _socket_of(self, const path_t* path, const packet_t* packet) noexcept nogil
    cdef uint32_t _gather(
        self, Batch batch, const path_t* paths, uint32_t path_count, uint32_t* at, int* fd, bint* df
    ) noexcept nogil
    cdef uint32_t _place(self, Batch batch, uint32_t index, const path_t* path, uint32_t count) noexcept nogil
    cdef void _address(self, uint32_t message, const path_t* path, uint8_t tos, uint32_t segment) noexcept nogil
    cdef int _index_of(self, int fd) noexcept nogil
    cdef void _set_df(self, int fd, bint df) noexcept nogil
    cdef void _flush(self, Batch batch, const path_t* paths, int fd, uint32_t count) noexcept nogil
    cdef int _in_fragments(self, int fd, mmsghdr* message, const uint8_t* packet, uint32_t length) noexcept nogil
    cdef void _singly(self, Batch batch, int fd, uint32_t at, const path_t* path) noexcept nogil
    cdef void _alone(self, Batch batch, int fd, mmsghdr* message, uint32_t index) noexcept nogil
    cdef void _give_up(self, Batch batch, uint32_t first, uint32_t count, int error) noexcept nogil
    cdef int _try(self, int fd, mmsghdr* messages, uint32_t count) noexcept nogil
