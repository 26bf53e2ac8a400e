"""A packet with its IP header, cut for a path that is too narrow (RFC 791 section 3.2, RFC 8200 section 4.5).

1. ``fragments_begin`` takes a packet: only one that is not a fragment already, without IPv4 options or IPv6 extension
   headers.
2. ``fragments_shorter`` cuts it anew into twice as many pieces (two at first): the kernel does not say how long they
   may be.
3. ``fragments_next`` gives one piece after the other: a header of its own, and a part of the payload where it lies.
"""

from libc.string cimport memcpy

from fastesp.engine.ip cimport PROTOCOL_FRAGMENT, is_extension
from fastesp.io.checksum cimport get_be16, put_be16, put_be32, seal_ipv4_header

cdef enum:
    IPV4_HEADER = 20
    IPV6_HEADER = 40
    FRAGMENT_HEADER = 8
    AH = 51
    MORE_FRAGMENTS = 0x2000
    FRAGMENT_BITS = 0x3FFF


cdef bint fragments_begin(
    fragments_t* cut, const uint8_t* packet, uint32_t length, uint32_t identification
) noexcept nogil:
    """False where this packet cannot be cut. Whether it may be is the caller's to know: DF is cleared."""
    cut.packet = packet
    cut.length = length
    cut.pieces = 1
    cut.at = 0
    cut.identification = identification
    if length > IPV4_HEADER and packet[0] == 0x45 and get_be16(packet + 6) & FRAGMENT_BITS == 0:
        cut.header = IPV4_HEADER
    elif length > IPV6_HEADER and packet[0] >> 4 == 6 and (packet[6] == AH or not is_extension(packet[6])):
        cut.header = IPV6_HEADER
    else:
        return False
    return True


cdef bint fragments_shorter(fragments_t* cut) noexcept nogil:
    """From the start again in more pieces; false where they would be too many, or too short."""
    cut.pieces *= 2
    cut.at = 0
    cut.size = ((cut.length - cut.header + cut.pieces - 1) // cut.pieces + 7) & ~<uint32_t> 7
    return cut.pieces <= PIECES_MAX


cdef bint fragments_next(fragments_t* cut, iovec* pieces) noexcept nogil:
    """The next piece as header and payload; false after the last."""
    cdef uint32_t left = cut.length - cut.header - cut.at
    cdef uint32_t size = min(cut.size, left)
    cdef uint32_t header = cut.header
    cdef bint more = size < left
    if size == 0:
        return False
    memcpy(cut.head, cut.packet, cut.header)
    if header == IPV4_HEADER:
        put_be16(cut.head + 2, header + size)
        put_be16(cut.head + 6, cut.at // 8 | (MORE_FRAGMENTS if more else 0))
        seal_ipv4_header(cut.head, header)
    else:
        header += FRAGMENT_HEADER
        put_be16(cut.head + 4, FRAGMENT_HEADER + size)
        cut.head[IPV6_HEADER] = cut.head[6]
        cut.head[IPV6_HEADER + 1] = 0
        cut.head[6] = PROTOCOL_FRAGMENT
        put_be16(cut.head + IPV6_HEADER + 2, cut.at | more)
        put_be32(cut.head + IPV6_HEADER + 4, cut.identification)
    pieces[0].iov_base = cut.head
    pieces[0].iov_len = header
    pieces[1].iov_base = <void*> (cut.packet + cut.header + cut.at)
    pieces[1].iov_len = size
    cut.at += size
    return True


def fragments(bytes packet not None, int times, uint32_t identification):
    """The pieces of a packet that was cut ``times`` times, or ``None`` where it cannot be. For tests."""
    cdef fragments_t cut
    cdef iovec pieces[2]
    cdef list out = []
    if not fragments_begin(&cut, packet, <uint32_t> len(packet), identification):
        return None
    for _ in range(times):
        if not fragments_shorter(&cut):
            return None
    while fragments_next(&cut, pieces):
        piece = (<char*> pieces[0].iov_base)[: pieces[0].iov_len]
        out.append(piece + (<char*> pieces[1].iov_base)[: pieces[1].iov_len])
    return out
