"""The SPD: adding, searching and removing policies. How a packet finds its policy is told in policy.pxd.

All memory but the rows' and the groups' is reserved at the start; adding or removing a policy costs the same however
many there are, so that it can happen between two batches.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from fastesp.engine.selector cimport selector_matches, selector_read, selector_t

import secrets

cdef enum:
    SPECIFICITY_BITS = 10
    SPECIFICITY_MAX = (1 << SPECIFICITY_BITS) - 1

cdef uint64_t NO_RANK = 0xffffffffffffffffU
cdef uint64_t PRIORITY_MAX = (1 << 48) - 1

ACTIONS = {"protect": POLICY_PROTECT, "trap": POLICY_TRAP, "bypass": POLICY_BYPASS, "discard": POLICY_DISCARD}


cdef class Policies:
    """Ordered policies over one worker's outbound traffic.

    ``capacity`` policies at most; ``flows`` (a power of two) is the size of the cache in front. Lower ``priority`` goes
    first; among equals the narrower selector, then the older policy. ``seed``: four numbers of 64 bits for the flows'
    hashes; tables of several workers have the same, so that they agree on which of several SAs a flow has.
    """

    def __cinit__(self, uint32_t capacity, uint32_t flows, tuple seed=None):
        cdef uint32_t at
        if not 0 < capacity <= 1 << 24:
            raise ValueError(f"a policy table holds 1 to {1 << 24} policies, not {capacity}")
        if flows < 2 or flows & (flows - 1):
            raise ValueError(f"the flow cache's size is a power of two, not {flows}")
        if seed is not None and len(seed) != 4:
            raise ValueError(f"a seed has four numbers, not {len(seed)}")
        self.capacity = capacity
        self.policies = <policy_t*>calloc(capacity, sizeof(policy_t))
        self.freed = <uint32_t*>calloc(capacity, sizeof(uint32_t))
        self.cache_memory = calloc(flows + 1, sizeof(cached_t))
        if self.policies == NULL or self.freed == NULL or self.cache_memory == NULL:
            raise MemoryError(f"no memory for {capacity} policies and {flows} flows")
        self.cache = <cached_t*>((<uintptr_t>self.cache_memory + 63) & ~<uintptr_t>63)
        self.cache_mask = flows - 1
        self.generation = 1
        self.row_freed = NO_SLOT
        for at in range(4):
            self.seed[at] = secrets.randbits(64) if seed is None else seed[at]
        if not self.grow_rows():
            raise MemoryError("no memory for policies")

    def __dealloc__(self):
        cdef uint32_t at
        if self.policies != NULL:
            for at in range(self.fresh):
                free(self.policies[at].shared)
        free(self.policies)
        free(self.freed)
        free(self.rows)
        free(self.buckets)
        free(self.groups)
        free(self.group_order)
        free(self.cache_memory)

    # ---- adding ------------------------------------------------------------------------------------------------

    def add(self, object selectors, object action, *, uint64_t priority=0, uint32_t sa=NO_SLOT):
        """A policy for any of ``selectors``; returns its slot.

        ``action`` is a :class:`fastesp.dataplane.base.PolicyAction` or its value. Raises :class:`ValueError` for bad
        values, :class:`MemoryError` where there is no room.
        """
        values = tuple(selectors)
        if not values:
            raise ValueError("a policy needs at least one selector")
        if priority > PRIORITY_MAX:
            raise ValueError(f"a policy's priority is at most {PRIORITY_MAX}, not {priority}")
        cdef uint32_t slot
        cdef size_t at
        cdef uint8_t number = action_number(action)
        cdef selector_t* read = <selector_t*>calloc(len(values), sizeof(selector_t))
        if read == NULL:
            raise MemoryError("no memory for selectors")
        try:
            for at, value in enumerate(values):
                selector_read(value, &read[at])
            slot = self.insert(read, <uint32_t>len(values), number, priority, sa)
        finally:
            free(read)
        if slot == NO_SLOT:
            raise MemoryError(f"no room for another policy: {self.count} of {self.capacity} are in use")
        return slot

    cdef uint32_t insert(
        self, const selector_t* selectors, uint32_t count, uint8_t action, uint64_t priority, uint32_t sa
    ) noexcept nogil:
        """The worker's way of adding. NO_SLOT: no room."""
        cdef uint32_t slot, at
        if self.count == self.capacity:
            return NO_SLOT
        if self.freed_count:
            self.freed_count -= 1
            slot = self.freed[self.freed_count]
        else:
            slot = self.fresh
            self.fresh += 1
        self.policies[slot].action = action
        self.policies[slot].shared = NULL
        self.policies[slot].sa = sa
        self.policies[slot].first = NO_SLOT
        self.count += 1
        for at in range(count):
            if not self.insert_row(&selectors[at], slot, priority):
                self.erase(slot)
                return NO_SLOT
        self.changed()
        return slot

    cdef bint insert_row(self, const selector_t* selector, uint32_t policy, uint64_t priority) noexcept nogil:
        cdef uint8_t local_bits = common_bits(
            selector.family, selector.local_start_high, selector.local_start_low,
            selector.local_end_high, selector.local_end_low)
        cdef uint8_t remote_bits = common_bits(
            selector.family, selector.remote_start_high, selector.remote_start_low,
            selector.remote_end_high, selector.remote_end_low)
        cdef uint32_t group, at
        cdef row_t* row
        if self.row_freed == NO_SLOT and self.row_fresh == self.row_capacity and not self.grow_rows():
            return False
        group = self.group_of(selector.family, local_bits, remote_bits)
        if group == NO_SLOT:
            return False
        if self.row_freed != NO_SLOT:
            at = self.row_freed
            self.row_freed = self.rows[at].sibling
        else:
            at = self.row_fresh
            self.row_fresh += 1
        row = &self.rows[at]
        row.selector = selector[0]
        row.rank = priority << SPECIFICITY_BITS | (SPECIFICITY_MAX - specificity(selector, local_bits, remote_bits))
        row.order = self.next_order
        self.next_order += 1
        row.policy = policy
        row.group = group
        row.hash = self.bucket_hash(
            group, selector.local_start_high, selector.local_start_low,
            selector.remote_start_high, selector.remote_start_low)
        row.sibling = self.policies[policy].first
        self.policies[policy].first = at
        self.row_count += 1
        self.link(at)
        self.groups[group].rows += 1
        if row.rank < self.groups[group].best:
            self.groups[group].best = row.rank
            self.sort_groups()
        return True

    cdef void link(self, uint32_t at) noexcept nogil:
        """Into its bucket, behind all that rank before it."""
        cdef row_t* row = &self.rows[at]
        cdef uint32_t* link = &self.buckets[row.hash & self.bucket_mask]
        while link[0] != NO_SLOT and not before(row, &self.rows[link[0]]):
            link = &self.rows[link[0]].next
        row.next = link[0]
        link[0] = at

    cdef bint grow_rows(self) noexcept nogil:
        """Twice the rows, and as many buckets."""
        cdef uint32_t capacity = self.row_capacity * 2 if self.row_capacity else 64
        cdef row_t* rows = <row_t*>realloc(self.rows, capacity * sizeof(row_t))
        cdef uint32_t* buckets
        cdef uint32_t at
        cdef uint32_t policy
        if rows == NULL:
            return False
        self.rows = rows
        buckets = <uint32_t*>realloc(self.buckets, capacity * sizeof(uint32_t))
        if buckets == NULL:
            return False
        self.buckets = buckets
        self.row_capacity = capacity
        self.bucket_mask = capacity - 1
        memset(buckets, 0xff, capacity * sizeof(uint32_t))
        for policy in range(self.fresh):
            at = self.policies[policy].first if self.policies[policy].action != POLICY_FREE else NO_SLOT
            while at != NO_SLOT:
                self.link(at)
                at = self.rows[at].sibling
        return True

    cdef uint32_t group_of(self, uint8_t family, uint8_t local_bits, uint8_t remote_bits) noexcept nogil:
        """Index of the group, made where there is none; an empty one may be taken over."""
        cdef uint32_t at
        cdef uint32_t empty = NO_SLOT
        cdef group_t* group
        for at in range(self.group_count):
            group = &self.groups[at]
            if group.family == family and group.local_bits == local_bits and group.remote_bits == remote_bits:
                return at
            if group.rows == 0:
                empty = at
        if empty == NO_SLOT:
            if self.group_count == self.group_capacity and not self.grow_groups():
                return NO_SLOT
            empty = self.group_count
            self.group_order[empty] = empty
            self.group_count += 1
        group = &self.groups[empty]
        group.family = family
        group.local_bits = local_bits
        group.remote_bits = remote_bits
        group.rows = 0
        group.best = NO_RANK
        return empty

    cdef bint grow_groups(self) noexcept nogil:
        cdef uint32_t capacity = self.group_capacity * 2 if self.group_capacity else 16
        cdef group_t* groups = <group_t*>realloc(self.groups, capacity * sizeof(group_t))
        cdef uint32_t* order
        if groups == NULL:
            return False
        self.groups = groups
        order = <uint32_t*>realloc(self.group_order, capacity * sizeof(uint32_t))
        if order == NULL:
            return False
        self.group_order = order
        self.group_capacity = capacity
        return True

    cdef void sort_groups(self) noexcept nogil:
        """By best rank; they are nearly in order, so insertion is quick."""
        cdef uint32_t at, back, moved
        for at in range(1, self.group_count):
            moved = self.group_order[at]
            back = at
            while back > 0 and self.groups[self.group_order[back - 1]].best > self.groups[moved].best:
                self.group_order[back] = self.group_order[back - 1]
                back -= 1
            self.group_order[back] = moved

    # ---- searching ---------------------------------------------------------------------------------------------

    cdef const cached_t* decide(self, const flow_t* flow, uint64_t h) noexcept nogil:
        """Search the tables, and cache what they say in one half of the flow's pair, taken by chance."""
        cdef uint64_t half = h >> 40 & 1
        cdef cached_t* cached = &self.cache[(h & self.cache_mask) ^ half]
        cached.flow = flow[0]
        cached.policy = self.search(flow)
        cached.sa = NO_SLOT
        cached.action = POLICY_FREE
        if cached.policy != NO_SLOT:
            cached.sa = sa_for(&self.policies[cached.policy], h)
            cached.action = self.policies[cached.policy].action
        cached.generation = self.generation
        return cached

    cdef uint32_t search(self, const flow_t* flow) noexcept nogil:
        """Past the cache: the best row over all groups whose best rank can still win."""
        cdef const row_t* best = NULL
        cdef const row_t* row
        cdef const group_t* group
        cdef uint32_t at, number, next_row
        cdef uint64_t h
        for at in range(self.group_count):
            number = self.group_order[at]
            group = &self.groups[number]
            if best != NULL and group.best > best.rank:
                break
            if group.family != flow.family or group.rows == 0:
                continue
            h = self.bucket_hash(number, flow.local_high, flow.local_low, flow.remote_high, flow.remote_low)
            next_row = self.buckets[h & self.bucket_mask]
            while next_row != NO_SLOT:
                row = &self.rows[next_row]
                if best != NULL and not before(row, best):
                    break
                if row.hash == h and selector_matches(&row.selector, flow):
                    best = row
                    break
                next_row = row.next
        return NO_SLOT if best == NULL else best.policy

    cdef uint64_t bucket_hash(
        self, uint32_t group, uint64_t local_high, uint64_t local_low, uint64_t remote_high, uint64_t remote_low
    ) noexcept nogil:
        """Of a pair of addresses, cut to the group's prefix lengths."""
        cdef const group_t* g = &self.groups[group]
        cdef uint32_t skip = 96 if g.family == 4 else 0
        cdef flow_t cut
        cut.local_high = local_high & mask_high(g.local_bits + skip)
        cut.local_low = local_low & mask_low(g.local_bits + skip)
        cut.remote_high = remote_high & mask_high(g.remote_bits + skip)
        cut.remote_low = remote_low & mask_low(g.remote_bits + skip)
        cut.local_port = <uint16_t>group
        cut.remote_port = <uint16_t>(group >> 16)
        cut.protocol = 0
        cut.family = g.family
        cut.opaque = 0
        cut.zero = 0
        return flow_hash(self.seed, &cut)

    def match(self, int family, object local, object remote, int protocol=0, int local_port=0, int remote_port=0,
              bint opaque=False):
        """Slot of the policy that a flow meets, or None; by the cache, as a packet finds it."""
        cdef flow_t flow
        cdef uint32_t found
        flow.local_high = int(local) >> 64
        flow.local_low = int(local) & 0xffffffffffffffff
        flow.remote_high = int(remote) >> 64
        flow.remote_low = int(remote) & 0xffffffffffffffff
        flow.local_port = local_port
        flow.remote_port = remote_port
        flow.protocol = protocol
        flow.family = family
        flow.opaque = opaque
        flow.zero = 0
        found = policy_find(self, &flow, flow_hash(self.seed, &flow)).policy
        return None if found == NO_SLOT else found

    # ---- changing and removing ---------------------------------------------------------------------------------

    def change(self, uint32_t policy, *, object action=None, object sa=None):
        """Another action or another SA (:data:`fastesp.engine.NO_SLOT`: none), from the next packet on."""
        cdef policy_t* p = self.live(policy)
        cdef uint8_t number = p.action if action is None else action_number(action)
        if sa is not None:
            p.sa = sa
            free(p.shared)
            p.shared = NULL
        p.action = number
        self.changed()

    def share(self, uint32_t policy, object sas):
        """Spread its flows over several SAs from the next packet on; a flow keeps to its own as long as these stay.

        Raises :class:`ValueError` for none at all, :class:`MemoryError` where there is no room.
        """
        cdef policy_t* p = self.live(policy)
        cdef size_t at
        slots = tuple(sas)
        if not slots:
            raise ValueError("flows are spread over one SA at least")
        cdef uint32_t* shared = <uint32_t*>calloc(len(slots), sizeof(uint32_t))
        if shared == NULL:
            raise MemoryError(f"no memory for {len(slots)} SAs of a policy")
        try:
            for at, slot in enumerate(slots):
                shared[at] = slot
        except BaseException:
            free(shared)
            raise
        free(p.shared)
        p.shared = shared
        p.shared_count = <uint32_t>len(slots)
        p.sa = shared[0]
        self.changed()

    def sas_of(self, uint32_t policy):
        """The outbound SAs that a policy sends on."""
        cdef policy_t* p = self.live(policy)
        cdef size_t at
        if p.shared != NULL:
            return tuple(p.shared[at] for at in range(p.shared_count))
        return () if p.sa == NO_SLOT else (p.sa,)

    def sa_of(self, uint32_t policy):
        """The outbound SA a policy sends on, the first of several, or None."""
        cdef uint32_t sa = self.live(policy).sa
        return None if sa == NO_SLOT else sa

    def remove(self, uint32_t policy):
        """Raises :class:`KeyError` for no such policy."""
        self.live(policy)
        self.erase(policy)

    cdef policy_t* live(self, uint32_t policy) except NULL:
        if policy >= self.fresh or self.policies[policy].action == POLICY_FREE:
            raise KeyError(f"no policy in slot {policy}")
        return &self.policies[policy]

    cdef bint erase(self, uint32_t policy) noexcept nogil:
        """False where the slot holds no policy."""
        cdef uint32_t at, following
        if policy >= self.fresh or self.policies[policy].action == POLICY_FREE:
            return False
        at = self.policies[policy].first
        while at != NO_SLOT:
            following = self.rows[at].sibling
            self.unlink(at)
            self.groups[self.rows[at].group].rows -= 1
            self.rows[at].sibling = self.row_freed
            self.row_freed = at
            self.row_count -= 1
            at = following
        self.policies[policy].action = POLICY_FREE
        self.policies[policy].sa = NO_SLOT
        free(self.policies[policy].shared)
        self.policies[policy].shared = NULL
        self.freed[self.freed_count] = policy
        self.freed_count += 1
        self.count -= 1
        self.changed()
        return True

    cdef void unlink(self, uint32_t at) noexcept nogil:
        cdef uint32_t* link = &self.buckets[self.rows[at].hash & self.bucket_mask]
        while link[0] != at:
            link = &self.rows[link[0]].next
        link[0] = self.rows[at].next

    cdef void changed(self) noexcept nogil:
        """What the cache holds is of another generation from now on."""
        self.generation += 1
        if self.generation == 0:
            memset(self.cache, 0, (<size_t>self.cache_mask + 1) * sizeof(cached_t))
            self.generation = 1


