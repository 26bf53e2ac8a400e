"""Batches from Python's side: NumPy sees the descriptors, tests and tools put packets in and take them out."""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

import numpy as np

globals().update(
    HEADROOM=HEADROOM,
    TAILROOM=TAILROOM,
    BATCH_MAX=BATCH_MAX,
    NO_SLOT=<uint32_t>NO_SLOT,
    ELSEWHERE=<uint32_t>ELSEWHERE,
    WORKERS_MAX=WORKERS_MAX,
    FLAG_DF=FLAG_DF,
    FLAG_DUMMY=FLAG_DUMMY,
    FLAG_OUTER=FLAG_OUTER,
)

PACKET = np.dtype(
    [
        ("offset", "u4"),
        ("length", "u4"),
        ("verdict", "u2"),
        ("family", "u1"),
        ("tos", "u1"),
        ("sa", "u4"),
        ("peer", "u4"),
        ("flags", "u1"),
        ("reserved", "u1"),
        ("room", "u2"),
        ("policy", "u4"),
    ]
)
"""A descriptor as NumPy sees it: `packet_t` of batch.pxd."""

if PACKET.itemsize != sizeof(packet_t):
    raise ImportError(f"a descriptor has {sizeof(packet_t)} bytes in C and {PACKET.itemsize} for NumPy")


cdef class Batch:
    """Descriptors over ``region``, a writable buffer that stays locked while the batch lives.

    ``count`` packets of at most ``capacity`` are in it. Raises :class:`ValueError` for a capacity of zero.
    """

    def __init__(self, object region, uint32_t capacity=BATCH_MAX):
        self._reserve(capacity)
        held = _Held(region)
        self.region = (<_Held>held).address
        self.region_size = (<_Held>held).size
        self.owner = held

    def _reserve(self, uint32_t capacity):
        cdef uint8_t[::1] raw
        if capacity == 0:
            raise ValueError("a batch needs room for at least one packet")
        self._view = np.zeros(capacity, PACKET)
        raw = self._view.view(np.uint8)
        self.packets = <packet_t*>&raw[0]
        self.capacity = capacity
        self.count = 0

    @property
    def view(self):
        """All descriptors (``capacity`` of them) as a structured array, without a copy."""
        return self._view

    def put(self, object data, *, int tos=0, int family=0, uint32_t sa=NO_SLOT, int flags=0, uint32_t stride=0):
        """Place a packet behind the last one, with head and tail room; returns its index.

        ``stride`` is the distance between slots in bytes, 0 for the least that fits. Raises :class:`ValueError` where
        descriptors or region are used up.
        """
        cdef const uint8_t[::1] packet = memoryview(data).cast("B")
        cdef uint32_t length = <uint32_t>packet.shape[0]
        cdef size_t start = 0
        cdef packet_t* last
        cdef packet_t* p
        if self.count >= self.capacity:
            raise ValueError(f"the batch holds {self.capacity} packets already")
        if self.count:
            last = &self.packets[self.count - 1]
            start = last.offset + last.length + TAILROOM
            if stride:
                start = max(start, <size_t>stride * self.count)
        if start + HEADROOM + length + TAILROOM > self.region_size:
            raise ValueError(f"the region of {self.region_size} bytes is full: {length} more do not fit")
        p = &self.packets[self.count]
        p.offset = <uint32_t>start + HEADROOM
        p.length = length
        p.verdict = 0
        p.family = family
        p.tos = tos
        p.sa = sa
        p.peer = NO_SLOT
        p.policy = NO_SLOT
        p.flags = flags
        p.room = 0
        if length:
            memcpy(self.region + p.offset, &packet[0], length)
        self.count += 1
        return self.count - 1

    def data(self, uint32_t index):
        """The bytes that descriptor ``index`` covers now. Raises :class:`IndexError` beyond the count."""
        if index >= self.count:
            raise IndexError(f"packet {index} of {self.count}")
        cdef packet_t* p = &self.packets[index]
        if <size_t>p.offset + p.length > self.region_size:
            raise ValueError(f"packet {index} lies outside of its region")
        return (<char*>self.region + p.offset)[: p.length]

    def clear(self):
        """Forget all packets; the region's bytes stay."""
        self.count = 0


cdef class _Held:
    """Keeps a Python buffer locked in place."""

    cdef Py_buffer buffer
    cdef bint held
    cdef uint8_t* address
    cdef size_t size

    def __init__(self, object region):
        PyObject_GetBuffer(region, &self.buffer, PyBUF_WRITABLE)
        self.held = True
        self.address = <uint8_t*>self.buffer.buf
        self.size = <size_t>self.buffer.len

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.buffer)


cdef Batch batch_over(uint8_t* region, size_t size, uint32_t capacity, object owner):
    """A batch over C memory that `owner` keeps alive."""
    cdef Batch batch = Batch.__new__(Batch)
    batch._reserve(capacity)
    batch.region = region
    batch.region_size = size
    batch.owner = owner
    return batch
