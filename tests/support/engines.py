"""Two engines that talk to each other, suites with random keys, and scapy as a third that knows nothing of us."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import AH, ESP, SecurityAssociation
from scapy.packet import Packet, Raw

from fastesp.dataplane.base import PolicyAction, Selector, Suite
from fastesp.engine import ENCRYPTION, INTEGRITY, Batch, Engine, Verdict

LEFT, RIGHT = "198.51.100.1", "203.0.113.2"
LEFT6, RIGHT6 = "2001:db8:1::1", "2001:db8:2::2"
SPI = 0xC0FFEE01

AEADS = ("aes-gcm-8", "aes-gcm-12", "aes-gcm-16", "aes-gmac", "chacha20-poly1305")
CIPHERS = ("null", "aes-cbc", "aes-ctr")
HMACS = tuple(name for name, row in INTEGRITY.items() if not row.is_for_ah_alone)

SUITES = [Suite(name, bits) for name in AEADS for bits in ENCRYPTION[name].key_bits] + [
    Suite(name, bits, integrity) for name in CIPHERS for bits in ENCRYPTION[name].key_bits for integrity in HMACS
]
GCM = Suite("aes-gcm-16", 256)

SCAPY_NAMES = {
    "aes-gcm-8": "AES-GCM",
    "aes-gcm-12": "AES-GCM",
    "aes-gcm-16": "AES-GCM",
    "aes-gmac": "AES-NULL-GMAC",
    "chacha20-poly1305": "CHACHA20-POLY1305",
    "aes-cbc": "AES-CBC",
    "aes-ctr": "AES-CTR",
    "null": "NULL",
    "hmac-sha1": "HMAC-SHA1-96",
    "hmac-sha2-256": "SHA2-256-128",
    "hmac-sha2-384": "SHA2-384-192",
    "hmac-sha2-512": "SHA2-512-256",
    "": "NULL",
}


def suite_id(suite: Suite) -> str:
    """How a suite is called in a test's name."""
    return "-".join(filter(None, (suite.encryption, str(suite.key_bits or ""), suite.integrity)))


def every_packet(*, family: int = 4) -> tuple[Selector, ...]:
    """Selectors that everything of one family lies within."""
    low, high = ("0.0.0.0", "255.255.255.255") if family == 4 else ("::", "ffff:" * 7 + "ffff")
    return (Selector(ip_address(low), ip_address(high), ip_address(low), ip_address(high)),)


def any_packet() -> tuple[Selector, ...]:
    """Selectors that everything lies within."""
    return every_packet(family=4) + every_packet(family=6)


def selector(local: str, remote: str, **rest: int) -> Selector:
    """``10.1.0.0-10.1.0.255`` or a single address, each side."""
    first, _, last = local.partition("-")
    other, _, end = remote.partition("-")
    return Selector(ip_address(first), ip_address(last or first), ip_address(other), ip_address(end or other), **rest)


def udp(
    size: int = 100, *, family: int = 4, tos: int = 0, source: str = "", destination: str = "", **ports: int
) -> bytes:
    """A UDP packet of ``size`` bytes payload, with right lengths and checksums."""
    payload = UDP(sport=ports.get("sport", 1234), dport=ports.get("dport", 4321)) / Raw(os.urandom(size))
    if family == 4:
        return bytes(IP(src=source or "10.1.0.5", dst=destination or "10.2.0.9", tos=tos) / payload)
    return bytes(IPv6(src=source or "2001:db8:a::5", dst=destination or "2001:db8:b::9", tc=tos) / payload)


