"""Inbound TCP and UDP put together again, and written to a TUN: the inverse of segment.pyx.

1. ``gather`` walks a batch. A TCP segment with nothing but ACK (and PSH) that continues one seen in the same batch,
   or a UDP datagram as long as the one before it in its flow, header for header alike, joins it; anything else is an
   item of its own. Within a flow order is kept: a packet that does not fit closes what came before it.
2. A packet's own checksums are verified before it joins: the joined one is vouched for to the kernel, and a damaged
   packet must not be vouched for. (It goes on alone, for its receiver to judge.)
3. ``finish`` corrects the first header for the whole and fills the virtio-net header;
4. one writev an item: payloads go from where they were opened into the kernel, without a copy of ours.
"""

from libc.errno cimport EAGAIN, ENOBUFS, errno
from libc.string cimport memcmp, memset

from fastesp.engine.batch cimport batch_over
from fastesp.engine.verdict cimport VERDICT_OK, VERDICT_OVERFLOW, VERDICT_SEND_FAILED
from fastesp.io.checksum cimport (
    add,
    fold,
    get_be16,
    get_be32,
    pseudo_header,
    put_be16,
    seal_ipv4_header,
    store16,
)
from fastesp.io.linux cimport (
    UDP_SEGMENTS_MAX,
    VIRTIO_NET_HDR_F_NEEDS_CSUM,
    VIRTIO_NET_HDR_GSO_TCPV4,
    VIRTIO_NET_HDR_GSO_TCPV6,
    VIRTIO_NET_HDR_GSO_UDP_L4,
    writev,
)

cdef enum:
    TCP = 6
    UDP = 17
    UDP_HEADER = 8
    PSH = 0x08
    ACK = 0x10
    PACKET_MAX = 65535


cdef bint _view(view_t* view, const uint8_t* ip, uint32_t length) noexcept nogil:
    """Whether it is TCP or UDP whose ports can be read; ``mergeable`` where it may join others."""
    view.ip = ip
    view.mergeable = False
    view.family = ip[0] >> 4 if length else 0
    if view.family == 4:
        if length < 28 or ip[0] != 0x45 or get_be16(ip + 6) & 0x3FFF or get_be16(ip + 2) != length:
            return False
        view.network = 20
        view.protocol = ip[9]
    elif view.family == 6:
        if length < 48 or <uint32_t> get_be16(ip + 4) + 40 != length:
            return False
        view.network = 40
        view.protocol = ip[6]
    else:
        return False
    view.upper = ip + view.network
    if view.protocol == TCP:
        return _view_tcp(view, length)
    return view.protocol == UDP and _view_udp(view, length)


cdef inline bint _view_tcp(view_t* view, uint32_t length) noexcept nogil:
    if length < <uint32_t> view.network + 20:
        return False
    view.transport = (view.upper[12] >> 4) * 4
    if view.transport < 20 or <uint32_t> view.network + view.transport > length:
        return False
    view.payload = length - view.network - view.transport
    view.mergeable = view.payload > 0 and (view.upper[13] & ~PSH) == ACK and (view.upper[12] & 15) == 0
    return True


cdef inline bint _view_udp(view_t* view, uint32_t length) noexcept nogil:
    """A datagram without checksum stays alone: the kernel gives each that it cuts a checksum."""
    view.transport = UDP_HEADER
    view.payload = length - view.network - UDP_HEADER
    view.mergeable = (
        view.payload > 0
        and get_be16(view.upper + 4) == UDP_HEADER + view.payload
        and get_be16(view.upper + 6) != 0
    )
    return True


cdef bint _intact(const view_t* view) noexcept nogil:
    """Whether the TCP or UDP checksum verifies, and IPv4's: a joined packet gets a new one of that."""
    cdef uint32_t length = view.transport + view.payload
    if view.family == 4 and fold(add(0, view.ip, view.network)) != 0xFFFF:
        return False
    return fold(add(pseudo_header(view.ip, view.family, view.protocol, length), view.upper, length)) == 0xFFFF


cdef uint32_t _bucket(const view_t* view) noexcept nogil:
    cdef uint32_t mix = get_be32(view.upper) ^ view.protocol
    mix ^= get_be32(view.ip + view.network - 4) ^ get_be32(view.ip + (12 if view.family == 4 else 20))
    mix *= <uint32_t> 0x9E3779B1
    return mix >> 26


cdef bint _same_flow(const view_t* view, const item_t* item, const uint8_t* ip) noexcept nogil:
    """Protocol, addresses and ports."""
    if view.network != item.network or view.protocol != item.protocol or (ip[0] >> 4) != view.family:
        return False
    if memcmp(view.upper, ip + item.network, 4):
        return False
    if view.family == 4:
        return memcmp(view.ip + 12, ip + 12, 8) == 0
    return memcmp(view.ip + 8, ip + 8, 32) == 0