cdef inline uint32_t sa_for(const policy_t* p, uint64_t h) noexcept nogil:
    """Mixed once more: ports that follow each other give hashes that do, which would leave some SAs out."""
    cdef uint64_t mixed = (h ^ h >> 29) * 0x9e3779b97f4a7c15U
    return p.sa if p.shared == NULL else p.shared[(mixed >> 32) * p.shared_count >> 32]


cdef inline bint before(const row_t* a, const row_t* b) noexcept nogil:
    return a.rank < b.rank or (a.rank == b.rank and a.order < b.order)


cdef uint32_t specificity(const selector_t* s, uint8_t local_bits, uint8_t remote_bits) noexcept nogil:
    """Narrower selectors score higher: prefixes first, then ports, then protocol. At most SPECIFICITY_MAX."""
    cdef uint32_t score = (<uint32_t>local_bits + remote_bits) * 3
    if s.local_port_start != 0 or s.local_port_end != 65535:
        score += 1
    if s.remote_port_start != 0 or s.remote_port_end != 65535:
        score += 1
    if s.protocol != 0:
        score += 1
    return score


cdef uint8_t common_bits(uint8_t family, uint64_t start_high, uint64_t start_low,
                         uint64_t end_high, uint64_t end_low) noexcept nogil:
    """Length of the longest prefix that covers a range."""
    cdef uint8_t bits = 0
    cdef uint64_t high = start_high ^ end_high
    cdef uint64_t low = start_low ^ end_low
    while bits < 64 and not high >> (63 - bits) & 1:
        bits += 1
    if bits == 64:
        while bits < 128 and not low >> (127 - bits) & 1:
            bits += 1
    return bits - 96 if family == 4 else bits


cdef inline uint64_t mask_high(uint32_t bits) noexcept nogil:
    return 0 if bits == 0 else 0xffffffffffffffffU if bits >= 64 else ~(<uint64_t>0xffffffffffffffffU >> bits)


cdef inline uint64_t mask_low(uint32_t bits) noexcept nogil:
    return 0 if bits <= 64 else 0xffffffffffffffffU if bits >= 128 else ~(<uint64_t>0xffffffffffffffffU >> (bits - 64))


cdef uint8_t action_number(object action) except 0:
    name = getattr(action, "value", action)
    if name not in ACTIONS:
        raise ValueError(f"unknown policy action {name!r} (known: {', '.join(ACTIONS)})")
    return ACTIONS[name]
