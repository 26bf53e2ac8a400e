"""Outer addresses as the sockets want them: what a datagram came with, and what one is sent with."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastesp.io.linux cimport msghdr, sockaddr_storage


cdef struct path_t:
    uint8_t local[16]       # IPv4: the first four bytes, the rest zero
    uint8_t remote[16]
    uint16_t local_port     # host order; zero: no UDP
    uint16_t remote_port
    uint8_t family          # 4 or 6; 0: none
    uint8_t reserved[3]


cdef enum:
    CONTROL_SIZE = 128      # room for packet info, traffic class and a segment size


cdef bint path_equal(const path_t* one, const path_t* other) noexcept nogil
cdef void path_of_message(
    path_t* path, msghdr* message, uint16_t local_port, uint8_t* tos, uint32_t* segment
) noexcept nogil
cdef void address_message(
    msghdr* message, sockaddr_storage* name, uint8_t* control, const path_t* path, uint8_t tos, uint32_t segment
) noexcept nogil
cdef int path_set(path_t* path, object local, int local_port, object remote, int remote_port) except -1
cdef tuple path_get(const path_t* path)
