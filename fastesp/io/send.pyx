"""Datagrams out: sealed packets into as few system calls as the kernel allows.

1. ``_gather`` takes packets in order as long as they leave by one socket with one DF setting; those in a row that
   share SA and size become one UDP GSO message (up to 64, the last may be shorter), the others a message each.
2. ``_flush`` hands the messages to sendmmsg. A full socket buffer is waited for, bounded for the whole batch; a GSO
   message that the kernel refuses is sent again packet by packet, so that a device that cannot do it costs speed, not
   packets.
3. AH goes with its IP header, whose identification its ICV covers. The kernel does not fragment such packets: where
   one is too long for its path and may be cut, ``_in_fragments`` does (fragment.pyx).
4. What could not be sent has its verdict changed: TOO_BIG, OVERFLOW or SEND_FAILED.

Packets stay where they are in the batch's region: each is one iovec, and nothing is copied here.
"""

import secrets

from libc.errno cimport EAGAIN, EINTR, EINVAL, EIO, EMSGSIZE, ENOBUFS, EOPNOTSUPP, errno
from libc.stdint cimport uint16_t
from libc.stdlib cimport calloc, free

from fastesp.engine.batch cimport BATCH_MAX, FLAG_DF, FLAG_OUTER, NO_SLOT
from fastesp.engine.verdict cimport VERDICT_OK, VERDICT_OVERFLOW, VERDICT_SEND_FAILED, VERDICT_TOO_BIG
from fastesp.io.fragment cimport fragments_begin, fragments_next, fragments_shorter, fragments_t
from fastesp.io.linux cimport (
    IP_MTU_DISCOVER,
    IP_PMTUDISC_DO,
    IP_PMTUDISC_DONT,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPV6_MTU_DISCOVER,
    MSG_DONTWAIT,
    POLLOUT,
    UDP_SEGMENTS_MAX,
    msghdr,
    poll,
    pollfd,
    sendmmsg,
    setsockopt,
)
from fastesp.io.path cimport CONTROL_SIZE, address_message

cdef enum:
    GSO_BYTES = 65000       # what one UDP GSO send may carry: 65,535 less IP and UDP headers, and some
    # An inner packet that IPv6 promises to carry (RFC 8200 section 5), and the most that ESP, or AH and its outer
    # header, add.
    SEALED_IPV6_MINIMUM = 1280 + 88
    WAIT_MS = 20            # for room in a full socket buffer, at a time
    WAITS = 10              # a batch; then what finds no room is dropped: a worker has more to do than to wait


