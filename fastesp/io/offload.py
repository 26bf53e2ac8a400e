"""Whether UDP GSO and GRO can be trusted here: found out by sending to ourselves and comparing every byte.

Kernels have had bugs that mangle segments (Linux 7.0 and 7.1 among them), which no version number tells reliably.
"""

from __future__ import annotations

import random
import socket
import struct

from fastesp.io.sockets import SOL_UDP, UDP_GRO

UDP_SEGMENT = 103
SIZES = ((1408, 20, 700), (100, 5, 0), (64, 64, 1), (1200, 2, 17))
"""Segment bytes, whole segments, bytes of the last one."""
PATIENCE = 0.5


def check_gso() -> str:
    """Empty where segmentation offload works; else what is wrong with it."""
    return _check(gro=False)


def check_gro() -> str:
    """Empty where receive offload works; else what is wrong with it."""
    return _check(gro=True)


def _check(gro: bool) -> str:
    word = "GRO" if gro else "GSO"
    source = random.Random(4303)
    try:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inward,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outward,
        ):
            inward.bind(("127.0.0.1", 0))
            inward.settimeout(PATIENCE)
            inward.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            if gro:
                inward.setsockopt(SOL_UDP, UDP_GRO, 1)
            outward.connect(inward.getsockname())
            for size, whole, rest in SIZES:
                sent = source.randbytes(size * whole + rest)
                outward.sendmsg([sent], [(SOL_UDP, UDP_SEGMENT, struct.pack("=H", size))])
                expected = [sent[at : at + size] for at in range(0, len(sent), size)]
                if _receive(inward, len(expected)) != expected:
                    return f"UDP {word} changes bytes on this kernel"
    except TimeoutError:
        return f"UDP {word} loses segments on this kernel"
    except OSError as error:
        return f"UDP {word} cannot be checked over loopback ({error.strerror}; is lo up?)"
    return ""


def _receive(sock: socket.socket, count: int) -> list[bytes]:
    """``count`` datagrams, taken apart where the kernel joined them."""
    out: list[bytes] = []
    while len(out) < count:
        data, ancillary, _, _ = sock.recvmsg(65536, 64)
        size = len(data)
        for level, kind, value in ancillary:
            if (level, kind) == (SOL_UDP, UDP_GRO):
                size = struct.unpack("=i", value[:4])[0]
        out += [data[at : at + size] for at in range(0, len(data), size)]
    return out
