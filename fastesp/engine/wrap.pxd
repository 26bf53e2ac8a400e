"""Outbound: what goes around a packet before it is sealed, in place.

- `wrap_esp`: tunnel mode keeps the packet whole; transport mode drops its IP header, since whoever sends writes one.
- `wrap_ah`: the outer IP header is authenticated too, so it is written here: a new one (tunnel), or the packet's own
  moved forward (transport).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from fastesp.engine.aead cimport job_t
from fastesp.engine.ah cimport AH_FIXED, ah_conceal, ah_length, ah_t, ah_write
from fastesp.engine.batch cimport FLAG_DUMMY, TAILROOM, Batch, packet_t
from fastesp.engine.checksum cimport ipv4_checksum
from fastesp.engine.header cimport ip_header_length, write_ip_header
from fastesp.engine.hints cimport load16, store16, store32, store64
from fastesp.engine.ip cimport PROTOCOL_AH, PROTOCOL_IPIP, PROTOCOL_IPV6, PROTOCOL_NONE
from fastesp.engine.sa cimport SA_COPY_DF, SA_COUNTER_IV, SA_RANDOM_IV, SA_TRANSPORT, SaTable, sa_t
from fastesp.engine.verdict cimport VERDICT_BAD_LENGTH, VERDICT_NO_ROOM, VERDICT_NO_SA, VERDICT_OK
from fastesp.engine.work cimport ESP_HEADER, TRAILER, outer_tos, work_t

cdef enum:
    # Least room behind a packet: padding to a cipher block, trailer, ICV, and one step of writing padding.
    TAIL_MAX = 80
    PADDING_STEP = 16

cdef extern from * nogil:
    """
    /* 1, 2, 3 ... as RFC 4303 section 2.4 wants padding. */
    static const unsigned char fastesp_padding[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    """
    const uint8_t PADDING "fastesp_padding"[16]


cdef inline uint8_t tunnelled(const work_t* w) noexcept nogil:
    """The next header of a whole packet."""
    return PROTOCOL_IPIP if w.flow.family == 4 else PROTOCOL_IPV6


cdef inline int wrap_esp(Batch batch, SaTable table, work_t* w, job_t* job) noexcept nogil:
    """ESP header and IV before the text, padding and trailer behind it."""
    cdef sa_t* sa = w.sa
    cdef packet_t* p = w.packet
    cdef uint32_t before = ESP_HEADER + sa.iv_length
    cdef uint8_t* packet = batch.region + p.offset
    cdef uint32_t skip = 0
    cdef uint8_t following
    cdef uint32_t length, padded, pad
    cdef uint8_t* text
    cdef uint8_t* end
    if p.flags & FLAG_DUMMY:
        following = PROTOCOL_NONE
    elif sa.flags & SA_TRANSPORT:
        skip = 40 if w.flow.family == 6 else (packet[0] & 15) * 4
        following = packet[6] if w.flow.family == 6 else packet[9]
    else:
        following = tunnelled(w)
    length = w.inner - skip
    padded = padded_length(w, length)
    pad = (0 - (padded + TRAILER)) & (sa.align - 1)
    if (
        p.offset + skip < before
        or <size_t>p.offset + skip + padded + TAIL_MAX > batch.region_size
        or (p.room != 0 and p.room < TAIL_MAX)
    ):
        return VERDICT_NO_ROOM
    text = packet + skip
    sa.sequence += 1
    w.sequence = sa.sequence
    job.context = sa.crypt.context
    job.head = text - before
    job.iv = text - sa.iv_length
    job.text = text
    job.length = padded + pad + TRAILER
    job.sequence_high = <uint32_t>(w.sequence >> 32)
    job.icv = text + job.length
    store32(job.head, sa.spi)
    store32(job.head + 4, <uint32_t>w.sequence)
    if sa.flags & SA_COUNTER_IV:
        store64(job.iv, sa.iv_base | w.sequence)
    elif sa.flags & SA_RANDOM_IV and not table.take_random(job.iv, sa.iv_length):
        return VERDICT_NO_ROOM
    end = text + length
    if padded > length:
        memset(end, 0, padded - length)
        end = text + padded
    memcpy(end, PADDING, PADDING_STEP)
    end[pad] = <uint8_t>pad
    end[pad + 1] = following
    return VERDICT_OK


cdef inline uint32_t padded_length(const work_t* w, uint32_t length) noexcept nogil:
    """With TFC padding (RFC 4303 section 2.7): tunnel mode only, and as far as the room behind the packet goes."""
    cdef uint32_t wanted = w.sa.tfc
    cdef uint32_t room
    if wanted <= length or w.packet.flags & FLAG_DUMMY or w.sa.flags & SA_TRANSPORT:
        return length
    room = w.packet.room if w.packet.room else TAILROOM
    return length if room < TAIL_MAX else min(wanted, length + room - <uint32_t>TAIL_MAX)


cdef inline int wrap_ah(Batch batch, work_t* w, job_t* job, ah_t* ah) noexcept nogil:
    cdef sa_t* sa = w.sa
    cdef packet_t* p = w.packet
    cdef uint8_t family = w.flow.family if sa.flags & SA_TRANSPORT else sa.family
    cdef uint32_t added = ah_length(sa, family)
    cdef uint8_t* packet = batch.region + p.offset
    cdef uint32_t at, length
    cdef uint8_t* outer
    if p.flags & FLAG_DUMMY:
        return VERDICT_NO_SA
    if p.offset < added + 40:
        return VERDICT_NO_ROOM
    if sa.flags & SA_TRANSPORT:
        at = w.ip.fixed
        length = w.inner + added
        if at > sizeof(ah.outer) or length > 65535:
            return VERDICT_BAD_LENGTH
        outer = packet - added
        sa.sequence += 1
        ah_take_header(outer, packet, at, added, family, length, sa)
    else:
        at = ip_header_length(family)
        length = at + added + w.inner
        if length > 65535:
            return VERDICT_BAD_LENGTH
        outer = packet - added - at
        sa.sequence += 1
        write_ip_header(
            outer, family, sa.local, sa.remote, PROTOCOL_AH, outer_tos(w), length, identification(sa.sequence),
            sa.flags & SA_COPY_DF != 0 and w.ip.dont_fragment != 0)
        ah_write(outer + at, added, tunnelled(w), sa.spi, <uint32_t>sa.sequence)
    w.sequence = sa.sequence
    job.iv = outer + at + AH_FIXED
    if sa.flags & SA_COUNTER_IV:
        store64(job.iv, sa.iv_base | w.sequence)
    ah_conceal(outer, ah, at, sa)
    job.context = sa.crypt.context
    job.head = outer
    job.text = outer
    job.length = length
    job.sequence_high = <uint32_t>(w.sequence >> 32)
    job.icv = ah.icv
    return VERDICT_OK


cdef inline void ah_take_header(
    uint8_t* outer, uint8_t* packet, uint32_t at, uint32_t added, uint8_t family, uint32_t length, const sa_t* sa
) noexcept nogil:
    """Move the packet's IP header forward, put AH behind it, and link it into the chain of next headers."""
    cdef uint32_t last = 40
    cdef uint32_t link = 6
    cdef uint8_t following
    memmove(outer, packet, at)
    if family == 4:
        following = outer[9]
        outer[9] = PROTOCOL_AH
        store16(outer + 2, <uint16_t>length)
        if load16(outer + 4) == 0:
            # The kernel would fill in a number of its own, which the ICV does not cover.
            store16(outer + 4, identification(sa.sequence))
        ipv4_checksum(outer)
    else:
        while last < at:
            link = last
            last += (<uint32_t>outer[last + 1] + 1) * 8
        following = outer[link]
        outer[link] = PROTOCOL_AH
        store16(outer + 4, <uint16_t>(length - 40))
    ah_write(outer + at, added, following, sa.spi, <uint32_t>sa.sequence)


cdef inline uint16_t identification(uint64_t sequence) noexcept nogil:
    """Never zero."""
    return <uint16_t>(sequence % 65535 + 1)
