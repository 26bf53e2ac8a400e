"""The engine as I/O sees it from C. Call it from the worker that owns it, without the GIL.

    engine.encapsulate(batch, now)   # IP packets -> ESP; verdicts, `sa` and `tos` in the descriptors
    engine.decapsulate(batch, now)   # ESP -> IP packets
    engine.drain(events, capacity, inbound)
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastesp.engine.batch cimport Batch
from fastesp.engine.policy cimport Policies
from fastesp.engine.sa cimport SaTable, event_t
from fastesp.engine.verdict cimport VERDICT_COUNT


cdef enum:
    # Where time goes, by direction: out in the order of a packet, then in.
    STAGE_CLASSIFY
    STAGE_WRAP
    STAGE_SEAL
    STAGE_SENT
    STAGE_LOOKUP
    STAGE_ADMIT
    STAGE_OPEN
    STAGE_UNWRAP
    STAGE_COUNT

cdef class Engine:
    cdef readonly SaTable inbound
    cdef readonly SaTable outbound
    cdef readonly Policies policies
    cdef uint64_t* verdicts_in      # [verdict], owned by the NumPy arrays below
    cdef uint64_t* verdicts_out
    cdef object _verdicts_in
    cdef object _verdicts_out
    cdef bint timed                 # whether `stages` is kept
    cdef uint64_t stages[STAGE_COUNT]

    # Both return how many packets of the batch go on (verdict OK). `now` in monotonic nanoseconds. Packets that come
    # with another verdict than OK are left alone and not counted.
    cpdef uint32_t encapsulate(self, Batch batch, uint64_t now) noexcept nogil
    cpdef uint32_t decapsulate(self, Batch batch, uint64_t now) noexcept nogil
    # Soft and hard limits reached since the last call; false in `inbound` for outbound SAs. Returns their number.
    cdef uint32_t drain(self, event_t* events, uint32_t capacity, bint inbound) noexcept nogil
