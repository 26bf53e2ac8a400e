"""A bounded mailbox from a worker, which never waits and holds no GIL, to the control plane or to another worker."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cdef class Mailbox:
    cdef uint8_t* ring
    cdef uint64_t size
    cdef uint64_t head      # bytes ever written; the writer's
    cdef uint8_t apart[64]  # writer and reader run on different cores: a cache line each
    cdef uint64_t tail      # bytes ever read; the reader's
    cdef uint8_t apart_too[64]
    cdef uint64_t rung      # 1 from the doorbell's ring until the reader looks again
    cdef readonly uint64_t lost
    cdef readonly int fd

    cdef bint put(
        self, const void* first, uint32_t first_length, const void* second, uint32_t second_length
    ) noexcept nogil
    cdef bint has_room(self, uint32_t records, uint32_t length) noexcept nogil
    # The reader's: length of the oldest record (-1: none), its bytes from `at` on, and on to the next one.
    cdef int64_t next(self) noexcept nogil
    cdef void copy(self, uint32_t at, void* data, uint32_t length) noexcept nogil
    cdef void drop(self, uint32_t length) noexcept nogil
    cdef void _write(self, uint64_t at, const void* data, uint32_t length) noexcept nogil
    cdef void _read(self, uint64_t at, void* data, uint32_t length) noexcept nogil
