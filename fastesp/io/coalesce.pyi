class TunWriter:
    fd: int
    merge: bool
    calls: int
    copied: int

    def __init__(self, fd: int, merge: bool = True) -> None: ...

def coalesce(packets: list[bytes]) -> list[tuple[bytes, dict[str, int]]]: ...
