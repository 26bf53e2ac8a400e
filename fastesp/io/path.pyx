"""Outer addresses as the sockets want them: what a datagram came with, and what one is sent with.

The local address travels in IP_PKTINFO both ways: one socket serves all addresses of the machine, and a packet still
leaves from the address that its SA was negotiated for.
"""

from ipaddress import IPv4Address, IPv6Address

from libc.stdint cimport int32_t
from libc.string cimport memcmp, memcpy, memset

from fastesp.io.linux cimport (
    AF_INET,
    AF_INET6,
    CMSG_DATA,
    CMSG_FIRSTHDR,
    CMSG_LEN,
    CMSG_NXTHDR,
    CMSG_SPACE,
    IP_PKTINFO,
    IP_TOS,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_UDP,
    IPV6_PKTINFO,
    IPV6_TCLASS,
    UDP_GRO,
    UDP_SEGMENT,
    cmsghdr,
    htons,
    in6_pktinfo,
    in_pktinfo,
    ntohs,
    sockaddr_in,
    sockaddr_in6,
)


cdef bint path_equal(const path_t* one, const path_t* other) noexcept nogil:
    """Whether both name the same addresses and ports."""
    return memcmp(one, other, sizeof(path_t)) == 0


cdef void path_of_message(
    path_t* path, msghdr* message, uint16_t local_port, uint8_t* tos, uint32_t* segment
) noexcept nogil:
    """Read a received message's addresses, traffic class, and segment size (0: it is one datagram)."""
    cdef sockaddr_in* name4
    cdef sockaddr_in6* name6
    memset(path, 0, sizeof(path_t))
    tos[0] = 0
    segment[0] = 0
    path.local_port = local_port
    if (<sockaddr_storage*> message.msg_name).ss_family == AF_INET:
        name4 = <sockaddr_in*> message.msg_name
        path.family = 4
        memcpy(path.remote, &name4.sin_addr, 4)
        path.remote_port = ntohs(name4.sin_port) if local_port else 0
    else:
        name6 = <sockaddr_in6*> message.msg_name
        path.family = 6
        memcpy(path.remote, &name6.sin6_addr, 16)
        path.remote_port = ntohs(name6.sin6_port) if local_port else 0
    _read_control(path, message, tos, segment)


cdef void _read_control(path_t* path, msghdr* message, uint8_t* tos, uint32_t* segment) noexcept nogil:
    cdef cmsghdr* control = CMSG_FIRSTHDR(message)
    cdef int32_t number
    while control != NULL:
        if control.cmsg_level == IPPROTO_IP and control.cmsg_type == IP_PKTINFO:
            memcpy(path.local, &(<in_pktinfo*> CMSG_DATA(control)).ipi_addr, 4)
        elif control.cmsg_level == IPPROTO_IPV6 and control.cmsg_type == IPV6_PKTINFO:
            memcpy(path.local, &(<in6_pktinfo*> CMSG_DATA(control)).ipi6_addr, 16)
        elif control.cmsg_level == IPPROTO_IP and control.cmsg_type == IP_TOS:
            tos[0] = CMSG_DATA(control)[0]
        elif control.cmsg_level == IPPROTO_IPV6 and control.cmsg_type == IPV6_TCLASS:
            memcpy(&number, CMSG_DATA(control), 4)
            tos[0] = <uint8_t> number
        elif control.cmsg_level == IPPROTO_UDP and control.cmsg_type == UDP_GRO:
            memcpy(&number, CMSG_DATA(control), 4)
            segment[0] = <uint32_t> number if number > 0 else 0
        control = CMSG_NXTHDR(message, control)


cdef void address_message(
    msghdr* message, sockaddr_storage* name, uint8_t* control, const path_t* path, uint8_t tos, uint32_t segment
) noexcept nogil:
    """Set name and control of a message to be sent. ``control`` has CONTROL_SIZE bytes; both stay the caller's."""
    cdef sockaddr_in* name4 = <sockaddr_in*> name
    cdef sockaddr_in6* name6 = <sockaddr_in6*> name
    cdef in_pktinfo info4
    cdef in6_pktinfo info6
    cdef uint16_t size = <uint16_t> segment
    cdef int32_t traffic_class = tos
    cdef size_t used = 0
    message.msg_name = name
    message.msg_control = control
    message.msg_flags = 0
    if path.family == 4:
        memset(name4, 0, sizeof(sockaddr_in))
        name4.sin_family = <uint16_t> AF_INET
        name4.sin_port = htons(path.remote_port)
        memcpy(&name4.sin_addr, path.remote, 4)
        message.msg_namelen = sizeof(sockaddr_in)
        memset(&info4, 0, sizeof(info4))
        memcpy(&info4.ipi_spec_dst, path.local, 4)
        used = _append(control, used, IPPROTO_IP, IP_PKTINFO, &info4, sizeof(info4))
        if tos:
            used = _append(control, used, IPPROTO_IP, IP_TOS, &traffic_class, 4)
    else:
        memset(name6, 0, sizeof(sockaddr_in6))
        name6.sin6_family = <uint16_t> AF_INET6
        name6.sin6_port = htons(path.remote_port)
        memcpy(&name6.sin6_addr, path.remote, 16)
        message.msg_namelen = sizeof(sockaddr_in6)
        memset(&info6, 0, sizeof(info6))
        memcpy(&info6.ipi6_addr, path.local, 16)
        used = _append(control, used, IPPROTO_IPV6, IPV6_PKTINFO, &info6, sizeof(info6))
        if tos:
            used = _append(control, used, IPPROTO_IPV6, IPV6_TCLASS, &traffic_class, 4)
    if segment:
        used = _append(control, used, IPPROTO_UDP, UDP_SEGMENT, &size, 2)
    message.msg_controllen = used


cdef size_t _append(uint8_t* control, size_t at, int level, int kind, const void* data, size_t length) noexcept nogil:
    cdef cmsghdr* header = <cmsghdr*> (control + at)
    header.cmsg_len = CMSG_LEN(length)
    header.cmsg_level = level
    header.cmsg_type = kind
    memcpy(CMSG_DATA(header), data, length)
    return at + CMSG_SPACE(length)


cdef int path_set(path_t* path, object local, int local_port, object remote, int remote_port) except -1:
    """From address objects (``ipaddress``) of one family."""
    cdef bytes ours = local.packed
    cdef bytes theirs = remote.packed
    if len(ours) != len(theirs):
        raise ValueError(f"a path from {local} to {remote}: both addresses must be of one family")
    memset(path, 0, sizeof(path_t))
    path.family = 4 if len(ours) == 4 else 6
    memcpy(path.local, <const char*> ours, len(ours))
    memcpy(path.remote, <const char*> theirs, len(theirs))
    path.local_port = <uint16_t> local_port
    path.remote_port = <uint16_t> remote_port
    return 0


cdef tuple path_get(const path_t* path):
    """``(local, local_port, remote, remote_port)``."""
    cdef bytes local = (<const char*> path.local)[: 4 if path.family == 4 else 16]
    cdef bytes remote = (<const char*> path.remote)[: 4 if path.family == 4 else 16]
    kind = IPv4Address if path.family == 4 else IPv6Address
    return kind(local), path.local_port, kind(remote), path.remote_port


def split_path(bytes record not None):
    """``(local, local_port, remote, remote_port)`` and what follows, of a record that begins with a path."""
    cdef path_t path
    if len(record) < <Py_ssize_t> sizeof(path):
        raise ValueError(f"a record of {len(record)} bytes: a path alone has {sizeof(path)}")
    memcpy(&path, <const char*> record, sizeof(path))
    return path_get(&path), record[sizeof(path):]
