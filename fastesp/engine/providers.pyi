from typing_extensions import Buffer

from fastesp.dataplane.base import KeyMaterial, Suite

class Provider:
    name: str
    version: str

    def __init__(self, name: str) -> None: ...
    def seal(
        self,
        suite: Suite,
        key: KeyMaterial | Buffer,
        integrity_key: KeyMaterial | Buffer | None,
        head: bytes,
        iv: bytes,
        text: bytes,
        *,
        high: int | None = None,
    ) -> tuple[bytes, bytes]: ...
    def authenticate(
        self,
        suite: Suite,
        integrity_key: KeyMaterial | Buffer,
        packet: bytes,
        iv_at: int,
        *,
        high: int | None = None,
    ) -> bytes | None: ...
    def open(
        self,
        suite: Suite,
        key: KeyMaterial | Buffer,
        integrity_key: KeyMaterial | Buffer | None,
        head: bytes,
        iv: bytes,
        text: bytes,
        icv: bytes,
        *,
        high: int | None = None,
    ) -> bytes | None: ...

def available_providers() -> dict[str, str]: ...
def open_providers(name: str) -> tuple[Provider, ...]: ...
