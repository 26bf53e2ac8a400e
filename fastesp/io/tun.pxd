"""The plain side: a TUN device with virtio-net headers."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastesp.engine.batch cimport Batch, packet_t
from fastesp.io.linux cimport virtio_net_hdr
from fastesp.io.segment cimport cut_t


cdef class TunReader:
    cdef readonly int fd
    cdef readonly Batch batch
    cdef uint8_t* stage         # one super-packet behind its virtio-net header
    cdef uint8_t* region
    cdef uint32_t filled        # bytes of the region in use
    cdef uint32_t reserve       # every packet can grow to this many bytes, TAILROOM not counted
    cdef cut_t cut
    cdef bint cutting           # a super-packet is half done
    cdef uint64_t* counts
    cdef readonly uint64_t calls
    cdef readonly uint64_t copied   # bytes: by the kernel into `stage`, and from there into the region

    cdef int fill(self) noexcept nogil
    cdef bint _read(self) noexcept nogil
    cdef bint _cut(self) noexcept nogil
    cdef void place(self, uint32_t length) noexcept nogil
    cdef uint8_t* room_for(self, uint32_t length) noexcept nogil
    cdef void clear(self) noexcept nogil
