"""IKE fragmentation (RFC 7383): a message too long for one datagram travels as several, each sealed by itself."""

from __future__ import annotations

from ..crypto.envelope import Envelope
from ..errors import SilentDrop
from ..timing import Timing
from ..wire.payloads import SkfPayload
from ..wire.selectors import Address

IPV4_AND_UDP = 28
IPV6_AND_UDP = 48
NON_ESP_MARKER = 4
MAX_FRAGMENTS = 128
"""At the smallest sensible fragment size this is more than any message that we accept."""


def datagram_room(timing: Timing, remote: Address) -> int:
    """Bytes of an IKE message that fit a packet of ``fragment_size``, the marker counted whether it is there or not."""
    return timing.fragment_size - (IPV4_AND_UDP if remote.version == 4 else IPV6_AND_UDP) - NON_ESP_MARKER


def seal(envelope: Envelope, header: bytes, first: int, plaintext: bytes, room: int | None) -> tuple[bytes, ...]:
    """The datagrams of one message: a single one where it fits ``room`` or the peer takes no fragments (``None``)."""
    if room is None or len(plaintext) <= envelope.room(room):
        return (envelope.seal(header, first, plaintext),)
    size = envelope.room(room, fragment=True)
    pieces = [plaintext[at : at + size] for at in range(0, len(plaintext), size)]
    # Only the first fragment says what the message begins with (RFC 7383 section 2.5).
    return tuple(
        envelope.seal_fragment(header, first if number == 1 else 0, number, len(pieces), piece)
        for number, piece in enumerate(pieces, 1)
    )


class Reassembly:
    """The fragments of one message id, in whatever order they come (RFC 7383 section 2.6)."""

    __slots__ = ("_pieces", "_size", "fingerprint", "first", "head", "total")

    def __init__(self, total: int) -> None:
        self.total = total
        self.first = 0
        self.fingerprint = b""
        self.head = b""
        """The first fragment up to its IV."""
        self._pieces: dict[int, bytes] = {}
        self._size = 0

    @staticmethod
    def check(payload: SkfPayload) -> None:
        """Refuse numbers that make no sense before anything is decrypted."""
        if not 1 <= payload.number <= payload.total <= MAX_FRAGMENTS:
            raise SilentDrop("fragment-number", f"fragment {payload.number} of {payload.total}")

    def is_past(self, payload: SkfPayload) -> bool:
        """Whether that fragment is in already, or belongs to a coarser cut of the same message."""
        return payload.total < self.total or (payload.total == self.total and payload.number in self._pieces)

    def add(self, payload: SkfPayload, piece: bytes, limit: int) -> bytes | None:
        """Take a verified fragment; the whole plaintext once nothing is missing."""
        self._size += len(piece)
        if self._size > limit:
            raise SilentDrop("fragments-too-long", f"fragments of more than {limit} bytes")
        if payload.number == 1:
            self.first = payload.first
        self._pieces[payload.number] = piece
        if len(self._pieces) < self.total:
            return None
        return b"".join(self._pieces[number] for number in range(1, self.total + 1))
