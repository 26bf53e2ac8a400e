"""ESP and AH: a batch's way through the engine, both ways, in bursts that fit the first-level cache.

Out (RFC 4303 section 3.3):
1. `classify`    read the IP header; what does not parse ends here
2. `find_policy` flow -> policy -> outbound SA
3. `prepare`     sequence number, IV, padding and trailer, in place around the packet (wrap.pxd)
4. seal          neighbouring jobs of one provider in one call
5. `sealed`      descriptor, counters, limits

In (RFC 4303 section 3.4):
1. `read_spi`    SPI -> SA
2. `admit`       lengths, replay check; nothing is believed yet
3. open
4. `opened`      replay window; trailer, inner header, selectors, ECN (unwrap.pxd); descriptor, counters, limits

Each step walks the whole burst before the next begins, so that memory asked for in one step is there in the next.
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastesp.engine.aead cimport job_t, run_t
from fastesp.engine.ah cimport AH_FIXED, ah_conceal, ah_find, ah_length, ah_restore, ah_t
from fastesp.engine.batch cimport ELSEWHERE, FLAG_DF, FLAG_DUMMY, FLAG_OUTER, NO_SLOT, Batch, packet_t
from fastesp.engine.clock cimport monotonic_ns
from fastesp.engine.hints cimport load32, prefetch, prefetch_write
from fastesp.engine.ip cimport ip_parse, tos_of
from fastesp.engine.mss cimport clamp_mss
from fastesp.engine.policy cimport (
    POLICY_BYPASS, POLICY_DISCARD, POLICY_FREE, POLICY_TRAP, Policies, cached_t, flow_hash, policy_find)
from fastesp.engine.replay cimport replay_check, replay_infer, replay_update
from fastesp.engine.sa cimport *
from fastesp.engine.unwrap cimport unwrap_ah, unwrap_esp
from fastesp.engine.verdict cimport *
from fastesp.engine.work cimport BURST, ESP_HEADER, TRAILER, outer_tos, within_region, work_t
from fastesp.engine.wrap cimport wrap_ah, wrap_esp

import numpy as np

from fastesp.engine.providers import open_providers


@cython.final
cdef class Engine:
    """SA tables, policies and counters of one worker, and both ways through them.

    ``provider`` is ``auto``, ``ipsec-mb`` or ``openssl``; a name alone never falls back. Memory is reserved for
    ``max_sas`` SAs each way and ``max_policies`` policies, but taken only as they come; ``flows`` (a power of two) is
    the size of the cache of policy decisions, ``seed`` that of :class:`Policies`. Each half, out and in, belongs to one
    thread at a time.
    """

    def __cinit__(
        self, *, str provider="auto", uint32_t max_sas=131072, uint32_t max_policies=16384, uint32_t flows=65536,
        tuple seed=None
    ):
        cdef uint64_t[::1] counters
        self.inbound = SaTable(max_sas, True, open_providers(provider))
        self.outbound = SaTable(max_sas, False, open_providers(provider))
        self.policies = Policies(max_policies, flows, seed)
        self._verdicts_in = np.zeros(VERDICT_COUNT, np.uint64)
        self._verdicts_out = np.zeros(VERDICT_COUNT, np.uint64)
        counters = self._verdicts_in
        self.verdicts_in = &counters[0]
        counters = self._verdicts_out
        self.verdicts_out = &counters[0]

    cpdef uint32_t encapsulate(self, Batch batch, uint64_t now) noexcept nogil:
        """IP packets into ESP, in place. ``now``: monotonic nanoseconds. Returns how many go on."""
        cdef uint32_t count = min(batch.count, batch.capacity)
        cdef uint32_t start = 0
        cdef uint32_t passed = 0
        while start < count:
            passed += encapsulate_burst(self, batch, start, min(count - start, <uint32_t>BURST), now)
            start += BURST
        return passed

    cpdef uint32_t decapsulate(self, Batch batch, uint64_t now) noexcept nogil:
        """ESP into IP packets, in place. ``now``: monotonic nanoseconds. Returns how many go on."""
        cdef uint32_t count = min(batch.count, batch.capacity)
        cdef uint32_t start = 0
        cdef uint32_t passed = 0
        while start < count:
            passed += decapsulate_burst(self, batch, start, min(count - start, <uint32_t>BURST), now)
            start += BURST
        return passed

    # ---- events and counters -----------------------------------------------------------------------------------

    cdef uint32_t drain(self, event_t* events, uint32_t capacity, bint inbound) noexcept nogil:
        if inbound:
            return self.inbound.drain(events, capacity)
        return self.outbound.drain(events, capacity)

    def events(self):
        """Limits reached since the last call: direction, slot, ``soft`` or ``hard``, and what of: ``bytes``,
        ``packets`` or ``sequence``."""
        cdef event_t drained[EVENTS_MAX]
        cdef uint32_t count, at
        found = []
        for direction in ("in", "out"):
            count = self.drain(drained, EVENTS_MAX, direction == "in")
            for at in range(count):
                kind = "soft" if drained[at].kind == EVENT_SOFT else "hard"
                found.append((direction, drained[at].slot, kind, LIMITS[drained[at].limit]))
        return found

    @property
    def verdicts(self):
        """Packets by :class:`Verdict`, inbound and outbound: two read-only arrays, without a copy."""
        views = self._verdicts_in.view(), self._verdicts_out.view()
        for view in views:
            view.flags.writeable = False
        return views

    @property
    def provider(self):
        """The crypto provider asked first; :meth:`SaTable.provider_of` names the one an SA got."""
        return self.outbound.providers[0].name

    def time_stages(self, bint on=True):
        """Keep :attr:`stages` from now on, from zero: costs a few nanoseconds a packet."""
        memset(self.stages, 0, sizeof(self.stages))
        self.timed = on

    @property
    def stages(self):
        """Nanoseconds by stage since :meth:`time_stages`: out ``classify`` (and policy), ``wrap``, ``seal``, ``sent``;
        in ``lookup``, ``admit``, ``open``, ``unwrap``."""
        return {name: self.stages[at] for at, name in enumerate(STAGES)}

    # ---- for the thread that owns the engine, or where there is no other ----------------------------------------

    def install_outbound(self, spi, suite, key, integrity_key=None, *, epoch, **options):
        """A new outbound SA; returns its slot. Nothing is sent on it before a policy says so.

        Options: :meth:`SaTable.prepare`.
        """
        return self.outbound.add(self.outbound.prepare(spi, suite, key, integrity_key, epoch=epoch, **options))

    def install_inbound(self, spi, suite, key, integrity_key=None, *, selectors, **options):
        """A new inbound SA; returns its slot.

        Options: :meth:`SaTable.prepare`; the DSCP stays the inner packet's by default.
        """
        options.setdefault("copy_dscp", False)
        return self.inbound.add(self.inbound.prepare(spi, suite, key, integrity_key, selectors=selectors, **options))

    def retire_outbound(self, slot):
        """Send no more on it. Raises :class:`KeyError` for no such SA."""
        self.outbound.retire(slot)

    def remove_outbound(self, slot):
        """Wipe it. A policy that names it has to be changed first. Raises :class:`KeyError` for no such SA."""
        self.outbound.remove(slot)

    def remove_inbound(self, slot):
        """Wipe it. Raises :class:`KeyError` for no such SA."""
        self.inbound.remove(slot)

    def add_policy(self, selectors, action, *, priority=0, sa=<uint32_t>NO_SLOT):
        """A policy; returns its slot (:meth:`Policies.add`)."""
        return self.policies.add(selectors, action, priority=priority, sa=sa)

    def change_policy(self, policy, *, action=None, sa=None):
        """Another action or SA, from the next packet on (:meth:`Policies.change`); ``ELSEWHERE + n``: one of worker n's."""
        self.policies.change(policy, action=action, sa=sa)

    def share_policy(self, policy, sas):
        """Spread its flows over several SAs (:meth:`Policies.share`)."""
        self.policies.share(policy, sas)

    def remove_policy(self, policy):
        """Raises :class:`KeyError` for no such policy."""
        self.policies.remove(policy)

    def close(self):
        """Wipe all SAs now rather than when the engine is collected."""
        self.inbound.clear()
        self.outbound.clear()


