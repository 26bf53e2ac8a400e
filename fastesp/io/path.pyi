from ipaddress import IPv4Address, IPv6Address

Ends = tuple[IPv4Address | IPv6Address, int, IPv4Address | IPv6Address, int]

def split_path(record: bytes) -> tuple[Ends, bytes]: ...
