"""Loads ``steer.bpf.o``, owns its maps, and attaches it to interfaces.

An inbound SPI's upper 12 bits are its bucket; :meth:`Steering.set_owner` says which worker a bucket belongs to.
"""

import errno
import fcntl
import os
import socket
import struct
from enum import IntEnum

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from .libbpf cimport (
    STEER_BUCKETS,
    STEER_BUCKET_SHIFT,
    STEER_OWNERS,
    STEER_QUEUES,
    STEER_REASONS,
    XDP_FLAGS_DRV_MODE,
    XDP_FLAGS_SKB_MODE,
    XDP_FLAGS_UPDATE_IF_NOEXIST,
    bpf_map_delete_elem,
    bpf_map_lookup_elem,
    bpf_map_update_elem,
    bpf_object,
    bpf_object__close,
    bpf_object__find_map_by_name,
    bpf_object__find_program_by_name,
    bpf_object__load,
    bpf_object__open_file,
    bpf_map__fd,
    bpf_prog_test_run_opts,
    bpf_program__fd,
    bpf_test_run_opts,
    bpf_xdp_attach,
    bpf_xdp_attach_opts,
    bpf_xdp_detach,
    libbpf_num_possible_cpus,
    libbpf_set_print,
)

BUCKETS = STEER_BUCKETS
OWNERS = STEER_OWNERS
QUEUES = STEER_QUEUES

SO_ATTACH_REUSEPORT_EBPF = 52
TUNSETSTEERINGEBPF = 0x800454E0


class Reason(IntEnum):
    """Why a packet went where it went: ``enum steer_reason`` of ``bpf/steer.h``, in its order."""

    REDIRECTED = 0
    NOT_IPSEC = 1
    IKE = 2
    KEEPALIVE = 3
    FRAGMENT = 4
    NO_OWNER = 5
    NO_SOCKET = 6
    DOUBT = 7


class SteeringError(Exception):
    """The kernel or the object refused: the message names the step and the interface."""


def bucket_of(uint32_t spi) -> int:
    """The bucket of an SPI: its upper 12 bits."""
    return spi >> STEER_BUCKET_SHIFT


def _failed(step: str, int error) -> SteeringError:
    reason = os.strerror(-error) if error < 0 else "unknown error"
    hint = "" if -error not in (errno.EPERM, errno.EACCES) else "; it takes root (CAP_BPF and CAP_NET_ADMIN)"
    return SteeringError(f"{step}: {reason}{hint}")


