"""What a worker tells the control plane, read back into Python values."""

from typing import NamedTuple

from ipaddress import IPv4Address, IPv6Address

from libc.string cimport memcpy

from fastesp.engine.sa cimport EVENT_HARD, LIMIT_BYTES, LIMIT_PACKETS
from fastesp.io.path cimport path_get

ACQUIRE = NOTE_ACQUIRE
LIMIT = NOTE_LIMIT
MOVED = NOTE_MOVED
UNKNOWN_SPI = NOTE_UNKNOWN_SPI
PATH_MTU = NOTE_PATH_MTU
DEVICE_GONE = NOTE_DEVICE_GONE


class Note(NamedTuple):
    """One note; which fields mean something depends on ``kind`` (note.pxd). Ports and SPI in host order."""

    kind: int
    slot: int
    spi: int
    inbound: bool
    hard: bool
    what: str
    path: object
    source: object
    destination: object
    protocol: int
    source_port: int
    destination_port: int


def decode_note(bytes record not None):
    """A record of a worker's mailbox."""
    cdef note_t note
    if len(record) != sizeof(note):
        raise ValueError(f"a note of {len(record)} bytes: it has {sizeof(note)}")
    memcpy(&note, <const char*> record, sizeof(note))
    limit = note.value & 0xFFFF
    return Note(
        note.kind,
        note.slot,
        note.spi,
        note.inbound != 0,
        (note.value >> 16) == EVENT_HARD,
        "bytes" if limit == LIMIT_BYTES else "packets" if limit == LIMIT_PACKETS else "sequence",
        path_get(&note.path) if note.path.family else None,
        _address(note.family, note.source),
        _address(note.family, note.destination),
        note.protocol,
        note.source_port,
        note.destination_port,
    )


cdef _address(uint8_t family, const uint8_t* data):
    if family == 4:
        return IPv4Address((<const char*> data)[:4])
    return IPv6Address((<const char*> data)[:16]) if family == 6 else None
