"""Cut a super-packet, as a TUN hands it over, into packets that fit the wire."""

from libc.stdint cimport uint8_t, uint32_t

from fastesp.engine.batch cimport Batch
from fastesp.io.linux cimport virtio_net_hdr

cdef enum:
    CUT_OK = 0
    CUT_MALFORMED = 1


cdef struct cut_t:
    const uint8_t* packet   # the super-packet: whoever began the cut keeps it alive until the cut is done
    uint32_t length         # its bytes
    uint32_t header         # bytes of IP and transport header, repeated before each payload
    uint32_t transport      # offset of the transport header
    uint32_t checksum       # offset of the transport checksum; 0: nothing to fill in
    uint32_t size           # payload bytes of each packet but the last
    uint32_t at             # payload bytes that have left
    uint32_t index          # packets that have left
    uint8_t family          # 4 or 6
    uint8_t protocol        # 6 or 17; 0: the packet goes as it is


cdef int cut_begin(cut_t* cut, const virtio_net_hdr* header, const uint8_t* packet, uint32_t length) noexcept nogil
cdef bint cut_done(const cut_t* cut) noexcept nogil
cdef uint32_t cut_next(cut_t* cut, uint8_t* to) noexcept nogil
cdef uint32_t cut_next_length(const cut_t* cut) noexcept nogil
