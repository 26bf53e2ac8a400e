"""The SA table, in the order of an SA's life.

1. `prepare` checks the caller's values and lets a provider make the cipher context. It touches no table state, so the
   control thread may call it while a worker runs.
2. `adopt` gives it a slot and enters its SPI (inbound). From here on it is the worker's.
3. `reached_limit` is where an SA that has come to a limit says so, once each.
4. `forget` wipes keys and state and frees the slot.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove, memset

from fastesp.engine.openssl cimport OPENSSL_cleanse, RAND_bytes
from fastesp.engine.providers cimport KeyCopy, make_crypt
from fastesp.engine.replay cimport REPLAY_WINDOW_MAX, replay_t, replay_words
from fastesp.engine.selector cimport selector_read, selector_t
from fastesp.engine.verdict cimport VERDICT_COUNT

import secrets

import numpy as np

from fastesp.engine.suites import sizes_of

COUNTERS = np.dtype([("packets", "u8"), ("bytes", "u8"), ("last", "u8")])
"""Counters of one SA as NumPy sees them; ``last`` in monotonic nanoseconds, 0: never."""

cdef uint64_t NO_LIMIT = 0xffffffffffffffffU
# Without ESN 2^32 - 1 numbers (RFC 4303 section 2.2); with it as many as the IV's counter has bits: 48.
cdef uint64_t SEQUENCE_STOP = 0xffffffff
cdef uint64_t SEQUENCE_STOP_ESN = 0xffffffffffff


# ---- 1. prepare ------------------------------------------------------------------------------------------------


cdef class Sa:
    """An SA before it has a slot: what :meth:`SaTable.prepare` makes and :meth:`SaTable.add` takes."""

    def __dealloc__(self):
        sa_wipe(&self.state)

    def __repr__(self):
        return f"<Sa {self.state.spi:08x}>"


cdef void sa_wipe(sa_t* sa) noexcept nogil:
    if sa.crypt.context != NULL:
        sa.crypt.destroy(sa.crypt.context)
    free(sa.selectors)
    free(sa.replay.ring)
    OPENSSL_cleanse(sa, sizeof(sa_t))


cdef class SaTable:
    """SAs of one direction. ``capacity`` slots; only those in use take real memory."""

    def __cinit__(self, uint32_t capacity, bint inbound, tuple providers):
        cdef uint32_t bits = 1
        cdef uint8_t[::1] raw
        if not 0 < capacity <= 1 << 24:
            raise ValueError(f"an SA table holds 1 to {1 << 24} SAs, not {capacity}")
        while <uint32_t>1 << bits < 2 * capacity:
            bits += 1
        self.capacity = capacity
        self.inbound = inbound
        self.providers = providers
        self.memory = calloc(capacity + 1, sizeof(sa_t))
        self.freed = <uint32_t*>calloc(capacity, sizeof(uint32_t))
        self.index = <entry_t*>calloc(<size_t>1 << bits, sizeof(entry_t))
        if self.memory == NULL or self.freed == NULL or self.index == NULL:
            raise MemoryError(f"no memory for {capacity} SAs")
        self.slots = <sa_t*>((<uintptr_t>self.memory + 63) & ~<uintptr_t>63)
        self.index_mask = (1 << bits) - 1
        self.index_shift = 32 - bits
        self.index_factor = secrets.randbits(32) | 1
        self._counters = np.zeros(capacity, COUNTERS)
        self._drops = np.zeros((capacity, VERDICT_COUNT), np.uint32)
        raw = self._counters.view(np.uint8)
        self.counters = <counters_t*>&raw[0]
        raw = self._drops.reshape(-1).view(np.uint8)
        self.drops = <uint32_t*>&raw[0]

    def __dealloc__(self):
        cdef uint32_t slot
        if self.slots != NULL:
            for slot in range(self.fresh):
                sa_wipe(&self.slots[slot])
        free(self.memory)
        free(self.freed)
        free(self.index)

    @property
    def views(self):
        """Counters by slot (:data:`COUNTERS`), and drops by slot and verdict: read-only, without a copy."""
        counters = self._counters.view()
        drops = self._drops.view()
        counters.flags.writeable = False
        drops.flags.writeable = False
        return counters, drops

    def prepare(
        self,
        uint32_t spi,
        object suite,
        object key,
        object integrity_key=None,
        *,
        object selectors=(),
        object protocol=50,
        object mode="tunnel",
        object local=None,
        object remote=None,
        bint esn=False,
        int epoch=0,
        uint32_t replay_window=32,
        object lifetime=None,
        uint32_t tfc_padding=0,
        uint32_t mtu=0,
        uint32_t mss=0,
        bint nat=False,
        bint copy_df=True,
        bint copy_ecn=True,
        bint copy_dscp=True,
        int dscp=0,
    ):
        """An SA of these values, ready to be adopted; nothing of the table changes.

        ``key`` (AES-GMAC in AH: ``integrity_key``) ends with the salt where the suite has one. ``epoch`` (outbound, 16
        bits) must differ between any two loads of one key: it is the upper part of the IV. ``local`` and ``remote`` are
        the outer addresses; transport mode and AH need them. ``nat`` (transport mode): a NAT changed the addresses, so
        that TCP's and UDP's checksums are made anew. ``copy_*`` say what of the inner header a tunnel's outer one has;
        in transport mode there is one header, which stays as it is. Raises :class:`ValueError` that names the value at
        fault.
        """
        cdef Sa prepared = Sa.__new__(Sa)
        cdef sa_t* sa = &prepared.state
        cdef bint transport = is_value(mode, "transport", ("tunnel", "transport"), "mode")
        if spi < 1:
            raise ValueError("SPI 0 never goes on the wire (RFC 4303 section 2.1)")
        sa.spi = spi
        sa.flags = (
            (SA_AH if is_value(protocol, 51, (50, 51), "protocol") else 0)
            | (SA_TRANSPORT if transport else 0) | (SA_ESN if esn else 0) | (SA_NAT if nat else 0)
            | copying(copy_df or transport, copy_ecn or transport, copy_dscp or transport)
        )
        sa.tos = <uint8_t>(within(dscp, 63, "DSCP") << 2)
        sa.mtu = <uint16_t>within(mtu, 65535, "MTU")
        sa.tfc = <uint16_t>within(tfc_padding, 65535, "TFC padding")
        sa.mss = <uint16_t>within(mss, 65535, "MSS")
        sa.iv_base = <uint64_t>within(epoch, 65535, "epoch") << 48
        set_lifetime(self, sa, lifetime)
        set_addresses(sa, local, remote)
        set_selectors(sa, selectors)
        if self.inbound:
            set_window(sa, replay_window)
        set_suite(self, sa, suite, KeyCopy(key), KeyCopy(integrity_key))
        sa.state = SA_LIVE
        return prepared

    # ---- 2. adopt ----------------------------------------------------------------------------------------------

    def add(self, Sa sa not None):
        """Take a prepared SA and return its slot.

        Raises :class:`ValueError` where the SPI is taken (inbound), or the SA was added before, and
        :class:`MemoryError` where the table is full.
        """
        cdef uint32_t spi = sa.state.spi
        if sa.state.state != SA_LIVE:
            raise ValueError("this SA was added before")
        cdef uint32_t slot = self.adopt(&sa.state)
        if slot != NO_SLOT:
            return slot
        if self.count < self.capacity:
            raise ValueError(f"SPI {spi:08x} is in use already")
        raise MemoryError(f"the table holds {self.capacity} SAs already")

    cdef uint32_t adopt(self, sa_t* sa) noexcept nogil:
        cdef uint32_t slot
        if self.count == self.capacity or (self.inbound and sa_lookup(self, sa.spi) != NO_SLOT):
            return NO_SLOT
        if self.freed_count:
            self.freed_count -= 1
            slot = self.freed[self.freed_count]
        else:
            slot = self.fresh
            self.fresh += 1
        self.slots[slot] = sa[0]
        OPENSSL_cleanse(sa, sizeof(sa_t))
        memset(&self.counters[slot], 0, sizeof(counters_t))
        memset(&self.drops[<size_t>slot * VERDICT_COUNT], 0, VERDICT_COUNT * sizeof(uint32_t))
        if self.inbound:
            self.insert(self.slots[slot].spi, slot)
        self.count += 1
        return slot

    cdef void insert(self, uint32_t spi, uint32_t slot) noexcept nogil:
        cdef uint32_t at = index_of(self, spi)
        while self.index[at].spi != 0:
            at = (at + 1) & self.index_mask
        self.index[at].spi = spi
        self.index[at].slot = slot

    cdef void erase(self, uint32_t spi) noexcept nogil:
        """Close the gap: what was displaced moves back, so that no tombstones pile up."""
        cdef uint32_t at = index_of(self, spi)
        cdef uint32_t probe, home
        while self.index[at].spi != spi:
            if self.index[at].spi == 0:
                return
            at = (at + 1) & self.index_mask
        probe = at
        while True:
            probe = (probe + 1) & self.index_mask
            if self.index[probe].spi == 0:
                break
            home = index_of(self, self.index[probe].spi)
            if ((probe - home) & self.index_mask) >= ((probe - at) & self.index_mask):
                self.index[at] = self.index[probe]
                at = probe
        self.index[at].spi = 0

    def find(self, uint32_t spi):
        """Slot of an inbound SPI, or None."""
        cdef uint32_t slot = sa_lookup(self, spi) if self.inbound else NO_SLOT
        return None if slot == NO_SLOT else slot

    def provider_of(self, uint32_t slot):
        """Name of the provider that seals or opens for this SA."""
        return self.providers[self.live(slot).provider].name

    def move(self, uint32_t slot, object local, object remote):
        """New outer addresses; sequence numbers and keys go on."""
        set_addresses(self.live(slot), local, remote)

    def set_mtu(self, uint32_t slot, uint32_t mtu, uint32_t mss=0):
        """Longest inner packet (bytes; 0: any), and TCP's MSS to clamp to (0: no)."""
        cdef sa_t* sa = self.live(slot)
        sa.mtu = <uint16_t>within(mtu, 65535, "MTU")
        sa.mss = <uint16_t>within(mss, 65535, "MSS")

    def sequence(self, uint32_t slot):
        """Outbound: of the last packet sent. Inbound: the window's upper end."""
        cdef sa_t* sa = self.live(slot)
        return sa.replay.top if self.inbound else sa.sequence

    def advance(self, uint32_t slot, uint64_t sequence):
        """Go on behind ``sequence``, when an SA is taken over; only ever forwards, since a number stands for a nonce.

        Inbound: nothing up to it is accepted any more.
        """
        cdef sa_t* sa = self.live(slot)
        cdef uint64_t now = sa.replay.top if self.inbound else sa.sequence
        if sequence < now:
            raise ValueError(f"sequence numbers go forwards: {sequence} is below {now}")
        if not self.inbound:
            sa.sequence = sequence
        elif sa.replay.window:
            sa.replay.top = sequence
            memset(sa.replay.ring, 0xff, (<size_t>sa.replay.mask + 1) * sizeof(uint64_t))
            clear_above(&sa.replay)

    cdef sa_t* live(self, uint32_t slot) except NULL:
        if slot >= self.fresh or self.slots[slot].state == SA_FREE:
            raise KeyError(f"no SA in slot {slot}")
        return &self.slots[slot]

    # ---- 3. limits ---------------------------------------------------------------------------------------------

    cdef void reached_limit(self, uint32_t slot) noexcept nogil:
        cdef sa_t* sa = &self.slots[slot]
        cdef counters_t* c = &self.counters[slot]
        if sa.soft_bytes and c.bytes >= sa.soft_bytes and self.note(slot, EVENT_SOFT, LIMIT_BYTES):
            sa.soft_bytes = 0
        if sa.soft_packets and c.packets >= sa.soft_packets and self.note(slot, EVENT_SOFT, LIMIT_PACKETS):
            sa.soft_packets = 0
        if sa.sequence_soft and sa.sequence >= sa.sequence_soft and self.note(slot, EVENT_SOFT, LIMIT_SEQUENCE):
            sa.sequence_soft = 0
        if sa.state != SA_EXPIRED:
            if sa.hard_bytes and c.bytes >= sa.hard_bytes:
                self.expire(slot, LIMIT_BYTES)
            elif sa.hard_packets and c.packets >= sa.hard_packets:
                self.expire(slot, LIMIT_PACKETS)
            elif sa.sequence >= sa.sequence_stop:
                self.expire(slot, LIMIT_SEQUENCE)
        sa_next_checks(sa)

    cdef void expire(self, uint32_t slot, uint16_t limit) noexcept nogil:
        self.slots[slot].state = SA_EXPIRED
        self.note(slot, EVENT_HARD, limit)

    cdef bint note(self, uint32_t slot, uint16_t kind, uint16_t limit) noexcept nogil:
        """False where nobody has drained for long: the soft limit is met again with the next packet."""
        cdef event_t* event
        if self.event_count == EVENTS_MAX:
            return False
        event = &self.events[self.event_count]
        event.slot = slot
        event.kind = kind
        event.limit = limit
        self.event_count += 1
        return True

    cdef uint32_t drain(self, event_t* events, uint32_t capacity) noexcept nogil:
        cdef uint32_t count = min(capacity, self.event_count)
        self.event_count -= count
        memcpy(events, self.events, count * sizeof(event_t))
        memmove(self.events, self.events + count, self.event_count * sizeof(event_t))
        return count

    cdef void unsay(self, uint32_t slot) noexcept nogil:
        """What nobody has drained yet would be said of the SA that takes the slot over."""
        cdef uint32_t kept = 0
        cdef uint32_t at
        for at in range(self.event_count):
            if self.events[at].slot != slot:
                self.events[kept] = self.events[at]
                kept += 1
        self.event_count = kept

    # ---- 4. forget ---------------------------------------------------------------------------------------------

    def retire(self, uint32_t slot):
        """Outbound: send no more on it. Raises :class:`KeyError` for no such SA."""
        self.live(slot).state = SA_RETIRED

    def remove(self, uint32_t slot):
        """Wipe keys and state. Raises :class:`KeyError` for no such SA."""
        self.live(slot)
        self.forget(slot)

    def clear(self):
        """Wipe every SA."""
        cdef uint32_t slot
        for slot in range(self.fresh):
            self.forget(slot)

    cdef bint forget(self, uint32_t slot) noexcept nogil:
        """False where the slot holds no SA."""
        if slot >= self.fresh or self.slots[slot].state == SA_FREE:
            return False
        if self.inbound:
            self.erase(self.slots[slot].spi)
        self.unsay(slot)
        sa_wipe(&self.slots[slot])
        self.freed[self.freed_count] = slot
        self.freed_count += 1
        self.count -= 1
        return True

    cdef bint take_random(self, uint8_t* iv, uint32_t length) noexcept nogil:
        """Unpredictable bytes for CBC's IV, drawn from the system's generator a page at a time and used once."""
        if self.random_left < length:
            if RAND_bytes(self.random, RANDOM_BYTES) != 1:
                return False
            self.random_left = RANDOM_BYTES
        self.random_left -= length
        memcpy(iv, self.random + self.random_left, length)
        memset(self.random + self.random_left, 0, length)
        return True


