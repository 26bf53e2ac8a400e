"""Which worker an inbound SA belongs to: its SPI's upper 12 bits are a bucket, and buckets are dealt out in turn.

The same rule stands in ``fastesp/io/filters.py`` as programs for the kernel, which hands most packets to their owner.
"""

from libc.stdint cimport uint8_t, uint32_t

from fastesp.io.path cimport path_t

cdef enum:
    BUCKET_SHIFT = 20


cdef struct handed_t:
    # Before a datagram that one worker hands over to another: all that the receiving one does not see for itself.
    path_t peer
    uint8_t tos
    uint8_t reserved[7]


cdef inline uint32_t owner_of(uint32_t spi, uint32_t workers) noexcept nogil:
    return (spi >> BUCKET_SHIFT) % workers
