"""Identities: parsed, printed and matched the way a strongSwan site is used to."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from ike.wire.constants import IdType, PayloadType
from ike.wire.identity import Identity
from ike.wire.payloads import IdPayload


@pytest.mark.parametrize(
    ("text", "kind", "data"),
    [
        ("%any", 0, b""),
        ("*", 0, b""),
        ("10.1.0.1", IdType.IPV4_ADDR, b"\x0a\1\0\1"),
        ("fe80::1", IdType.IPV6_ADDR, ip_address("fe80::1").packed),
        ("moon.strongswan.org", IdType.FQDN, b"moon.strongswan.org"),
        ("@moon", IdType.FQDN, b"moon"),
        ("carol@strongswan.org", IdType.RFC822_ADDR, b"carol@strongswan.org"),
        ("@@carol@strongswan.org", IdType.RFC822_ADDR, b"carol@strongswan.org"),
        ("@#0a1B", IdType.KEY_ID, b"\x0a\x1b"),
        ("keyid:#0a1b", IdType.KEY_ID, b"\x0a\x1b"),
        ("keyid:name", IdType.KEY_ID, b"name"),
        ("{11}:#0a1b", IdType.KEY_ID, b"\x0a\x1b"),
        ("fqdn:10.0.0.1", IdType.FQDN, b"10.0.0.1"),
        ("dns:moon", IdType.FQDN, b"moon"),
        ("email:carol", IdType.RFC822_ADDR, b"carol"),
        ("ipv4:10.0.0.1", IdType.IPV4_ADDR, b"\x0a\0\0\1"),
        ("ipv6:::1", IdType.IPV6_ADDR, bytes(15) + b"\1"),
        ("asn1dn:#3000", IdType.DER_ASN1_DN, b"\x30\0"),
        ("NO=NAME", IdType.KEY_ID, b"NO=NAME"),
        ("a:b", IdType.KEY_ID, b"a:b"),
    ],
)
def test_text_reads_as_strongswan_reads_it(text: str, kind: int, data: bytes) -> None:
    assert Identity.parse(text) == Identity(kind, data)


@pytest.mark.parametrize(
    "text",
    [
        "%any",
        "10.1.0.1",
        "2001:db8::1",
        "moon.strongswan.org",
        "carol@strongswan.org",
        "C=CH, O=strongSwan Project, CN=moon.strongswan.org",
        "CN=*",
        "10.0.0.0/8",
        "10.0.0.1-10.0.0.9",
        "O=a\\, b, CN=x",
        "ST=ZH, L=Rapperswil, OU=Sales, serialNumber=17, UID=u, DC=org, E=a@b.org, G=Eve, SN=Ames, T=Dr",
        "1.2.3.4=x",
        "O=Zürich",
    ],
)
def test_what_is_printed_reads_back(text: str) -> None:
    assert str(Identity.parse(text)) == text
    assert Identity.parse(str(Identity.parse(text))) == Identity.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "C=CH, O=strongSwan, CN=peer",
        "C=CH,O=strongSwan,CN=peer",
        "/C=CH/O=strongSwan/CN=peer",
        'C=CH, O="strongSwan", CN=peer',
        "c=CH,o=strongSwan ,cn=peer",
        "asn1dn:C=CH, O=strongSwan, CN=peer",
    ],
)
def test_a_distinguished_name_is_the_certificates_whatever_its_spelling(text: str) -> None:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CH"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "strongSwan"),
            x509.NameAttribute(NameOID.COMMON_NAME, "peer"),
        ]
    )
    parsed, certified = Identity.parse(text), Identity.of_name(name)
    assert str(parsed) == str(certified) == "C=CH, O=strongSwan, CN=peer"
    assert certified.match_score(parsed) == 20
    assert parsed.match_score(certified) == 20


def test_our_der_is_what_an_independent_reader_understands() -> None:
    text = "C=CH, O=Über\\, GmbH, DC=org, E=a@b.org, CN=x"
    attributes = [
        (x509.ObjectIdentifier("2.5.4.6"), "CH"),
        (x509.ObjectIdentifier("2.5.4.10"), "Über, GmbH"),
        (x509.ObjectIdentifier("0.9.2342.19200300.100.1.25"), "org"),
        (x509.ObjectIdentifier("1.2.840.113549.1.9.1"), "a@b.org"),
        (x509.ObjectIdentifier("2.5.4.3"), "x"),
    ]
    expected = x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])
    assert str(Identity.of_name(expected)) == str(Identity.parse(text)) == text


@pytest.mark.parametrize(
    ("identity", "pattern", "score"),
    [
        ("moon.example.org", "moon.example.org", 20),
        ("moon.example.org", "MOON.example.ORG", 20),
        ("moon.example.org", "*.example.org", 19),
        ("moon.example.org", "%any", 1),
        ("moon.example.org", "sun.example.org", 0),
        ("example.org", "*.example.org", 0),
        ("carol@example.org", "*@example.org", 19),
        ("carol@example.org", "fqdn:*example.org", 0),
        ("10.1.2.3", "10.1.2.3", 20),
        ("10.1.2.3", "10.1.2.4", 0),
        ("10.1.2.3", "10.0.0.0/8", 2),
        ("11.1.2.3", "10.0.0.0/8", 0),
        ("10.1.2.3", "10.1.2.0-10.1.2.3", 2),
        ("fe80::1", "10.0.0.0/8", 0),
        ("C=CH, O=x, CN=y", "C=CH, O=x, CN=y", 20),
        ("C=CH, O=x, CN=y", "c=ch, o=X, cn=Y", 20),
        ("C=CH, O=x, CN=y", "C=CH, O=x, CN=*", 19),
        ("C=CH, O=x, CN=y", "C=*, O=*, CN=*", 17),
        ("C=CH, O=x, CN=y", "O=x, C=CH, CN=y", 0),
        ("C=CH, O=x, CN=y", "C=CH, O=x", 0),
        ("C=CH, O=x, CN=y", "C=CH, O=x, OU=*", 0),
        ("CN=*", "CN=y", 0),
        ("@#01", "@#01", 20),
        ("@#01", "@#02", 0),
    ],
)
def test_a_pattern_scores_the_higher_the_less_it_leaves_open(identity: str, pattern: str, score: int) -> None:
    assert Identity.parse(identity).match_score(Identity.parse(pattern)) == score
    assert Identity.parse(identity).matches(Identity.parse(pattern)) == (score > 0)


def test_names_compare_across_string_types() -> None:
    utf8 = Identity(IdType.DER_ASN1_DN, bytes.fromhex("300d310b3009060355040a0c024142"))
    bmp = Identity(IdType.DER_ASN1_DN, bytes.fromhex("300f310d300b060355040a1e0400610062"))
    assert str(utf8) == "O=AB"
    assert utf8.match_score(bmp) == 20


def test_an_identity_travels_in_its_payload() -> None:
    identity = Identity.parse("moon")
    payload = identity.to_payload(PayloadType.ID_R)
    assert payload == IdPayload(PayloadType.ID_R, IdType.FQDN, b"moon")
    assert Identity.from_payload(payload) == identity
    assert Identity.of_address(ip_address("10.0.0.1")).address == ip_address("10.0.0.1")


@pytest.mark.parametrize("text", ["%any", "*.example.org", "CN=*", "10.0.0.0/8"])
def test_a_pattern_is_known_as_one(text: str) -> None:
    assert Identity.parse(text).has_wildcards


@pytest.mark.parametrize("text", ["moon", "CN=x", "10.0.0.1"])
def test_an_identity_is_no_pattern(text: str) -> None:
    assert not Identity.parse(text).has_wildcards


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (IdType.FQDN, b"evil\n\x1b[31mroot"),
        (IdType.RFC822_ADDR, b"\xff\xfe@x"),
        (IdType.KEY_ID, b"\r\n"),
        (IdType.DER_ASN1_DN, bytes.fromhex("300d310b3009060355040a0c020a1b")),
        (IdType.DER_ASN1_DN, b"\x30\x84\xff\xff\xff\xff"),
        (IdType.IPV4_ADDR, b"\1\2\3"),
        (7, b"\1"),
        (99, b"\0\n"),
    ],
)
def test_what_a_stranger_claims_to_be_is_safe_to_log(kind: int, data: bytes) -> None:
    assert str(Identity(kind, data)).isprintable()
