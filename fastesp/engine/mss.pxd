"""Clamping the MSS that TCP announces to what fits through an SA."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastesp.engine.checksum cimport mended
from fastesp.engine.hints cimport load16, store16
from fastesp.engine.ip cimport PROTOCOL_TCP, flow_t, ip_t

cdef enum:
    TCP_SYN = 2
    OPTION_END = 0
    OPTION_NONE = 1
    OPTION_MSS = 2


cdef inline void clamp_mss(uint8_t* packet, const ip_t* ip, const flow_t* flow, uint16_t most) noexcept nogil:
    """Of a SYN; anything else, and options that do not parse, stay as they are."""
    cdef uint8_t* tcp = packet + ip.upper
    cdef uint32_t left = ip.length - ip.upper
    cdef uint32_t at = 20
    cdef uint32_t end
    if flow.protocol != PROTOCOL_TCP or ip.fragment == 2 or left < 20 or not tcp[13] & TCP_SYN:
        return
    end = (tcp[12] >> 4) * 4
    if end > left:
        return
    while at + 4 <= end:
        if tcp[at] == OPTION_END:
            return
        if tcp[at] == OPTION_NONE:
            at += 1
            continue
        if tcp[at] == OPTION_MSS and tcp[at + 1] == 4:
            if load16(tcp + at + 2) > most:
                replace_mss(tcp, at + 2, most)
            return
        if tcp[at + 1] < 2:
            return
        at += tcp[at + 1]


cdef inline void replace_mss(uint8_t* tcp, uint32_t at, uint16_t value) noexcept nogil:
    """An option may begin at an odd byte: then its bytes weigh in the checksum the other way round."""
    cdef uint16_t before = load16(tcp + at)
    cdef uint16_t after = value
    store16(tcp + at, value)
    if at & 1:
        before = <uint16_t>(before << 8 | before >> 8)
        after = <uint16_t>(after << 8 | after >> 8)
    store16(tcp + 16, mended(load16(tcp + 16), before, after))
