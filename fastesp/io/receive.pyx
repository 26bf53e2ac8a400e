"""Datagrams in: recvmmsg into a region of our own, one descriptor an ESP packet.

1. ``fill`` hands over what the last system call brought, as much as a batch holds; only when all of it has been
   handed over is the kernel asked again, because descriptors point into the same buffers. One system call at most: who
   sends without end what ends here (keepalives, IKE) keeps a worker from nothing else.
2. A message is a datagram, or (UDP GRO) up to 64 of one size side by side: each gets its descriptor, in place.
3. UDP on the NAT-T port is sorted by RFC 3948 section 2: keepalive, IKE behind a non-ESP marker, or ESP.
4. ESP of another worker's SA is handed over to that one. The kernel leaves few of them: GRO joins datagrams of one
   flow whatever their SPIs, and the first one's decides where all go.

The region and the peers belong to the receiver; a batch is the worker's to change until it calls ``fill`` again.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memset
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_READ, PROT_WRITE, mmap, munmap

from fastesp.engine.batch cimport BATCH_MAX, FLAG_OUTER, NO_SLOT, WORKERS_MAX, batch_over, packet_t
from fastesp.engine.header cimport write_ip_header
from fastesp.engine.ip cimport PROTOCOL_AH
from fastesp.engine.verdict cimport VERDICT_KEEPALIVE, VERDICT_OK, VERDICT_OVERFLOW, VERDICT_TRUNCATED
from fastesp.io.checksum cimport get_be32
from fastesp.io.linux cimport MSG_DONTWAIT, MSG_TRUNC, recvmmsg
from fastesp.io.owner cimport handed_t, owner_of
from fastesp.io.path cimport CONTROL_SIZE, path_of_message

cdef enum:
    ESP_HEADER = 8
    IPV6_HEADER = 40


cdef class Receiver:
    """One socket's way in. ``counts`` is set by the worker that owns it; the socket stays the caller's."""

    def __cinit__(self, int fd, *args, **kwargs):
        cdef uint32_t slot
        cdef size_t size = <size_t> SLOTS * SLOT_SIZE
        self.fd = fd
        self.region = <uint8_t*> mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        if self.region == <uint8_t*> MAP_FAILED:
            self.region = NULL
            raise MemoryError
        self.peers = <path_t*> calloc(SLOTS, sizeof(path_t))
        self.messages = <mmsghdr*> calloc(SLOTS, sizeof(mmsghdr))
        self.vectors = <iovec*> calloc(SLOTS, sizeof(iovec))
        self.names = <sockaddr_storage*> calloc(SLOTS, sizeof(sockaddr_storage))
        self.controls = <uint8_t*> calloc(SLOTS, CONTROL_SIZE)
        if NULL in (self.peers, self.messages, self.vectors, self.names, self.controls):
            raise MemoryError
        for slot in range(SLOTS):
            self.vectors[slot].iov_base = self.data(slot)
            self.vectors[slot].iov_len = SLOT_ROOM
            self.messages[slot].msg_hdr.msg_iov = &self.vectors[slot]
            self.messages[slot].msg_hdr.msg_iovlen = 1
        self.batch = batch_over(self.region, size, BATCH_MAX, None)

    def __dealloc__(self):
        if self.region != NULL:
            munmap(self.region, <size_t> SLOTS * SLOT_SIZE)
        free(self.peers)
        free(self.messages)
        free(self.vectors)
        free(self.names)
        free(self.controls)

    cdef uint8_t* data(self, uint32_t slot) noexcept nogil:
        """Where the datagrams of ``slot`` begin."""
        return self.region + <size_t> slot * SLOT_SIZE + SLOT_HEAD

    cdef bint fill(self) noexcept nogil:
        """Describe what is there, at most a batch, which stays empty where all of it ends here; false: nothing is."""
        self.batch.count = 0
        if self.next == self.received and self._receive() <= 0:
            return False
        while self.next != self.received and self.batch.count < self.batch.capacity:
            self._describe(self.next)
        return True

    def look(self):
        """What a worker does at a time; whether something was there. For tests."""
        return self.fill()

    cdef int _receive(self) noexcept nogil:
        cdef uint32_t slot
        cdef int count, i
        for slot in range(max(self.received, 1) if self.calls else SLOTS):
            self.messages[slot].msg_hdr.msg_name = &self.names[slot]
            self.messages[slot].msg_hdr.msg_namelen = sizeof(sockaddr_storage)
            self.messages[slot].msg_hdr.msg_control = self.controls + slot * CONTROL_SIZE
            self.messages[slot].msg_hdr.msg_controllen = CONTROL_SIZE
        self.received = 0
        self.next = 0
        self.at = 0
        self.calls += 1
        count = recvmmsg(self.fd, self.messages, SLOTS, MSG_DONTWAIT, NULL)
        if count > 0:
            self.received = <uint32_t> count
        for i in range(count):
            self.copied += self.messages[i].msg_len
        return count

    cdef void _describe(self, uint32_t slot) noexcept nogil:
        """Add the descriptors of one message, and go to the next one once it is through."""
        self.next += 1

    cdef void _add(self, uint32_t slot, int32_t offset, uint32_t length, uint8_t tos, uint8_t flags) noexcept nogil:
        cdef packet_t* packet = &self.batch.packets[self.batch.count]
        memset(packet, 0, sizeof(packet_t))
        packet.offset = <uint32_t> (<int32_t> (slot * SLOT_SIZE + SLOT_HEAD) + offset)
        packet.length = length
        packet.verdict = VERDICT_OK
        packet.tos = tos
        packet.sa = NO_SLOT
        packet.policy = NO_SLOT
        packet.peer = slot
        packet.flags = flags
        self.batch.count += 1


cdef class UdpReceiver(Receiver):
    """UDP on the NAT-T port (RFC 3948). IKE datagrams go to ``ike``: a path_t, then the message without its marker."""

    def __init__(self, int fd, int local_port, Mailbox ike not None):
        self.local_port = <uint16_t> local_port
        self.ike = ike
        self.workers = 1

    def exchange(self, uint32_t worker, list to_others not None):
        """It is ``worker``'s socket: mailboxes to the inbound halves of the others, None for itself. Before ``run``."""
        cdef Mailbox mailbox
        if not worker < <uint32_t> len(to_others) <= WORKERS_MAX:
            raise ValueError(f"worker {worker} of {len(to_others)}: at most {WORKERS_MAX}")
        self._mailboxes = to_others
        self.worker = worker
        self.workers = <uint32_t> len(to_others)
        for number, mailbox in enumerate(to_others):
            self.to_others[<int> number] = <void*> mailbox if mailbox is not None else NULL

    cdef void _describe(self, uint32_t slot) noexcept nogil:
        cdef mmsghdr* message = &self.messages[slot]
        cdef uint32_t length = min(message.msg_len, <uint32_t> SLOT_ROOM)
        cdef uint32_t piece, segment
        cdef uint8_t tos
        path_of_message(&self.peers[slot], &message.msg_hdr, self.local_port, &tos, &segment)
        if segment == 0:
            segment = length
        while self.at < length and self.batch.count < self.batch.capacity:
            piece = min(segment, length - self.at)
            self._sort(slot, self.at, piece, tos)
            self.at += piece
        if self.at >= length:
            self.next += 1
            self.at = 0

    cdef void _sort(self, uint32_t slot, uint32_t offset, uint32_t length, uint8_t tos) noexcept nogil:
        """One datagram: keepalive, IKE, or ESP (RFC 3948 sections 2.1 to 2.3: an SPI is never zero)."""
        cdef uint8_t* data = self.data(slot) + offset
        cdef uint32_t owner
        if length == 1 and data[0] == 0xFF:
            self.counts[<int> VERDICT_KEEPALIVE] += 1
        elif length >= 4 and (data[0] | data[1] | data[2] | data[3]) == 0:
            self.ike.put(&self.peers[slot], sizeof(path_t), data + 4, length - 4)
        elif length < ESP_HEADER:
            self.counts[<int> VERDICT_TRUNCATED] += 1
        else:
            owner = owner_of(get_be32(data), self.workers) if self.workers > 1 else self.worker
            if owner == self.worker:
                self._add(slot, <int32_t> offset, length, tos, 0)
            else:
                self._hand_over(owner, slot, data, length, tos)

    cdef void _hand_over(
        self, uint32_t owner, uint32_t slot, const uint8_t* data, uint32_t length, uint8_t tos
    ) noexcept nogil:
        cdef handed_t head
        memset(&head, 0, sizeof(head))
        head.peer = self.peers[slot]
        head.tos = tos
        if (<Mailbox> self.to_others[owner]).put(&head, sizeof(head), data, length):
            self.handed += 1
        else:
            self.counts[<int> VERDICT_OVERFLOW] += 1


