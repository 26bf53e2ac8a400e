"""Selectors in C: ranges of addresses and ports, and whether a flow lies within (RFC 4301 section 4.4.1.1)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastesp.engine.ip cimport flow_t


cdef struct selector_t:
    uint64_t local_start_high
    uint64_t local_start_low
    uint64_t local_end_high
    uint64_t local_end_low
    uint64_t remote_start_high
    uint64_t remote_start_low
    uint64_t remote_end_high
    uint64_t remote_end_low
    uint16_t local_port_start
    uint16_t local_port_end
    uint16_t remote_port_start
    uint16_t remote_port_end
    uint8_t protocol        # 0: any
    uint8_t family


cdef inline bint not_above(uint64_t high, uint64_t low, uint64_t end_high, uint64_t end_low) noexcept nogil:
    return high < end_high or (high == end_high and low <= end_low)


cdef inline bint port_within(uint16_t port, bint opaque, uint16_t start, uint16_t end) noexcept nogil:
    """A flow without ports meets only ANY (0 to 65535) and OPAQUE (65535 to 0, RFC 7296 section 3.13.1)."""
    if opaque:
        return (start == 0 and end == 65535) or (start == 65535 and end == 0)
    return start <= port <= end


cdef inline bint selector_matches(const selector_t* s, const flow_t* f) noexcept nogil:
    return (
        s.family == f.family
        and (s.protocol == 0 or s.protocol == f.protocol)
        and not_above(s.local_start_high, s.local_start_low, f.local_high, f.local_low)
        and not_above(f.local_high, f.local_low, s.local_end_high, s.local_end_low)
        and not_above(s.remote_start_high, s.remote_start_low, f.remote_high, f.remote_low)
        and not_above(f.remote_high, f.remote_low, s.remote_end_high, s.remote_end_low)
        and port_within(f.local_port, f.opaque, s.local_port_start, s.local_port_end)
        and port_within(f.remote_port, f.opaque, s.remote_port_start, s.remote_port_end)
    )


cdef int selector_read(object value, selector_t* s) except -1
