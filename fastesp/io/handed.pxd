"""ESP in UDP that other workers received and this one's SAs are to open."""

from libc.stdint cimport uint32_t

from fastesp.engine.batch cimport WORKERS_MAX
from fastesp.io.mailbox cimport Mailbox
from fastesp.io.receive cimport Receiver


cdef class HandedReceiver(Receiver):
    cdef list _mailboxes        # keeps those below
    cdef void* senders[WORKERS_MAX]
    cdef uint32_t sender_count
    cdef uint32_t next_sender   # whom to look at first

    cdef void _empty(self, Mailbox mailbox) noexcept nogil
    cdef void _take(self, Mailbox mailbox, uint32_t length) noexcept nogil
