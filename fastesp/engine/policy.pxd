"""The SPD of one worker: which policy an outbound flow meets, in a time that does not depend on how many there are.

1. `policy_find` looks the flow up in a cache; an entry counts only if no policy changed since (a generation).
2. On a miss, `search` asks one hash table per pair of prefix lengths in use, best ranks first, and stops as soon as no
   better rank can follow (tuple space search). A selector hangs under the longest prefix that covers its range.
3. A policy with several SAs gives each flow one of them, by the flow's hash; the cache keeps which.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastesp.engine.batch cimport NO_SLOT
from fastesp.engine.hints cimport likely
from fastesp.engine.ip cimport flow_t
from fastesp.engine.selector cimport selector_t

cdef enum:
    POLICY_FREE
    POLICY_PROTECT
    POLICY_TRAP
    POLICY_BYPASS
    POLICY_DISCARD

cdef struct policy_t:
    uint32_t* shared        # several outbound SAs, over which flows are spread (RFC 9611); NULL: `sa` alone
    uint32_t shared_count
    uint32_t sa             # slot of the outbound SA; NO_SLOT: none yet; ELSEWHERE + n: worker n knows
    uint32_t first          # its selectors, linked
    uint8_t action

cdef struct row_t:
    selector_t selector
    uint64_t rank           # lower goes first: priority, then the narrower selector, then the older row
    uint64_t order
    uint64_t hash
    uint32_t policy
    uint32_t group
    uint32_t next           # in its bucket, by rank
    uint32_t sibling        # of the same policy

cdef struct group_t:
    uint64_t best           # no row of it ranks before this
    uint32_t rows
    uint8_t family
    uint8_t local_bits
    uint8_t remote_bits

cdef struct cached_t:
    # All that an outbound packet needs to know: a hit touches this one cache line.
    flow_t flow
    uint32_t generation
    uint32_t policy         # NO_SLOT: none matches
    uint32_t sa
    uint8_t action
    uint8_t reserved[11]

cdef class Policies:
    cdef policy_t* policies
    cdef readonly uint32_t capacity
    cdef readonly uint32_t count
    cdef uint32_t fresh
    cdef uint32_t* freed
    cdef uint32_t freed_count
    cdef row_t* rows
    cdef uint32_t row_capacity
    cdef uint32_t row_fresh
    cdef uint32_t row_freed     # linked by `sibling`
    cdef uint32_t row_count
    cdef uint32_t* buckets
    cdef uint32_t bucket_mask
    cdef group_t* groups
    cdef uint32_t group_count
    cdef uint32_t group_capacity
    cdef uint32_t* group_order  # by best rank
    cdef uint64_t next_order
    cdef cached_t* cache
    cdef void* cache_memory
    cdef uint32_t cache_mask
    cdef uint32_t generation
    cdef uint64_t seed[4]

    # The worker's: none takes the GIL.
    cdef const cached_t* decide(self, const flow_t* flow, uint64_t h) noexcept nogil
    cdef uint32_t insert(
        self, const selector_t* selectors, uint32_t count, uint8_t action, uint64_t priority, uint32_t sa
    ) noexcept nogil
    cdef bint erase(self, uint32_t policy) noexcept nogil
    cdef uint32_t search(self, const flow_t* flow) noexcept nogil

    cdef bint insert_row(self, const selector_t* selector, uint32_t policy, uint64_t priority) noexcept nogil
    cdef void link(self, uint32_t at) noexcept nogil
    cdef void unlink(self, uint32_t at) noexcept nogil
    cdef bint grow_rows(self) noexcept nogil
    cdef uint32_t group_of(self, uint8_t family, uint8_t local_bits, uint8_t remote_bits) noexcept nogil
    cdef bint grow_groups(self) noexcept nogil
    cdef void sort_groups(self) noexcept nogil
    cdef uint64_t bucket_hash(
        self, uint32_t group, uint64_t local_high, uint64_t local_low, uint64_t remote_high, uint64_t remote_low
    ) noexcept nogil
    cdef void changed(self) noexcept nogil
    cdef policy_t* live(self, uint32_t policy) except NULL


cdef inline uint64_t flow_hash(const uint64_t* seed, const flow_t* flow) noexcept nogil:
    """Seeded, so that nobody outside can aim at one cache line."""
    # Put together from the fields: stored one by one a moment ago, they would keep a load across them waiting.
    cdef uint64_t tail = (
        <uint64_t>flow.local_port | <uint64_t>flow.remote_port << 16 | <uint64_t>flow.protocol << 32
        | <uint64_t>flow.family << 40 | <uint64_t>flow.opaque << 48)
    cdef uint64_t h = (flow.local_low ^ seed[0]) * 0x9e3779b97f4a7c15U
    h = (h ^ (h >> 29) ^ flow.remote_low ^ seed[1]) * 0xbf58476d1ce4e5b9U
    h = (h ^ (h >> 32) ^ tail ^ seed[2]) * 0x94d049bb133111ebU
    if flow.family == 6:
        h = (h ^ (h >> 31) ^ flow.local_high) * 0x9e3779b97f4a7c15U
        h = (h ^ (h >> 31) ^ flow.remote_high) * 0xbf58476d1ce4e5b9U
    return h ^ (h >> 32)


cdef inline bint same_flow(const flow_t* a, const flow_t* b) noexcept nogil:
    cdef const uint64_t* x = <const uint64_t*>a
    cdef const uint64_t* y = <const uint64_t*>b
    return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4])) == 0


cdef inline const cached_t* policy_find(Policies spd, const flow_t* flow, uint64_t h) noexcept nogil:
    """What the first policy that matches says. `h` is the flow's hash. Good until the next call."""
    cdef const cached_t* cached = &spd.cache[h & spd.cache_mask]
    if likely(cached.generation == spd.generation and same_flow(&cached.flow, flow), True):
        return cached
    # Two ways: the other half of the pair.
    cached = &spd.cache[(h & spd.cache_mask) ^ 1]
    if cached.generation == spd.generation and same_flow(&cached.flow, flow):
        return cached
    return spd.decide(flow, h)
