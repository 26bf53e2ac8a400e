"""A bounded mailbox from a worker, which never waits and holds no GIL, to the control plane."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef class Mailbox:
    cdef uint8_t* ring
    cdef uint64_t size
    cdef uint64_t head      # bytes ever written; the worker's
    cdef uint64_t tail      # bytes ever read; the control plane's
    cdef uint64_t rung      # 1 from the doorbell's ring until the next drain
    cdef readonly uint64_t lost
    cdef readonly int fd

    cdef bint put(
        self, const void* first, uint32_t first_length, const void* second, uint32_t second_length
    ) noexcept nogil
    cdef void _write(self, uint64_t at, const void* data, uint32_t length) noexcept nogil
    cdef void _read(self, uint64_t at, void* data, uint32_t length) noexcept nogil
