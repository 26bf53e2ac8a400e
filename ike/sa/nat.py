"""NAT detection (RFC 7296 section 2.23): each side says where it believes to be, hashed; the other compares."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1

from ..events import Path
from ..wire.constants import IKE_PORT, NAT_T_PORT, NotifyType
from ..wire.payloads import NotifyPayload, Payload
from ..wire.selectors import Address


def address_hash(spi_i: bytes, spi_r: bytes, address: Address, port: int) -> bytes:
    """SHA-1 over SPIs, address and port, all in network byte order."""
    # The RFC fixes SHA-1; nothing here rests on its strength.
    return sha1(spi_i + spi_r + address.packed + port.to_bytes(2, "big"), usedforsecurity=False).digest()


def announce(spi_i: bytes, spi_r: bytes, path: Path, *, pretend: bool) -> list[Payload]:
    """The two notifies about our side and theirs.

    ``pretend`` makes our own address look translated, which brings UDP encapsulation about (``encap = yes``).
    """
    source_port = 0 if pretend else path.local_port
    source = address_hash(spi_i, spi_r, path.local, source_port)
    destination = address_hash(spi_i, spi_r, path.remote, path.remote_port)
    return [
        NotifyPayload(NotifyType.NAT_DETECTION_SOURCE_IP, source),
        NotifyPayload(NotifyType.NAT_DETECTION_DESTINATION_IP, destination),
    ]


def detect(spi_i: bytes, spi_r: bytes, path: Path, notifies: Sequence[NotifyPayload]) -> tuple[bool, bool] | None:
    """(we are behind a NAT, the peer is), from the notifies of a message that came over ``path``.

    ``None`` where the peer does not take part. There may be several source hashes, one an address of the peer.
    """
    sources = [n.data for n in notifies if n.notify == NotifyType.NAT_DETECTION_SOURCE_IP]
    destinations = [n.data for n in notifies if n.notify == NotifyType.NAT_DETECTION_DESTINATION_IP]
    if not sources or not destinations:
        return None
    here = address_hash(spi_i, spi_r, path.local, path.local_port)
    there = address_hash(spi_i, spi_r, path.remote, path.remote_port)
    return here not in destinations, there not in sources


def floated(path: Path) -> Path:
    """The same path on port 4500, where IKE and encapsulated ESP share a socket (RFC 7296 section 2.23).

    Only the well-known port moves: a port that somebody chose stays as it is.
    """
    local_port = NAT_T_PORT if path.local_port == IKE_PORT else path.local_port
    remote_port = NAT_T_PORT if path.remote_port == IKE_PORT else path.remote_port
    return Path(path.local, local_port, path.remote, remote_port)
