"""Inbound TCP put together again, and written to a TUN: the inverse of segment.pyx.

1. ``gather`` walks a batch. A TCP segment with nothing but ACK (and PSH) that continues one seen in the same batch,
   header for header alike, joins it; anything else is an item of its own. Within a flow order is kept: a packet that
   does not fit closes what came before it.
2. A segment's own checksum is verified before it joins: the joined one is vouched for to the kernel, and a damaged
   segment must not be vouched for. (It goes on alone, for its receiver to judge.)
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
    VIRTIO_NET_HDR_F_NEEDS_CSUM,
    VIRTIO_NET_HDR_GSO_TCPV4,
    VIRTIO_NET_HDR_GSO_TCPV6,
    writev,
)

cdef enum:
    TCP = 6
    PSH = 0x08
    ACK = 0x10
    PACKET_MAX = 65535


cdef struct view_t:
    const uint8_t* ip
    const uint8_t* tcp
    uint8_t network         # bytes of IP header
    uint8_t transport       # bytes of TCP header
    uint8_t family
    bint mergeable          # else `tcp` may still be set: its flow is known
    uint32_t payload        # bytes


cdef bint _view(view_t* view, const uint8_t* ip, uint32_t length) noexcept nogil:
    """Whether it is TCP whose ports can be read; ``mergeable`` where it may join others."""
    view.ip = ip
    view.mergeable = False
    view.family = ip[0] >> 4 if length else 0
    if view.family == 4:
        if length < 40 or ip[9] != TCP or ip[0] != 0x45 or get_be16(ip + 6) & 0x3FFF or get_be16(ip + 2) != length:
            return False
        view.network = 20
    elif view.family == 6:
        if length < 60 or ip[6] != TCP or <uint32_t> get_be16(ip + 4) + 40 != length:
            return False
        view.network = 40
    else:
        return False
    view.tcp = ip + view.network
    view.transport = (view.tcp[12] >> 4) * 4
    if view.transport < 20 or <uint32_t> view.network + view.transport > length:
        return False
    view.payload = length - view.network - view.transport
    view.mergeable = view.payload > 0 and (view.tcp[13] & ~PSH) == ACK and (view.tcp[12] & 15) == 0
    return True


cdef bint _intact(const view_t* view) noexcept nogil:
    """Whether the TCP checksum verifies."""
    cdef uint32_t length = view.transport + view.payload
    return fold(add(pseudo_header(view.ip, view.family, TCP, length), view.tcp, length)) == 0xFFFF


cdef uint32_t _bucket(const view_t* view) noexcept nogil:
    cdef uint32_t mix = get_be32(view.tcp)
    mix ^= get_be32(view.ip + view.network - 4) ^ get_be32(view.ip + (12 if view.family == 4 else 20))
    mix *= <uint32_t> 0x9E3779B1
    return mix >> 26


cdef bint _same_flow(const view_t* view, const uint8_t* ip, uint8_t network) noexcept nogil:
    """Addresses and ports."""
    if view.network != network or (ip[0] >> 4) != view.family or memcmp(view.tcp, ip + network, 4):
        return False
    if view.family == 4:
        return memcmp(view.ip + 12, ip + 12, 8) == 0
    return memcmp(view.ip + 8, ip + 8, 32) == 0


cdef bint _continues(const view_t* view, const item_t* item, const uint8_t* ip) noexcept nogil:
    """Whether the packet goes right behind ``item``, whose first one lies at ``ip``, with headers alike."""
    cdef const uint8_t* tcp = ip + item.network
    if not item.open or view.transport != item.transport or get_be32(view.tcp + 4) != item.sequence:
        return False
    if view.payload > item.size or item.network + item.transport + item.payload + view.payload > PACKET_MAX:
        return False
    if memcmp(view.tcp + 8, tcp + 8, 5) or memcmp(view.tcp + 14, tcp + 14, 2):  # acknowledgement, offset; window
        return False
    if memcmp(view.tcp + 18, tcp + 18, item.transport - 18):  # urgent pointer, options
        return False
    if view.family == 6:
        return memcmp(view.ip, ip, 4) == 0 and view.ip[7] == ip[7]  # class, flow label; hop limit
    if view.ip[1] != ip[1] or view.ip[8] != ip[8] or (view.ip[6] ^ ip[6]) & 0xC0:
        return False
    # Without DF the identification matters (RFC 6864): what GSO will write again must be what was there.
    return (ip[6] & 0x40) != 0 or get_be16(view.ip + 4) == <uint16_t> (item.ident + item.count)


cdef class TunWriter:
    """The way into a TUN. ``merge`` off: each packet goes alone. The descriptor stays the caller's."""

    def __cinit__(self, int fd, bint merge=True):
        self.fd = fd
        self.merge = merge

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
        cdef bint tcp = self.merge and _view(&view, batch.region + packet.offset, packet.length)
        if tcp:
            bucket = _bucket(&view)
            if view.mergeable:
                view.mergeable = _intact(&view)
            if self.bucket[bucket]:
                item = &self.items[self.bucket[bucket] - 1]
                ip = batch.region + batch.packets[item.first].offset
                if view.mergeable and _same_flow(&view, ip, item.network) and _continues(&view, item, ip):
                    self.next[item.last] = index
                    item.last = index
                    item.count += 1
                    item.payload += view.payload
                    item.sequence += view.payload
                    item.pushed |= view.tcp[13] & PSH
                    item.open = view.payload == item.size and not item.pushed
                    return
        item = &self.items[self.count]
        memset(item, 0, sizeof(item_t))
        item.first = item.last = index
        item.count = 1
        self.count += 1
        if tcp:
            # Whoever hashes here next meets this item, so a flow never continues behind one of its later packets.
            self.bucket[bucket] = self.count
            item.network = view.network
            item.transport = view.transport
            item.payload = view.payload
            item.size = <uint16_t> view.payload
            item.sequence = get_be32(view.tcp + 4) + view.payload
            item.ident = get_be16(view.ip + 4)
            item.pushed = view.tcp[13] & PSH
            item.open = view.mergeable and not item.pushed

    cdef uint32_t finish(self, Batch batch, item_t* item, virtio_net_hdr* header) noexcept nogil:
        """Correct the first header for the whole, set ``header`` and ``vectors[1:]``; the number of vectors in all."""
        cdef packet_t* packet = &batch.packets[item.first]
        cdef uint8_t* ip = batch.region + packet.offset
        cdef uint8_t* tcp
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
        tcp = ip + item.network
        tcp[13] |= item.pushed
        if ip[0] >> 4 == 4:
            put_be16(ip + 2, headers + item.payload)
            seal_ipv4_header(ip, item.network)
        else:
            put_be16(ip + 4, item.transport + item.payload)
        store16(tcp + 16, fold(pseudo_header(ip, ip[0] >> 4, TCP, item.transport + item.payload)))
        header.flags = <uint8_t> VIRTIO_NET_HDR_F_NEEDS_CSUM
        header.gso_type = <uint8_t> (VIRTIO_NET_HDR_GSO_TCPV4 if ip[0] >> 4 == 4 else VIRTIO_NET_HDR_GSO_TCPV6)
        header.hdr_len = <uint16_t> headers
        header.gso_size = item.size
        header.csum_start = item.network
        header.csum_offset = 16
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