STAGES = ("classify", "wrap", "seal", "sent", "lookup", "admit", "open", "unwrap")
LIMITS = {LIMIT_BYTES: "bytes", LIMIT_PACKETS: "packets", LIMIT_SEQUENCE: "sequence"}


# ---- out -----------------------------------------------------------------------------------------------------------


cdef uint32_t encapsulate_burst(
    Engine engine, Batch batch, uint32_t start, uint32_t count, uint64_t now) noexcept nogil:
    cdef work_t work[BURST]
    cdef job_t jobs[BURST]
    cdef ah_t ah[BURST]
    cdef uint64_t clock = stage_begin(engine)
    cdef uint32_t live = classify(engine, batch, start, count, work)
    live = find_policy(engine, work, live)
    stage_end(engine, STAGE_CLASSIFY, &clock)
    live = prepare(engine, batch, work, jobs, ah, live)
    stage_end(engine, STAGE_WRAP, &clock)
    run_jobs(work, jobs, live)
    stage_end(engine, STAGE_SEAL, &clock)
    live = sealed(engine, batch, work, jobs, ah, live, now)
    stage_end(engine, STAGE_SENT, &clock)
    return live


cdef inline uint32_t classify(Engine engine, Batch batch, uint32_t start, uint32_t count, work_t* work) noexcept nogil:
    cdef uint32_t i
    cdef uint32_t live = 0
    cdef packet_t* p
    cdef work_t* w
    for i in range(start, start + count):
        prefetch(batch.region + batch.packets[i].offset)
    for i in range(start, start + count):
        p = &batch.packets[i]
        if p.verdict != VERDICT_OK:
            continue
        w = &work[live]
        w.packet = p
        w.sa = NULL
        if not within_region(batch, p):
            drop_out(engine, w, VERDICT_BAD_LENGTH)
        elif p.flags & FLAG_DUMMY:
            w.slot = p.sa
            w.inner = p.length
            live += 1
        elif not ip_parse(batch.region + p.offset, p.length, True, &w.ip, &w.flow):
            drop_out(engine, w, VERDICT_BAD_LENGTH)
        else:
            w.inner = w.ip.length
            w.hash = flow_hash(engine.policies.seed, &w.flow)
            prefetch(&engine.policies.cache[w.hash & engine.policies.cache_mask])
            live += 1
    return live


