class TunWriter:
    fd: int
    tcp: bool
    udp: bool
    calls: int
    copied: int

    def __init__(self, fd: int, tcp: bool = True, udp: bool = True) -> None: ...

def coalesce(packets: list[bytes]) -> list[tuple[bytes, dict[str, int]]]: ...
