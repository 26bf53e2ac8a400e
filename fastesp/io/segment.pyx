"""Cut a super-packet, as a TUN hands it over, into packets that fit the wire.

The kernel hands us up to 64 KiB of TCP (or UDP) under one header, told by a virtio-net header, with the transport
checksum left for us. The way of a super-packet:

1. ``cut_begin`` holds what its headers say against the bytes that are there;
2. ``cut_next`` places one packet after the other where the caller wants it: payload copied and summed in one pass,
3. lengths, IPv4 identification, TCP sequence number and flags, and both checksums set.

A cut holds a pointer only; a batch that is full leaves it half done, and the next batch goes on.
"""

from libc.stdint cimport uint16_t, uint64_t
from libc.string cimport memcpy

from fastesp.io.checksum cimport (
    add,
    copy_and_add,
    fold,
    get_be16,
    get_be32,
    pseudo_header,
    put_be16,
    put_be32,
    seal_ipv4_header,
    store16,
)
from fastesp.io.linux cimport (
    VIRTIO_NET_HDR_F_NEEDS_CSUM,
    VIRTIO_NET_HDR_GSO_ECN,
    VIRTIO_NET_HDR_GSO_NONE,
    VIRTIO_NET_HDR_GSO_TCPV4,
    VIRTIO_NET_HDR_GSO_TCPV6,
    VIRTIO_NET_HDR_GSO_UDP_L4,
)

cdef enum:
    TCP = 6
    UDP = 17
    FIN = 0x01
    PSH = 0x08
    CWR = 0x80


cdef int cut_begin(cut_t* cut, const virtio_net_hdr* header, const uint8_t* packet, uint32_t length) noexcept nogil:
    """Check the headers and set ``cut`` to the first packet. CUT_MALFORMED where header and bytes disagree."""
    cdef int gso = header.gso_type & ~VIRTIO_NET_HDR_GSO_ECN
    cut.packet = packet
    cut.length = length
    cut.at = 0
    cut.index = 0
    cut.checksum = 0
    cut.protocol = 0
    cut.transport = 0
    cut.header = 0
    cut.size = length
    if length < 20:
        return CUT_MALFORMED
    cut.family = packet[0] >> 4
    if cut.family == 4:
        if (packet[0] & 15) < 5:
            return CUT_MALFORMED
    elif cut.family != 6 or length < 40:
        return CUT_MALFORMED
    if header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM:
        cut.transport = header.csum_start
        cut.checksum = <uint32_t> header.csum_start + header.csum_offset
        if header.csum_start < 20 or header.csum_start & 1 or header.csum_offset & 1 or cut.checksum + 2 > length:
            return CUT_MALFORMED
    if gso == VIRTIO_NET_HDR_GSO_NONE:
        return CUT_OK
    return _begin_super(cut, gso, header.gso_size)


cdef int _begin_super(cut_t* cut, int gso, uint32_t size) noexcept nogil:
    cdef const uint8_t* transport = cut.packet + cut.transport
    cdef uint32_t left
    if size == 0 or cut.checksum == 0 or cut.transport < (20 if cut.family == 4 else 40):
        return CUT_MALFORMED
    if cut.family == 4 and cut.transport != <uint32_t> (cut.packet[0] & 15) * 4:
        return CUT_MALFORMED
    left = cut.length - cut.transport
    if gso == VIRTIO_NET_HDR_GSO_TCPV4 or gso == VIRTIO_NET_HDR_GSO_TCPV6:
        if (cut.family == 4) != (gso == VIRTIO_NET_HDR_GSO_TCPV4) or left < 20 or cut.checksum != cut.transport + 16:
            return CUT_MALFORMED
        cut.protocol = TCP
        cut.header = cut.transport + <uint32_t> (transport[12] >> 4) * 4
        if (transport[12] >> 4) < 5:
            return CUT_MALFORMED
    elif gso == VIRTIO_NET_HDR_GSO_UDP_L4:
        if left < 8 or cut.checksum != cut.transport + 6:
            return CUT_MALFORMED
        cut.protocol = UDP
        cut.header = cut.transport + 8
    else:
        return CUT_MALFORMED
    if cut.header > cut.length:
        return CUT_MALFORMED
    cut.size = size
    return CUT_OK