cdef inline uint32_t find_policy(Engine engine, work_t* work, uint32_t count) noexcept nogil:
    cdef uint32_t i
    cdef uint32_t live = 0
    cdef work_t* w
    cdef uint32_t last = NO_SLOT
    cdef const cached_t* found
    for i in range(count):
        w = &work[live]
        if i != live:
            w[0] = work[i]
        if not w.packet.flags & FLAG_DUMMY:
            found = policy_find(engine.policies, &w.flow, w.hash)
            w.packet.policy = found.policy
            w.slot = found.sa
            if found.sa == NO_SLOT or found.action == POLICY_BYPASS or found.action == POLICY_DISCARD:
                drop_out(engine, w, verdict_without_sa(found.action))
                continue
        if w.slot >= engine.outbound.fresh:
            w.packet.sa = w.slot
            drop_out(engine, w, VERDICT_ELSEWHERE if w.slot >= ELSEWHERE else VERDICT_NO_SA)
            continue
        w.sa = &engine.outbound.slots[w.slot]
        if w.slot != last:
            last = w.slot
            prefetch_sa(engine.outbound, last)
        live += 1
    prefetch_contexts(work, live)
    return live


cdef inline int verdict_without_sa(uint8_t action) noexcept nogil:
    if action == POLICY_FREE:
        return VERDICT_NO_POLICY
    if action == POLICY_BYPASS:
        return VERDICT_BYPASS
    if action == POLICY_DISCARD:
        return VERDICT_DISCARD
    return VERDICT_ACQUIRE if action == POLICY_TRAP else VERDICT_NO_SA


cdef inline uint32_t prepare(
    Engine engine, Batch batch, work_t* work, job_t* jobs, ah_t* ah, uint32_t count) noexcept nogil:
    cdef uint32_t i
    cdef uint32_t live = 0
    cdef int verdict
    cdef work_t* w
    for i in range(count):
        w = &work[live]
        if i != live:
            w[0] = work[i]
        verdict = admit_out(engine, w)
        if verdict == VERDICT_OK:
            if w.sa.mss != 0 and not w.packet.flags & FLAG_DUMMY:
                clamp_mss(batch.region + w.packet.offset, &w.ip, &w.flow, w.sa.mss)
            if w.sa.flags & SA_AH:
                verdict = wrap_ah(batch, w, &jobs[live], &ah[live])
            else:
                verdict = wrap_esp(batch, engine.outbound, w, &jobs[live])
        if verdict == VERDICT_OK:
            live += 1
        else:
            drop_out(engine, w, verdict)
    return live


