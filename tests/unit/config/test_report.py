"""What ``fastesp check`` tells of a file."""

from __future__ import annotations

import json

from fastesp.config.addresses import peer_address, traffic_selector
from fastesp.config.report import address_text, explain, selector_text

TEXT = """
connections { c { remote_addrs = 10.0.0.2
    local_addrs = 10.0.0.1
    local { auth = psk
      id = a }
    remote { auth = psk
      id = b }
    %s
    children { net { remote_ts = 10.2.0.0/16[tcp/80]
        %s
    } } } }
secrets { ike { id = b
    secret = 0123456789abcdef0123 } }
"""


def test_a_connection_is_told_with_its_defaults_written_out(swanctl) -> None:
    path = swanctl.conf(TEXT % ("proposals = aes256-sha384-modp3072", "start_action = trap"))
    report = explain(path)
    assert report.valid
    (one,) = report.connections
    assert one.where == f"{path}:2"
    assert one.proposals[0].algorithms == {
        "encryption algorithm": ("AES_CBC_256",),
        "integrity algorithm": ("HMAC_SHA2_384_192",),
        "pseudo-random function": ("PRF_HMAC_SHA2_384",),
        "key exchange method": ("MODP_3072",),
    }
    assert one.initiates
    assert [(r.side, r.auth, r.identity) for r in one.rounds] == [("local", "psk", "a"), ("remote", "psk", "b")]
    (child,) = one.children
    assert (child.local_ts, child.remote_ts) == (("dynamic",), ("10.2.0.0/16[tcp/80]",))
    assert (child.protocol, child.start_action, child.rekey_time, child.life_time) == ("ESP", "trap", 3600, 3960)
    assert "AES_GCM_16_256" in child.proposals[0].algorithms["encryption algorithm"]


def test_what_is_weak_and_what_is_hopeless_are_told_apart(swanctl) -> None:
    text = TEXT % ("proposals = aes128-sha1-modp1024", "replay_window = 0\nlocal_ts = 2001:db8::/32")
    report = explain(swanctl.conf(text))
    assert not report.valid
    assert report.connections == ()
    assert any("modp1024" in one.message for one in report.weak)
    assert any("replayed packets" in one.message for one in report.weak)
    assert [one.code for one in report.hopeless] == ["config-family"]


def test_the_report_is_plain_json_without_secrets(swanctl) -> None:
    for change in ("", "mobik = no"):
        text = json.dumps(explain(swanctl.conf(TEXT % (change, ""))).as_dict())
        assert "0123456789" not in text
        assert json.loads(text)["valid"] is not bool(change)


def test_addresses_and_selectors_are_told_as_they_are_written() -> None:
    for text in ("%any", "%any4", "10.0.0.1", "10.0.0.0/8", "10.0.0.1-10.0.0.9", "gw.example.org"):
        assert address_text(peer_address(text)) == text
    for text in ("dynamic", "10.0.0.0/8", "10.0.0.0/8[udp/1000-2000]"):
        assert selector_text(traffic_selector(text)) == text
    assert selector_text(traffic_selector("dynamic[tcp/22]")) == "dynamic[6/22]"
    assert selector_text(traffic_selector("dynamic[/opaque]")) == "dynamic[/OPAQUE]"
