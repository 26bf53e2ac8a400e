"""What AUTH covers of the IKE_INTERMEDIATE exchanges before it (RFC 9242 section 3.3)."""

from __future__ import annotations

import struct

from ..crypto.prf import prf
from ..crypto.secret import Secret
from ..errors import SilentDrop
from ..wire.constants import HEADER_LENGTH, PayloadType

_GENERIC_HEADER = 4


def covered_octets(head: bytes, plaintext: bytes) -> bytes:
    """IntAuth_A and IntAuth_P of one message: what it is like unencrypted and in one piece.

    ``head`` is the message up to where the IV begins (of the first fragment, where it came in several); ``plaintext``
    are all payloads inside. Both lengths count neither IV nor padding nor ICV. Nothing stands before SKF.
    """
    if head[16] == PayloadType.SKF:
        # After its generic header come the numbers of the fragment (RFC 7383 section 2.5).
        head = head[:16] + bytes((PayloadType.SK,)) + head[17 : HEADER_LENGTH + _GENERIC_HEADER]
    generic = len(head) - _GENERIC_HEADER
    header, first, reserved = bytearray(head[:generic]), head[generic], head[generic + 1]
    header[24:28] = struct.pack(">I", len(header) + _GENERIC_HEADER + len(plaintext))
    return bytes(header) + struct.pack(">BBH", first, reserved, _GENERIC_HEADER + len(plaintext)) + plaintext


class IntAuth:
    """Chains over the IKE_INTERMEDIATE messages of both sides, as they are sent and received."""

    __slots__ = ("_initiators", "_responders", "rounds")

    def __init__(self) -> None:
        self._initiators = b""
        self._responders = b""
        self.rounds = 0
        """Exchanges that are complete."""

    def take(self, prf_number: int, sk_p: Secret, head: bytes, plaintext: bytes, *, initiators: bool) -> None:
        """One message more. ``sk_p`` is the SK_pi or SK_pr of its sender in the keys that the message is sealed with.

        Raises :class:`SilentDrop` for fragments that make no message with a length field of 16 bits.
        """
        if len(plaintext) + _GENERIC_HEADER > 0xFFFF:
            raise SilentDrop("fragments-too-long", f"{len(plaintext)} bytes fit no encrypted payload")
        data = covered_octets(head, plaintext)
        if initiators:
            self._initiators = prf(prf_number, sk_p, self._initiators + data)
        else:
            self._responders = prf(prf_number, sk_p, self._responders + data)
            self.rounds += 1

    def octets(self) -> bytes:
        """``IntAuth_iN | IntAuth_rN | IKE_AUTH_MID``; nothing where no such exchange took place.

        IKE_SA_INIT has message id 0 (RFC 7296 section 2.2), so that IKE_AUTH comes right after the last round.
        """
        if not self.rounds:
            return b""
        return self._initiators + self._responders + struct.pack(">I", self.rounds + 1)