cdef inline int admit_out(Engine engine, work_t* w) noexcept nogil:
    """Whether the SA still sends, and this packet."""
    cdef sa_t* sa = w.sa
    if sa.state != SA_LIVE:
        return VERDICT_EXPIRED if sa.state == SA_EXPIRED else VERDICT_NO_SA
    if sa.sequence >= sa.sequence_check:
        engine.outbound.reached_limit(w.slot)
        if sa.state != SA_LIVE:
            return VERDICT_EXPIRED
    if sa.mtu != 0 and w.inner > sa.mtu and not w.packet.flags & FLAG_DUMMY and w.ip.dont_fragment:
        return VERDICT_TOO_BIG
    if sa.flags & SA_TRANSPORT and w.ip.fragment and not w.packet.flags & FLAG_DUMMY:
        return VERDICT_FRAGMENT
    return VERDICT_OK


cdef inline uint32_t sealed(
    Engine engine, Batch batch, work_t* work, job_t* jobs, ah_t* ah, uint32_t count, uint64_t now
) noexcept nogil:
    cdef uint32_t i
    cdef uint32_t passed = 0
    cdef packet_t* p
    cdef work_t* w
    cdef sa_t* sa
    for i in range(count):
        w = &work[i]
        if not jobs[i].ok:
            drop_out(engine, w, VERDICT_CORRUPT)
            continue
        p = w.packet
        sa = w.sa
        p.tos = outer_tos(w)
        if sa.flags & SA_COPY_DF and not p.flags & FLAG_DUMMY and w.ip.dont_fragment:
            p.flags |= FLAG_DF
        p.offset = <uint32_t>(jobs[i].head - batch.region)
        if sa.flags & SA_AH:
            ah_restore(jobs[i].head, &ah[i])
            memcpy(jobs[i].head + ah[i].icv_at, ah[i].icv, sa.icv_length)
            p.length = jobs[i].length
            p.family = jobs[i].head[0] >> 4
            p.flags |= FLAG_OUTER
        else:
            p.length = <uint32_t>(jobs[i].icv - jobs[i].head) + sa.icv_length
            p.family = 0
        p.sa = w.slot
        count_packet(engine.outbound, w.slot, w.inner, now)
        passed += 1
    engine.verdicts_out[VERDICT_OK] += passed
    return passed


cdef void drop_out(Engine engine, work_t* w, int verdict) noexcept nogil:
    cdef uint32_t* drops = engine.outbound.drops
    w.packet.verdict = <uint16_t>verdict
    engine.verdicts_out[verdict] += 1
    if w.sa != NULL:
        w.packet.sa = w.slot
        drops[<size_t>w.slot * VERDICT_COUNT + verdict] += 1


# ---- in ------------------------------------------------------------------------------------------------------------


cdef uint32_t decapsulate_burst(
    Engine engine, Batch batch, uint32_t start, uint32_t count, uint64_t now) noexcept nogil:
    cdef work_t work[BURST]
    cdef job_t jobs[BURST]
    cdef ah_t ah[BURST]
    cdef uint64_t clock = stage_begin(engine)
    cdef uint32_t live = read_spi(engine, batch, start, count, work)
    stage_end(engine, STAGE_LOOKUP, &clock)
    live = admit(engine, batch, work, jobs, ah, live)
    stage_end(engine, STAGE_ADMIT, &clock)
    run_jobs(work, jobs, live)
    stage_end(engine, STAGE_OPEN, &clock)
    live = opened(engine, batch, work, jobs, ah, live, now)
    stage_end(engine, STAGE_UNWRAP, &clock)
    return live


