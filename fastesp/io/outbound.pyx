"""Outbound, TUN to wire, in the order of a packet:

1. read super-packets from the TUN, cut them into a batch (tun.pyx, segment.pyx);
2. the engine finds each packet's policy and SA and seals it in place;
3. what met a trap is kept and asked for, what is too big is answered with ICMP;
4. the rest goes out in as few system calls as possible (send.pyx).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastesp.engine.batch cimport NO_SLOT
from fastesp.engine.esp cimport Engine
from fastesp.engine.verdict cimport (
    VERDICT_ACQUIRE,
    VERDICT_BYPASS,
    VERDICT_OK,
    VERDICT_OVERFLOW,
    VERDICT_SEND_FAILED,
    VERDICT_TOO_BIG,
)
from fastesp.io.checksum cimport get_be16
from fastesp.io.held cimport held_t
from fastesp.io.icmp cimport ICMP_ROOM, too_big
from fastesp.io.linux cimport load_acquire
from fastesp.io.mailbox cimport Mailbox
from fastesp.io.note cimport NOTE_ACQUIRE, NOTE_PATH_MTU, note_t
from fastesp.io.worker cimport COMMAND_RUN, monotonic, stage_begin, stage_end, watch

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
        self.errors = TunWriter(reader.fd, False)
        self.held = Held()
        reader.counts = sender.counts = self.errors.counts = self.counts
        watch(self.epoll, reader.fd, 0)

    def __dealloc__(self):
        free(self.asked)

    def release(self):
        """Try all held packets again: an SA has come up. While parked."""
        self.to_release = self.held.count

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
            if load_acquire(&self.command) != COMMAND_RUN and not self.attend():
                return
            began = stage_begin(self)
            if self.to_release:
                self._release()
            elif self.reader.fill() == 0:
                self.wait(&ready)
                continue
            stage_end(self, &self.reading, began)
            self._process(monotonic())

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
        if packet.verdict == VERDICT_ACQUIRE:
            self._hold(packet, now)
        elif packet.verdict == VERDICT_TOO_BIG and packet.sa < self.path_count:
            self._too_big(packet, now)
        elif packet.verdict == VERDICT_BYPASS:
            # Routes keep such packets away: the TUN has no way out in the clear, and one that comes is lost.
            self.counts[<int> VERDICT_SEND_FAILED] += 1

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
