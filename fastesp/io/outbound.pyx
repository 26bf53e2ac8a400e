"""Outbound, TUN to wire, in the order of a packet:

1. read super-packets from the TUN, cut them into a batch (tun.pyx, segment.pyx), or take over what other workers cut;
2. the engine finds each packet's policy and SA and seals it in place;
3. what another worker's SA is to seal goes to that worker; what met a trap is kept and asked for, what is too big is
   answered with ICMP;
4. the rest goes out in as few system calls as possible (send.pyx).

Only its owner takes an SA's sequence numbers, so that they leave in order and no nonce comes twice. The kernel keeps a
flow on one TUN queue, and from there each way to an owner is one queue: order within a flow stays.
"""

import os

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastesp.engine.batch cimport ELSEWHERE, NO_SLOT, WORKERS_MAX
from fastesp.engine.esp cimport Engine
from fastesp.engine.verdict cimport (
    VERDICT_ACQUIRE,
    VERDICT_BYPASS,
    VERDICT_ELSEWHERE,
    VERDICT_OK,
    VERDICT_OVERFLOW,
    VERDICT_SEND_FAILED,
    VERDICT_TOO_BIG,
)
from fastesp.io.checksum cimport get_be16
from fastesp.io.held cimport held_t
from fastesp.io.icmp cimport ICMP_ROOM, too_big
from fastesp.io.linux cimport EPOLL_CTL_DEL, epoll_ctl
from fastesp.io.mailbox cimport Mailbox
from fastesp.io.note cimport NOTE_ACQUIRE, NOTE_DEVICE_GONE, NOTE_PATH_MTU, note_t
from fastesp.io.worker cimport is_wanted, monotonic, stage_begin, stage_end, watch

cdef enum:
    TAKEN = 64              # packets taken over at a time: as many as go out in one GSO message

cdef uint64_t SECOND = 1000000000
cdef uint64_t ACQUIRE_AGAIN = 10 * SECOND      # an Acquire that nobody resolved is told again with a packet after this
cdef uint64_t ERROR_EVERY = SECOND // 1000     # ICMP errors
cdef uint64_t MTU_EVERY = SECOND // 100        # questions about a path's MTU