cdef inline uint32_t read_spi(Engine engine, Batch batch, uint32_t start, uint32_t count, work_t* work) noexcept nogil:
    cdef uint32_t i
    cdef uint32_t live = 0
    cdef uint32_t last = NO_SLOT
    cdef packet_t* p
    cdef work_t* w
    for i in range(start, start + count):
        prefetch(batch.region + batch.packets[i].offset)
    for i in range(start, start + count):
        p = &batch.packets[i]
        if p.verdict != VERDICT_OK:
            continue
        w = &work[live]
        w.packet = p
        w.sa = NULL
        if not within_region(batch, p) or not spi_of(batch.region + p.offset, p, &w.spi):
            drop_in(engine, w, VERDICT_TRUNCATED)
            continue
        prefetch(&engine.inbound.index[index_of(engine.inbound, w.spi)])
        live += 1
    count = live
    live = 0
    for i in range(count):
        w = &work[live]
        if i != live:
            w[0] = work[i]
        w.slot = sa_lookup(engine.inbound, w.spi)
        if w.slot == NO_SLOT:
            drop_in(engine, w, VERDICT_UNKNOWN_SPI)
            continue
        w.sa = &engine.inbound.slots[w.slot]
        if w.slot != last:
            last = w.slot
            prefetch_sa(engine.inbound, last)
        live += 1
    prefetch_contexts(work, live)
    return live


cdef inline bint spi_of(const uint8_t* data, const packet_t* p, uint32_t* spi) noexcept nogil:
    """False where the packet is too short to have one."""
    cdef uint32_t at, total
    if p.flags & FLAG_OUTER:
        if not ah_find(data, p.length, &at, &total):
            return False
        spi[0] = load32(data + at + 4)
        return True
    if p.length < ESP_HEADER:
        return False
    spi[0] = load32(data)
    return True


cdef inline uint32_t admit(
    Engine engine, Batch batch, work_t* work, job_t* jobs, ah_t* ah, uint32_t count) noexcept nogil:
    cdef uint32_t i
    cdef uint32_t live = 0
    cdef int verdict
    cdef work_t* w
    for i in range(count):
        w = &work[live]
        if i != live:
            w[0] = work[i]
        if (w.packet.flags & FLAG_OUTER != 0) != (w.sa.flags & SA_AH != 0):
            verdict = VERDICT_UNKNOWN_SPI
        elif w.packet.flags & FLAG_OUTER:
            verdict = admit_ah(batch, w, &jobs[live], &ah[live])
        else:
            verdict = admit_esp(batch, w, &jobs[live])
        if verdict == VERDICT_OK:
            live += 1
        else:
            drop_in(engine, w, verdict)
    return live


cdef inline int admit_esp(Batch batch, work_t* w, job_t* job) noexcept nogil:
    cdef sa_t* sa = w.sa
    cdef packet_t* p = w.packet
    cdef uint8_t* head = batch.region + p.offset
    cdef uint32_t before = ESP_HEADER + sa.iv_length
    cdef uint32_t text = p.length - before - sa.icv_length
    if p.length < before + TRAILER + sa.icv_length or text & (sa.align - 1) != 0:
        return VERDICT_TRUNCATED
    if sa.state != SA_LIVE:
        return VERDICT_EXPIRED
    w.sequence = sequence_of(sa, head + 4)
    job.context = sa.crypt.context
    job.head = head
    job.iv = head + ESP_HEADER
    job.text = head + before
    job.length = text
    job.sequence_high = <uint32_t>(w.sequence >> 32)
    job.icv = job.text + text
    return replay_check(&sa.replay, w.sequence)


cdef inline int admit_ah(Batch batch, work_t* w, job_t* job, ah_t* ah) noexcept nogil:
    cdef sa_t* sa = w.sa
    cdef uint8_t* outer = batch.region + w.packet.offset
    cdef uint8_t* header
    cdef uint32_t at, total
    cdef uint32_t length = ah_length(sa, outer[0] >> 4)
    # Found once already when the SPI was read.
    if not ah_find(outer, w.packet.length, &at, &total) or at + length > total:
        return VERDICT_TRUNCATED
    header = outer + at
    if (<uint32_t>header[1] + 2) * 4 != length:
        return VERDICT_TRUNCATED
    if sa.state != SA_LIVE:
        return VERDICT_EXPIRED
    w.sequence = sequence_of(sa, header + 8)
    w.packet.tos = tos_of(outer)
    ah_conceal(outer, ah, at, sa)
    job.context = sa.crypt.context
    job.head = outer
    job.iv = header + AH_FIXED
    job.text = outer
    job.length = total
    job.sequence_high = <uint32_t>(w.sequence >> 32)
    job.icv = ah.icv
    return replay_check(&sa.replay, w.sequence)