cdef void sa_next_checks(sa_t* sa) noexcept nogil:
    """When to look at the limits again; an SA that has stopped looks no more."""
    sa.packet_check = NO_LIMIT
    sa.byte_check = NO_LIMIT
    sa.sequence_check = NO_LIMIT
    if sa.state == SA_EXPIRED:
        return
    if sa.soft_packets:
        sa.packet_check = sa.soft_packets
    if sa.hard_packets:
        sa.packet_check = min(sa.packet_check, sa.hard_packets)
    if sa.soft_bytes:
        sa.byte_check = sa.soft_bytes
    if sa.hard_bytes:
        sa.byte_check = min(sa.byte_check, sa.hard_bytes)
    sa.sequence_check = min(sa.sequence_soft, sa.sequence_stop) if sa.sequence_soft else sa.sequence_stop


cdef void clear_above(replay_t* replay) noexcept nogil:
    """Bits of the top's own word that stand for numbers yet to come."""
    replay.ring[(replay.top >> 6) & replay.mask] &= ~<uint64_t>0 >> (63 - (replay.top & 63))


# ---- values ----------------------------------------------------------------------------------------------------


cdef bint is_value(object value, object wanted, tuple known, str what) except -1:
    """Whether an enumeration's member, or its plain value, is ``wanted``."""
    plain = getattr(value, "value", value)
    if plain not in known:
        raise ValueError(f"unknown {what} {plain!r} (known: {', '.join(map(str, known))})")
    return plain == wanted