cdef class RawReceiver(Receiver):
    """Protocol 50 or 51 without UDP. Linux hands over the IPv4 header too, and never the IPv6 one."""

    def __init__(self, int fd, int family, int protocol):
        self.family = family
        self.protocol = protocol

    cdef void _describe(self, uint32_t slot) noexcept nogil:
        cdef mmsghdr* message = &self.messages[slot]
        cdef uint8_t* data = self.data(slot)
        cdef uint32_t length = min(message.msg_len, <uint32_t> SLOT_ROOM)
        cdef uint32_t header = 0
        cdef uint32_t segment
        cdef uint8_t tos
        self.next += 1
        path_of_message(&self.peers[slot], &message.msg_hdr, 0, &tos, &segment)
        if self.family == 4:
            if length < 20:
                self.counts[<int> VERDICT_TRUNCATED] += 1
                return
            header = <uint32_t> (data[0] & 15) * 4
            tos = data[1]
        if header + ESP_HEADER > length or message.msg_hdr.msg_flags & MSG_TRUNC:
            self.counts[<int> VERDICT_TRUNCATED] += 1
        elif self.protocol != PROTOCOL_AH:
            self._add(slot, <int32_t> header, length - header, tos, 0)
        elif self.family == 4:
            self._add(slot, 0, length, tos, FLAG_OUTER)
        else:
            self._add_ah6(slot, length, tos)

    cdef void _add_ah6(self, uint32_t slot, uint32_t length, uint8_t tos) noexcept nogil:
        """The IPv6 header that Linux took off, as far as AH authenticates it (RFC 4302 section 3.3.3.1.2)."""
        cdef const path_t* peer = &self.peers[slot]
        if length > 65535:
            self.counts[<int> VERDICT_TRUNCATED] += 1
            return
        write_ip_header(
            self.data(slot) - IPV6_HEADER, 6, peer.remote, peer.local, PROTOCOL_AH, tos, IPV6_HEADER + length, 0, False)
        self._add(slot, -IPV6_HEADER, IPV6_HEADER + length, tos, FLAG_OUTER)
