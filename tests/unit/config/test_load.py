"""From a file to connections: the site's example, strongSwan's defaults, and where everything was written."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from fastesp.config import ConfigurationError, load
from ike.config import AddressTemplate, DeadAction, Fragmentation, Mode, SendCert, StartAction, TsTemplate, Unique
from ike.crypto.proposal import default_ah, default_esp, default_ike
from ike.wire.identity import Identity

EXAMPLE = """\
connections { site-a-to-b { version = 2
  local_addrs = 203.0.113.10
  remote_addrs = 198.51.100.20
  local { auth = pubkey
    certs = my-cert.pem
    id = "CN=site-a" }
  remote { auth = pubkey
    id = "CN=site-b" }
  children { net { local_ts = 10.10.0.0/24
    remote_ts = 10.20.0.0/24
    esp_proposals = aes256gcm16-prfsha384-modp3072
    start_action = trap } }
  proposals = aes256-sha384-modp3072 } }
"""
MINIMAL = """\
connections { a { remote_addrs = 198.51.100.20
    local { auth = psk
      id = a.example }
    remote { auth = psk
      id = b.example }
    %s
    children { net { local_ts = 10.10.0.0/24
      remote_ts = 10.20.0.0/24
      %s
    } } } }
secrets { ike-1 { id-1 = b.example
    secret = 0sAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8= } }