cdef bint cut_done(const cut_t* cut) noexcept nogil:
    """Whether all of it has left. A header without payload is one packet."""
    if cut.protocol == 0:
        return cut.index > 0
    return cut.index > 0 and cut.at >= cut.length - cut.header


cdef uint32_t cut_next_length(const cut_t* cut) noexcept nogil:
    """Bytes that the next packet will take."""
    if cut.protocol == 0:
        return cut.length
    return cut.header + min(cut.size, cut.length - cut.header - cut.at)


cdef uint32_t cut_next(cut_t* cut, uint8_t* to) noexcept nogil:
    """Place the next packet at ``to`` (room for ``cut_next_length`` bytes) and return its length."""
    cdef uint32_t length = cut_next_length(cut)
    cdef uint32_t payload
    cdef uint64_t total
    if cut.protocol == 0:
        _whole(cut, to)
        cut.index = 1
        return length
    payload = length - cut.header
    memcpy(to, cut.packet, cut.header)
    total = copy_and_add(0, to + cut.header, cut.packet + cut.header + cut.at, payload)
    _set_ip(cut, to, length)
    _set_transport(cut, to, length, total)
    cut.at += payload
    cut.index += 1
    return length


cdef void _whole(const cut_t* cut, uint8_t* to) noexcept nogil:
    """A packet that needs no cutting, perhaps with its checksum left to do (it holds the pseudo-header's sum then)."""
    cdef uint16_t value
    memcpy(to, cut.packet, cut.length)
    if cut.checksum:
        value = <uint16_t> ~fold(add(0, to + cut.transport, cut.length - cut.transport))
        # A UDP checksum of zero means that there is none (RFC 768); all ones is the same number.
        store16(to + cut.checksum, value if value else 0xFFFF)


cdef void _set_ip(const cut_t* cut, uint8_t* to, uint32_t length) noexcept nogil:
    if cut.family == 4:
        put_be16(to + 2, length)
        put_be16(to + 4, get_be16(to + 4) + cut.index)
        seal_ipv4_header(to, cut.transport)
    else:
        put_be16(to + 4, length - 40)


cdef void _set_transport(const cut_t* cut, uint8_t* to, uint32_t length, uint64_t total) noexcept nogil:
    cdef uint8_t* transport = to + cut.transport
    cdef uint32_t segment = length - cut.transport
    cdef uint16_t value
    if cut.protocol == TCP:
        put_be32(transport + 4, get_be32(transport + 4) + cut.at)
        if cut.at + (length - cut.header) < cut.length - cut.header:
            transport[13] &= ~<uint8_t> (FIN | PSH)
        if cut.index:
            transport[13] &= ~<uint8_t> CWR  # RFC 3168 section 6.1.2: once, on the first
    else:
        put_be16(transport + 4, segment)
    store16(to + cut.checksum, 0)
    total = add(total, transport, cut.header - cut.transport)
    total += pseudo_header(to, cut.family, cut.protocol, segment)
    value = <uint16_t> ~fold(total)
    if value == 0 and cut.protocol == UDP:
        value = 0xFFFF
    store16(to + cut.checksum, value)


def segment(bytes packet not None, int flags, int gso_type, int gso_size, int csum_start, int csum_offset):
    """The packets that a super-packet is cut into, or ``None`` where its headers lie. For tests and tools."""
    cdef cut_t cut
    cdef virtio_net_hdr header
    cdef bytearray place
    cdef list out = []
    header.flags = flags
    header.gso_type = gso_type
    header.hdr_len = 0
    header.gso_size = gso_size
    header.csum_start = csum_start
    header.csum_offset = csum_offset
    if cut_begin(&cut, &header, packet, <uint32_t> len(packet)) != CUT_OK:
        return None
    while not cut_done(&cut):
        place = bytearray(cut_next_length(&cut))
        cut_next(&cut, place)
        out.append(bytes(place))
    return out
