"""ESP in UDP that other workers received and this one's SAs are to open: an input like a socket.

A record of a mailbox is a ``handed_t``, then the datagram from its ESP header on. Each sender's stay in their order.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastesp.engine.batch cimport WORKERS_MAX
from fastesp.io.linux cimport read
from fastesp.io.mailbox cimport Mailbox
from fastesp.io.owner cimport handed_t
from fastesp.io.receive cimport SLOTS


cdef class HandedReceiver(Receiver):
    """``fd`` is the eventfd that all of ``mailboxes`` ring; it stays the caller's."""

    def __init__(self, int fd, list mailboxes not None):
        cdef Mailbox mailbox
        if not 0 < len(mailboxes) < WORKERS_MAX:
            raise ValueError(f"{len(mailboxes)} mailboxes: 1 to {WORKERS_MAX - 1} other workers")
        self._mailboxes = mailboxes
        for mailbox in mailboxes:
            self.senders[self.sender_count] = <void*> mailbox
            self.sender_count += 1

    cdef bint fill(self) noexcept nogil:
        """Take over what is there, a batch at most; false: nothing is."""
        cdef uint64_t rings
        cdef uint32_t i
        # Before the look into the mailboxes: what comes after it rings again.
        read(self.fd, &rings, 8)
        self.batch.count = 0
        for i in range(self.sender_count):
            self._empty(<Mailbox> self.senders[(self.next_sender + i) % self.sender_count])
        self.next_sender = (self.next_sender + 1) % self.sender_count
        return self.batch.count != 0

    cdef void _empty(self, Mailbox mailbox) noexcept nogil:
        cdef int64_t length
        while self.batch.count < <uint32_t> SLOTS:
            length = mailbox.next()
            if length < 0:
                break
            self._take(mailbox, <uint32_t> length)

    cdef void _take(self, Mailbox mailbox, uint32_t length) noexcept nogil:
        """The oldest record into the next slot of the region."""
        cdef handed_t head
        cdef uint32_t slot = self.batch.count
        cdef uint32_t datagram = length - <uint32_t> sizeof(head)
        mailbox.copy(0, &head, sizeof(head))
        mailbox.copy(sizeof(head), self.data(slot), datagram)
        mailbox.drop(length)
        self.peers[slot] = head.peer
        self.copied += datagram
        self._add(slot, 0, datagram, head.tos, 0)
