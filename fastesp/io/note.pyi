from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from fastesp.io.path import Ends

ACQUIRE: int
LIMIT: int
MOVED: int
UNKNOWN_SPI: int
PATH_MTU: int
DEVICE_GONE: int

class Note(NamedTuple):
    kind: int
    slot: int
    spi: int
    inbound: bool
    hard: bool
    what: str
    path: Ends | None
    source: IPv4Address | IPv6Address | None
    destination: IPv4Address | IPv6Address | None
    protocol: int
    source_port: int
    destination_port: int

def decode_note(record: bytes) -> Note: ...
