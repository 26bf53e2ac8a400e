"""IP headers, read with distrust: every byte is checked to be there before it is looked at.

1. `ip_parse` reads an IPv4 or IPv6 header and walks IPv6's extension headers to the upper protocol.
2. `ip_ports` finds what RFC 4301 section 4.4.1.1 calls ports: TCP-like ports, ICMP type and code, Mobility Header type.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastesp.engine.hints cimport likely, load16, load32, load64

cdef enum:
    PROTOCOL_HOP_BY_HOP = 0
    PROTOCOL_ICMP = 1
    PROTOCOL_IPIP = 4
    PROTOCOL_TCP = 6
    PROTOCOL_UDP = 17
    PROTOCOL_DCCP = 33
    PROTOCOL_IPV6 = 41
    PROTOCOL_ROUTING = 43
    PROTOCOL_FRAGMENT = 44
    PROTOCOL_ESP = 50
    PROTOCOL_AH = 51
    PROTOCOL_ICMPV6 = 58
    PROTOCOL_NONE = 59
    PROTOCOL_OPTIONS = 60
    PROTOCOL_SCTP = 132
    PROTOCOL_MOBILITY = 135
    PROTOCOL_UDPLITE = 136
    PROTOCOL_HIP = 139
    PROTOCOL_SHIM6 = 140

    # More extension headers than any honest packet carries; each takes at least eight bytes anyway.
    EXTENSIONS_MAX = 16


cdef struct flow_t:
    # What selectors look at. IPv4 addresses fill the lower half of `*_low`.
    uint64_t local_high
    uint64_t local_low
    uint64_t remote_high
    uint64_t remote_low
    uint16_t local_port
    uint16_t remote_port
    uint8_t protocol
    uint8_t family
    uint8_t opaque          # 1: ports are not to be had (a later fragment, or cut short)
    uint8_t zero


cdef struct ip_t:
    uint32_t length         # of the whole packet, as its header says
    uint32_t upper          # offset of the upper protocol's header
    uint32_t fixed          # offset of the first header that AH puts itself before (RFC 4302 section 3.1.1)
    uint8_t tos
    uint8_t dont_fragment   # IPv4: DF. IPv6: always, routers do not fragment it
    uint8_t fragment        # 1: first, 2: later fragment


cdef inline bint has_ports(uint8_t protocol) noexcept nogil:
    return (protocol == PROTOCOL_TCP or protocol == PROTOCOL_UDP or protocol == PROTOCOL_SCTP
            or protocol == PROTOCOL_DCCP or protocol == PROTOCOL_UDPLITE)


cdef inline bint is_extension(uint8_t protocol) noexcept nogil:
    return (protocol == PROTOCOL_HOP_BY_HOP or protocol == PROTOCOL_ROUTING or protocol == PROTOCOL_FRAGMENT
            or protocol == PROTOCOL_OPTIONS or protocol == PROTOCOL_AH or protocol == PROTOCOL_HIP
            or protocol == PROTOCOL_SHIM6)


cdef inline uint8_t tos_of(const uint8_t* p) noexcept nogil:
    """IPv4's TOS byte or IPv6's traffic class."""
    return p[1] if p[0] >> 4 == 4 else <uint8_t>((load16(p) >> 4) & 0xff)


cdef inline bint ip_parse(const uint8_t* p, uint32_t length, bint outbound, ip_t* ip, flow_t* flow) noexcept nogil:
    """False where the header is cut short or its lengths lie. Bytes behind the IP length are not an error here."""
    if length < 20:
        return False
    flow.zero = 0
    if likely(p[0] >> 4 == 4, True):
        return ip_parse_4(p, length, outbound, ip, flow)
    return p[0] >> 4 == 6 and ip_parse_6(p, length, outbound, ip, flow)


cdef inline bint ip_parse_4(const uint8_t* p, uint32_t length, bint outbound, ip_t* ip, flow_t* flow) noexcept nogil:
    # One load: version, header length, TOS, length, identification, fragment.
    cdef uint64_t first = load64(p)
    cdef uint32_t header = <uint32_t>(first >> 54) & 60
    cdef uint32_t total = <uint32_t>(first >> 32) & 0xffff
    cdef uint32_t source = load32(p + 12)
    cdef uint32_t target = load32(p + 16)
    cdef uint8_t fragment = 2 if first & 0x1fff else 1 if first & 0x2000 else 0
    if header < 20 or total < header or total > length:
        return False
    ip.length = total
    ip.upper = header
    ip.fixed = header
    ip.tos = <uint8_t>(first >> 48)
    ip.dont_fragment = (first >> 14) & 1
    ip.fragment = fragment
    flow.family = 4
    flow.local_high = 0
    flow.remote_high = 0
    flow.local_low = source if outbound else target
    flow.remote_low = target if outbound else source
    ip_ports(p + header, total - header, p[9], fragment == 2, outbound, flow)
    return True


cdef inline bint ip_parse_6(const uint8_t* p, uint32_t length, bint outbound, ip_t* ip, flow_t* flow) noexcept nogil:
    if length < 40:
        return False
    ip.length = 40 + load16(p + 4)
    if ip.length > length:
        return False
    ip.tos = <uint8_t>((load16(p) >> 4) & 0xff)
    ip.dont_fragment = 1
    flow.family = 6
    if outbound:
        flow.local_high = load64(p + 8)
        flow.local_low = load64(p + 16)
        flow.remote_high = load64(p + 24)
        flow.remote_low = load64(p + 32)
    else:
        flow.local_high = load64(p + 24)
        flow.local_low = load64(p + 32)
        flow.remote_high = load64(p + 8)
        flow.remote_low = load64(p + 16)
    return ip_extensions(p, outbound, ip, flow)


cdef inline bint ip_extensions(const uint8_t* p, bint outbound, ip_t* ip, flow_t* flow) noexcept nogil:
    """From the IPv6 header to the upper protocol, or to the end of what a later fragment shows (RFC 8200 section 4)."""
    cdef uint8_t following = p[6]
    cdef uint32_t at = 40
    cdef uint32_t size
    cdef uint32_t walked = 0
    cdef bint movable = True
    cdef uint16_t fragment
    ip.fragment = 0
    ip.fixed = 40
    while is_extension(following):
        walked += 1
        if walked > EXTENSIONS_MAX or at + 8 > ip.length:
            return False
        if following == PROTOCOL_FRAGMENT:
            size = 8
            fragment = load16(p + at + 2)
            ip.fragment = 2 if fragment & 0xfff8 else 1 if fragment & 1 else 0
        elif following == PROTOCOL_AH:
            size = (<uint32_t>p[at + 1] + 2) * 4
        else:
            size = (<uint32_t>p[at + 1] + 1) * 8
        if at + size > ip.length:
            return False
        # Hop-by-hop, routing and fragment headers stay before ESP and AH; destination options only in front of those.
        if following == PROTOCOL_ROUTING or following == PROTOCOL_FRAGMENT or following == PROTOCOL_HOP_BY_HOP:
            if movable:
                ip.fixed = at + size
        elif following != PROTOCOL_OPTIONS:
            movable = False
        following = p[at]
        at += size
        if ip.fragment == 2:
            break
    ip.upper = at
    ip_ports(p + at, ip.length - at, following, ip.fragment == 2, outbound, flow)
    return True


cdef inline void ip_ports(
    const uint8_t* upper, uint32_t left, uint8_t protocol, bint later, bint outbound, flow_t* flow
) noexcept nogil:
    """Protocol and both ports; `opaque` where they cannot be seen: in a later fragment, or cut short."""
    cdef bint ports = has_ports(protocol)
    cdef bint typed = protocol == PROTOCOL_ICMP or protocol == PROTOCOL_ICMPV6 or protocol == PROTOCOL_MOBILITY
    cdef uint16_t first = 0
    cdef uint16_t second = 0
    cdef bint opaque = later or ((ports or typed) and left < 4)
    if not opaque:
        if ports:
            first = load16(upper)
            second = load16(upper + 2)
        elif typed:
            # Type and code as one number (RFC 7296 section 3.13.1); the Mobility Header has its type in the third byte.
            first = load16(upper) if protocol != PROTOCOL_MOBILITY else <uint16_t>(upper[2] << 8)
            second = first
    flow.protocol = protocol
    flow.opaque = opaque
    flow.local_port = first if outbound else second
    flow.remote_port = second if outbound else first