cdef class Outbound(Worker):
    """TUN to wire. Owns the outbound SA table, the policies, and the packets that wait for an SA."""

    def __init__(self, Engine engine, Mailbox notes, TunReader reader not None, Sender sender not None):
        self._reserve_paths(engine.outbound.capacity)
        self.asked = <uint64_t*> calloc(engine.policies.capacity, sizeof(uint64_t))
        if self.asked == NULL:
            raise MemoryError
        self.reader = reader
        self.sender = sender
        self.errors = TunWriter(reader.fd, False, False)
        self.held = Held()
        reader.counts = sender.counts = self.errors.counts = self.counts
        watch(self.epoll, reader.fd, 0)

    def __dealloc__(self):
        free(self.asked)

    def exchange(self, list to_others not None, list from_others not None):
        """Mailboxes to and from the other workers' outbound halves, by worker; None for itself. Before ``run``."""
        cdef Mailbox mailbox
        if not len(to_others) == len(from_others) <= WORKERS_MAX:
            raise ValueError(f"{len(to_others)} and {len(from_others)} mailboxes: one a worker, at most {WORKERS_MAX}")
        self._mailboxes = [to_others, from_others]
        for number, mailbox in enumerate(to_others):
            self.to_others[<int> number] = <void*> mailbox if mailbox is not None else NULL
        for mailbox in from_others:
            if mailbox is not None:
                self.from_others[self.senders] = <void*> mailbox
                self.senders += 1

    def release(self):
        """Try all held packets again: an SA has come up. While parked."""
        self.to_release = self.held.count
        if self.to_release:
            os.eventfd_write(self.doorbell, 1)

    def forget(self, uint32_t policy):
        """Drop what waits for ``policy``, and ask again for the next packet. While parked. Counts what was dropped."""
        self.counts[<int> VERDICT_OVERFLOW] += self.held.forget(policy)
        self.asked[policy] = 0
        self.to_release = min(self.to_release, self.held.count)

    def answered(self, uint32_t policy):
        """What a trap asked for is there: once that goes again, the next packet asks at once. While parked."""
        self.asked[policy] = 0

    def reserve(self, uint32_t length):
        """Leave room to pad every packet to ``length`` bytes (TFC padding, RFC 4303 section 2.7). While parked."""
        self.reader.reserve = max(self.reader.reserve, min(length, <uint32_t> 9000))

    @property
    def waiting(self):
        """Packets kept for an SA."""
        return self.held.count

    cdef void loop(self) noexcept nogil:
        cdef uint64_t ready = 0
        cdef uint64_t began
        while True:
            if is_wanted(self) and not self.attend():
                return
            began = stage_begin(self)
            if not self._fill():
                if self.wait(&ready, self.patience):
                    self._device_gone()
                continue
            stage_end(self, &self.reading, began)
            self._process(monotonic())

    cdef void _device_gone(self) noexcept nogil:
        """Somebody deleted the TUN device: it would wake us without end, and say nothing ever more."""
        cdef note_t note
        epoll_ctl(self.epoll, EPOLL_CTL_DEL, self.reader.fd, NULL)
        memset(&note, 0, sizeof(note))
        note.kind = NOTE_DEVICE_GONE
        self.notes.put(&note, sizeof(note), NULL, 0)

    cdef bint _fill(self) noexcept nogil:
        """A batch: what was held and is to be tried again, else what others handed over and the TUN's in turn."""
        if self.to_release:
            self._release()
            return True
        if self.senders == 0:
            return self.reader.fill() != 0
        self.others_turn = not self.others_turn
        if self.others_turn:
            return self._take_over() or self.reader.fill() != 0
        return self.reader.fill() != 0 or self._take_over()

    cdef bint _take_over(self) noexcept nogil:
        """Fill the batch with packets that other workers cut, each sender's in its order; false: there are none."""
        cdef uint32_t i
        self.reader.clear()
        for i in range(self.senders):
            self._take_from(<Mailbox> self.from_others[(self.next_sender + i) % self.senders])
        self.next_sender = (self.next_sender + 1) % self.senders
        return self.reader.batch.count != 0

    cdef void _take_from(self, Mailbox mailbox) noexcept nogil:
        cdef int64_t length
        cdef uint8_t* place
        while self.reader.batch.count < <uint32_t> TAKEN:
            length = mailbox.next()
            place = self.reader.room_for(<uint32_t> length) if length >= 0 else NULL
            if place == NULL:
                return
            mailbox.copy(0, place, <uint32_t> length)
            mailbox.drop(<uint32_t> length)
            self.reader.place(<uint32_t> length)

    cdef void _release(self) noexcept nogil:
        """Fill the batch with held packets that are to be tried again."""
        cdef held_t* entry
        cdef uint8_t* place
        self.reader.clear()
        while self.to_release:
            entry = self.held.oldest()
            if entry == NULL:
                self.to_release = 0
                break
            place = self.reader.room_for(entry.length)
            if place == NULL:
                break
            memcpy(place, entry.data, entry.length)
            self.reader.place(entry.length)
            self.held.drop_oldest()
            self.to_release -= 1

    cdef void _process(self, uint64_t now) noexcept nogil:
        cdef packet_t* packets = self.reader.batch.packets
        cdef uint32_t count = self.reader.batch.count
        cdef uint32_t i
        cdef uint64_t began
        self.batches += 1
        self.packets += count
        if self.engine.encapsulate(self.reader.batch, now) != count:
            for i in range(count):
                if packets[i].verdict != VERDICT_OK:
                    self._exception(&packets[i], now)
        began = stage_begin(self)
        self.sender.send(self.reader.batch, self.paths, self.path_count)
        stage_end(self, &self.writing, began)
        if self.sender.too_big != NO_SLOT:
            self._path_mtu(now)
        self.tell_limits(False)

    cdef void _exception(self, packet_t* packet, uint64_t now) noexcept nogil:
        if packet.verdict == VERDICT_ELSEWHERE:
            self._hand_over(packet)
        elif packet.verdict == VERDICT_ACQUIRE:
            self._hold(packet, now)
        elif packet.verdict == VERDICT_TOO_BIG and packet.sa < self.path_count:
            self._too_big(packet, now)
        elif packet.verdict == VERDICT_BYPASS:
            # Routes keep such packets away: the TUN has no way out in the clear, and one that comes is lost.
            self.counts[<int> VERDICT_SEND_FAILED] += 1

    cdef void _hand_over(self, packet_t* packet) noexcept nogil:
        """To the worker that owns the SA; where that one does not keep up, the packet is lost as in any full queue."""
        cdef uint32_t owner = packet.sa - ELSEWHERE
        cdef void* mailbox = self.to_others[owner] if owner < WORKERS_MAX else NULL
        if mailbox != NULL and (<Mailbox> mailbox).put(self.reader.region + packet.offset, packet.length, NULL, 0):
            self.handed += 1
        else:
            self.counts[<int> VERDICT_OVERFLOW] += 1

    cdef void _hold(self, packet_t* packet, uint64_t now) noexcept nogil:
        """Keep the packet, and ask for an SA unless that was done a short while ago."""
        cdef const uint8_t* data = self.reader.region + packet.offset
        cdef note_t note
        self.counts[<int> VERDICT_OVERFLOW] += self.held.keep(data, packet.length, packet.policy)
        if packet.policy >= self.engine.policies.capacity:
            return
        if self.asked[packet.policy] and now - self.asked[packet.policy] < ACQUIRE_AGAIN:
            return
        self.asked[packet.policy] = now
        memset(&note, 0, sizeof(note))
        note.kind = NOTE_ACQUIRE
        note.slot = packet.policy
        _set_flow(&note, data, packet.length)
        self.notes.put(&note, sizeof(note), NULL, 0)

    cdef void _too_big(self, packet_t* packet, uint64_t now) noexcept nogil:
        """Answer with ICMP (RFC 4301 section 8.2): the sender lowers its path MTU."""
        cdef uint8_t error[ICMP_ROOM]
        cdef uint32_t length
        if now < self.next_error:
            return
        self.next_error = now + ERROR_EVERY
        length = too_big(
            error, self.reader.region + packet.offset, packet.length, self.engine.outbound.slots[packet.sa].mtu
        )
        if length:
            self.errors.write_packet(error, length)

    cdef void _path_mtu(self, uint64_t now) noexcept nogil:
        """The kernel knows a smaller path MTU than the SA does: have the control plane look it up."""
        cdef note_t note
        cdef uint32_t slot = self.sender.too_big
        self.sender.too_big = NO_SLOT
        if now < self.next_mtu:
            return
        self.next_mtu = now + MTU_EVERY
        memset(&note, 0, sizeof(note))
        note.kind = NOTE_PATH_MTU
        note.slot = slot
        note.spi = self.engine.outbound.slots[slot].spi
        self.notes.put(&note, sizeof(note), NULL, 0)


cdef void _set_flow(note_t* note, const uint8_t* packet, uint32_t length) noexcept nogil:
    """Addresses, protocol and ports (type and code of ICMP) of a packet that the engine has parsed before."""
    cdef uint32_t header = 0
    if length >= 20 and packet[0] >> 4 == 4:
        note.family = 4
        note.protocol = packet[9]
        memcpy(note.source, packet + 12, 4)
        memcpy(note.destination, packet + 16, 4)
        header = <uint32_t> (packet[0] & 15) * 4
        if get_be16(packet + 6) & 0x1FFF:
            return
    elif length >= 40:
        note.family = 6
        note.protocol = packet[6]
        memcpy(note.source, packet + 8, 16)
        memcpy(note.destination, packet + 24, 16)
        header = 40
    if note.protocol in (6, 17, 132) and length >= header + 4:
        note.source_port = get_be16(packet + header)
        note.destination_port = get_be16(packet + header + 2)
