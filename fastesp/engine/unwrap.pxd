"""Inbound: what comes off a packet once it is open, in place.

- `unwrap_esp`: padding and trailer; then the inner packet (tunnel), or a header is put before what is left (transport).
- `unwrap_ah`: the header; then likewise, except that transport mode has its IP header still.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memmove

from fastesp.engine.ah cimport ah_restore, ah_t
from fastesp.engine.aead cimport job_t
from fastesp.engine.batch cimport FLAG_OUTER, Batch, packet_t
from fastesp.engine.checksum cimport ipv4_checksum, upper_checksum
from fastesp.engine.ecn cimport ECN_MASK, ecn_decapsulated, set_tos
from fastesp.engine.header cimport ip_header_length, write_ip_header
from fastesp.engine.hints cimport load16, store16
from fastesp.engine.ip cimport PROTOCOL_IPIP, PROTOCOL_IPV6, PROTOCOL_NONE, flow_t, ip_parse
from fastesp.engine.mss cimport clamp_mss
from fastesp.engine.sa cimport SA_COPY_DSCP, SA_COPY_ECN, SA_NAT, SA_TRANSPORT, sa_t
from fastesp.engine.selector cimport selector_matches
from fastesp.engine.verdict cimport (
    VERDICT_BAD_LENGTH, VERDICT_BAD_NEXT_HEADER, VERDICT_BAD_PADDING, VERDICT_CONGESTED, VERDICT_DUMMY,
    VERDICT_NO_ROOM, VERDICT_OK, VERDICT_WRONG_SELECTORS)
from fastesp.engine.work cimport TRAILER, work_t


cdef inline int unwrap_esp(Batch batch, work_t* w, const job_t* job) noexcept nogil:
    cdef uint32_t pad = job.text[job.length - 2]
    cdef uint8_t following = job.text[job.length - 1]
    cdef uint32_t length = job.length - TRAILER
    if pad > length:
        return VERDICT_BAD_PADDING
    length -= pad
    if not padding_is_right(job.text + length, pad):
        return VERDICT_BAD_PADDING
    if following == PROTOCOL_NONE:
        return VERDICT_DUMMY
    if w.sa.flags & SA_TRANSPORT:
        return unwrap_transport(batch, w, job.text, length, following)
    return unwrap_tunnel(batch, w, job.text, length, following)


cdef inline bint padding_is_right(const uint8_t* padding, uint32_t length) noexcept nogil:
    cdef uint32_t i
    cdef uint8_t wrong = 0
    for i in range(length):
        wrong |= padding[i] ^ <uint8_t>(i + 1)
    return wrong == 0


cdef inline int unwrap_tunnel(Batch batch, work_t* w, uint8_t* text, uint32_t length, uint8_t following) noexcept nogil:
    cdef const sa_t* sa = w.sa
    cdef uint8_t outer = w.packet.tos
    cdef uint8_t tos
    cdef int ecn
    if following != PROTOCOL_IPIP and following != PROTOCOL_IPV6:
        return VERDICT_BAD_NEXT_HEADER
    if length == 0 or text[0] >> 4 != (4 if following == PROTOCOL_IPIP else 6):
        return VERDICT_BAD_NEXT_HEADER
    # Bytes behind the inner packet's own length are TFC padding (RFC 4303 section 2.7).
    if not ip_parse(text, length, False, &w.ip, &w.flow):
        return VERDICT_BAD_LENGTH
    if not within_selectors(sa, &w.flow):
        return VERDICT_WRONG_SELECTORS
    tos = w.ip.tos
    if outer & ECN_MASK and sa.flags & SA_COPY_ECN:
        ecn = ecn_decapsulated(tos & ECN_MASK, outer & ECN_MASK)
        if ecn < 0:
            return VERDICT_CONGESTED
        tos = <uint8_t>(tos & ~ECN_MASK | ecn)
    if sa.flags & SA_COPY_DSCP:
        tos = (outer & ~ECN_MASK) | (tos & ECN_MASK)
    if tos != w.ip.tos:
        set_tos(text, tos)
    deliver(batch, w, text)
    return VERDICT_OK


cdef inline int unwrap_transport(
    Batch batch, work_t* w, uint8_t* text, uint32_t length, uint8_t following
) noexcept nogil:
    """The receiver's stack is handed a whole packet: its header is built of the SA's addresses."""
    cdef const sa_t* sa = w.sa
    cdef uint32_t header = ip_header_length(sa.family)
    cdef uint8_t* packet = text - header
    if <size_t>(text - batch.region) < header:
        return VERDICT_NO_ROOM
    if header + length > 65535:
        return VERDICT_BAD_LENGTH
    write_ip_header(
        packet, sa.family, sa.remote, sa.local, following, w.packet.tos, header + length, 0, True)
    return accept_transport(batch, w, packet, header + length)


cdef inline int accept_transport(Batch batch, work_t* w, uint8_t* packet, uint32_t length) noexcept nogil:
    if not ip_parse(packet, length, False, &w.ip, &w.flow):
        return VERDICT_BAD_LENGTH
    if not within_selectors(w.sa, &w.flow):
        return VERDICT_WRONG_SELECTORS
    if w.sa.flags & SA_NAT:
        upper_checksum(packet, &w.ip, w.flow.protocol)
    deliver(batch, w, packet)
    return VERDICT_OK


cdef inline int unwrap_ah(Batch batch, work_t* w, const job_t* job, const ah_t* ah) noexcept nogil:
    cdef uint8_t* outer = job.head
    cdef uint8_t* header = outer + ah.at
    cdef uint32_t length = (<uint32_t>header[1] + 2) * 4
    cdef uint8_t following = header[0]
    ah_restore(outer, ah)
    w.packet.flags &= ~<uint8_t>FLAG_OUTER
    if following == PROTOCOL_NONE:
        return VERDICT_DUMMY
    if not w.sa.flags & SA_TRANSPORT:
        return unwrap_tunnel(batch, w, header + length, job.length - ah.at - length, following)
    ah_take_out(outer, ah.at, length, following, job.length - length)
    return accept_transport(batch, w, outer + length, job.length - length)


cdef inline void ah_take_out(
    uint8_t* outer, uint32_t at, uint32_t removed, uint8_t following, uint32_t length
) noexcept nogil:
    """Close the gap that AH leaves: the IP header moves back, and its chain of next headers is mended."""
    cdef uint8_t* packet = outer + removed
    cdef uint32_t link = 6
    cdef uint32_t last = 40
    memmove(packet, outer, at)
    if packet[0] >> 4 == 4:
        packet[9] = following
        store16(packet + 2, <uint16_t>length)
        ipv4_checksum(packet)
        return
    while last < at:
        link = last
        last += (<uint32_t>packet[last + 1] + 1) * 8
    packet[link] = following
    store16(packet + 4, <uint16_t>(length - 40))


cdef inline void deliver(Batch batch, work_t* w, uint8_t* packet) noexcept nogil:
    """The descriptor covers the inner packet from now on."""
    if w.sa.mss != 0:
        clamp_mss(packet, &w.ip, &w.flow, w.sa.mss)
    w.packet.offset = <uint32_t>(packet - batch.region)
    w.packet.length = w.ip.length
    w.packet.family = w.flow.family
    w.inner = w.ip.length


cdef inline bint within_selectors(const sa_t* sa, const flow_t* flow) noexcept nogil:
    """Of an SA without selectors nothing is within."""
    cdef uint32_t i
    for i in range(sa.selector_count):
        if selector_matches(&sa.selectors[i], flow):
            return True
    return False
