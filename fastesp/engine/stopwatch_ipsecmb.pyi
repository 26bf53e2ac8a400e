from fastesp.engine.stopwatch import Primitive

class ImbGcm(Primitive):
    def __init__(self, key: bytes) -> None: ...

class ImbGmac(Primitive):
    def __init__(self, key: bytes) -> None: ...

class ImbChacha(Primitive):
    def __init__(self, key: bytes) -> None: ...
