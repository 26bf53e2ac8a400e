"""Inbound TCP and UDP put together again, and written to a TUN."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastesp.engine.batch cimport Batch, packet_t
from fastesp.io.linux cimport iovec, virtio_net_hdr

cdef enum:
    ITEMS = 256             # BATCH_MAX
    BUCKETS = 64


cdef struct item_t:
    uint32_t first          # packet
    uint32_t last
    uint32_t count          # packets
    uint32_t payload        # bytes behind the TCP or UDP header so far
    uint32_t sequence       # TCP: the next one that fits
    uint16_t size           # payload bytes of each packet but the last: what GSO cuts at
    uint16_t ident          # IPv4 identification of the first
    uint8_t network         # bytes of IP header
    uint8_t transport       # bytes of TCP or UDP header
    uint8_t protocol
    uint8_t open            # takes more
    uint8_t pushed          # TCP: a packet had PSH


cdef struct view_t:
    const uint8_t* ip
    const uint8_t* upper    # the TCP or UDP header
    uint8_t protocol
    uint8_t network         # bytes of IP header
    uint8_t transport       # bytes of TCP or UDP header
    uint8_t family
    bint mergeable          # else `upper` may still be set: its flow is known
    uint32_t payload        # bytes


cdef class TunWriter:
    cdef readonly int fd
    cdef readonly bint tcp          # join it
    cdef readonly bint udp
    cdef item_t items[ITEMS]
    cdef uint32_t count
    cdef uint32_t bucket[BUCKETS]   # item + 1 of the flow seen last; 0: none
    cdef uint32_t next[ITEMS]       # packet that follows within its item
    cdef iovec vectors[ITEMS + 1]
    cdef uint64_t* counts
    cdef readonly uint64_t calls
    cdef readonly uint64_t copied   # bytes: by the kernel

    cdef void write(self, Batch batch) noexcept nogil
    cdef void gather(self, Batch batch) noexcept nogil
    cdef void _add(self, Batch batch, uint32_t index) noexcept nogil
    cdef void _join(self, item_t* item, const view_t* view, uint32_t index) noexcept nogil
    cdef uint32_t finish(self, Batch batch, item_t* item, virtio_net_hdr* header) noexcept nogil
    cdef void write_packet(self, const uint8_t* data, uint32_t length) noexcept nogil
    cdef void _put(self, uint32_t vectors, uint32_t packets) noexcept nogil