cdef bint _continues(const view_t* view, const item_t* item, const uint8_t* ip) noexcept nogil:
    """Whether the packet goes right behind ``item``, whose first one lies at ``ip``, with headers alike."""
    if not item.open or view.transport != item.transport or view.payload > item.size:
        return False
    if item.network + item.transport + item.payload + view.payload > PACKET_MAX:
        return False
    if view.protocol == TCP and not _continues_tcp(view, item, ip + item.network):
        return False
    if view.family == 6:
        return memcmp(view.ip, ip, 4) == 0 and view.ip[7] == ip[7]  # class, flow label; hop limit
    if view.ip[1] != ip[1] or view.ip[8] != ip[8] or (view.ip[6] ^ ip[6]) & 0xC0:
        return False
    # Without DF the identification matters (RFC 6864): what GSO will write again must be what was there.
    return (ip[6] & 0x40) != 0 or get_be16(view.ip + 4) == <uint16_t> (item.ident + item.count)


cdef inline bint _continues_tcp(const view_t* view, const item_t* item, const uint8_t* tcp) noexcept nogil:
    if get_be32(view.upper + 4) != item.sequence:
        return False
    if memcmp(view.upper + 8, tcp + 8, 5) or memcmp(view.upper + 14, tcp + 14, 2):  # acknowledgement, offset; window
        return False
    return memcmp(view.upper + 18, tcp + 18, item.transport - 18) == 0  # urgent pointer, options


cdef class TunWriter:
    """The way into a TUN. ``tcp`` or ``udp`` off: each packet of that goes alone. The descriptor stays the caller's."""

    def __cinit__(self, int fd, bint tcp=True, bint udp=True):
        self.fd = fd
        self.tcp = tcp
        self.udp = udp

    cdef void write(self, Batch batch) noexcept nogil:
        """Write every packet whose verdict is OK, joined where that is possible, in order within a flow."""
        cdef virtio_net_hdr header
        cdef item_t* item
        cdef uint32_t i
        self.gather(batch)
        for i in range(self.count):
            item = &self.items[i]
            self.vectors[0].iov_base = &header
            self.vectors[0].iov_len = sizeof(header)
            self._put(self.finish(batch, item, &header), item.count)

    cdef void gather(self, Batch batch) noexcept nogil:
        """Set ``items`` for the batch."""
        cdef uint32_t index
        self.count = 0
        memset(self.bucket, 0, sizeof(self.bucket))
        for index in range(batch.count):
            if batch.packets[index].verdict == VERDICT_OK:
                self._add(batch, index)

    cdef void _add(self, Batch batch, uint32_t index) noexcept nogil:
        cdef packet_t* packet = &batch.packets[index]
        cdef item_t* item
        cdef view_t view
        cdef uint32_t bucket = 0
        cdef const uint8_t* ip
        cdef bint viewed = (self.tcp or self.udp) and _view(&view, batch.region + packet.offset, packet.length)
        if viewed:
            bucket = _bucket(&view)
            if view.mergeable:
                view.mergeable = (self.tcp if view.protocol == TCP else self.udp) and _intact(&view)
            if self.bucket[bucket]:
                item = &self.items[self.bucket[bucket] - 1]
                ip = batch.region + batch.packets[item.first].offset
                if view.mergeable and _same_flow(&view, item, ip) and _continues(&view, item, ip):
                    self._join(item, &view, index)
                    return
        item = &self.items[self.count]
        memset(item, 0, sizeof(item_t))
        item.first = item.last = index
        item.count = 1
        self.count += 1
        if viewed:
            # Whoever hashes here next meets this item, so a flow never continues behind one of its later packets.
            self.bucket[bucket] = self.count
            _begin(item, &view)

    cdef void _join(self, item_t* item, const view_t* view, uint32_t index) noexcept nogil:
        """Put a packet behind the others. One that is shorter is the last: GSO cuts all others alike."""
        self.next[item.last] = index
        item.last = index
        item.count += 1
        item.payload += view.payload
        item.open = view.payload == item.size
        if view.protocol == TCP:
            item.sequence += view.payload
            item.pushed |= view.upper[13] & PSH
            item.open = item.open and not item.pushed
        elif item.count == UDP_SEGMENTS_MAX:
            item.open = False

    cdef uint32_t finish(self, Batch batch, item_t* item, virtio_net_hdr* header) noexcept nogil:
        """Correct the first header for the whole, set ``header`` and ``vectors[1:]``; the number of vectors in all."""
        cdef packet_t* packet = &batch.packets[item.first]
        cdef uint8_t* ip = batch.region + packet.offset
        cdef uint32_t headers = item.network + item.transport
        cdef uint32_t used = 2
        cdef uint32_t index = item.first
        memset(header, 0, sizeof(virtio_net_hdr))
        self.vectors[1].iov_base = ip
        self.vectors[1].iov_len = packet.length
        if item.count == 1:
            return used
        while index != item.last:
            index = self.next[index]
            packet = &batch.packets[index]
            self.vectors[used].iov_base = batch.region + packet.offset + headers
            self.vectors[used].iov_len = packet.length - headers
            used += 1
        _head(ip, item, header)
        return used

    cdef void write_packet(self, const uint8_t* data, uint32_t length) noexcept nogil:
        """One packet that is in no batch (an ICMP error of ours)."""
        cdef virtio_net_hdr header
        memset(&header, 0, sizeof(header))
        self.vectors[0].iov_base = &header
        self.vectors[0].iov_len = sizeof(header)
        self.vectors[1].iov_base = <void*> data
        self.vectors[1].iov_len = length
        self._put(2, 1)

    cdef void _put(self, uint32_t vectors, uint32_t packets) noexcept nogil:
        cdef ssize_t written = writev(self.fd, self.vectors, <int> vectors)
        self.calls += 1
        if written > 0:
            self.copied += <uint64_t> written
        else:
            if errno == EAGAIN or errno == ENOBUFS:
                self.counts[<int> VERDICT_OVERFLOW] += packets
            else:
                self.counts[<int> VERDICT_SEND_FAILED] += packets


