"""A batch: descriptors over one region of memory. The one interface between I/O and the engine.

The region belongs to whoever made the batch (TUN and UDP buffers today, an AF_XDP UMEM tomorrow); the engine
only changes bytes inside it, in place. A packet that is to be sealed has HEADROOM free bytes before it and
TAILROOM behind it: the I/O side that places packets guarantees both.

Out: a descriptor covers a packet from its IP header on; sealed, it covers what follows the outer IP (and UDP)
header: the ESP header to the end of the ICV. In: from the ESP header on; opened, the inner packet from its IP
header on. AH authenticates the outer IP header too, so there FLAG_OUTER is set and the descriptor covers it.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    # Outer IPv6 40 + UDP 8 + ESP 8 + IV 16 + Ethernet with VLAN 18 = 90, rounded up to two cache lines.
    HEADROOM = 128
    # Pad 255 + pad length and next header 2 + ICV 32 = 289, rounded up.
    TAILROOM = 320
    BATCH_MAX = 256
    NO_SLOT = 0xffffffff
    # As a policy's SA, ELSEWHERE + n says that worker n has it (at most WORKERS_MAX workers).
    ELSEWHERE = 0xffffff00
    WORKERS_MAX = 64

cdef enum:
    FLAG_DF = 1         # out, set by the engine: the outer IPv4 header is to say "do not fragment"
    FLAG_DUMMY = 2      # out, set by the caller beside `sa`: no packet, but a dummy for that SA (RFC 4303 section 2.6)
    FLAG_OUTER = 4      # the descriptor covers the outer IP header too (AH: out set by the engine, in by the caller)

cdef struct packet_t:
    uint32_t offset     # of the first byte within the region
    uint32_t length     # bytes
    uint16_t verdict    # Verdict; 0 is OK. Whoever sets another one ends the packet's way
    uint8_t family      # 4 or 6, of the packet that the descriptor covers now; 0 where it starts with ESP
    uint8_t tos         # DSCP and ECN: of the outer header (out: to be sent with; in: as received)
    uint32_t sa         # slot in the SA table of its direction, set by the engine; NO_SLOT: none; ELSEWHERE + worker
    uint32_t peer       # slot in the batch's peer addresses (inbound: where it came from)
    uint8_t flags       # FLAG_*
    uint8_t reserved
    uint16_t room       # free bytes behind the packet, where more than TAILROOM (for TFC padding); 0: TAILROOM
    uint32_t policy     # out: slot of the policy it met (ACQUIRE: whom to ask for), set by the engine; NO_SLOT: none

cdef class Batch:
    cdef uint8_t* region
    cdef size_t region_size
    cdef packet_t* packets
    cdef readonly uint32_t capacity
    cdef public uint32_t count
    cdef object owner    # keeps the region alive
    cdef object _view    # NumPy's structured array: owns the descriptors' memory

cdef Batch batch_over(uint8_t* region, size_t size, uint32_t capacity, object owner)
