"""Programs for the kernel, in classic BPF: each packet goes to the worker that owns its SA. They need no privilege.

An SPI's upper 12 bits are its bucket; bucket modulo workers is the owner (``owner.pxd``). What shows no SPI goes to
worker 0: IKE behind its marker, keepalives, what is cut short.
"""

from __future__ import annotations

import ctypes
import socket
import struct

BUCKET_SHIFT = 20
SO_ATTACH_FILTER = 26
SO_ATTACH_REUSEPORT_CBPF = 51

# linux/bpf_common.h: class | size | mode, or class | operation | source.
LOAD_WORD, LOAD_WORD_BEHIND_X, LOAD_LENGTH = 0x20, 0x40, 0x80
X_FROM_IP_HEADER = 0xB1
"""X = 4 * (byte & 15): the length of an IPv4 header."""
X_FROM_CONSTANT = 0x01
SUBTRACT_X, SHIFT_RIGHT, MODULO = 0x1C, 0x74, 0x94
IF_EQUAL, IF_AT_LEAST = 0x15, 0x35
RETURN_A, RETURN = 0x16, 0x06
WHOLE, NOTHING = 0xFFFFFFFF, 0

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant."""


def owner_of(spi: int, workers: int) -> int:
    """The worker that an inbound SPI belongs to."""
    return (spi >> BUCKET_SHIFT) % workers


def among_sockets(workers: int) -> list[Instruction]:
    """For a SO_REUSEPORT group of UDP sockets, bound in the workers' order: which one takes a datagram.

    The kernel shows it what follows the UDP header; a datagram of less than four bytes ends the program with 0.
    """
    return [(LOAD_WORD, 0, 0, 0), (SHIFT_RIGHT, 0, 0, BUCKET_SHIFT), (MODULO, 0, 0, workers), (RETURN_A, 0, 0, 0)]


def own_packets(worker: int, workers: int, version: int, spi_at: int) -> list[Instruction]:
    """For a raw socket, which gets a copy of each packet of its protocol: keep the worker's own.

    ``spi_at`` is where the SPI stands in ESP (0) or AH (4). The kernel shows the IPv4 header too, and never IPv6's.
    """
    header = (X_FROM_IP_HEADER, 0, 0, 0) if version == 4 else (X_FROM_CONSTANT, 0, 0, 0)
    short = WHOLE if worker == 0 else NOTHING
    return [
        header,
        (LOAD_LENGTH, 0, 0, 0),
        (SUBTRACT_X, 0, 0, 0),
        (IF_AT_LEAST, 0, 5, spi_at + 4),
        (LOAD_WORD_BEHIND_X, 0, 0, spi_at),
        (SHIFT_RIGHT, 0, 0, BUCKET_SHIFT),
        (MODULO, 0, 0, workers),
        (IF_EQUAL, 2, 0, worker),
        (RETURN, 0, 0, NOTHING),
        (RETURN, 0, 0, short),
        (RETURN, 0, 0, WHOLE),
    ]


def attach(sock: socket.socket, option: int, program: list[Instruction]) -> None:
    """Give a socket (or the group it is in) a program. Raises :class:`OSError`."""
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("@HP", len(program), ctypes.addressof(buffer)))
