"""The SA table of one worker and one direction: keys and state in private C memory, counters where NumPy sees them.

Slots do not move and tables do not grow: all memory is reserved at the start and touched only once used. Everything
here belongs to the worker that runs the packets; nobody else calls it while that worker does.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastesp.engine.aead cimport crypt_t, provider_t
from fastesp.engine.batch cimport NO_SLOT
from fastesp.engine.replay cimport replay_t
from fastesp.engine.selector cimport selector_t

cdef enum:
    SA_FREE
    SA_LIVE
    SA_RETIRED      # outbound: sends no more
    SA_EXPIRED      # a hard limit was reached

cdef enum:
    SA_TRANSPORT = 1
    SA_AH = 2
    SA_ESN = 4
    SA_COPY_DF = 8
    SA_COPY_ECN = 16
    SA_COPY_DSCP = 32
    SA_RANDOM_IV = 64       # CBC: unpredictable (RFC 3602 section 3)
    SA_COUNTER_IV = 128     # epoch and counter
    SA_NAT = 256            # transport mode: upper checksums have to be made anew

cdef enum:
    EVENT_SOFT = 1
    EVENT_HARD = 2
    LIMIT_BYTES = 1
    LIMIT_PACKETS = 2
    LIMIT_SEQUENCE = 3
    EVENTS_MAX = 1024
    RANDOM_BYTES = 4096

cdef struct sa_t:
    # What every packet reads: two cache lines and a bit.
    crypt_t crypt
    uint64_t sequence           # outbound: of the last packet sent
    uint64_t sequence_check     # outbound: at this one look at the limits
    uint64_t packet_check       # at so many packets look at the limits
    uint64_t byte_check
    uint64_t iv_base            # epoch in the upper 16 bits
    uint32_t spi
    uint16_t flags
    uint8_t state
    uint8_t iv_length
    uint8_t icv_length
    uint8_t align               # of text with its trailer, bytes
    uint8_t family              # of the outer addresses; 0: not needed
    uint8_t tos                 # DSCP to send with where the inner one is not copied
    uint16_t mtu                # outbound: longest inner packet; 0: any
    uint16_t tfc                # outbound: pad inner packets to this length; 0: no
    uint16_t mss                # clamp TCP's MSS to this, both ways; 0: no
    uint16_t selector_count
    replay_t replay
    selector_t* selectors
    # What is read seldom.
    uint64_t sequence_stop      # outbound: the last one that may be sent
    uint64_t sequence_soft
    uint64_t soft_packets
    uint64_t hard_packets
    uint64_t soft_bytes
    uint64_t hard_bytes
    uint8_t local[16]           # outer addresses, network order: transport mode and AH build headers from them
    uint8_t remote[16]
    uint8_t provider            # which of the table's providers
    uint8_t reserved[47]        # to four cache lines

cdef struct counters_t:
    uint64_t packets
    uint64_t bytes              # of inner packets
    uint64_t last               # monotonic nanoseconds of the last packet; 0: never

cdef struct event_t:
    uint32_t slot
    uint16_t kind               # EVENT_*
    uint16_t limit              # LIMIT_*

cdef struct entry_t:
    uint32_t spi                # 0: empty
    uint32_t slot

cdef class Sa:
    """An SA before it has a slot: made by the control thread, adopted by the worker. Wiped unless adopted."""

    cdef sa_t state

cdef class SaTable:
    cdef sa_t* slots
    cdef counters_t* counters
    cdef uint32_t* drops        # [slot][verdict]
    cdef readonly uint32_t capacity
    cdef readonly uint32_t count
    cdef readonly bint inbound
    cdef entry_t* index         # inbound: open addressing, at most half full
    cdef uint32_t index_mask
    cdef uint32_t index_factor
    cdef uint32_t index_shift
    cdef uint32_t fresh         # slots never used begin here
    cdef uint32_t* freed
    cdef uint32_t freed_count
    cdef event_t events[EVENTS_MAX]
    cdef uint32_t event_count
    cdef uint8_t random[RANDOM_BYTES]
    cdef uint32_t random_left
    cdef void* memory           # what `slots` lies in, unaligned
    cdef readonly tuple providers
    cdef object _counters
    cdef object _drops

    # The worker's: neither takes the GIL. `adopt` empties `sa`; NO_SLOT where the table is full or has the SPI already.
    cdef uint32_t adopt(self, sa_t* sa) noexcept nogil
    cdef bint forget(self, uint32_t slot) noexcept nogil

    cdef void insert(self, uint32_t spi, uint32_t slot) noexcept nogil
    cdef void erase(self, uint32_t spi) noexcept nogil
    cdef void reached_limit(self, uint32_t slot) noexcept nogil
    cdef uint32_t drain(self, event_t* events, uint32_t capacity) noexcept nogil
    cdef void expire(self, uint32_t slot, uint16_t limit) noexcept nogil
    cdef bint note(self, uint32_t slot, uint16_t kind, uint16_t limit) noexcept nogil
    cdef void unsay(self, uint32_t slot) noexcept nogil
    cdef bint take_random(self, uint8_t* iv, uint32_t length) noexcept nogil
    cdef sa_t* live(self, uint32_t slot) except NULL


cdef inline uint32_t index_of(SaTable table, uint32_t spi) noexcept nogil:
    return (spi * table.index_factor) >> table.index_shift


cdef inline uint32_t sa_lookup(SaTable table, uint32_t spi) noexcept nogil:
    """Slot of an inbound SPI; NO_SLOT for none of ours. Expected steps: below two."""
    cdef uint32_t at = index_of(table, spi)
    cdef entry_t* entry
    if spi == 0:
        return NO_SLOT
    while True:
        entry = &table.index[at]
        if entry.spi == spi:
            return entry.slot
        if entry.spi == 0:
            return NO_SLOT
        at = (at + 1) & table.index_mask
