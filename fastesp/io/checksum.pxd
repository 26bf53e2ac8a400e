"""The Internet checksum (RFC 1071), alone or in the same pass as a copy.

Sums are kept as 64-bit totals of 32-bit words in memory order, which compilers turn into vector code; folding gives
the 16 bits as they lie in memory, so no byte is ever swapped. A part that is added after another one starts at an
even offset.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy


cdef inline uint64_t add(uint64_t total, const uint8_t* data, size_t length) noexcept nogil:
    """``total`` and the words of ``data``."""
    cdef size_t words = length >> 2
    cdef size_t i
    cdef uint32_t word
    for i in range(words):
        memcpy(&word, data + 4 * i, 4)
        total += word
    if length & 3:
        word = 0
        memcpy(&word, data + 4 * words, length & 3)
        total += word
    return total


cdef inline uint64_t copy_and_add(uint64_t total, uint8_t* to, const uint8_t* source, size_t length) noexcept nogil:
    """The same, while ``source`` is copied to ``to``; they do not overlap.

    Both passes run over pieces that stay in the first-level cache, which beats one scalar loop that does both.
    """
    cdef size_t at = 0
    cdef size_t piece
    while at < length:
        piece = min(<size_t> 2048, length - at)
        memcpy(to + at, source + at, piece)
        total = add(total, to + at, piece)
        at += piece
    return total


cdef inline uint16_t fold(uint64_t total) noexcept nogil:
    """16 bits, in memory order, not complemented."""
    total = <uint32_t> total + (total >> 32)
    total = <uint32_t> total + (total >> 32)
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return <uint16_t> total


cdef inline void store16(uint8_t* to, uint16_t value) noexcept nogil:
    """Two bytes, in memory order."""
    memcpy(to, &value, 2)


cdef inline uint16_t get_be16(const uint8_t* data) noexcept nogil:
    return <uint16_t> ((data[0] << 8) | data[1])


cdef inline void put_be16(uint8_t* to, uint32_t value) noexcept nogil:
    to[0] = <uint8_t> (value >> 8)
    to[1] = <uint8_t> value


cdef inline uint32_t get_be32(const uint8_t* data) noexcept nogil:
    return (<uint32_t> data[0] << 24) | (<uint32_t> data[1] << 16) | (<uint32_t> data[2] << 8) | data[3]


cdef inline void put_be32(uint8_t* to, uint32_t value) noexcept nogil:
    to[0] = <uint8_t> (value >> 24)
    to[1] = <uint8_t> (value >> 16)
    to[2] = <uint8_t> (value >> 8)
    to[3] = <uint8_t> value


cdef inline uint64_t pseudo_header(const uint8_t* ip, uint8_t family, uint8_t protocol, uint32_t length) noexcept nogil:
    """The pseudo-header's total (RFC 9293 section 3.1, RFC 8200 section 8.1) for an upper layer of ``length`` bytes."""
    cdef uint64_t total = <uint64_t> htonl(length) + <uint64_t> htonl(protocol)
    if family == 4:
        return add(total, ip + 12, 8)
    return add(total, ip + 8, 32)


cdef inline void seal_ipv4_header(uint8_t* ip, uint32_t header) noexcept nogil:
    """Set the header checksum of ``header`` bytes at ``ip``."""
    ip[10] = 0
    ip[11] = 0
    store16(ip + 10, <uint16_t> ~fold(add(0, ip, header)))


cdef extern from "<arpa/inet.h>" nogil:
    uint32_t htonl(uint32_t value)
