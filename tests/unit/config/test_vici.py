"""What comes over VICI goes through the schema of the file: the same settings, the same mistakes, other places."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from fastesp.config import ConfigurationError, load, vici
from ike.wire.identity import Identity

TEXT = """
connections { site { remote_addrs = 198.51.100.20, gw.example.org
    local_addrs = 203.0.113.10
    proposals = aes256-sha384-modp3072, aes256gcm16-prfsha384-x25519
    rekey_time = 2h
    local { auth = pubkey
      certs = my-cert.pem
      id = "CN=site-a" }
    remote { auth = pubkey
      id = "CN=site-b" }
    children { net { local_ts = 10.10.0.0/24, 10.11.0.0/24[tcp/80]
        remote_ts = 10.20.0.0/24
        esp_proposals = aes256gcm16
        mode = tunnel
        rekey_bytes = 1G
        start_action = trap } } } }
pools { p { addrs = 10.9.0.0/24
    dns = 10.9.0.1, 10.9.0.2
    28674 = text } }
"""


def message(site) -> dict[str, object]:
    """The load-conn that swanctl makes of it."""
    return {
        "site": {
            "remote_addrs": [b"198.51.100.20", b"gw.example.org"],
            "local_addrs": [b"203.0.113.10"],
            "proposals": [b"aes256-sha384-modp3072", b"aes256gcm16-prfsha384-x25519"],
            "rekey_time": b"2h",
            "local": {
                "auth": b"pubkey",
                "certs": [(site.path / "x509" / "my-cert.pem").read_bytes()],
                "id": b"CN=site-a",
            },
            "remote": {"auth": b"pubkey", "id": b"CN=site-b"},
            "children": {
                "net": {
                    "local_ts": [b"10.10.0.0/24", b"10.11.0.0/24[tcp/80]"],
                    "remote_ts": [b"10.20.0.0/24"],
                    "esp_proposals": [b"aes256gcm16"],
                    "mode": b"tunnel",
                    "rekey_bytes": b"1G",
                    "start_action": b"trap",
                }
            },
        }
    }


def complaints(call, given) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        call(given)
    return [str(one) for one in caught.value.problems]


def test_a_connection_is_the_same_from_a_file_and_over_vici(site) -> None:
    from_file = load(site.conf(TEXT)).connections
    loaded = vici.load_connections(message(site))
    assert loaded.connections == from_file
    assert loaded.warnings == ()
    assert [one.certificate for one in loaded.certificates] == list(from_file[0].local[0].certs)


def test_a_change_makes_a_connection_another(site) -> None:
    changed = message(site)
    changed["site"]["rekey_time"] = b"3h"  # type: ignore[index]
    before, after = (vici.load_connections(one).connections[0] for one in (message(site), changed))
    assert before != after
    assert (
        replace(after, rekey_time=before.rekey_time, over_time=before.over_time, rand_time=before.rand_time) == before
    )


def test_places_are_key_paths(site) -> None:
    (connection,) = vici.load_connections(message(site)).connections
    assert connection.where["children.net.local_ts"] == "site.children.net.local_ts"


def test_all_mistakes_are_told_with_their_key_path(site) -> None:
    bad = message(site)
    section = bad["site"]
    section["mobik"] = b"no"  # type: ignore[index]
    section["version"] = b"1"  # type: ignore[index]
    section["children"]["net"]["local_ts"] = [b"10.10.0.0/24", b"10.11.0.0/44"]  # type: ignore[index]
    section["children"]["net"]["rekey_time"] = [b"1h", b"2h"]  # type: ignore[index]
    section["children"]["net"]["life_time"] = b"\xff"  # type: ignore[index]
    section["local"]["certs"] = [b"no certificate"]  # type: ignore[index]
    found = complaints(vici.load_connections, bad)
    for expected in (
        "site.mobik: unknown key 'mobik' (did you mean 'mobike'?)",
        "site.version: 'version = 1' is refused: IKEv1 is dead",
        "site.children.net.local_ts[1]: local_ts: '10.11.0.0/44' is no network",
        "site.children.net.rekey_time: rekey_time: one value, not a list",
        "site.children.net.life_time: life_time: the value is not UTF-8",
        "site.local.certs: the value is no certificate",
    ):
        assert any(one.startswith(expected) for one in found), found
    assert len(found) == 6


def test_checks_across_keys_apply_and_credentials_may_come_later(site) -> None:
    without = message(site)
    del without["site"]["local"]["certs"]  # type: ignore[index]
    assert vici.load_connections(without).connections
    without["site"]["remote_addrs"] = [b"2001:db8::1"]  # type: ignore[index]
    assert "local_addrs is IPv4 and remote_addrs is IPv6" in complaints(vici.load_connections, without)[0]


@pytest.mark.parametrize(
    "bad", [{"c": b"x"}, {"c": {"local": 3}}, {"c": {"remote_addrs": [1, 2]}}, {"c": {"local": None}}]
)
def test_a_message_of_another_shape_is_refused(bad) -> None:
    assert complaints(vici.load_connections, bad)


def test_a_message_too_deep_is_refused() -> None:
    deep: dict[str, object] = {"x": b"1"}
    for _ in range(1000):
        deep = {"c": deep}
    assert "nested deeper" in complaints(vici.load_connections, deep)[0]


# Pools, authorities, secrets, keys, certificates.


def test_a_pool_is_the_same_from_a_file_and_over_vici(site) -> None:
    (written,) = load(site.conf(TEXT)).pools
    given = {"p": {"addrs": b"10.9.0.0/24", "dns": [b"10.9.0.1", b"10.9.0.2"], "28674": [b"text"]}}
    (sent,) = vici.load_pools(given)
    assert replace(sent, where="") == replace(written, where="")
    assert sent.size == 254
    assert "unknown key 'dsn' (did you mean 'dns'?)" in complaints(vici.load_pools, {"p": {"dsn": b"x"}})[1]


def test_an_authority_comes_with_its_certificate(site) -> None:
    data = (site.path / "x509ca" / "ca.pem").read_bytes()
    (one,) = vici.load_authorities({"ca": {"cacert": data, "crl_uris": [b"http://x/crl"]}})
    assert one.certificate is not None
    assert one.certificate.subject.rfc4514_string() == "CN=ca"
    assert one.crl_uris == ("http://x/crl",)


def test_a_shared_secret_has_its_owners_and_does_not_show() -> None:
    one = vici.load_shared({"id": b"ike-1", "type": b"IKE", "data": b"\x00\x01", "owners": [b"a.example", b"10.0.0.1"]})
    assert (one.name, one.kind, bytes(one.secret)) == ("ike-1", "ike", b"\x00\x01")
    assert one.owners == (Identity.parse("a.example"), Identity.parse("10.0.0.1"))
    assert "Secret(...)" in repr(one)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": b"ik", "data": b"hidden"}, "type: 'ik' is no type of shared secret (did you mean 'ike'?)"),
        ({"type": b"ike"}, "data: 'data' is missing"),
        ({"data": b"hidden"}, "type: 'type' is missing"),
        ({"type": b"ike", "data": b"hidden", "owner": b"x"}, "owner: unknown key 'owner' (did you mean 'owners'?)"),
        ({"type": b"ike", "data": b"hidden", "owners": {"a": b"b"}}, "owners: 'owners' is no list"),
        ({"type": b"ike", "data": [b"hidden"]}, "data: 'data' is no single value"),
        ({"type": b"ike", "data": b"hidden", "owners": [b"\xff"]}, "owners[0]: the value is not UTF-8"),
    ],
)
def test_a_shared_secret_that_is_none_is_told_without_its_data(given, expected) -> None:
    found = complaints(vici.load_shared, given)
    assert any(one.startswith(expected) for one in found), found
    assert not any("hidden" in one for one in found)


def test_private_keys_are_read_and_encrypted_ones_refused(make_key) -> None:
    plain = make_key("x").private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert vici.load_key({"type": b"ecdsa", "data": plain}).public_key() == make_key("x").public_key()
    locked = make_key("x").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"sesame"))
    assert "data: the private key is encrypted" in complaints(vici.load_key, {"type": b"any", "data": locked})[0]
    assert "data: no private key" in complaints(vici.load_key, {"type": b"any", "data": b"x"})[0]


def test_certificates_are_told_apart_by_type_and_flag(site, make_key) -> None:
    data = (site.path / "x509ca" / "ca.pem").read_bytes()
    assert vici.load_certificate({"type": b"X509", "flag": b"CA", "data": data}).kind == "x509ca"
    assert vici.load_certificate({"type": b"x509", "data": data}).kind == "x509"
    spki = make_key("x").public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert vici.load_certificate({"type": b"pubkey", "data": spki}) == spki


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": b"X508", "data": b"x"}, "type: 'X508' is no type of certificate (did you mean 'X509'?)"),
        ({"type": b"X509_AC", "data": b"x"}, "type: X509_AC is refused"),
        ({"type": b"X509", "flag": b"CB", "data": b"x"}, "flag: 'CB' is no flag"),
        ({"type": b"X509", "data": b"x"}, "data: the data is no X509"),
        ({"type": b"X509_CRL", "data": b"x"}, "data: the data is no X509_CRL"),
        ({"type": b"PUBKEY", "data": b"x"}, "data: the data is no PUBKEY"),
    ],
)
def test_a_certificate_that_is_none_is_told(given, expected) -> None:
    assert complaints(vici.load_certificate, given)[0].startswith(expected)


def test_blanks_around_a_selector_that_came_over_vici_do_no_harm(site) -> None:
    given = message(site)
    given["site"]["children"]["net"]["remote_ts"] = [b" 10.20.0.0/24\n"]  # type: ignore[index]
    (connection,) = vici.load_connections(given).connections
    assert str(connection.children[0].remote_ts[0].selector) == "10.20.0.0/24"