cdef int within(object value, int most, str what) except -1:
    if not 0 <= value <= most:
        raise ValueError(f"{what} {value} is not within 0 to {most}")
    return value


cdef int set_addresses(sa_t* sa, object local, object remote) except -1:
    cdef bytes packed
    if local is None or remote is None:
        if sa.flags & (SA_TRANSPORT | SA_AH):
            raise ValueError("transport mode and AH need the outer addresses: headers are built of them")
        return 0
    if local.version != remote.version:
        raise ValueError(f"outer addresses of two families: {local} and {remote}")
    sa.family = local.version
    packed = local.packed
    memcpy(sa.local, <const char*>packed, len(packed))
    packed = remote.packed
    memcpy(sa.remote, <const char*>packed, len(packed))
    return 0


cdef int set_selectors(sa_t* sa, object selectors) except -1:
    cdef uint32_t at
    values = tuple(selectors)
    if len(values) > 255:
        raise ValueError(f"{len(values)} selectors for one SA: at most 255 (RFC 7296 section 3.13)")
    if not values:
        return 0
    sa.selectors = <selector_t*>calloc(len(values), sizeof(selector_t))
    if sa.selectors == NULL:
        raise MemoryError("no memory for selectors")
    for at, value in enumerate(values):
        selector_read(value, &sa.selectors[at])
    sa.selector_count = <uint16_t>len(values)
    return 0


