"""A worker: a thread that never holds the GIL in its loop, and how the control plane speaks to it."""

from libc.stdint cimport uint32_t, uint64_t

from fastesp.engine.esp cimport Engine
from fastesp.io.linux cimport load_acquire
from fastesp.io.mailbox cimport Mailbox
from fastesp.io.path cimport path_t

cdef enum:
    INPUTS_MAX = 8

    # In the lower two bits of a command; above them its number, so that no two are alike.
    COMMAND_RUN = 0
    COMMAND_PARK = 1
    COMMAND_STOP = 2
    COMMAND_KIND = 3

    # Who may touch what the worker owns.
    AWAKE = 0
    ASLEEP = 1          # nobody does
    BORROWED = 2        # the control plane does, while the worker sleeps
    WANTED = 3          # and the worker has something to do


cdef uint64_t monotonic() noexcept nogil
cdef int watch(int epoll, int fd, uint64_t index) except -1


cdef class Worker:
    cdef readonly Engine engine
    cdef Mailbox notes
    cdef uint64_t command       # what the control plane wants
    cdef uint64_t obeyed        # the worker: the command that I am parked for
    cdef uint64_t orders        # how many there were
    cdef uint64_t resting       # AWAKE to WANTED
    cdef bint borrowed          # parked without its noticing
    cdef int epoll
    cdef int doorbell           # wakes the worker
    cdef int parked             # the worker: look at `obeyed`
    cdef int released           # the control plane, to a worker that is parked: look at `command`
    cdef int patience           # milliseconds in epoll_wait: -1 as long as it takes, 0 for who polls
    cdef path_t* paths          # by SA slot of this direction
    cdef uint32_t path_count
    cdef uint64_t* counts       # [verdict]: what ended in I/O
    cdef object _counts
    cdef readonly uint64_t packets
    cdef readonly uint64_t batches
    cdef readonly uint64_t waits
    cdef readonly uint64_t handed   # packets that went to another worker, whose SA they belong to
    cdef bint timed             # whether the next two are kept
    cdef uint64_t reading       # nanoseconds
    cdef uint64_t writing

    cdef _reserve_paths(self, uint32_t count)
    cdef order(self, uint64_t kind)
    cdef void loop(self) noexcept nogil
    cdef bint attend(self) noexcept nogil
    cdef uint64_t wait(self, uint64_t* ready, int patience) noexcept nogil
    cdef void rise(self) noexcept nogil
    cdef void tell_limits(self, bint inbound) noexcept nogil


cdef inline bint is_wanted(Worker worker) noexcept nogil:
    """Whether the control plane wants something else than that the worker works."""
    return load_acquire(&worker.command) & COMMAND_KIND != COMMAND_RUN


cdef inline uint64_t stage_begin(Worker worker) noexcept nogil:
    return monotonic() if worker.timed else 0


cdef inline void stage_end(Worker worker, uint64_t* spent, uint64_t began) noexcept nogil:
    if worker.timed:
        spent[0] += monotonic() - began
