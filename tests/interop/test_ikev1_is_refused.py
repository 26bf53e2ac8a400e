"""A real IKEv1 peer: it is told which version is spoken here, and the operator reads so once."""

from __future__ import annotations

import pytest
from support.tunnels import configure, hosts_reach_each_other, pair

from fastesp.lab import Lab
from fastesp.lab.capture import Capture
from fastesp.lab.peer import RefusedError
from fastesp.lab.sites import WAN

pytestmark = [pytest.mark.root, pytest.mark.peer]

INVALID_MAJOR_VERSION = bytes.fromhex("00 00 0009 00 00 0005 02")
"""The last payload: a notify of 9 bytes, no protocol, no SPI, type 5, and the version that we speak (section 3.10)."""


@pytest.mark.parametrize("aggressive", ["no", "yes"], ids=["main-mode", "aggressive-mode"])
def test_an_ikev1_charon_is_told_our_version_and_is_in_the_log_once(lab: Lab, aggressive: str) -> None:
    both = pair(lab, options="retransmit_tries = 3\n  retransmit_timeout = 0.5\n  retransmit_base = 1")
    suites = {"proposals": "aes256-sha384-modp3072", "esp_proposals": "aes256-sha256"}
    configure(both, theirs={"connection": f"aggressive = {aggressive}"}, **suites)
    modern = both.theirs.swanctl.file.read_text().replace(f"aggressive = {aggressive}", "")
    old = both.theirs.swanctl.file.read_text().replace("version = 2", "version = 1")
    both.theirs.swanctl.configure(old)
    both.start()
    with Capture(lab, both.sites.a.gateway, WAN, whole=True) as wire, pytest.raises(RefusedError):
        both.theirs.initiate("net", timeout=20.0)
    assert wire.contains(INVALID_MAJOR_VERSION)
    assert both.theirs.log().count("sending retransmit") == 3
    entries = both.ours.command("show", "failures", "--json").json()["entries"]
    assert isinstance(entries, dict)
    (record,) = entries.values()
    assert record["code"] == "ikev1-refused"
    assert record["peer"].startswith(both.sites.b.outer)
    assert record["offered"] == ["IKE 1.0"]
    assert both.ours.log().count("[ikev1-refused]") == 1
    assert both.ours.ike_sas() == []
    both.theirs.swanctl.configure(modern)
    both.theirs.load()
    both.theirs.initiate("net")
    hosts_reach_each_other(both)
