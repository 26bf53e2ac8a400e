"""What steering costs a packet: the XDP program, run by the kernel on frames in memory (BPF_PROG_TEST_RUN).

Each kind of frame is run beside one that the program passes after its first look (ARP): the difference is the
price of finding the SPI and its owner.
"""

from __future__ import annotations

import time

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import ESP
from scapy.layers.l2 import ARP, Dot1Q, Ether

from benchmarks.report import Report, arguments, finish
from fastesp.steering import OBJECT
from fastesp.steering.steer import Steering, bucket_of

SPI = 0x1234_5678
LINK = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
ESP_PACKET = ESP(spi=SPI, seq=1, data=b"x" * 1408)
BASELINE = "arp"

FRAMES = {
    BASELINE: LINK / ARP(),
    "esp4": LINK / IP() / ESP_PACKET,
    "esp6": LINK / IPv6() / ESP_PACKET,
    "udp4": LINK / IP() / UDP(sport=4500, dport=4500) / ESP_PACKET,
    "vlan.esp4": LINK / Dot1Q(vlan=7) / IP() / ESP_PACKET,
}


def main() -> None:
    """Interleaved rounds over all kinds of frames, repeated inside the kernel."""
    options = arguments("steering", __doc__ or "")
    rounds, repeat = (3, 100_000) if options.quick else (15, 1_000_000)
    report = Report("steering", options.quick)
    rates: dict[str, list[float]] = {name: [] for name in FRAMES}
    with Steering(str(OBJECT)) as steering:
        steering.set_owner(bucket_of(SPI), 0)
        frames = {name: bytes(frame).ljust(64, b"\0") for name, frame in FRAMES.items()}
        for _ in range(rounds):
            for name, frame in frames.items():
                start = time.perf_counter()
                steering.test_run(frame, repeat)
                rates[name].append(repeat / (time.perf_counter() - start))
    for name, values in rates.items():
        report.sample(name, values, "packets/s")
        report.figure(f"steer.{name}.ns", [1e9 / v for v in values], "ns")
        if name != BASELINE:
            report.ratio(f"steer.{name}.vs_pass", values, rates[BASELINE], "a frame passed at its EtherType")
    finish(report, options.json)


if __name__ == "__main__":
    main()
