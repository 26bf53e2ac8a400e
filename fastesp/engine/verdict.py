"""What became of a packet: one list that is descriptor value, counter index and metric label alike."""

from __future__ import annotations

from enum import IntEnum


class Verdict(IntEnum):
    """Zero goes on; any other value ends the packet's way and is counted under it. For C: verdict.pxd."""

    OK = 0
    BAD_LENGTH = 1
    """An IP header that is cut short, or whose lengths (extension headers' included) lie."""
    FRAGMENT = 2
    """A fragment where RFC 4301 section 7 allows none: transport mode, and AH."""
    NO_POLICY = 3
    """Outbound: no policy matches (RFC 4301 section 5.1: discard)."""
    DISCARD = 4
    """Outbound: the policy says so."""
    BYPASS = 5
    """Outbound: the policy lets it pass in the clear. Not a drop."""
    ACQUIRE = 6
    """Outbound: a trap without an SA; the descriptor's policy says whose. The worker keeps the packet."""
    NO_SA = 7
    """Outbound: the policy protects, but has no SA now."""
    EXPIRED = 8
    """A hard limit (bytes, packets, sequence numbers) has stopped the SA."""
    TOO_BIG = 9
    """Outbound: larger than the SA's MTU, and not to be fragmented (RFC 4301 section 8.2)."""
    NO_ROOM = 10
    """Outbound: the buffer lacks the head or tail room that sealing takes."""
    TRUNCATED = 11
    """Inbound: too short for its SA's header, IV and ICV, or no whole number of cipher blocks."""
    UNKNOWN_SPI = 12
    """Inbound: no SA of ours has this SPI and protocol."""
    REPLAYED = 13
    """Inbound: this sequence number was here before (RFC 4303 section 3.4.3)."""
    TOO_OLD = 14
    """Inbound: left of the replay window."""
    CORRUPT = 15
    """Inbound: the ICV does not verify."""
    BAD_PADDING = 16
    """Inbound: pad length beyond the packet, or pad bytes other than 1, 2, 3 ... (RFC 4303 section 2.4)."""
    BAD_NEXT_HEADER = 17
    """Inbound: the next header is not what the SA's mode carries."""
    WRONG_SELECTORS = 18
    """Inbound: authentic, but outside the selectors of its SA (RFC 4301 section 5.2)."""
    CONGESTED = 19
    """Inbound: congestion experienced outside, but inside not ECN-capable: dropped (RFC 6040 section 4.2)."""
    DUMMY = 20
    """Inbound: a dummy packet, thrown away as it should be (RFC 4303 section 2.6). Not a fault."""
    KEEPALIVE = 21
    """Inbound: a NAT keepalive (RFC 3948 section 2.3). Set by I/O. Not a fault."""
    OVERFLOW = 22
    """A queue or a hold-back buffer was full. Set by I/O."""
    SEND_FAILED = 23
    """The kernel refused to send it. Set by I/O."""
    ELSEWHERE = 24
    """Outbound: another worker owns the SA, and takes the packet over. Not a drop: that one counts it anew."""

    @property
    def label(self) -> str:
        """As metrics and ``status`` name it: ``wrong-selectors``."""
        return self.name.lower().replace("_", "-")

    @property
    def is_drop(self) -> bool:
        """Whether a packet was lost to it."""
        return self not in _NO_DROPS


_NO_DROPS = frozenset(
    {Verdict.OK, Verdict.BYPASS, Verdict.ACQUIRE, Verdict.DUMMY, Verdict.KEEPALIVE, Verdict.ELSEWHERE}
)
