"""What a raw primitive is to the stopwatch: a loop of its own over packets that lie at equal distances."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastesp.engine.batch cimport Batch

cdef struct lane_t:
    uint8_t* first          # ESP header of the first packet
    uint32_t stride         # bytes from one packet to the next
    uint32_t count
    uint32_t iv_length
    uint32_t length         # of what is ciphered: inner packet, padding and trailer


cdef class Primitive:
    """One suite's cryptography with nothing around it: called once a packet, with a fresh IV and the key set before."""

    cdef readonly str name
    cdef readonly uint32_t iv_length
    cdef readonly uint32_t icv_length
    cdef readonly uint32_t align

    cdef void seal(self, const lane_t* lane) noexcept nogil
    # Returns how many were authentic.
    cdef uint32_t open(self, const lane_t* lane) noexcept nogil


cdef class Track:
    cdef readonly Batch batch
    cdef readonly uint32_t count
    cdef readonly uint32_t size
    cdef uint8_t* region
    cdef uint32_t stride
    cdef uint64_t turn          # of the heads and SPIs that go round
    cdef object _heads
    cdef object _spis
    cdef const uint8_t* heads
    cdef const uint32_t* spis
    cdef uint32_t head_count
    cdef uint32_t spi_count

    cdef void lay_plain(self) noexcept nogil
    cdef lane_t lane_of(self, Primitive primitive) noexcept nogil
    cdef void lay_framed(self, const lane_t* lane) noexcept nogil
    cdef void lay_sealed(self, Primitive primitive, const lane_t* lane) noexcept nogil
