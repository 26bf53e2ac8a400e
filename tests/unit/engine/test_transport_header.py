"""Transport mode has one IP header: what a tunnel may hide (RFC 4301 section 5.1.2) stays there as it was."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP
from support.engines import LEFT, RIGHT, Pair, batch_of, udp

from fastesp.engine.batch import FLAG_DF

TOS = 0xBA


def host_packet(flags: str) -> bytes:
    packet = IP(udp(source=LEFT, destination=RIGHT, tos=TOS))
    packet.flags = flags
    del packet.chksum
    return bytes(packet)


@pytest.mark.parametrize(("mode", "kept"), [("transport", True), ("tunnel", False)])
def test_without_copying_a_tunnel_hides_what_transport_mode_keeps(mode: str, kept: bool) -> None:
    two = Pair(
        options={"mode": mode, "local": ip_address(LEFT), "remote": ip_address(RIGHT)},
        sending={"copy_dscp": False, "copy_ecn": False, "copy_df": False},
    )
    batch = batch_of(host_packet("DF"), host_packet(""))
    assert two.a.encapsulate(batch, 1) == 2
    assert batch.view["tos"][:2].tolist() == ([TOS, TOS] if kept else [0, 0])
    assert (batch.view["flags"][:2] & FLAG_DF).tolist() == ([FLAG_DF, 0] if kept else [0, 0])
