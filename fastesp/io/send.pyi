class Sender:
    udp4: int
    udp6: int
    raw4: int
    raw6: int
    ah4: int
    ah6: int
    gso: bool
    calls: int
    copied: int
    datagrams: int
    gso_refused: int
    fragmented: int

    def __init__(self, udp4: int, udp6: int, raw4: int, raw6: int, ah4: int, ah6: int, gso: bool) -> None: ...
