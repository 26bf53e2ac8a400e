"""AH (RFC 4302): the header, where it is found, and the outer header as the ICV sees it.

1. Out: `ah_write` puts the header in place; in: `ah_find` finds it behind the outer IP header.
2. `ah_conceal` keeps the outer header and the ICV aside and zeroes what routers change (section 3.3.3.1).
3. The provider authenticates the whole packet.
4. `ah_restore` brings the outer header back.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from fastesp.engine.aead cimport ICV_MAX
from fastesp.engine.hints cimport load16, store16, store32
from fastesp.engine.ip cimport PROTOCOL_AH, PROTOCOL_HOP_BY_HOP, PROTOCOL_OPTIONS
from fastesp.engine.sa cimport sa_t

cdef enum:
    AH_FIXED = 12
    # IPv4 with all its options is 60 bytes; IPv6 with extension headers beyond this is turned away.
    OUTER_MAX = 256


cdef struct ah_t:
    uint32_t at                 # of the AH header, from the outer header on
    uint32_t icv_at             # of the ICV: behind the fixed part, and AES-GMAC's IV (RFC 4543 section 4)
    uint8_t icv[ICV_MAX]
    uint8_t outer[OUTER_MAX]


cdef inline uint32_t ah_length(const sa_t* sa, uint8_t family) noexcept nogil:
    """With IV and ICV, filled up to four bytes over IPv4 and eight over IPv6 (RFC 4302 section 2.2)."""
    cdef uint32_t unit = 4 if family == 4 else 8
    return (AH_FIXED + sa.iv_length + sa.icv_length + unit - 1) & ~(unit - 1)


cdef inline void ah_write(
    uint8_t* ah, uint32_t length, uint8_t following, uint32_t spi, uint32_t sequence
) noexcept nogil:
    ah[0] = following
    ah[1] = <uint8_t>(length // 4 - 2)
    store16(ah + 2, 0)
    store32(ah + 4, spi)
    store32(ah + 8, sequence)
    memset(ah + AH_FIXED, 0, length - AH_FIXED)


cdef inline bint ah_find(const uint8_t* p, uint32_t length, uint32_t* at, uint32_t* total) noexcept nogil:
    """Where AH begins, and the packet's own length; false where there is none, or the way there is cut short."""
    cdef uint8_t following
    cdef uint32_t size
    if length < 20:
        return False
    if p[0] >> 4 == 4:
        at[0] = (p[0] & 15) * 4
        total[0] = load16(p + 2)
        # A fragment has no ICV of its own (RFC 4302 section 3.4.1).
        if at[0] < 20 or p[9] != PROTOCOL_AH or load16(p + 6) & 0x3fff != 0:
            return False
    elif p[0] >> 4 == 6 and length >= 40:
        at[0] = 40
        total[0] = 40 + load16(p + 4)
        following = p[6]
        while following != PROTOCOL_AH:
            # A routing header would have to be put into its final state first; a gateway's peer sends none.
            if (following != PROTOCOL_HOP_BY_HOP and following != PROTOCOL_OPTIONS) or at[0] + 8 > length:
                return False
            size = (<uint32_t>p[at[0] + 1] + 1) * 8
            following = p[at[0]]
            at[0] += size
            if at[0] > OUTER_MAX:
                return False
    else:
        return False
    return at[0] + AH_FIXED <= total[0] <= length and at[0] <= OUTER_MAX


cdef inline void ah_conceal(uint8_t* p, ah_t* ah, uint32_t at, const sa_t* sa) noexcept nogil:
    """Everything it touches was bounded by `ah_find`, or written here."""
    ah.at = at
    ah.icv_at = at + AH_FIXED + sa.iv_length
    memcpy(ah.outer, p, at)
    memcpy(ah.icv, p + ah.icv_at, sa.icv_length)
    memset(p + ah.icv_at, 0, sa.icv_length)
    if p[0] >> 4 == 4:
        p[1] = 0
        store16(p + 6, 0)
        p[8] = 0
        store16(p + 10, 0)
        conceal_options_4(p, at)
    else:
        store32(p, 0x60000000)
        p[7] = 0
        conceal_options_6(p, at)


cdef inline void conceal_options_4(uint8_t* p, uint32_t end) noexcept nogil:
    """Options that may change on the way are zeroed whole (RFC 4302 appendix A1)."""
    cdef uint32_t at = 20
    cdef uint32_t size
    cdef uint8_t kind
    while at < end:
        kind = p[at]
        if kind == 0:
            return
        if kind == 1:
            at += 1
            continue
        if at + 2 > end or p[at + 1] < 2 or at + p[at + 1] > end:
            memset(p + at, 0, end - at)
            return
        size = p[at + 1]
        # Security, extended security, commercial security, router alert, multi-destination.
        if kind != 130 and kind != 133 and kind != 134 and kind != 148 and kind != 149:
            memset(p + at, 0, size)
        at += size


cdef inline void conceal_options_6(uint8_t* p, uint32_t end) noexcept nogil:
    """Data of options whose third bit says that it may change on the way (RFC 4302 section 3.3.3.1.2.2)."""
    cdef uint32_t header = 40
    cdef uint32_t at, size, stop
    while header + 8 <= end:
        stop = header + (<uint32_t>p[header + 1] + 1) * 8
        if stop > end:
            return
        at = header + 2
        while at < stop:
            if p[at] == 0:
                at += 1
                continue
            if at + 2 > stop:
                break
            size = p[at + 1]
            if at + 2 + size > stop:
                break
            if p[at] & 0x20:
                memset(p + at + 2, 0, size)
            at += 2 + size
        header = stop


cdef inline void ah_restore(uint8_t* p, const ah_t* ah) noexcept nogil:
    memcpy(p, ah.outer, ah.at)
