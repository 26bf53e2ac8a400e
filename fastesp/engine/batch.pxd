"""A batch: descriptors over one region of memory. The one interface between I/O and the engine.

The region belongs to whoever made the batch (TUN and UDP buffers today, an AF_XDP UMEM tomorrow); the engine
only changes bytes inside it, in place. A packet that is to be sealed has HEADROOM free bytes before it and
TAILROOM behind it: the I/O side that places packets guarantees both.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    # Outer IPv6 40 + UDP 8 + ESP 8 + IV 16 + Ethernet with VLAN 18 = 90, rounded up to two cache lines.
    HEADROOM = 128
    # Pad 255 + pad length and next header 2 + ICV 32 = 289, rounded up.
    TAILROOM = 320
    BATCH_MAX = 256

cdef struct packet_t:
    uint32_t offset     # of the first byte within the region
    uint32_t length     # bytes
    uint16_t verdict    # Verdict; 0 is OK. Whoever sets another one ends the packet's way
    uint8_t family      # 4 or 6, of the packet that the descriptor covers now; 0 where it starts with ESP
    uint8_t tos         # DSCP and ECN: of the outer header (out: to be sent with; in: as received)
    uint32_t sa         # slot in the SA table, set by the engine; 0xffffffff: none
    uint32_t peer       # slot in the batch's peer addresses (inbound: where it came from)
    uint8_t flags       # FLAG_*
    uint8_t reserved[3]
    uint32_t spare

cdef class Batch:
    cdef uint8_t* region
    cdef size_t region_size
    cdef packet_t* packets
    cdef uint32_t count
    cdef uint32_t capacity
    cdef object owner    # keeps the region alive
    cdef object _view    # NumPy's structured view of the descriptors
