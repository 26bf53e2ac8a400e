"""Every algorithm and mode that an SA can have: what is held against a peer, natively and beside the kernel."""

from __future__ import annotations

from dataclasses import dataclass

HASHES = ("hmac-sha1", "hmac-sha2-256", "hmac-sha2-384", "hmac-sha2-512")
GCM = ("aes-gcm-16", 256, "")
CBC = ("aes-cbc", 256, "hmac-sha2-256")
CHACHA = ("chacha20-poly1305", 256, "")


@dataclass(frozen=True, slots=True)
class Case:
    """One SA. ``outer``: IP version outside; in tunnel mode both travel inside. ``tfc`` as the data plane takes it."""

    suite: tuple[str, int, str] = GCM
    ah: bool = False
    mode: str = "tunnel"
    outer: int = 4
    udp: bool = False
    esn: bool = False
    window: int = 128
    tfc: int = 0
    kernel_tfc: int = 0

    def __str__(self) -> str:
        encryption, bits, integrity = self.suite
        parts = ["ah" if self.ah else "esp", encryption, bits or "", integrity, self.mode, f"over-ipv{self.outer}"]
        parts += [
            "udp" if self.udp else "",
            "esn" if self.esn else "",
            f"window-{self.window}" if self.window != 128 else "",
        ]
        parts += ["tfc" if self.tfc else "", "kernel-tfc" if self.kernel_tfc else ""]
        return "-".join(str(part) for part in parts if part)


AEADS = [(name, bits, "") for name in ("aes-gcm-8", "aes-gcm-12", "aes-gcm-16", "aes-gmac") for bits in (128, 256)]
CIPHERS = [(name, bits, hash_) for name in ("aes-cbc", "aes-ctr") for bits in (128, 256) for hash_ in HASHES]
NULLS = [("null", 0, hash_) for hash_ in HASHES]

SUITES = [Case(suite) for suite in (*AEADS, CHACHA, *CIPHERS, *NULLS)]
MODES = [
    Case(suite, mode=mode, outer=outer)
    for suite in (GCM, CBC, CHACHA)
    for mode in ("tunnel", "transport")
    for outer in (4, 6)
]
AH = [
    Case(("", 0, hash_), ah=True, mode=mode, outer=outer)
    for hash_ in HASHES
    for mode in ("tunnel", "transport")
    for outer in (4, 6)
]
AH_GMAC = [
    Case(("", 0, f"aes-{bits}-gmac"), ah=True, mode=mode, outer=outer, esn=bits == 256)
    for bits in (128, 192, 256)
    for mode in ("tunnel", "transport")
    for outer in (4, 6)
]
"""The kernel has no AES-GMAC in AH: its AH takes hashes alone."""
ESN = [
    *(Case(suite, esn=True) for suite in (GCM, CHACHA, CBC, ("aes-gmac", 256, ""), ("aes-ctr", 128, "hmac-sha1"))),
    *(Case(("", 0, hash_), ah=True, esn=True) for hash_ in ("hmac-sha1", "hmac-sha2-512")),
    Case(GCM, mode="transport", outer=6, esn=True),
]
ENCAPSULATED = [
    Case(suite, mode=mode, outer=outer, udp=True)
    for suite in (GCM, ("null", 0, "hmac-sha1"))
    for mode in ("tunnel", "transport")
    for outer in (4, 6)
]
PADDED = [Case(tfc=1000), Case(tfc=-1), Case(CBC, tfc=700, kernel_tfc=700), Case(kernel_tfc=1200, outer=6)]
WINDOWS = [Case(window=32), Case(window=4096), Case(window=4096, esn=True), Case(window=32768)]

CASES = list(dict.fromkeys([*SUITES, *MODES, *AH, *ESN, *ENCAPSULATED, *PADDED, *WINDOWS]))
