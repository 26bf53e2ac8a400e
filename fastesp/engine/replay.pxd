"""Anti-replay: a ring of bits, cleared a word at a time as the window moves (RFC 6479); ESN (RFC 4303 appendix A2).

1. `replay_infer` finds the upper half of an extended sequence number.
2. `replay_check` says whether the number may be new, before the ICV is verified.
3. `replay_update` marks it once the packet is authentic, and says again whether it was new: a batch may hold it twice.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastesp.engine.verdict cimport VERDICT_OK, VERDICT_REPLAYED, VERDICT_TOO_OLD

cdef enum:
    REPLAY_WINDOW_MAX = 32768


cdef struct replay_t:
    uint64_t top        # highest authentic sequence number so far
    uint64_t* ring      # one bit a sequence number
    uint32_t window     # packets; 0: not checked
    uint32_t mask       # words in the ring - 1; the ring holds at least one word more than the window


cdef inline uint32_t replay_words(uint32_t window) noexcept nogil:
    """Ring size for a window: a power of two, with a word to spare so that clearing never touches a live bit."""
    cdef uint32_t words = 2
    while words * 64 < window + 64:
        words *= 2
    return words


cdef inline uint64_t replay_infer(const replay_t* r, uint32_t low) noexcept nogil:
    """The 64-bit number that `low` stands for; 0 where it would lie before the first (RFC 4303 appendix A2.2)."""
    cdef uint32_t top_low = <uint32_t>r.top
    cdef uint32_t top_high = <uint32_t>(r.top >> 32)
    cdef uint32_t bottom = top_low - r.window + 1
    if top_low >= r.window - 1:
        if low < bottom:
            top_high += 1
            if top_high == 0:
                return 0
    elif low >= bottom:
        if top_high == 0:
            return 0
        top_high -= 1
    return (<uint64_t>top_high << 32) | low


cdef inline int replay_check(const replay_t* r, uint64_t sequence) noexcept nogil:
    if r.window == 0 or sequence > r.top:
        return VERDICT_OK
    if sequence == 0 or sequence + r.window <= r.top:
        return VERDICT_TOO_OLD
    if r.ring[(sequence >> 6) & r.mask] >> (sequence & 63) & 1:
        return VERDICT_REPLAYED
    return VERDICT_OK


cdef inline int replay_update(replay_t* r, uint64_t sequence) noexcept nogil:
    cdef uint64_t word, last
    cdef int verdict = replay_check(r, sequence)
    if verdict != VERDICT_OK or r.window == 0:
        return verdict
    if sequence > r.top:
        word = r.top >> 6
        last = sequence >> 6
        if last - word > r.mask:
            word = last - r.mask - 1
        while word < last:
            word += 1
            r.ring[word & r.mask] = 0
        r.top = sequence
    r.ring[(sequence >> 6) & r.mask] |= <uint64_t>1 << (sequence & 63)
    return VERDICT_OK
