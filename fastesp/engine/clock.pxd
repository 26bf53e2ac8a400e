"""The monotonic clock, without the GIL."""

from libc.stdint cimport uint64_t

cdef extern from "<time.h>" nogil:
    ctypedef long time_t
    struct timespec:
        time_t tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec* value) noexcept
    int CLOCK_MONOTONIC


cdef inline uint64_t monotonic_ns() noexcept nogil:
    cdef timespec value
    clock_gettime(CLOCK_MONOTONIC, &value)
    return <uint64_t>value.tv_sec * 1000000000 + <uint64_t>value.tv_nsec
