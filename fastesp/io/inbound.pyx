"""Inbound, wire to TUN, in the order of a packet:

1. receive datagrams (receive.pyx);
2. the engine finds each packet's SA and opens it in place;
3. moved peers and unknown SPIs are noted;
4. TCP is joined again and written to the TUN (coalesce.pyx).
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from fastesp.engine.ah cimport ah_find
from fastesp.engine.batch cimport FLAG_OUTER, NO_SLOT, packet_t
from fastesp.engine.esp cimport Engine
from fastesp.engine.verdict cimport VERDICT_OK, VERDICT_UNKNOWN_SPI
from fastesp.io.checksum cimport get_be32
from fastesp.io.mailbox cimport Mailbox
from fastesp.io.note cimport NOTE_MOVED, NOTE_UNKNOWN_SPI, note_t
from fastesp.io.path cimport path_equal
from fastesp.io.worker cimport is_wanted, monotonic, stage_begin, stage_end, watch

cdef enum:
    LOOK_EVERY = 16         # rounds over inputs that never run dry, until the others are looked at again

cdef uint64_t SECOND = 1000000000
cdef uint64_t UNKNOWN_EVERY = SECOND // 10     # UnknownSpi
cdef uint64_t MOVED_EVERY = SECOND             # PeerMoved of one SA


cdef class Inbound(Worker):
    """Wire to TUN. Owns the inbound SA table."""

    def __init__(self, Engine engine, Mailbox notes, list receivers not None, TunWriter writer not None):
        cdef Receiver receiver
        if not 0 < len(receivers) <= INPUTS_MAX:
            raise ValueError(f"{len(receivers)} receivers: a worker serves 1 to {INPUTS_MAX}")
        self._reserve_paths(engine.inbound.capacity)
        self.moved = <uint64_t*> calloc(engine.inbound.capacity, sizeof(uint64_t))
        if self.moved == NULL:
            raise MemoryError
        self.receivers = receivers
        self.writer = writer
        writer.counts = self.counts
        for receiver in receivers:
            receiver.counts = self.counts
            self.inputs[self.input_count] = <void*> receiver
            watch(self.epoll, receiver.fd, self.input_count)
            self.input_count += 1

    def __dealloc__(self):
        free(self.moved)

    cdef void loop(self) noexcept nogil:
        cdef uint64_t ready = 0
        cdef uint32_t rounds = 0
        cdef uint32_t i
        while True:
            if is_wanted(self) and not self.attend():
                return
            if ready == 0:
                self.wait(&ready, self.patience)
            elif rounds % LOOK_EVERY == 0:
                self.wait(&ready, 0)
            rounds += 1
            for i in range(self.input_count):
                if ready >> i & 1 and not self._serve(<Receiver> self.inputs[i]):
                    ready &= ~(<uint64_t> 1 << i)

    cdef bint _serve(self, Receiver receiver) noexcept nogil:
        """One batch from an input; false: nothing was there."""
        cdef uint64_t now
        cdef uint64_t began = stage_begin(self)
        cdef packet_t* packets = receiver.batch.packets
        if not receiver.fill():
            return False
        stage_end(self, &self.reading, began)
        if receiver.batch.count == 0:
            return True
        now = monotonic()
        self.batches += 1
        self.packets += receiver.batch.count
        self.engine.decapsulate(receiver.batch, now)
        self._look(receiver, now)
        began = stage_begin(self)
        self.writer.write(receiver.batch)
        stage_end(self, &self.writing, began)
        self.tell_limits(True)
        return True

    cdef void _look(self, Receiver receiver, uint64_t now) noexcept nogil:
        """Note what the control plane wants to know: peers that moved, SPIs that are none of ours."""
        cdef packet_t* packet
        cdef const path_t* peer
        cdef uint32_t last_sa = NO_SLOT
        cdef uint32_t last_peer = NO_SLOT
        cdef uint32_t i
        for i in range(receiver.batch.count):
            packet = &receiver.batch.packets[i]
            peer = &receiver.peers[packet.peer]
            if packet.verdict == VERDICT_UNKNOWN_SPI:
                if now >= self.next_unknown:
                    self.next_unknown = now + UNKNOWN_EVERY
                    self._note(NOTE_UNKNOWN_SPI, 0, _spi_of(receiver.region + packet.offset, packet), peer)
            elif packet.verdict == VERDICT_OK and (packet.sa != last_sa or packet.peer != last_peer):
                last_sa = packet.sa
                last_peer = packet.peer
                self._compare(packet.sa, peer, now)

    cdef void _compare(self, uint32_t slot, const path_t* peer, uint64_t now) noexcept nogil:
        """Authenticated, but from elsewhere (RFC 3947 section 5.2): only where a NAT may be in between."""
        cdef const path_t* path = &self.paths[slot]
        if path.local_port == 0 or peer.local_port == 0 or path_equal(path, peer):
            return
        if now - self.moved[slot] < MOVED_EVERY:
            return
        self.moved[slot] = now
        self._note(NOTE_MOVED, slot, self.engine.inbound.slots[slot].spi, peer)

    cdef void _note(self, uint32_t kind, uint32_t slot, uint32_t spi, const path_t* peer) noexcept nogil:
        cdef note_t note
        memset(&note, 0, sizeof(note))
        note.kind = kind
        note.slot = slot
        note.spi = spi
        note.inbound = 1
        note.path = peer[0]
        self.notes.put(&note, sizeof(note), NULL, 0)


cdef uint32_t _spi_of(const uint8_t* data, const packet_t* packet) noexcept nogil:
    """Of a packet that the engine has looked at: it is long enough."""
    cdef uint32_t at = 0
    cdef uint32_t total
    if packet.flags & FLAG_OUTER and ah_find(data, packet.length, &at, &total):
        at += 4
    return get_be32(data + at)
