from fastesp.engine.stopwatch import Primitive

class ImbGcm(Primitive):
    def __init__(self, key: bytes) -> None: ...
