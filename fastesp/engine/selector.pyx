"""Selectors from Python values into C."""


cdef int selector_read(object value, selector_t* s) except -1:
    """Fill `s` from a :class:`fastesp.dataplane.base.Selector`.

    Raises :class:`ValueError` for mixed families or ranges that run backwards.
    """
    families = {a.version for a in (value.local_start, value.local_end, value.remote_start, value.remote_end)}
    if len(families) != 1:
        raise ValueError(f"selector mixes IPv4 and IPv6: {value}")
    if value.local_start > value.local_end or value.remote_start > value.remote_end:
        raise ValueError(f"selector's address range runs backwards: {value}")
    s.family = families.pop()
    s.protocol = value.protocol
    address_read(value.local_start, &s.local_start_high, &s.local_start_low)
    address_read(value.local_end, &s.local_end_high, &s.local_end_low)
    address_read(value.remote_start, &s.remote_start_high, &s.remote_start_low)
    address_read(value.remote_end, &s.remote_end_high, &s.remote_end_low)
    s.local_port_start = value.local_port_start
    s.local_port_end = value.local_port_end
    s.remote_port_start = value.remote_port_start
    s.remote_port_end = value.remote_port_end
    for start, end in ((s.local_port_start, s.local_port_end), (s.remote_port_start, s.remote_port_end)):
        # 65535 to 0 is OPAQUE (RFC 7296 section 3.13.1).
        if start > end and (start, end) != (65535, 0):
            raise ValueError(f"selector's port range runs backwards: {value}")
    return 0


cdef int address_read(object address, uint64_t* high, uint64_t* low) except -1:
    number = int(address)
    high[0] = number >> 64
    low[0] = number & 0xffffffffffffffff
    return 0
