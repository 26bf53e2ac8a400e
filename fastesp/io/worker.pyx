"""A worker: a thread that never holds the GIL in its loop, and how the control plane speaks to it.

Control never touches a table that a worker is using. It parks the worker (``park``): the worker finishes its batch,
says so and sleeps; until ``resume`` all that the worker owns is the control plane's. Each order has a number, so that
an answer to one that was given up is none to the next. An idle worker sleeps in epoll_wait without a timeout, unless
it was told to poll. What belongs to one that sleeps is borrowed without waking it: an idle gateway that sets up
thousands of SAs would switch threads for nothing, several times for each.
"""

import contextlib
import os
import select
import time

import numpy as np

from libc.stdlib cimport calloc, free
from libc.string cimport memset

from fastesp.engine.sa cimport event_t
from fastesp.engine.verdict cimport VERDICT_COUNT
from fastesp.io.linux cimport (
    CLOCK_MONOTONIC,
    EPOLL_CLOEXEC,
    EPOLL_CTL_ADD,
    EPOLLERR,
    EPOLLIN,
    change,
    clock_gettime,
    epoll_create1,
    epoll_ctl,
    epoll_event,
    epoll_wait,
    load_acquire,
    read,
    store_release,
    swap,
    timespec,
    write,
)
from fastesp.io.note cimport NOTE_LIMIT, note_t
from fastesp.io.path cimport path_set

cdef uint64_t SECOND = 1000000000

PARK_SECONDS = 5.0
"""How long a worker may take to finish its batch before the control plane gives up on it."""


cdef uint64_t monotonic() noexcept nogil:
    """Nanoseconds."""
    cdef timespec value
    clock_gettime(CLOCK_MONOTONIC, &value)
    return <uint64_t> value.tv_sec * SECOND + <uint64_t> value.tv_nsec


