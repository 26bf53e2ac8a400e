"""Packets that met a trap and wait for their SA: bounded for each policy and in all, and the oldest goes first.

Copies, because the batch that a packet came in is needed for the next ones. They belong to the queue until dropped.
"""

from libc.stdlib cimport free, malloc
from libc.string cimport memcpy


cdef class Held:
    def __dealloc__(self):
        while self.count:
            self.drop_oldest()

    cdef held_t* _at(self, uint32_t place) noexcept nogil:
        return &self.ring[(self.first + place) % HELD_MAX]

    cdef uint32_t keep(self, const uint8_t* data, uint32_t length, uint32_t policy) noexcept nogil:
        """Keep a copy; how many older ones (or, without memory, this one) had to go."""
        cdef uint32_t same = 0
        cdef uint32_t oldest_same = 0
        cdef uint32_t place
        cdef uint32_t dropped = 0
        cdef held_t* entry
        for place in range(self.count):
            if self._at(place).policy == policy:
                if same == 0:
                    oldest_same = place
                same += 1
        if same >= HELD_PER_POLICY:
            self._drop(oldest_same)
            dropped = 1
        elif self.count == HELD_MAX:
            self.drop_oldest()
            dropped = 1
        entry = self._at(self.count)
        entry.data = <uint8_t*> malloc(length)
        if entry.data == NULL:
            return dropped + 1
        memcpy(entry.data, data, length)
        entry.length = length
        entry.policy = policy
        self.count += 1
        return dropped

    cdef held_t* oldest(self) noexcept nogil:
        """The packet that has waited longest, or NULL. It stays until ``drop_oldest``."""
        return self._at(0) if self.count else NULL

    cdef void drop_oldest(self) noexcept nogil:
        self._drop(0)

    cdef uint32_t forget(self, uint32_t policy) noexcept nogil:
        """Drop what waits for ``policy``; how many that were."""
        cdef uint32_t place = 0
        cdef uint32_t dropped = 0
        while place < self.count:
            if self._at(place).policy == policy:
                self._drop(place)
                dropped += 1
            else:
                place += 1
        return dropped

    cdef void _drop(self, uint32_t place) noexcept nogil:
        """Free the packet at ``place``; the older ones move up, so that the order stays."""
        cdef uint32_t i = place
        free(self._at(place).data)
        while i > 0:
            self._at(i)[0] = self._at(i - 1)[0]
            i -= 1
        self.first = (self.first + 1) % HELD_MAX
        self.count -= 1