cdef class Steering:
    """The loaded programs and their maps. Use it as a context manager, or call :meth:`close`."""

    cdef bpf_object* _object
    cdef int _xdp
    cdef int _reuseport
    cdef int _tun
    cdef int _buckets
    cdef int _sockets
    cdef int _workers
    cdef int _reasons
    cdef dict _attached

    def __cinit__(self, path: str) -> None:
        self._object = NULL
        self._attached = {}
        # Without a printer libbpf is silent: our own exceptions say what failed.
        libbpf_set_print(NULL)
        if not os.path.exists(path):
            raise SteeringError(f"{path}: not there; build it with clang and libbpf-dev installed")
        encoded = os.fsencode(path)
        self._object = bpf_object__open_file(encoded, NULL)
        if self._object == NULL:
            raise SteeringError(f"{path}: no BPF object that this libbpf can read")
        cdef int error = bpf_object__load(self._object)
        if error:
            raise _failed(f"{path}: the kernel did not load it", error)
        self._xdp = bpf_program__fd(bpf_object__find_program_by_name(self._object, b"steer_xdp"))
        self._reuseport = bpf_program__fd(bpf_object__find_program_by_name(self._object, b"steer_reuseport"))
        self._tun = bpf_program__fd(bpf_object__find_program_by_name(self._object, b"steer_tun"))
        self._buckets = bpf_map__fd(bpf_object__find_map_by_name(self._object, b"buckets"))
        self._sockets = bpf_map__fd(bpf_object__find_map_by_name(self._object, b"sockets"))
        self._workers = bpf_map__fd(bpf_object__find_map_by_name(self._object, b"workers"))
        self._reasons = bpf_map__fd(bpf_object__find_map_by_name(self._object, b"reasons"))

    def __dealloc__(self) -> None:
        if self._object != NULL:
            bpf_object__close(self._object)

    def __enter__(self) -> "Steering":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def attach(self, interface: str) -> str:
        """Attach to an interface that has no XDP program yet; returns the mode, ``native`` or ``generic``.

        Raises :class:`SteeringError`, also where somebody else's program is attached: it is never replaced.
        """
        cdef int ifindex = socket.if_nametoindex(interface)
        cdef int error = 0
        for mode, flag in (("native", XDP_FLAGS_DRV_MODE), ("generic", XDP_FLAGS_SKB_MODE)):
            error = bpf_xdp_attach(ifindex, self._xdp, flag | XDP_FLAGS_UPDATE_IF_NOEXIST, NULL)
            if error == 0:
                self._attached[ifindex] = flag
                return mode
            if -error in (errno.EBUSY, errno.EEXIST):
                raise SteeringError(f"{interface}: another XDP program is attached; detach it first")
        raise _failed(f"{interface}: cannot attach the XDP program", error)

    def detach(self, interface: str) -> None:
        """Take our program off again; an interface that we are not attached to is left alone."""
        cdef int ifindex = socket.if_nametoindex(interface)
        flag = self._attached.pop(ifindex, None)
        if flag is not None:
            self._take_off(ifindex, flag)

    cdef _take_off(self, int ifindex, uint32_t flag):
        """Where somebody has put another program in the place of ours meanwhile, that one stays."""
        cdef bpf_xdp_attach_opts options
        memset(&options, 0, sizeof(options))
        options.sz = sizeof(options)
        options.old_prog_fd = self._xdp
        bpf_xdp_detach(ifindex, flag, &options)

    def steer_group(self, sock: socket.socket) -> None:
        """Let the ``SO_REUSEPORT`` group of a bound UDP socket be chosen from by SPI. Raises :class:`OSError`."""
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, self._reuseport)

    def steer_tun(self, int queue) -> None:
        """Give each flow one queue of a TUN for good; ``queue`` is any one's descriptor. Raises :class:`OSError`."""
        fcntl.ioctl(queue, TUNSETSTEERINGEBPF, struct.pack("=i", self._tun))

    def set_owner(self, uint32_t bucket, owner: int | None) -> None:
        """Give a bucket (0 to 4095) to an owner (0 to 63), or to nobody. Takes effect with the next packet."""
        if bucket >= STEER_BUCKETS:
            raise ValueError(f"bucket {bucket} is not below {STEER_BUCKETS}")
        if owner is not None and not 0 <= owner < STEER_OWNERS:
            raise ValueError(f"owner {owner} is not below {STEER_OWNERS}")
        cdef uint32_t value = 0 if owner is None else owner + 1
        cdef int error = bpf_map_update_elem(self._buckets, &bucket, &value, 0)
        if error:
            raise _failed(f"bucket {bucket}", error)

    def set_worker(self, uint32_t owner, sock: socket.socket) -> None:
        """The UDP socket that takes an owner's packets over its IP version; owner 0's also takes IKE."""
        cdef uint64_t descriptor = sock.fileno()
        cdef uint32_t slot = owner + (STEER_OWNERS if sock.family == socket.AF_INET6 else 0)
        if owner >= STEER_OWNERS:
            raise ValueError(f"owner {owner} is not below {STEER_OWNERS}")
        cdef int error = bpf_map_update_elem(self._workers, &slot, &descriptor, 0)
        if error:
            raise _failed(f"worker {owner}", error)

    def set_socket(self, uint32_t owner, uint32_t queue, descriptor: int | None) -> None:
        """The AF_XDP socket that takes an owner's frames on a receive queue, or none."""
        if owner >= STEER_OWNERS or queue >= STEER_QUEUES:
            raise ValueError(f"owner {owner}, queue {queue}: both must be below {STEER_OWNERS}")
        cdef uint32_t slot = owner * STEER_QUEUES + queue
        cdef uint32_t value = 0
        cdef int error
        if descriptor is None:
            bpf_map_delete_elem(self._sockets, &slot)
            return
        value = descriptor
        error = bpf_map_update_elem(self._sockets, &slot, &value, 0)
        if error:
            raise _failed(f"AF_XDP socket of owner {owner} on queue {queue}", error)

    def reasons(self) -> dict[Reason, int]:
        """Packets by reason, summed over the CPUs."""
        cdef int cpus = libbpf_num_possible_cpus()
        if cpus <= 0:
            raise _failed("number of CPUs", cpus)
        cdef uint64_t* values = <uint64_t*>calloc(cpus, sizeof(uint64_t))
        cdef uint32_t key
        cdef uint64_t total
        cdef int cpu
        if values == NULL:
            raise MemoryError
        counted = {}
        try:
            for key in range(<uint32_t>STEER_REASONS):
                total = 0
                if bpf_map_lookup_elem(self._reasons, &key, values) == 0:
                    for cpu in range(cpus):
                        total += values[cpu]
                counted[Reason(key)] = total
        finally:
            free(values)
        return counted

    def test_run(self, frame: bytes, int repeat=1) -> int:
        """Run the XDP program on a frame without any interface (BPF_PROG_TEST_RUN); returns the XDP action."""
        cdef bpf_test_run_opts options
        cdef uint8_t out[4096]
        if not 14 <= len(frame) <= 3520:
            raise ValueError(f"a frame has 14 to 3520 bytes here, not {len(frame)}")
        memset(&options, 0, sizeof(options))
        options.sz = sizeof(options)
        options.data_in = <const void*><const char*>frame
        options.data_size_in = len(frame)
        options.data_out = out
        options.data_size_out = sizeof(out)
        options.repeat = repeat
        cdef int error = bpf_prog_test_run_opts(self._xdp, &options)
        if error:
            raise _failed("test run", error)
        return options.retval

    def close(self) -> None:
        """Detach from every interface and unload. Idempotent."""
        for ifindex, flag in self._attached.items():
            self._take_off(ifindex, flag)
        self._attached.clear()
        if self._object != NULL:
            bpf_object__close(self._object)
            self._object = NULL
            # The numbers of closed descriptors may soon be somebody else's.
            self._xdp = self._reuseport = self._tun = self._buckets = self._sockets = self._workers = self._reasons = -1