@dataclass
class Pair:
    """A sends to B over one SA. ``sending`` and ``receiving`` are options of one side only."""

    suite: Suite = GCM
    provider: str = "auto"
    selectors: tuple[Selector, ...] = field(default_factory=any_packet)
    sending: dict[str, Any] = field(default_factory=dict)
    receiving: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    spi: int = SPI

    def __post_init__(self) -> None:
        encryption = ENCRYPTION.get(self.suite.encryption)
        ah = self.options.get("protocol") == 51
        bits = 0 if ah else self.suite.key_bits
        self.key = os.urandom(bits // 8 + (encryption.salt if encryption and bits else 0))
        self.integrity_key = os.urandom(INTEGRITY[self.suite.integrity].key) if self.suite.integrity else b""
        self.a = Engine(provider=self.provider, max_sas=16, max_policies=16, flows=256)
        self.b = Engine(provider=self.provider, max_sas=16, max_policies=16, flows=256)
        addresses = {"local": ip_address(LEFT), "remote": ip_address(RIGHT)} | {
            name: value for name, value in self.options.items() if name in ("local", "remote")
        }
        both = {name: value for name, value in self.options.items() if name not in ("local", "remote")}
        self.out = self.a.install_outbound(
            self.spi, self.suite, self.key, self.integrity_key, **{"epoch": 1} | addresses | both | self.sending
        )
        self.policy = self.a.add_policy(self.selectors, PolicyAction.PROTECT, sa=self.out)
        self.into = self.b.install_inbound(
            self.spi,
            self.suite,
            self.key,
            self.integrity_key,
            **{"selectors": self.selectors, "local": addresses["remote"], "remote": addresses["local"]}
            | both
            | self.receiving,
        )

    def seal(self, *packets: bytes, now: int = 1, **put: int) -> list[bytes]:
        """Sealed packets, from the ESP header (AH: the IP header) on."""
        batch = batch_of(*packets, **put)
        assert self.a.encapsulate(batch, now) == len(packets), verdicts(batch)
        return [batch.data(at) for at in range(batch.count)]

    def open(self, *packets: bytes, now: int = 1, **put: int) -> list[Verdict | bytes]:
        """Opened packets; the verdict instead, where one was dropped."""
        batch = batch_of(*packets, **put)
        self.b.decapsulate(batch, now)
        return outcome(batch)

    def scapy(self, **options: Any) -> SecurityAssociation:
        """The same SA in scapy's hands."""
        encryption = ENCRYPTION.get(self.suite.encryption)
        protocol = AH if self.options.get("protocol") == 51 else ESP
        if protocol is ESP:
            options |= {"crypt_algo": SCAPY_NAMES[self.suite.encryption], "crypt_key": self.key or None}
            if encryption is not None and encryption.icv:
                options["crypt_icv_size"] = encryption.icv
        if self.suite.integrity:
            options |= {"auth_algo": SCAPY_NAMES[self.suite.integrity], "auth_key": self.integrity_key}
        if self.options.get("mode", "tunnel") == "tunnel":
            options.setdefault("tunnel_header", IP(src=LEFT, dst=RIGHT))
        return SecurityAssociation(protocol, spi=self.spi, esn_en=bool(self.options.get("esn")), **options)


def batch_of(*packets: bytes, **put: int) -> Batch:
    """A batch over a region that is just large enough, so that a sanitizer sees what goes beyond."""
    size = sum(len(packet) for packet in packets) + 448 * max(1, len(packets))
    batch = Batch(bytearray(size), max(1, len(packets)))
    for packet in packets:
        batch.put(packet, **put)
    return batch


def verdicts(batch: Batch) -> list[Verdict]:
    """What became of each packet."""
    return [Verdict(int(value)) for value in batch.view["verdict"][: batch.count]]


def outcome(batch: Batch) -> list[Verdict | bytes]:
    """The bytes of what goes on, the verdict of what does not."""
    return [batch.data(at) if verdict is Verdict.OK else verdict for at, verdict in enumerate(verdicts(batch))]


def carried(payload: bytes, *, family: int = 4, protocol: int = 50) -> Packet:
    """What arrives at scapy: the outer header around a sealed packet."""
    if family == 4:
        return IP(bytes(IP(src=LEFT, dst=RIGHT, proto=protocol) / Raw(payload)))
    return IPv6(bytes(IPv6(src=LEFT6, dst=RIGHT6, nh=protocol) / Raw(payload)))
