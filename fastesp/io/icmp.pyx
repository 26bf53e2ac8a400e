"""ICMP "too big", as a router sends it: RFC 792 with RFC 1191's MTU, and RFC 4443 section 3.2.

The error comes from the address that the packet was sent to: a gateway need not have an address of its own inside, and
hosts take path MTU errors from anywhere on the way.
"""

from libc.stdint cimport uint16_t
from libc.string cimport memcpy, memset

from fastesp.io.checksum cimport add, fold, get_be16, pseudo_header, put_be16, put_be32, seal_ipv4_header, store16

cdef enum:
    ICMP = 1
    ICMPV6 = 58
    QUOTE_V4 = 548              # RFC 1812 section 4.3.2.3: the error at most 576 bytes long
    QUOTE_V6 = 1232             # RFC 4443 section 3.2: the error at most 1280 bytes long


cdef uint32_t too_big(uint8_t* to, const uint8_t* packet, uint32_t length, uint32_t mtu) noexcept nogil:
    """Write the error for ``packet`` to ``to`` (ICMP_ROOM bytes); its length, or 0 where none may be sent."""
    if length >= 20 and packet[0] >> 4 == 4:
        return _too_big_v4(to, packet, length, mtu)
    if length >= 40 and packet[0] >> 4 == 6:
        return _too_big_v6(to, packet, length, mtu)
    return 0


cdef uint32_t _too_big_v4(uint8_t* to, const uint8_t* packet, uint32_t length, uint32_t mtu) noexcept nogil:
    cdef uint32_t header = <uint32_t> (packet[0] & 15) * 4
    cdef uint32_t quote = min(length, <uint32_t> QUOTE_V4)
    # RFC 1122 section 3.2.2: never about an ICMP error, a fragment but the first, or a packet to or from a group.
    if header < 20 or length < header + 8 or get_be16(packet + 6) & 0x1FFF or packet[16] >= 224 or packet[12] >= 224:
        return 0
    if packet[9] == ICMP and packet[header] not in (0, 8, 13, 14):
        return 0
    memset(to, 0, 28)
    to[0] = 0x45
    to[1] = 0xC0  # RFC 1812 section 4.3.2.5: internetwork control
    put_be16(to + 2, 28 + quote)
    to[8] = 64
    to[9] = ICMP
    memcpy(to + 12, packet + 16, 4)
    memcpy(to + 16, packet + 12, 4)
    seal_ipv4_header(to, 20)
    to[20] = 3
    to[21] = 4
    put_be16(to + 26, min(mtu, <uint32_t> 65535))
    memcpy(to + 28, packet, quote)
    store16(to + 22, <uint16_t> ~fold(add(0, to + 20, 8 + quote)))
    return 28 + quote


cdef uint32_t _too_big_v6(uint8_t* to, const uint8_t* packet, uint32_t length, uint32_t mtu) noexcept nogil:
    cdef uint32_t quote = min(length, <uint32_t> QUOTE_V6)
    # RFC 4443 section 2.4 (e): never about an error, or from a group; "too big" alone may answer a packet to one.
    if packet[8] == 0xFF or (packet[6] == ICMPV6 and length > 40 and packet[40] < 128):
        return 0
    memset(to, 0, 48)
    to[0] = 0x60
    put_be16(to + 4, 8 + quote)
    to[6] = ICMPV6
    to[7] = 64
    if packet[24] == 0xFF:
        return 0  # no unicast address to send from
    memcpy(to + 8, packet + 24, 16)
    memcpy(to + 24, packet + 8, 16)
    to[40] = 2
    put_be32(to + 44, max(mtu, <uint32_t> 1280))
    memcpy(to + 48, packet, quote)
    store16(to + 42, <uint16_t> ~fold(add(pseudo_header(to, 6, ICMPV6, 8 + quote), to + 40, 8 + quote)))
    return 48 + quote


def too_big_error(bytes packet not None, int mtu):
    """The error for ``packet``, or empty bytes where none may be sent. For tests."""
    cdef uint8_t place[ICMP_ROOM]
    cdef uint32_t length = too_big(place, packet, <uint32_t> len(packet), <uint32_t> mtu)
    return (<char*> place)[:length]
