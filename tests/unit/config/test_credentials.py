"""Certificates, keys and secrets: every directory, every encoding, and what is said where one does not fit."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ed448, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)

from fastesp.config import ConfigurationError, load
from ike.wire.identity import Identity

USES_CERTIFICATE = """
connections { c { remote_addrs = 10.0.0.1
    local { certs = my-cert.pem
    }
    remote { id = "CN=site-b"
      %s
    }
    children { n { remote_ts = 10.2.0.0/16
      } } } }
secrets { %s }
"""
USES_PSK = """
connections { c { local_addrs = %s
    remote_addrs = %s
    local { auth = psk
      %s
    }
    remote { auth = psk
      %s
    }
    children { n { remote_ts = 10.2.0.0/16
      } } } }
secrets { %s }
"""


def told(site, text: str) -> list[str]:
    try:
        return [str(one) for one in load(site.conf(text)).warnings]
    except ConfigurationError as error:
        return [str(one) for one in error.problems]


def key_pairs(settings) -> int:
    return sum(settings.credentials.private_key_for(one) is not None for one in settings.credentials.certificates())


# Private keys.


@pytest.mark.parametrize("folder", ["private", "rsa", "pkcs8"])
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_private_keys_are_read_from_every_directory_in_both_encodings(
    swanctl, make_certificate, make_key, folder, encoding
):
    swanctl.certificate("my-cert.pem", make_certificate("x", make_key("rsa-x")), encoding=encoding)
    swanctl.key("any-name", "rsa-x", folder, encoding=encoding)
    settings = load(swanctl.conf(""))
    assert key_pairs(settings) == 1
    assert settings.keys[0].path.endswith(f"{folder}/any-name")


def test_ecdsa_keys_have_their_own_directory(swanctl, make_certificate, make_key):
    swanctl.certificate("c.pem", make_certificate("x", make_key("x")))
    swanctl.key("k.pem", "x", "ecdsa")
    assert key_pairs(load(swanctl.conf(""))) == 1


@pytest.mark.parametrize("kind", [ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey])
def test_edwards_keys_are_read(swanctl, kind):
    data = kind.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    swanctl.write("private", "k.pem", data)
    assert isinstance(load(swanctl.conf("")).keys[0].key, kind)


@pytest.mark.parametrize(("folder", "section"), [("private", "private-1"), ("rsa", "rsa"), ("pkcs8", "pkcs8-x")])
def test_an_encrypted_key_is_opened_by_the_secret_that_names_it(swanctl, make_certificate, make_key, folder, section):
    swanctl.certificate("c.pem", make_certificate("x", make_key("rsa-x")))
    swanctl.key("k.pem", "rsa-x", folder, passphrase="sesame")
    settings = load(swanctl.conf(f"secrets {{ {section} {{ file = k.pem\n secret = sesame\n }} }}"))
    assert key_pairs(settings) == 1
    assert settings.warnings == ()


def test_a_wrong_passphrase_is_told_at_its_line_and_not_repeated(swanctl):
    swanctl.key("k.pem", "x", passphrase="sesame")
    (one,) = told(swanctl, "secrets { private-1 { file = k.pem\n secret = swordfish\n } }")
    assert ":2:2: the secret does not open" in one
    assert "swordfish" not in one


def test_an_encrypted_key_without_a_secret_is_told_with_the_way_out(swanctl):
    swanctl.key("k.pem", "x", passphrase="sesame")
    (one,) = told(swanctl, "")
    assert "private/k.pem: the private key is encrypted (add to secrets: private-1 { file = k.pem" in one


def test_a_passphrase_for_a_file_that_is_not_there_is_told(swanctl):
    swanctl.key("key.pem", "x")
    (one,) = told(swanctl, "secrets { private-1 { file = kex.pem\n secret = sesame\n } }")
    assert "warning: there is no 'kex.pem'" in one
    assert "did you mean 'key.pem'?" in one


def test_a_key_that_ike_cannot_use_is_left_out_with_a_warning(swanctl):
    data = dsa.generate_private_key(1024).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    swanctl.write("private", "dsa.pem", data)
    swanctl.write("private", "junk.pem", b"not a key at all")
    found = told(swanctl, "")
    assert len(found) == 2
    assert "dsa.pem: warning: the file is no private key: DSAPrivateKey is no key that IKEv2 signs with" in found[0]
    assert "junk.pem: warning: the file is no private key" in found[1]


def test_a_private_key_that_everybody_may_read_is_a_warning(swanctl):
    swanctl.key("k.pem", "x").chmod(0o644)
    (one,) = told(swanctl, "")
    assert "k.pem: warning: everybody may read this private key (chmod 600 " in one


def test_a_container_brings_its_key_its_certificate_and_its_ca(swanctl, make_certificate, make_key):
    ca = make_certificate("ca", make_key("ca"), ca=True)
    own = make_certificate("x", make_key("x"))
    data = pkcs12.serialize_key_and_certificates(b"x", make_key("x"), own, [ca], BestAvailableEncryption(b"sesame"))
    swanctl.write("pkcs12", "x.p12", data)
    settings = load(swanctl.conf("secrets { pkcs12-x { file = x.p12\n secret = sesame\n } }"))
    assert key_pairs(settings) == 1
    assert [one.subject for one in settings.credentials.authorities()] == [ca.subject]
    assert "does not open" in told(swanctl, "secrets { pkcs12-x { file = x.p12\n secret = swordfish\n } }")[0]
    assert "the container cannot be opened (add to secrets: pkcs12-1" in told(swanctl, "")[0]


def test_keys_written_by_openssl_in_the_old_way_are_opened(swanctl):
    target = swanctl.write("rsa", "old.pem", b"")
    command = ["openssl", "genrsa", "-traditional", "-aes128", "-passout", "pass:sesame", "-out", str(target), "2048"]
    subprocess.run(command, check=True, capture_output=True)
    assert b"DEK-Info" in target.read_bytes()
    assert len(load(swanctl.conf("secrets { rsa { file = old.pem\n secret = sesame\n } }")).keys) == 1


# Certificates.


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_certificates_are_read_in_both_encodings_by_directory_and_by_name(site, make_certificate, make_key, encoding):
    peer = make_certificate("site-b", make_key("b"))
    site.certificate("peer", peer, encoding=encoding)
    settings = load(site.conf(USES_CERTIFICATE % ("certs = peer", "")))
    assert settings.warnings == ()
    assert settings.connections[0].remote[0].certs == (peer,)
    assert peer in settings.credentials.certificates()


def test_a_certificate_may_be_named_by_absolute_path_and_from_a_section(site, make_certificate, make_key):
    peer = make_certificate("site-b", make_key("b"))
    elsewhere = site.certificate("peer.pem", peer, "elsewhere")
    for how in (f"certs = {elsewhere}", f"cert-1 {{ file = {elsewhere}\n }}"):
        settings = load(site.conf(USES_CERTIFICATE % (how, "")))
        assert settings.connections[0].remote[0].certs == (peer,)


def test_a_chain_in_one_file_names_its_first_certificate_and_keeps_the_rest(site, make_certificate, make_key):
    ours, middle = make_certificate("site-a", make_key("site-a")), make_certificate("middle", make_key("m"), ca=True)
    site.write("x509", "my-cert.pem", b"".join(one.public_bytes(Encoding.PEM) for one in (ours, middle)))
    settings = load(site.conf(USES_CERTIFICATE % ("", "")))
    assert settings.connections[0].local[0].certs == (ours,)
    assert middle in settings.credentials.certificates()


def test_revocation_lists_and_public_keys_are_read(site, make_key):
    now = datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder().issuer_name(x509.Name([])).last_update(now)
    crl = builder.next_update(now + timedelta(1)).sign(make_key("ca"), hashes.SHA256())
    site.write("x509crl", "ca.crl", crl.public_bytes(Encoding.DER))
    site.write("x509crl", "again.pem", crl.public_bytes(Encoding.PEM))
    spki = make_key("peer").public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pem = make_key("peer").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    site.write("pubkey", "peer.pem", pem)
    settings = load(site.conf(USES_CERTIFICATE % ("pubkeys = peer.pem", "")))
    assert len(settings.credentials.crls()) == 2
    assert settings.pubkeys == (spki,)
    assert settings.connections[0].remote[0].pubkeys == (spki,)


def test_files_that_are_none_are_left_out_and_hidden_ones_not_even_named(site):
    site.write("x509", "readme.txt", b"hello")
    site.write("x509", ".gitkeep", b"")
    site.write("x509crl", "bad", b"x")
    site.write("pubkey", "bad", b"x")
    site.write("x509ac", "group.pem", b"x")
    site.write("bliss", "k.pem", b"x")
    found = told(site, "")
    assert len(found) == 5
    assert all(": warning: the file " in one and "(it is left out)" in one for one in found)


def test_a_named_certificate_that_is_none_is_an_error(site):
    site.write("elsewhere", "x.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    found = told(site, USES_CERTIFICATE % (f"certs = {site.path}/elsewhere/x.pem", ""))
    assert any("is no certificate: " in one for one in found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("certs = my-cert.pem", "id = c.example.org"),
            "there is no certificate with a private key for 'c.example.org'",
        ),
        (("certs = my-cert.pem", "id = a.exmple.org"), "(did you mean 'a.example.org'?)"),
        (("certs = my-cert.pem", "auth = pubkey"), "neither 'certs' nor 'id' says with which certificate"),
        (('id = "CN=site-b"', ""), "warning: no 'id': anybody with a certificate of a CA in x509ca may be this peer"),
        (
            ("certs = my-cert.pem", "certs = my-cert.pem\n id = a.example.com"),
            "the certificate does not name 'a.example.com'",
        ),
        (("certs = my-cert.pem", "certs = my-cert.pem\n id = keyid:x"), "warning: the certificate does not name 'x'"),
    ],
)
def test_what_does_not_fit_together_is_told(site, change, message):
    found = told(site, (USES_CERTIFICATE % ("", "")).replace(*change))
    assert any(message in one for one in found), found


def test_a_certificate_may_be_found_by_identity_alone(site):
    for identity in ("a.example.org", '"CN=site-a"'):
        assert told(site, (USES_CERTIFICATE % ("", "")).replace("certs = my-cert.pem", f"id = {identity}")) == []


def test_a_peer_that_nobody_can_verify_is_told(site):
    (site.path / "x509ca" / "ca.pem").unlink()
    found = told(site, USES_CERTIFICATE % ("", ""))
    assert any("there is nothing to verify the peer's certificate with: x509ca is empty" in one for one in found)


def test_a_ca_that_is_none_and_an_expired_peer_are_told(site, make_certificate, make_key):
    site.certificate("peer.pem", make_certificate("site-b", make_key("b"), days=-1))
    site.certificate("leaf.pem", make_certificate("leaf", make_key("b")), "x509ca")
    found = told(site, USES_CERTIFICATE % ("certs = peer.pem\n cacerts = leaf.pem", ""))
    assert any("'CN=leaf' is no CA certificate (name it under certs)" in one for one in found)
    assert any("warning: the certificate 'CN=site-b' expired on" in one for one in found)
    assert any("warning: 'certs' already names the only certificates accepted" in one for one in found)


def test_a_certificate_that_ends_soon_is_a_remark(site, make_certificate, make_key):
    site.certificate("my-cert.pem", make_certificate("site-a", make_key("site-a"), days=3))
    (one,) = told(site, USES_CERTIFICATE % ("", ""))
    assert "info: the certificate 'CN=site-a' expires on" in one


def test_authorities_name_their_certificate_and_become_anchors(site, make_certificate, make_key):
    other = make_certificate("other ca", make_key("o"), ca=True)
    elsewhere = site.certificate("o.pem", other, "elsewhere")
    uris = "crl_uris = http://x/a.crl, file:///b.crl\n ocsp_uris = http://x/ocsp\n"
    text = f"authorities {{ o {{ cacert = {elsewhere}\n {uris} }} }}"
    settings = load(site.conf(text))
    assert settings.authorities[0].crl_uris == ("http://x/a.crl", "file:///b.crl")
    assert other in settings.credentials.authorities()
    assert "does not name its certificate (add: cacert" in told(site, "authorities { o { } }")[0]
    assert "is no http or https or ldap or file URI" in told(site, text.replace("http://x/a.crl", "x/a.crl"))[0]


# Shared secrets.


LONG = "secret = 0123456789abcdef0123"


@pytest.mark.parametrize(
    ("local", "remote", "owners"),
    [
        ("id = a", "id = b", "id-1 = b"),
        ("id = a", "id = b", "id = a"),
        ("id = a", "id = b", ""),
        ("id = a", 'id = "*.b.org"', "id = x.b.org"),
        ("id = a", "id = x.b.org", 'id = "*.b.org"'),
        ("", "", "id = 10.0.0.2"),
        ("id = a", "", "id = zzz"),
        ('id = "CN=a, O=x"', 'id = "CN=b, O=x"', 'id = "CN=b,O=x"'),
    ],
)
def test_a_secret_is_found_by_one_of_the_two_identities(swanctl, local, remote, owners):
    addresses = ("10.0.0.1", "%any" if owners.endswith("zzz") else "10.0.0.2")
    text = USES_PSK % (*addresses, local, remote, f"ike {{ {LONG}\n {owners}\n }}")
    assert [one for one in told(swanctl, text) if "no ike secret" in one] == []


def test_a_secret_for_others_does_not_serve(swanctl):
    text = USES_PSK % ("10.0.0.1", "10.0.0.2", "id = a", "id = b", f"ike {{ {LONG}\n id = c\n }}")
    (one,) = told(swanctl, text)
    assert "there is no ike secret for 'a' and 'b' (add to secrets: ike-1 { id-1 = b secret = ... })" in one


def test_the_endpoint_gets_the_best_secret_and_where_it_stands(swanctl):
    secrets = f"ike-1 {{ {LONG}1\n id = b\n }}\n ike-2 {{ {LONG}2\n id-1 = a\n id-2 = b\n }}"
    path = swanctl.conf(USES_PSK % ("10.0.0.1", "10.0.0.2", "id = a", "id = b", secrets))
    credentials = load(path).credentials
    found = credentials.shared_key(Identity.parse("a"), Identity.parse("b"))
    assert bytes(found) == b"0123456789abcdef01232"
    assert credentials.shared_key_where(Identity.parse("a"), Identity.parse("b")).startswith(f"{path}:")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("ike-1 { secret = short\n }", "warning: a preshared key of 5 bytes can be guessed offline"),
        (
            "ppk-1 { secret = 0123456789abcdef\n id = x\n }",
            "warning: a post-quantum preshared key of 16 bytes is short",
        ),
        ("ntlm-1 { secret = 0x0011\n id = x\n }", "an NT hash has 16 bytes, not 2"),
        (f"eap-1 {{ {LONG}\n id = x\n }}", "info: no connection asks for 'eap-1': EAP is not spoken"),
        (f"ike-1 {{ {LONG}\n }} ike-2 {{ {LONG}x\n }}", "warning: 'ike-2' is for the same identities as 'ike-1'"),
        ("ike-1 { }", "'ike-1' has no 'secret'"),
        ("psk-1 { }", "unknown section 'psk-1'"),
        (f"ike-1 {{ {LONG}\n owner = x\n }}", "unknown key 'owner'"),
    ],
)
def test_secrets_that_are_weak_or_wrong_are_told(swanctl, section, message):
    found = told(swanctl, f"secrets {{ {section} }}")
    assert any(message in one for one in found), found
    assert not any("0123456789" in one for one in found)


def test_a_configuration_with_secrets_that_everybody_may_read_is_a_warning(swanctl):
    path = swanctl.conf(f"secrets {{ ike {{ {LONG}\n }} }}", mode=0o644)
    (one,) = load(path).warnings
    assert str(one) == f"{path}: warning: everybody may read the secrets in this file (chmod 640 {path})"


def test_settings_do_not_show_their_secrets(site):
    settings = load(site.conf(f"secrets {{ ike {{ {LONG}\n }} }}"))
    assert "0123456789" not in repr(settings)
    assert bytes(settings.shared[0].secret) == b"0123456789abcdef0123"


def test_an_authority_named_by_absolute_path_is_an_anchor_too(site):
    (site.path / "elsewhere").mkdir()
    (site.path / "x509ca" / "ca.pem").rename(site.path / "elsewhere" / "ca.pem")
    authority = f"authorities {{ ours {{ cacert = {site.path}/elsewhere/ca.pem\n }} }}"
    assert told(site, (USES_CERTIFICATE % ("", "")) + authority) == []