"""


def minimal(site, connection: str = "", child: str = ""):
    settings = load(site.conf(MINIMAL % (connection, child)))
    return settings.connections[0], settings.connections[0].children[0], settings


def problems_of(site, text: str) -> list[str]:
    path = site.conf(text)
    try:
        found = list(load(path).warnings)
    except ConfigurationError as error:
        found = error.problems
    return [str(one).removeprefix(f"{path}:") for one in found]


def test_the_site_example_loads_as_it_stands(site) -> None:
    settings = load(site.conf(EXAMPLE))
    (connection,) = settings.connections
    assert settings.warnings == ()
    assert connection.name == "site-a-to-b"
    assert connection.local_addrs == (AddressTemplate(address=ip_address("203.0.113.10")),)
    assert [str(spec) for spec in connection.proposals] == ["aes256-sha384-modp3072"]
    assert connection.local[0].auth == "pubkey"
    assert connection.local[0].id == Identity.parse("CN=site-a")
    assert connection.local[0].certs[0].subject.rfc4514_string() == "CN=site-a"
    assert connection.remote[0].id == Identity.parse("CN=site-b")
    (child,) = connection.children
    assert str(child.local_ts[0].selector) == "10.10.0.0/24"
    assert child.start_action is StartAction.TRAP
    assert child.mode is Mode.TUNNEL
    assert settings.credentials.private_key_for(connection.local[0].certs[0]) is not None
    assert [one.subject.rfc4514_string() for one in settings.credentials.authorities()] == ["CN=ca"]


def test_a_minimal_connection_has_the_documented_defaults(site) -> None:
    connection, child, settings = minimal(site)
    assert settings.warnings == ()
    assert connection.local_addrs == (AddressTemplate(),)
    assert (connection.local_port, connection.remote_port) == (500, 500)
    assert connection.proposals == default_ike()
    assert (connection.rekey_time, connection.reauth_time) == (14400, 0)
    assert (connection.over_time, connection.rand_time) == (1440, 1440)
    assert (connection.keyingtries, connection.unique) == (1, Unique.NO)
    assert (connection.mobike, connection.encap, connection.send_certreq) == (True, False, True)
    assert (connection.fragmentation, connection.send_cert) == (Fragmentation.YES, SendCert.IF_ASKED)
    assert child.esp_proposals == default_esp()
    assert child.ah_proposals == ()
    assert (child.rekey_time, child.life_time, child.rand_time) == (3600, 3960, 360)
    assert (child.rekey_bytes, child.life_bytes, child.rand_packets) == (0, 0, 0)
    assert (child.start_action, child.close_action, child.dpd_action) == (StartAction.NONE, None, DeadAction.CLEAR)
    assert (child.replay_window, child.copy_dscp, child.hw_offload) == (32, "out", "no")


@pytest.mark.parametrize(
    ("written", "times"),
    [
        ("rekey_time = 1h", (3600, 0, 360, 360)),
        ("reauth_time = 2h", (0, 7200, 720, 720)),
        ("reauth_time = 2h\nrekey_time = 1h", (3600, 7200, 720, 720)),
        ("rekey_time = 0", (0, 0, 0, 0)),
        ("rekey_time = 1h\nover_time = 50m", (3600, 0, 3000, 1800)),
        ("rekey_time = 1h\nrand_time = 1m", (3600, 0, 360, 60)),
    ],
)
def test_ike_times_follow_from_each_other(site, written: str, times: tuple[int, int, int, int]) -> None:
    connection, _, _ = minimal(site, written)
    assert (connection.rekey_time, connection.reauth_time, connection.over_time, connection.rand_time) == times


@pytest.mark.parametrize(
    ("written", "limits"),
    [
        ("rekey_time = 10m", (600, 660, 60)),
        ("rekey_time = 10m\nlife_time = 15m", (600, 900, 300)),
        ("rekey_time = 10m\nlife_time = 1h", (600, 3600, 300)),
        ("rekey_time = 0\nlife_time = 1h", (0, 3600, 0)),
        ("rekey_time = 10m\nlife_time = 0", (600, 0, 0)),
        ("rekey_time = 10m\nrand_time = 0", (600, 660, 0)),
    ],
)
def test_child_lifetimes_follow_from_each_other(site, written: str, limits: tuple[int, int, int]) -> None:
    _, child, _ = minimal(site, child=written)
    assert (child.rekey_time, child.life_time, child.rand_time) == limits


def test_volume_limits_follow_likewise(site) -> None:
    _, child, _ = minimal(site, child="rekey_bytes = 1G\nrekey_packets = 1000")
    assert (child.rekey_bytes, child.life_bytes, child.rand_bytes) == (1 << 30, (1 << 30) * 110 // 100, 107374182)
    assert (child.rekey_packets, child.life_packets, child.rand_packets) == (1000, 1100, 100)


def test_selectors_left_out_are_dynamic(site) -> None:
    settings = load(
        site.conf(MINIMAL.replace("local_ts = 10.10.0.0/24", "").replace("remote_ts = 10.20.0.0/24", "") % ("", ""))
    )
    child = settings.connections[0].children[0]
    assert child.local_ts == child.remote_ts == (TsTemplate(None, dynamic=True),)


def test_default_stands_for_the_default_proposals_among_others(site) -> None:
    connection, child, _ = minimal(site, "proposals = aes256-sha384-x25519, default", "ah_proposals = default")
    assert connection.proposals[1:] == default_ike()
    assert child.proposals == default_ah()
    assert child.esp_proposals == ()


def test_actions_and_flags_are_taken_over(site) -> None:
    connection, child, _ = minimal(
        site,
        "unique = keep\nfragmentation = accept\nsend_cert = always\nchildless = never\ndpd_delay = 10s",
        "start_action = trap|start\nclose_action = start\ndpd_action = restart\nmode = transport\nlocal_ts = dynamic\n"
        "remote_ts = dynamic\nupdown = /bin/true\ntfc_padding = mtu\nper_cpu_sas = yes\nhw_offload = auto",
    )
    assert (connection.unique, connection.fragmentation) == (Unique.KEEP, Fragmentation.ACCEPT)
    assert (connection.send_cert, connection.childless) == (SendCert.ALWAYS, "never")
    assert child.start_action is StartAction.TRAP_START
    assert (child.close_action, child.dpd_action) == (DeadAction.RESTART, DeadAction.RESTART)
    assert (child.mode, child.tfc_padding, child.hw_offload, child.per_cpu_sas) == (Mode.TRANSPORT, -1, "auto", -1)


def test_rounds_are_sorted_by_their_number_and_else_as_written(site) -> None:
    rounds = "remote-b { auth = psk\n id = b\n round = 2\n }\nremote-c { auth = psk\n id = c\n round = 1\n }"
    connection = load(site.conf(MINIMAL.replace("id-1 = b.example", "id-1 = a.example") % (rounds, ""))).connections[0]
    assert [str(one.id) for one in connection.remote] == ["b.example", "c", "b"]
    assert [one.section for one in connection.remote] == ["remote", "remote-c", "remote-b"]


def test_a_shared_key_is_looked_for_by_the_identities_of_its_round(site) -> None:
    found = problems_of(site, MINIMAL % ("remote-2 { auth = psk\n id = c.example\n }", ""))
    assert found[0].startswith("6:16: there is no ike secret for 'a.example' and 'c.example'"), found


def test_rounds_are_bounded(site) -> None:
    rounds = "\n".join(f"remote-{n} {{ auth = psk\n id = b.example\n }}" for n in range(8))
    assert any("more than 8 remote rounds" in line for line in problems_of(site, MINIMAL % (rounds, "")))


def test_signature_constraints_are_kept_as_written(site) -> None:
    text = EXAMPLE.replace("remote { auth = pubkey", "remote { auth = rsa-3072-sha256-ecdsa-256-sha384")
    remote = load(site.conf(text)).connections[0].remote[0]
    assert (remote.auth, remote.auth_detail) == ("pubkey", "rsa-3072-sha256-ecdsa-256-sha384")


@pytest.mark.parametrize(
    ("auth", "message"),
    [
        ("pubkey-sha265", "auth: 'sha265' is neither a key type nor a hash (did you mean 'sha256'?)"),
        ("pubkey-2048", "auth: no size belongs to '2048'"),
        ("eap-mschapv2", "auth = eap-mschapv2 is refused: EAP is not spoken"),
        ("xauth", "auth = xauth is refused: IKEv1 is dead"),
        ("pubky", "auth: 'pubky' is not known (did you mean 'pubkey'?)"),
        ("rsa-bliss", "auth: BLISS keys are refused"),
        ("rsa-sha1", "warning: auth: signatures with SHA-1 can be forged"),
        ("null", "warning: auth = null proves nothing about this side"),
    ],
)
def test_an_authentication_that_is_none_is_told(site, auth: str, message: str) -> None:
    found = problems_of(site, EXAMPLE.replace("remote { auth = pubkey", f"remote {{ auth = {auth}"))
    assert len(found) == 1
    assert message in found[0]


def test_every_written_key_says_where_it_stands(site) -> None:
    path = site.conf(EXAMPLE)
    (connection,) = load(path).connections
    assert connection.where["proposals"] == f"{path}:13"
    assert connection.where["remote.id"] == f"{path}:8"
    assert connection.where["children.net.local_ts"] == f"{path}:9"
    assert connection.where[""] == f"{path}:1"
    assert connection.children[0].where["esp_proposals"] == f"{path}:11"
    assert "mobike" not in connection.where


def test_rounds_with_a_suffix_are_found_by_their_own_name_and_by_the_plain_one(site) -> None:
    (connection,) = load(site.conf(EXAMPLE.replace("remote {", "remote-1 {"))).connections
    assert connection.where["remote-1.id"] == connection.where["remote.id"]


def test_an_inherited_key_points_to_where_it_was_written(site) -> None:
    text = EXAMPLE.replace("site-a-to-b {", "site-a-to-b : base {") + "base { mobike = no\n}\n"
    path = site.conf(text)
    (connection,) = load(path).connections
    assert connection.mobike is False
    assert connection.where["mobike"] == f"{path}:14"


def test_a_mistake_in_a_template_is_told_once_for_all_who_use_it(site) -> None:
    users = "\n".join(f"c{n} : base {{ remote_addrs = 10.0.0.{n}\n }}" for n in range(1, 9))
    found = problems_of(
        site, f"connections {{ {users} }}\nbase {{ mobik = no\n local {{ auth = psk }} remote {{ auth = psk }} }}\n"
    )
    assert len([one for one in found if "mobik" in one]) == 1


def test_nothing_is_answered_where_anything_is_wrong(site) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(site.conf(EXAMPLE.replace("trap", "tarp")))
    assert [one.line for one in caught.value.errors] == [12]
    assert str(caught.value) == str(caught.value.errors[0])


def test_a_file_that_is_not_there_is_told(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        load(tmp_path / "none.conf")


def test_an_empty_file_is_a_valid_one(site) -> None:
    assert load(site.conf("")).connections == ()


# Across keys.


@pytest.mark.parametrize(
    ("connection", "child", "message"),
    [
        ("", "mode = pass\nstart_action = start", "mode = pass has nothing to start (write start_action = trap)"),
        ("", "mode = drop", "warning: mode = drop without start_action = trap"),
        ("", "mode = transport", "warning: transport mode carries traffic of the two hosts only"),
        ("", "rand_time = 2h", "rand_time (7200) is not below rekey_time (3600)"),
        ("rand_time = 5h", "", "rand_time (18000s) is not shorter than the time it is taken off (14400s)"),
        ("", "dpd_action = trap", "warning: dpd_action without dpd_delay"),
        ("", "replay_window = 65536", "replay_window: 65536 is too large (at most 32768)"),
        ("", "replay_window = 31", "replay_window: 31 is too small (32 or more: RFC 4303 section 3.4.3)"),
        ("", "replay_window = 0\nesp_proposals = aes256gcm16-esn", "extended sequence numbers need a replay window"),
        ("", "updown = /no/such/script", "warning: updown: there is no '/no/such/script'"),
        ("", "ah_proposals = sha256\nesp_proposals = aes256gcm16", "a CHILD_SA is either AH or ESP"),
        ("", "ah_proposals = sha256\ntfc_padding = 1000", "warning: tfc_padding has no effect with AH"),
        ("ppk_required = yes", "", "warning: ppk_required without ppk_id"),
        ("ppk_id = p", "", "there is no ppk secret for 'p'"),
        ("", "policies_fwd_out = yes", "info: policies_fwd_out has no effect"),
        ("fragmentation = force", "", "info: fragmentation = force means yes"),
        ("dpd_timeout = 5s", "", "info: dpd_timeout has no effect with IKEv2"),
        ("remote-2 { auth = psk\n certs = my-cert.pem\n }", "", "warning: 'certs' has no effect with auth = psk"),
    ],
)
def test_keys_that_do_not_go_together_are_told(site, connection: str, child: str, message: str) -> None:
    found = problems_of(site, MINIMAL % (connection, child))
    assert any(message in one for one in found), found


@pytest.mark.parametrize(
    ("connection", "child"),
    [
        ("", "mode = pass\nstart_action = trap\nlocal_ts = 10.0.0.0/8\nremote_ts = 10.0.0.0/8"),
        ("", "start_action = start"),
        ("remote_addrs = gw.example.org", "start_action = start"),
        ("remote_addrs = %any", "start_action = trap"),
        ("", "local_ts = dynamic\nremote_ts = 2001:db8::/32"),
        ("local_addrs = 192.0.2.1, 2001:db8::1\nremote_addrs = 2001:db8::2", ""),
        ("local_addrs = gw.example.org\nremote_addrs = 2001:db8::2", ""),
    ],
)
def test_what_is_common_practice_is_not_complained_about(site, connection: str, child: str) -> None:
    replaced = [one for one in problems_of(site, MINIMAL % (connection, child)) if "was given before" not in one]
    assert replaced == []


def test_two_children_with_the_same_traffic_are_told(site) -> None:
    text = MINIMAL % ("", "}\n twin { local_ts = 10.10.0.0/24\n remote_ts = 10.20.0.0/24")
    (one,) = problems_of(site, text)
    assert "warning: child 'twin' has the selectors of 'a.net'" in one


def test_children_told_apart_by_their_priority_do_not_collide(site) -> None:
    text = MINIMAL % ("", "}\n twin { local_ts = 10.10.0.0/24\n remote_ts = 10.20.0.0/24\n priority = 5")
    assert problems_of(site, text) == []


def test_a_connection_that_hides_behind_another_is_told(site) -> None:
    block = MINIMAL[MINIMAL.index("a {") : MINIMAL.index("} }\nsecrets")] % ("", "")
    other = "b" + block[1:].replace("10.20.", "10.30.") + "}"
    text = (MINIMAL % ("", "")).replace("connections { a", "connections { " + other + "\n a")
    found = problems_of(site, text)
    assert any("warning: 'a' has the addresses, identities and proposals of 'b'" in one for one in found), found
