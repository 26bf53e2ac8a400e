"""The plain side: a TUN device with virtio-net headers, read into batches.

1. ``fill`` reads super-packets until a batch's worth is there, or the device is empty;
2. each lands in a staging buffer, is checked, and is cut from there straight into the batch's region, with HEADROOM
   before and TAILROOM behind every packet: one copy, which also makes the checksum;
3. what does not fit the batch any more stays in the staging buffer for the next one.

The region and the staging buffer belong to the reader; the batch is the worker's until it calls ``fill`` again.
"""

import fcntl
import os
import struct

from libc.stdint cimport uint16_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from fastesp.engine.batch cimport BATCH_MAX, HEADROOM, NO_SLOT, TAILROOM, batch_over
from fastesp.engine.verdict cimport VERDICT_BAD_LENGTH, VERDICT_OK
from fastesp.io.linux cimport read
from fastesp.io.segment cimport CUT_OK, cut_begin, cut_done, cut_next, cut_next_length

TUNSETIFF = 0x400454CA
TUNSETOFFLOAD = 0x400454D0
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR, IFF_MULTI_QUEUE = 0x0001, 0x1000, 0x4000, 0x0100
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_USO4, TUN_F_USO6 = 0x01, 0x02, 0x04, 0x20, 0x40

cdef enum:
    PACKET_MAX = 65535
    STAGE_SIZE = PACKET_MAX + 1 + 16
    REGION_SIZE = 1 << 20
    ENOUGH = 128            # packets: a batch of that many goes on without asking the device for more


def open_tun(name: str, offload: bool = True, multi_queue: bool = False) -> tuple[int, str, frozenset[str]]:
    """Make a TUN device: its descriptor (non-blocking), its name, and the offloads that the kernel agreed to.

    ``name`` may hold one ``%d`` for the kernel to fill in. Raises :class:`OSError` naming the device.
    """
    if not name or len(name.encode()) > 15:
        raise ValueError(f"TUN device {name!r}: a name has 1 to 15 bytes")
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | (IFF_MULTI_QUEUE if multi_queue else 0)
        request = fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        got = request[:16].rstrip(b"\0").decode()
        return fd, got, _set_offload(fd) if offload else frozenset()
    except OSError as error:
        os.close(fd)
        raise OSError(error.errno, f"TUN device {name}: {error.strerror}") from error


def _set_offload(fd: int) -> frozenset[str]:
    """Ask for all that we can cut; older kernels know no UDP segmentation (Linux 6.2)."""
    tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6
    for flags, names in ((tcp | TUN_F_USO4 | TUN_F_USO6, {"csum", "tso", "uso"}), (tcp, {"csum", "tso"})):
        try:
            fcntl.ioctl(fd, TUNSETOFFLOAD, flags)
        except OSError:
            continue
        return frozenset(names)
    return frozenset()


cdef class TunReader:
    """The way out of a TUN queue. The descriptor stays the caller's; ``counts`` is set by the worker."""

    def __cinit__(self, int fd):
        self.fd = fd
        self.stage = <uint8_t*> malloc(STAGE_SIZE)
        self.region = <uint8_t*> malloc(REGION_SIZE)
        if self.stage == NULL or self.region == NULL:
            raise MemoryError
        memset(self.region, 0, REGION_SIZE)
        self.batch = batch_over(self.region, REGION_SIZE, BATCH_MAX, None)

    def __dealloc__(self):
        free(self.stage)
        free(self.region)

    cdef int fill(self) noexcept nogil:
        """Read and cut, at most a batch; 0: nothing is there."""
        self.clear()
        while self.batch.count < ENOUGH:
            if not self.cutting and not self._read():
                break
            if not self._cut():
                break
        return <int> self.batch.count

    cdef void clear(self) noexcept nogil:
        """Begin an empty batch."""
        self.batch.count = 0
        self.filled = 0

    cdef bint _read(self) noexcept nogil:
        """The next super-packet that makes sense; false: none is there."""
        cdef ssize_t got
        cdef uint32_t header = sizeof(virtio_net_hdr)
        while True:
            self.calls += 1
            got = read(self.fd, self.stage, STAGE_SIZE)
            if got <= 0:
                return False
            self.copied += <uint64_t> got
            if got > header and cut_begin(
                &self.cut, <virtio_net_hdr*> self.stage, self.stage + header, <uint32_t> got - header
            ) == CUT_OK:
                self.cutting = True
                return True
            self.counts[<int> VERDICT_BAD_LENGTH] += 1

    cdef bint _cut(self) noexcept nogil:
        """Place packets until the super-packet is through (true) or the batch is full (false)."""
        cdef uint8_t* place
        cdef uint32_t length
        while not cut_done(&self.cut):
            length = cut_next_length(&self.cut)
            place = self.room_for(length)
            if place == NULL:
                return False
            cut_next(&self.cut, place)
            self.place(length)
        self.cutting = False
        return True

    cdef uint8_t* room_for(self, uint32_t length) noexcept nogil:
        """Where the next packet of ``length`` bytes goes, or NULL: the batch is full."""
        cdef uint32_t end = self.filled + HEADROOM + max(length, self.reserve) + TAILROOM
        if self.batch.count == self.batch.capacity or end > REGION_SIZE:
            return NULL
        return self.region + self.filled + HEADROOM

    cdef void place(self, uint32_t length) noexcept nogil:
        """Describe the packet that was put where ``room_for`` said."""
        cdef packet_t* packet = &self.batch.packets[self.batch.count]
        cdef uint8_t* data = self.region + self.filled + HEADROOM
        cdef uint32_t space = max(length, self.reserve) + TAILROOM
        memset(packet, 0, sizeof(packet_t))
        packet.offset = self.filled + HEADROOM
        packet.length = length
        packet.verdict = VERDICT_OK
        packet.family = data[0] >> 4
        packet.sa = NO_SLOT
        packet.policy = NO_SLOT
        packet.room = <uint16_t> (space - length) if space - length > TAILROOM else 0
        self.copied += length
        self.batch.count += 1
        self.filled += (HEADROOM + space + 63) & ~<uint32_t> 63