cdef inline uint64_t sequence_of(const sa_t* sa, const uint8_t* sent) noexcept nogil:
    """As sent, or with ESN as the window says."""
    cdef uint32_t low = load32(sent)
    return replay_infer(&sa.replay, low) if sa.flags & SA_ESN else low


cdef inline uint32_t opened(
    Engine engine, Batch batch, work_t* work, job_t* jobs, ah_t* ah, uint32_t count, uint64_t now
) noexcept nogil:
    cdef uint32_t i
    cdef uint32_t passed = 0
    cdef int verdict
    cdef work_t* w
    for i in range(count):
        w = &work[i]
        if not jobs[i].ok:
            drop_in(engine, w, VERDICT_CORRUPT)
            continue
        # Again, since the same packet may have been in this burst twice.
        verdict = replay_update(&w.sa.replay, w.sequence)
        if verdict == VERDICT_OK:
            if w.packet.flags & FLAG_OUTER:
                verdict = unwrap_ah(batch, w, &jobs[i], &ah[i])
            else:
                verdict = unwrap_esp(batch, w, &jobs[i])
            count_packet(engine.inbound, w.slot, w.inner if verdict == VERDICT_OK else 0, now)
        if verdict == VERDICT_OK:
            w.packet.sa = w.slot
            passed += 1
        else:
            drop_in(engine, w, verdict)
    engine.verdicts_in[VERDICT_OK] += passed
    return passed


cdef void drop_in(Engine engine, work_t* w, int verdict) noexcept nogil:
    cdef uint32_t* drops = engine.inbound.drops
    w.packet.verdict = <uint16_t>verdict
    engine.verdicts_in[verdict] += 1
    if w.sa != NULL:
        w.packet.sa = w.slot
        drops[<size_t>w.slot * VERDICT_COUNT + verdict] += 1


# ---- memory that the next steps read: asked for where a packet's SA is not that of the packet before it ------------


cdef inline void prefetch_sa(SaTable table, uint32_t slot) noexcept nogil:
    cdef const uint8_t* sa = <const uint8_t*>&table.slots[slot]
    prefetch_write(sa)
    prefetch_write(sa + 64)
    prefetch_write(&table.counters[slot])


cdef inline void prefetch_contexts(const work_t* work, uint32_t count) noexcept nogil:
    """What the SAs point to; they themselves have arrived meanwhile."""
    cdef uint32_t i, at
    cdef const sa_t* sa
    cdef const sa_t* last = NULL
    for i in range(count):
        sa = work[i].sa
        if sa != last:
            last = sa
            for at in range(sa.crypt.lines):
                prefetch(<const uint8_t*>sa.crypt.context + at * 64)
            if sa.selectors != NULL:
                prefetch(sa.selectors)
            if sa.replay.ring != NULL:
                prefetch_write(&sa.replay.ring[(sa.replay.top >> 6) & sa.replay.mask])


# ---- where time goes -----------------------------------------------------------------------------------------------


cdef inline uint64_t stage_begin(Engine engine) noexcept nogil:
    return monotonic_ns() if engine.timed else 0


cdef inline void stage_end(Engine engine, uint32_t stage, uint64_t* clock) noexcept nogil:
    cdef uint64_t now
    if engine.timed:
        now = monotonic_ns()
        engine.stages[stage] += now - clock[0]
        clock[0] = now


# ---- small steps ---------------------------------------------------------------------------------------------------


cdef inline void run_jobs(const work_t* work, job_t* jobs, uint32_t count) noexcept nogil:
    """Neighbours that one function works on go in one call, whatever their SAs."""
    cdef uint32_t start = 0
    cdef uint32_t end
    cdef run_t run
    while start < count:
        run = work[start].sa.crypt.run
        end = start + 1
        while end < count and work[end].sa.crypt.run == run:
            end += 1
        run(&jobs[start], end - start)
        start = end


cdef inline void count_packet(SaTable table, uint32_t slot, uint32_t length, uint64_t now) noexcept nogil:
    cdef counters_t* c = &table.counters[slot]
    cdef const sa_t* sa = &table.slots[slot]
    c.packets += 1
    c.bytes += length
    c.last = now
    if c.packets >= sa.packet_check or c.bytes >= sa.byte_check:
        table.reached_limit(slot)