cdef uint32_t copying(bint df, bint ecn, bint dscp) noexcept:
    """Flags for what the outer header has of the inner one."""
    return (SA_COPY_DF if df else 0) | (SA_COPY_ECN if ecn else 0) | (SA_COPY_DSCP if dscp else 0)


cdef int set_window(sa_t* sa, uint32_t window) except -1:
    cdef uint32_t words
    if window == 0:
        if sa.flags & SA_ESN:
            raise ValueError("ESN needs a replay window: numbers are inferred from it (RFC 4303 section 2.2.1)")
        return 0
    if not 32 <= window <= REPLAY_WINDOW_MAX:
        raise ValueError(f"a replay window has 32 to {REPLAY_WINDOW_MAX} packets (0: none), not {window}")
    words = replay_words(window)
    sa.replay.ring = <uint64_t*>calloc(words, sizeof(uint64_t))
    if sa.replay.ring == NULL:
        raise MemoryError("no memory for a replay window")
    sa.replay.window = window
    sa.replay.mask = words - 1
    return 0


cdef int set_lifetime(SaTable table, sa_t* sa, object lifetime) except -1:
    sa.sequence_check = NO_LIMIT
    sa.sequence_stop = NO_LIMIT
    if not table.inbound:
        sa.sequence_stop = SEQUENCE_STOP_ESN if sa.flags & SA_ESN else SEQUENCE_STOP
        # An eighth of the numbers is left for the rekeying.
        sa.sequence_soft = sa.sequence_stop - sa.sequence_stop // 8
    if lifetime is not None:
        sa.soft_bytes = lifetime.soft_bytes
        sa.hard_bytes = lifetime.hard_bytes
        sa.soft_packets = lifetime.soft_packets
        sa.hard_packets = lifetime.hard_packets
    sa_next_checks(sa)
    return 0


cdef int set_suite(SaTable table, sa_t* sa, object suite, KeyCopy key, KeyCopy integrity_key) except -1:
    cdef bint ah = sa.flags & SA_AH != 0
    cipher, integrity = sizes_of(suite.encryption, suite.key_bits, suite.integrity, ah=ah)
    sa.iv_length = integrity.iv if ah else cipher.iv
    sa.icv_length = cipher.icv if integrity is None else integrity.icv
    sa.align = max(4, cipher.block)
    sa.flags |= SA_RANDOM_IV if sa.iv_length == 16 else SA_COUNTER_IV if sa.iv_length == 8 else 0
    sa.provider = <uint8_t>make_crypt(
        table.providers, suite, key, integrity_key, not table.inbound, sa.flags & SA_ESN != 0, ah, &sa.crypt)
    return 0