cdef class Worker:
    """What both directions share: the doorbell, parking, paths by SA slot, counters. ``run`` is the thread's body."""

    def __cinit__(self, Engine engine not None, Mailbox notes not None, *args, **kwargs):
        self.engine = engine
        self.notes = notes
        self.epoll = self.doorbell = self.parked = self.released = -1
        self.patience = -1
        self.epoll = _epoll()
        self.doorbell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.parked = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.released = os.eventfd(0, os.EFD_CLOEXEC)
        self._counts = np.zeros(VERDICT_COUNT, dtype=np.uint64)
        self.counts = <uint64_t*> <size_t> self._counts.ctypes.data
        watch(self.epoll, self.doorbell, INPUTS_MAX)

    def __dealloc__(self):
        for fd in (self.epoll, self.doorbell, self.parked, self.released):
            if fd >= 0:
                os.close(fd)
        free(self.paths)

    cdef _reserve_paths(self, uint32_t count):
        self.paths = <path_t*> calloc(count, sizeof(path_t))
        if self.paths == NULL:
            raise MemoryError
        self.path_count = count

    @property
    def counters(self):
        """Packets that ended in I/O, by verdict: a NumPy array that goes on changing."""
        return self._counts

    @property
    def bell(self):
        """An eventfd: who writes to it wakes the worker."""
        return self.doorbell

    def poll(self):
        """Look for packets without ever sleeping. Before ``run``."""
        self.patience = 0

    def time_stages(self, bint on=True):
        """Keep :attr:`spent` from now on, from zero."""
        self.reading = self.writing = 0
        self.timed = on

    @property
    def spent(self):
        """Nanoseconds in ``read`` and ``write``, system calls included, since :meth:`time_stages`."""
        return {"read": self.reading, "write": self.writing}

    def run(self):
        """Work until ``stop``. The thread's body."""
        with nogil:
            self.loop()

    def park(self):
        """Have the worker finish its batch and sleep. Raises :class:`TimeoutError`; the worker goes on then."""
        if change(&self.resting, ASLEEP, BORROWED):
            self.borrowed = True
            return
        until = time.monotonic() + PARK_SECONDS
        self.order(COMMAND_PARK)
        while load_acquire(&self.obeyed) != self.command:
            if not select.select([self.parked], [], [], max(0.0, until - time.monotonic()))[0]:
                self.resume()
                raise TimeoutError(f"a worker did not park within {PARK_SECONDS:g} s: its thread is stuck or gone")
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self.parked)

    def resume(self):
        """Let a parked worker go on."""
        if not self.borrowed:
            self.order(COMMAND_RUN)
            return
        self.borrowed = False
        if swap(&self.resting, ASLEEP) == WANTED:
            os.eventfd_write(self.released, 1)

    def stop(self):
        """Have the thread leave ``run`` after its batch; a parked one at once."""
        if self.borrowed:
            self.resume()
        self.order(COMMAND_STOP)

    cdef order(self, uint64_t kind):
        """Also wakes the worker, wherever it sleeps."""
        self.orders += 1
        store_release(&self.command, self.orders << 2 | kind)
        if kind != COMMAND_PARK:
            os.eventfd_write(self.released, 1)
        if kind != COMMAND_RUN:
            os.eventfd_write(self.doorbell, 1)

    def set_path(self, uint32_t slot, local, int local_port, remote, int remote_port):
        """Outer addresses of the SA in ``slot`` of this direction. While parked."""
        if slot >= self.path_count:
            raise IndexError(f"SA slot {slot}: the table has {self.path_count}")
        path_set(&self.paths[slot], local, local_port, remote, remote_port)

    def clear_path(self, uint32_t slot):
        """Forget the addresses of a slot. While parked."""
        if slot < self.path_count:
            memset(&self.paths[slot], 0, sizeof(path_t))

    cdef void loop(self) noexcept nogil:
        pass

    cdef bint attend(self) noexcept nogil:
        """Obey the command that stands; false: leave the loop."""
        cdef uint64_t order = load_acquire(&self.command)
        cdef uint64_t one = 1
        cdef uint64_t got
        if order & COMMAND_KIND == COMMAND_PARK:
            store_release(&self.obeyed, order)
            write(self.parked, &one, 8)
            while load_acquire(&self.command) == order:
                read(self.released, &got, 8)
        return load_acquire(&self.command) & COMMAND_KIND != COMMAND_STOP

    cdef uint64_t wait(self, uint64_t* ready, int patience) noexcept nogil:
        """Sleep until something is there; sets the bit of each input that is. Returns those that have failed.

        ``patience`` in milliseconds, -1: as long as it takes.
        """
        cdef epoll_event events[INPUTS_MAX + 1]
        cdef uint64_t failed = 0
        cdef int count, i
        cdef uint64_t rings
        self.waits += 1
        store_release(&self.resting, ASLEEP)
        count = epoll_wait(self.epoll, events, INPUTS_MAX + 1, patience)
        self.rise()
        for i in range(count):
            if events[i].data.u64 == INPUTS_MAX:
                read(self.doorbell, &rings, 8)
                continue
            ready[0] |= <uint64_t> 1 << events[i].data.u64
            if events[i].events & EPOLLERR:
                failed |= <uint64_t> 1 << events[i].data.u64
        return failed

    cdef void rise(self) noexcept nogil:
        """Own again what was anybody's while we slept, once nobody has borrowed it."""
        cdef uint64_t got
        while not change(&self.resting, ASLEEP, AWAKE):
            change(&self.resting, BORROWED, WANTED)
            if load_acquire(&self.resting) == WANTED:
                read(self.released, &got, 8)

    cdef void tell_limits(self, bint inbound) noexcept nogil:
        """Pass on what the engine says about lifetimes. It is said once: without room for it, the engine keeps it."""
        cdef event_t events[64]
        cdef note_t note
        cdef uint32_t count, i
        while self.notes.has_room(64, sizeof(note)):
            count = self.engine.drain(events, 64, inbound)
            for i in range(count):
                memset(&note, 0, sizeof(note))
                note.kind = NOTE_LIMIT
                note.slot = events[i].slot
                note.inbound = inbound
                note.value = (<uint32_t> events[i].kind << 16) | events[i].limit
                if inbound:
                    note.spi = self.engine.inbound.slots[note.slot].spi
                else:
                    note.spi = self.engine.outbound.slots[note.slot].spi
                self.notes.put(&note, sizeof(note), NULL, 0)
            if count < 64:
                return


cdef int _epoll() except -1:
    cdef int fd = epoll_create1(EPOLL_CLOEXEC)
    if fd < 0:
        raise OSError("epoll_create1 failed: too many open files?")
    return fd


cdef int watch(int epoll, int fd, uint64_t index) except -1:
    cdef epoll_event event
    event.events = EPOLLIN
    event.data.u64 = index
    if epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0:
        raise OSError(f"epoll_ctl: cannot watch descriptor {fd}")
    return 0