cdef void _begin(item_t* item, const view_t* view) noexcept nogil:
    """What the packets behind this one are held against."""
    item.protocol = view.protocol
    item.network = view.network
    item.transport = view.transport
    item.payload = view.payload
    item.size = <uint16_t> view.payload
    item.ident = get_be16(view.ip + 4)
    item.open = view.mergeable
    if view.protocol == TCP:
        item.sequence = get_be32(view.upper + 4) + view.payload
        item.pushed = view.upper[13] & PSH
        item.open = view.mergeable and not item.pushed


cdef void _head(uint8_t* ip, const item_t* item, virtio_net_hdr* header) noexcept nogil:
    """Headers for the whole of several packets, and how the kernel is to cut it."""
    cdef uint8_t* upper = ip + item.network
    cdef uint8_t family = ip[0] >> 4
    cdef uint32_t length = item.transport + item.payload
    if family == 4:
        put_be16(ip + 2, item.network + length)
        seal_ipv4_header(ip, item.network)
    else:
        put_be16(ip + 4, length)
    header.flags = <uint8_t> VIRTIO_NET_HDR_F_NEEDS_CSUM
    header.hdr_len = <uint16_t> (item.network + item.transport)
    header.gso_size = item.size
    header.csum_start = item.network
    if item.protocol == TCP:
        upper[13] |= item.pushed
        header.gso_type = <uint8_t> (VIRTIO_NET_HDR_GSO_TCPV4 if family == 4 else VIRTIO_NET_HDR_GSO_TCPV6)
        header.csum_offset = 16
    else:
        put_be16(upper + 4, length)
        header.gso_type = <uint8_t> VIRTIO_NET_HDR_GSO_UDP_L4
        header.csum_offset = 6
    # The kernel adds the rest (RFC 1071): what it finds here is the pseudo-header.
    store16(upper + header.csum_offset, fold(pseudo_header(ip, family, item.protocol, length)))


def coalesce(packets: list[bytes]) -> list[tuple[bytes, dict[str, int]]]:
    """What a batch of ``packets`` becomes: each super-packet with its virtio-net header. For tests and tools."""
    cdef bytearray region = bytearray(b"".join(packets))
    cdef TunWriter writer = TunWriter(-1)
    cdef Batch batch
    cdef virtio_net_hdr header
    cdef item_t* item
    cdef uint32_t i, j, used, offset = 0
    cdef list out = []
    if len(packets) > ITEMS:
        raise ValueError(f"{len(packets)} packets: a batch holds {ITEMS}")
    batch = batch_over(region, len(region), ITEMS, region)
    for i in range(<uint32_t> len(packets)):
        memset(&batch.packets[i], 0, sizeof(packet_t))
        batch.packets[i].offset = offset
        batch.packets[i].length = <uint32_t> len(packets[i])
        offset += batch.packets[i].length
    batch.count = <uint32_t> len(packets)
    writer.gather(batch)
    for i in range(writer.count):
        item = &writer.items[i]
        used = writer.finish(batch, item, &header)
        data = b""
        for j in range(1, used):
            data += (<char*> writer.vectors[j].iov_base)[: writer.vectors[j].iov_len]
        out.append((data, {
            "flags": header.flags, "gso_type": header.gso_type, "gso_size": header.gso_size,
            "csum_start": header.csum_start, "csum_offset": header.csum_offset, "hdr_len": header.hdr_len,
        }))
    return out
