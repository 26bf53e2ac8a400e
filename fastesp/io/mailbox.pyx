"""A bounded mailbox from a worker, which never waits and holds no GIL, to the control plane or to another worker.

One writer, one reader, a ring of bytes between them. A record is its length (4 bytes) and its bytes, rounded up
to 8. What finds no room is counted in ``lost`` and dropped: a flood of events may not grow memory. The doorbell
(an eventfd, shared by several mailboxes where the reader wants one descriptor) rings once for each drain.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from fastesp.io.linux cimport load_acquire, store_release, swap, write

RECORD_MAX = 1 << 17


cdef class Mailbox:
    """``size`` bytes (a power of two) of ring; ``fd`` is the eventfd to ring, which stays the caller's."""

    def __cinit__(self, uint64_t size, int fd):
        if size < 4096 or size & (size - 1):
            raise ValueError(f"a mailbox of {size} bytes: the size must be a power of two, at least 4096")
        self.ring = <uint8_t*> malloc(size)
        if self.ring == NULL:
            raise MemoryError
        self.size = size
        self.fd = fd

    def __dealloc__(self):
        free(self.ring)

    cdef bint put(
        self, const void* first, uint32_t first_length, const void* second, uint32_t second_length
    ) noexcept nogil:
        """Append a record of two parts; false, and counted, where there is no room."""
        cdef uint32_t length = first_length + second_length
        cdef uint64_t room = self.size - (self.head - load_acquire(&self.tail))
        cdef uint64_t need = (4 + <uint64_t> length + 7) & ~<uint64_t> 7
        cdef uint64_t one = 1
        if need > room:
            self.lost += 1
            return False
        self._write(self.head, &length, 4)
        self._write(self.head + 4, first, first_length)
        self._write(self.head + 4 + first_length, second, second_length)
        store_release(&self.head, self.head + need)
        if swap(&self.rung, 1) == 0:
            write(self.fd, &one, 8)
        return True

    cdef bint has_room(self, uint32_t records, uint32_t length) noexcept nogil:
        """Whether so many records of ``length`` bytes would find room now. The writer's."""
        cdef uint64_t need = (4 + <uint64_t> length + 7) & ~<uint64_t> 7
        return records * need <= self.size - (self.head - load_acquire(&self.tail))

    cdef void _write(self, uint64_t at, const void* data, uint32_t length) noexcept nogil:
        cdef uint64_t place = at & (self.size - 1)
        cdef uint64_t until_end = self.size - place
        if length == 0:
            return
        if length <= until_end:
            memcpy(self.ring + place, data, length)
        else:
            memcpy(self.ring + place, data, until_end)
            memcpy(self.ring, <const uint8_t*> data + until_end, length - until_end)

    cdef void _read(self, uint64_t at, void* data, uint32_t length) noexcept nogil:
        cdef uint64_t place = at & (self.size - 1)
        cdef uint64_t until_end = self.size - place
        if length <= until_end:
            memcpy(data, self.ring + place, length)
        else:
            memcpy(data, self.ring + place, until_end)
            memcpy(<uint8_t*> data + until_end, self.ring, length - until_end)

    def drain(self, int limit=1 << 30):
        """Up to ``limit`` records, oldest first. Clear the eventfd before, or it rings for nothing."""
        cdef int64_t length
        cdef bytes record
        cdef list out = []
        # Once before the first look, so that what comes meanwhile rings again even where `limit` ends this early.
        swap(&self.rung, 0)
        while len(out) < limit:
            length = self.next()
            if length < 0:
                break
            record = PyBytes_FromStringAndSize(NULL, length)
            self.copy(0, PyBytes_AS_STRING(record), <uint32_t> length)
            self.drop(<uint32_t> length)
            out.append(record)
        return out

    cdef int64_t next(self) noexcept nogil:
        """Length of the oldest record; -1 where there is none, and then the next one rings."""
        cdef uint32_t length
        if self.tail == load_acquire(&self.head):
            # The mark goes first: a record written before this is seen below, one written after it rings.
            if load_acquire(&self.rung):
                swap(&self.rung, 0)
            if self.tail == load_acquire(&self.head):
                return -1
        self._read(self.tail, &length, 4)
        return length

    cdef void copy(self, uint32_t at, void* data, uint32_t length) noexcept nogil:
        """``length`` bytes of the oldest record, from ``at`` on: both within it."""
        self._read(self.tail + 4 + at, data, length)

    cdef void drop(self, uint32_t length) noexcept nogil:
        """Go on behind the oldest record, which has ``length`` bytes."""
        store_release(&self.tail, self.tail + ((4 + <uint64_t> length + 7) & ~<uint64_t> 7))

    def put_record(self, bytes record not None):
        """Append from Python: for tests, and for a control plane that posts to itself."""
        if len(record) > RECORD_MAX:
            raise ValueError(f"a record of {len(record)} bytes: at most {RECORD_MAX}")
        return self.put(PyBytes_AS_STRING(record), <uint32_t> len(record), NULL, 0)