cdef class Sender:
    """The six sockets that packets leave by; -1: none. They stay the caller's; ``counts`` is set by the worker."""

    def __cinit__(self, int udp4, int udp6, int raw4, int raw6, int ah4, int ah6, bint gso):
        cdef int i
        self.udp4, self.udp6, self.raw4, self.raw6, self.ah4, self.ah6 = udp4, udp6, raw4, raw6, ah4, ah6
        self.next_identification = secrets.randbits(32)
        self.gso = gso
        self.too_big = NO_SLOT
        for i in range(4):
            self.fragment[i] = -1
        self.messages = <mmsghdr*> calloc(BATCH_MAX, sizeof(mmsghdr))
        self.vectors = <iovec*> calloc(BATCH_MAX, sizeof(iovec))
        self.names = <sockaddr_storage*> calloc(BATCH_MAX, sizeof(sockaddr_storage))
        self.controls = <uint8_t*> calloc(BATCH_MAX, CONTROL_SIZE)
        self.first = <uint32_t*> calloc(BATCH_MAX, sizeof(uint32_t))
        self.order = <uint32_t*> calloc(BATCH_MAX, sizeof(uint32_t))
        if NULL in (self.messages, self.vectors, self.names, self.controls, self.first, self.order):
            raise MemoryError

    def __dealloc__(self):
        free(self.messages)
        free(self.vectors)
        free(self.names)
        free(self.controls)
        free(self.first)
        free(self.order)

    cdef void send(self, Batch batch, const path_t* paths, uint32_t path_count) noexcept nogil:
        """Send every packet whose verdict is OK by the path of its SA (``paths[packet.sa]``)."""
        cdef uint32_t at = 0
        cdef uint32_t count
        cdef int fd
        cdef bint df
        self.waits_left = WAITS
        while at < batch.count:
            count = self._gather(batch, paths, path_count, &at, &fd, &df)
            if count:
                self._set_df(fd, df)
                self._flush(batch, paths, fd, count)

    cdef int _socket_of(self, const path_t* path, const packet_t* packet) noexcept nogil:
        if packet.flags & FLAG_OUTER:
            return self.ah4 if path.family == 4 else self.ah6
        if path.family == 4:
            return self.udp4 if path.local_port else self.raw4
        if path.family == 6:
            return self.udp6 if path.local_port else self.raw6
        return -1

    cdef uint32_t _gather(
        self, Batch batch, const path_t* paths, uint32_t path_count, uint32_t* at, int* fd, bint* df
    ) noexcept nogil:
        """Messages for one socket from packet ``at`` on; moves ``at`` behind what it took."""
        cdef packet_t* packet
        cdef uint32_t count = 0
        cdef int where
        self.used = 0
        self.joinable = False
        fd[0] = -1
        while at[0] < batch.count:
            packet = &batch.packets[at[0]]
            if packet.verdict == VERDICT_OK:
                where = -1 if packet.sa >= path_count else self._socket_of(&paths[packet.sa], packet)
                if where < 0:
                    packet.verdict = VERDICT_SEND_FAILED
                    self.counts[<int> VERDICT_SEND_FAILED] += 1
                elif fd[0] >= 0 and (fd[0] != where or df[0] != ((packet.flags & FLAG_DF) != 0)):
                    break
                else:
                    fd[0] = where
                    df[0] = (packet.flags & FLAG_DF) != 0
                    count = self._place(batch, at[0], &paths[packet.sa], count)
            at[0] += 1
        return count

    cdef uint32_t _place(self, Batch batch, uint32_t index, const path_t* path, uint32_t count) noexcept nogil:
        """Packet ``index`` into the last of ``count`` messages, or into a new one; their number then."""
        cdef packet_t* packet = &batch.packets[index]
        cdef packet_t* head
        cdef msghdr* message
        self.vectors[self.used].iov_base = batch.region + packet.offset
        self.vectors[self.used].iov_len = packet.length
        self.order[self.used] = index
        self.used += 1
        if count and self.joinable:
            message = &self.messages[count - 1].msg_hdr
            head = &batch.packets[self.order[self.first[count - 1]]]
            if (
                packet.sa == head.sa and packet.tos == head.tos and packet.length <= head.length
                and message.msg_iovlen < UDP_SEGMENTS_MAX and self.bytes_joined + packet.length <= GSO_BYTES
            ):
                if message.msg_iovlen == 1:
                    self._address(count - 1, path, packet.tos, head.length)
                message.msg_iovlen += 1
                self.bytes_joined += packet.length
                self.joinable = packet.length == head.length
                return count
        self.first[count] = self.used - 1
        self.messages[count].msg_hdr.msg_iov = &self.vectors[self.used - 1]
        self.messages[count].msg_hdr.msg_iovlen = 1
        self._address(count, path, packet.tos, 0)
        self.bytes_joined = packet.length
        self.joinable = self.gso and path.local_port != 0
        return count + 1

    cdef void _address(self, uint32_t message, const path_t* path, uint8_t tos, uint32_t segment) noexcept nogil:
        address_message(
            &self.messages[message].msg_hdr,
            &self.names[message],
            self.controls + message * CONTROL_SIZE,
            path,
            tos,
            segment,
        )

    cdef int _index_of(self, int fd) noexcept nogil:
        return 0 if fd == self.udp4 else 1 if fd == self.udp6 else 2 if fd == self.raw4 else 3

    cdef void _set_df(self, int fd, bint df) noexcept nogil:
        """DF for what follows on this socket (RFC 4301 section 8.1); there is no control message for it."""
        cdef int index = self._index_of(fd)
        cdef int value = IP_PMTUDISC_DO if df else IP_PMTUDISC_DONT
        if fd == self.ah4 or fd == self.ah6 or self.fragment[index] == df:
            return  # AH's header says it already
        self.fragment[index] = df
        if index & 1:
            setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &value, sizeof(value))
        else:
            setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &value, sizeof(value))

    cdef void _flush(self, Batch batch, const path_t* paths, int fd, uint32_t count) noexcept nogil:
        cdef uint32_t at = 0
        cdef uint32_t count_there
        cdef int sent
        while at < count:
            sent = self._try(fd, self.messages + at, count - at)
            if sent > 0:
                self.datagrams += <uint64_t> sent
                at += <uint32_t> sent
                continue
            count_there = <uint32_t> self.messages[at].msg_hdr.msg_iovlen
            if count_there > 1 and _is_refusal(-sent):
                self.gso_refused += 1
                self._singly(batch, fd, at, &paths[batch.packets[self.order[self.first[at]]].sa])
            elif sent == -EMSGSIZE:
                self._alone(batch, fd, &self.messages[at], self.first[at])
            else:
                self._give_up(batch, self.first[at], count_there, -sent)
            at += 1

    cdef void _singly(self, Batch batch, int fd, uint32_t at, const path_t* path) noexcept nogil:
        """The packets of a refused GSO message one by one."""
        cdef mmsghdr* message = &self.messages[at]
        cdef uint32_t count = <uint32_t> message.msg_hdr.msg_iovlen
        cdef uint32_t first = self.first[at]
        cdef uint32_t i
        self._address(at, path, batch.packets[self.order[first]].tos, 0)
        message.msg_hdr.msg_iovlen = 1
        for i in range(first, first + count):
            message.msg_hdr.msg_iov = &self.vectors[i]
            self._alone(batch, fd, message, i)

    cdef void _alone(self, Batch batch, int fd, mmsghdr* message, uint32_t index) noexcept nogil:
        """One packet that is a message. IPv6 inside gets 1,280 bytes through whatever the path: in fragments, then."""
        cdef packet_t* packet = &batch.packets[self.order[index]]
        cdef bint promised = packet.length <= SEALED_IPV6_MINIMUM
        cdef bint df = (packet.flags & FLAG_DF) != 0
        cdef int sent = self._try(fd, message, 1)
        if sent == -EMSGSIZE and promised:
            self.too_big = packet.sa
        if sent == -EMSGSIZE and packet.flags & FLAG_OUTER:
            if promised or not df:
                sent = self._in_fragments(fd, message, batch.region + packet.offset, packet.length)
        elif sent == -EMSGSIZE and (promised or not df):
            # Without DF: the control plane, whose IKE messages share this socket, has set it behind our back.
            self.fragment[self._index_of(fd)] = -1
            self._set_df(fd, False)
            sent = self._try(fd, message, 1)
            self._set_df(fd, df)
        if sent == 1:
            self.datagrams += 1
        else:
            self._give_up(batch, index, 1, -sent)

    cdef int _in_fragments(self, int fd, mmsghdr* message, const uint8_t* packet, uint32_t length) noexcept nogil:
        """A packet with its IP header, cut into as few pieces as its path takes. As ``_try`` says: 1, or why not."""
        cdef fragments_t cut
        cdef iovec pieces[2]
        cdef int sent = -EMSGSIZE
        if not fragments_begin(&cut, packet, length, self.next_identification):
            return sent
        self.next_identification += 1
        message.msg_hdr.msg_iov = pieces
        message.msg_hdr.msg_iovlen = 2
        while sent == -EMSGSIZE and fragments_shorter(&cut):
            while fragments_next(&cut, pieces):
                sent = self._try(fd, message, 1)
                if sent != 1:
                    break
        self.fragmented += sent == 1
        return sent

    cdef void _give_up(self, Batch batch, uint32_t first, uint32_t count, int error) noexcept nogil:
        cdef uint16_t verdict = VERDICT_SEND_FAILED
        cdef uint32_t i
        if error == EMSGSIZE:
            verdict = VERDICT_TOO_BIG
            self.too_big = batch.packets[self.order[first]].sa
        elif error == EAGAIN or error == ENOBUFS:
            verdict = VERDICT_OVERFLOW
        for i in range(first, first + count):
            batch.packets[self.order[i]].verdict = verdict
        self.counts[verdict] += count

    cdef int _try(self, int fd, mmsghdr* messages, uint32_t count) noexcept nogil:
        """sendmmsg that waits a bounded while for room: how many went, or a negative errno why the first did not."""
        cdef pollfd waiting
        cdef int i, sent
        while True:
            self.calls += 1
            sent = sendmmsg(fd, messages, count, MSG_DONTWAIT)
            if sent >= 0:
                for i in range(sent):
                    self.copied += messages[i].msg_len
                return sent
            if errno != EAGAIN and errno != EINTR:
                return -errno
            if self.waits_left == 0:
                return -EAGAIN
            self.waits_left -= 1
            waiting.fd = fd
            waiting.events = POLLOUT
            poll(&waiting, 1, WAIT_MS)


cdef bint _is_refusal(int error) noexcept nogil:
    """Of GSO: the device, the kernel or the path cannot do it; each packet alone may well go."""
    return error == EINVAL or error == EMSGSIZE or error == EIO or error == EOPNOTSUPP
