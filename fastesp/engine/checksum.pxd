"""The Internet checksum (RFC 1071), whole and mended (RFC 1624)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastesp.engine.hints cimport load16, load32, store16
from fastesp.engine.ip cimport PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP, ip_t


cdef inline uint64_t sum_words(const uint8_t* p, uint32_t length, uint64_t total) noexcept nogil:
    while length >= 4:
        total += load32(p)
        p += 4
        length -= 4
    if length >= 2:
        total += load16(p)
        p += 2
        length -= 2
    if length:
        total += <uint32_t>p[0] << 8
    return total


cdef inline uint16_t folded(uint64_t total) noexcept nogil:
    """The checksum of a sum: never more than four carries."""
    total = (total & 0xffffffffU) + (total >> 32)
    total = (total & 0xffff) + (total >> 16)
    total = (total & 0xffff) + (total >> 16)
    total = (total & 0xffff) + (total >> 16)
    return <uint16_t>~total


cdef inline uint16_t mended(uint16_t checksum, uint16_t before, uint16_t after) noexcept nogil:
    """A checksum after one 16-bit word it covers has changed (RFC 1624, equation 3)."""
    cdef uint32_t total = <uint16_t>~checksum
    total += <uint16_t>~before
    total += after
    total = (total & 0xffff) + (total >> 16)
    total = (total & 0xffff) + (total >> 16)
    return <uint16_t>~total


cdef inline void ipv4_checksum(uint8_t* header) noexcept nogil:
    store16(header + 10, 0)
    store16(header + 10, folded(sum_words(header, (header[0] & 15) * 4, 0)))


cdef inline void upper_checksum(uint8_t* packet, const ip_t* ip, uint8_t protocol) noexcept nogil:
    """TCP's, UDP's or ICMPv6's anew, after a NAT changed the addresses it covers (RFC 3948 section 3.1.2)."""
    cdef uint8_t* upper = packet + ip.upper
    cdef uint32_t length = ip.length - ip.upper
    cdef uint32_t at
    cdef uint16_t value
    cdef uint64_t total = <uint64_t>protocol + length
    if protocol == PROTOCOL_TCP and length >= 20:
        at = 16
    elif protocol == PROTOCOL_UDP and length >= 8:
        at = 6
        # None was sent, and over IPv4 none is needed.
        if load16(upper + at) == 0:
            return
    elif protocol == PROTOCOL_ICMPV6 and length >= 4:
        at = 2
    else:
        return
    if packet[0] >> 4 == 4:
        total = sum_words(packet + 12, 8, total)
    else:
        total = sum_words(packet + 8, 32, total)
    store16(upper + at, 0)
    value = folded(sum_words(upper, length, total))
    store16(upper + at, 0xffff if value == 0 and protocol == PROTOCOL_UDP else value)
