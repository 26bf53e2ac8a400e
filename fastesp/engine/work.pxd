"""One packet on its way through a burst, and how many a burst has."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastesp.engine.batch cimport FLAG_DUMMY, Batch, packet_t
from fastesp.engine.ecn cimport ECN_MASK
from fastesp.engine.ip cimport flow_t, ip_t
from fastesp.engine.sa cimport SA_COPY_DSCP, SA_COPY_ECN, sa_t

cdef enum:
    BURST = 32
    ESP_HEADER = 8
    # Pad length and next header.
    TRAILER = 2


cdef struct work_t:
    packet_t* packet
    sa_t* sa
    uint32_t slot
    uint32_t inner      # bytes of the inner packet
    uint32_t spi        # in: as received
    uint64_t hash       # out: of the flow
    uint64_t sequence
    ip_t ip
    flow_t flow


cdef inline bint within_region(Batch batch, const packet_t* p) noexcept nogil:
    return <size_t>p.offset + p.length <= batch.region_size


cdef inline uint8_t outer_tos(const work_t* w) noexcept nogil:
    """DSCP and ECN to send with (RFC 4301 section 5.1.2.1, RFC 6040 section 4.1); a dummy has none of its own."""
    cdef uint8_t inner = 0 if w.packet.flags & FLAG_DUMMY else w.ip.tos
    cdef uint8_t tos = inner & ~ECN_MASK if w.sa.flags & SA_COPY_DSCP else w.sa.tos
    if w.sa.flags & SA_COPY_ECN:
        tos |= inner & ECN_MASK
    return tos
